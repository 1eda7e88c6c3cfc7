"""/openapi.json from the schemas that validate requests, and /docs, a page made from it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, render_template
from flask.typing import ResponseReturnValue

from gateway.api import auth
from gateway.api.schemas import fields as ours
from gateway.api.schemas.chat import ChatRequestSchema
from gateway.api.schemas.images import ImageEditSchema, ImageRequestSchema, Size
from gateway.api.schemas.videos import VideoRequestSchema
from gateway.api.wire import json_response

if TYPE_CHECKING:
    from apispec.ext.marshmallow import MarshmallowPlugin

bp = Blueprint("reference", __name__, template_folder="templates")

_BODIES = {
    "chat.create_completion": ("ChatRequest", "application/json"),
    "generations.create_image": ("ImageRequest", "application/json"),
    "generations.edit_image": ("ImageEdit", "multipart/form-data"),
    "generations.create_video": ("VideoRequest", "application/json"),
    "videos.create": ("VideoRequest", "multipart/form-data"),
}
_SUMMARIES = {
    "chat.create_completion": "Answer a conversation, as one object or as a stream of chunks",
    "generations.create_image": "Make pictures",
    "generations.edit_image": "Make pictures from uploaded ones",
    "generations.create_video": "Make a video: wait, stream the progress, or respond-async",
    "generations.list_jobs": "List your jobs",
    "generations.get_job": "One job, with its result once it is completed",
    "generations.cancel_job": "Cancel a job",
    "videos.create": "Start a video job",
    "videos.list_videos": "List your video jobs",
    "videos.retrieve": "One video job",
    "videos.delete": "Delete a video job, cancelling it if it runs",
    "videos.content": "The bytes of a finished video",
    "files.upload": "Upload a file to refer to as file_id",
    "files.list_files": "List your files",
    "files.get_file": "One file",
    "files.get_content": "The bytes of a file",
    "files.delete_file": "Delete a file",
    "media.serve": "A stored picture or video, authorised by its signature",
    "media.renew": "A fresh link to a picture or video of yours",
    "models.list_models": "The models you can use",
    "models.get_model": "One model",
    "ops.health": "Is the process up",
    "ops.ready": "Can it serve",
    "ops.metrics": "Measurements in Prometheus' format",
}


@bp.get("/openapi.json")
def openapi() -> ResponseReturnValue:
    return json_response(_document())


@bp.get("/docs")
def docs() -> ResponseReturnValue:
    page = Response(render_template("docs.html", spec=_document()), mimetype="text/html")
    page.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    page.headers["X-Content-Type-Options"] = "nosniff"
    return page


@cache
def _document() -> dict[str, Any]:
    from apispec import APISpec
    from apispec.ext.marshmallow import MarshmallowPlugin

    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="Gateway",
        version="1",
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": "One OpenAI-compatible endpoint in front of the AI accounts you own."},
        security=[{"bearer": []}],
    )
    _describe_fields(plugin)
    bearer = {"type": "http", "scheme": "bearer"}
    spec.components.security_scheme("bearer", bearer)
    spec.components.schema("Error", _ERROR)
    for name, schema in (
        ("ChatRequest", ChatRequestSchema),
        ("ImageRequest", ImageRequestSchema),
        ("ImageEdit", ImageEditSchema),
        ("VideoRequest", VideoRequestSchema),
    ):
        spec.components.schema(name, schema=schema)
    for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.endpoint in _SUMMARIES:
            methods = (rule.methods or set()) & {"GET", "POST", "DELETE"}
            path = rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}")
            operations = {method.lower(): _operation(rule.endpoint) for method in methods}
            named = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in sorted(rule.arguments)
            ]
            spec.path(path, operations=operations, parameters=named)
    document: dict[str, Any] = spec.to_dict()
    return document


def _operation(endpoint: str) -> dict[str, Any]:
    error = {"description": "An error", "content": {"application/json": {"schema": "Error"}}}
    found: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "summary": _SUMMARIES[endpoint],
        "responses": {"200": {"description": "Done"}, "default": error},
    }
    if endpoint in auth.PUBLIC:
        found["security"] = []
    if body := _BODIES.get(endpoint):
        schema, content_type = body
        reference = {"$ref": f"#/components/schemas/{schema}"}
        found["requestBody"] = {"required": True, "content": {content_type: {"schema": reference}}}
    return found


def _describe_fields(plugin: MarshmallowPlugin) -> None:
    assert plugin.converter is not None
    anything = {"oneOf": [{"type": "string"}, {"type": "object"}, {"type": "array"}]}
    shapes: dict[type, dict[str, Any]] = {
        ours.Number: {"type": "number"},
        ours.Duration: {"type": ["number", "string"]},
        ours.Flag: {"type": "boolean"},
        ours.Object: {"type": "object"},
        ours.Objects: {"type": "array", "items": {"type": "object"}},
        ours.Word: {"type": "string"},
        ours.StopField: {"type": ["string", "array"], "items": {"type": "string"}},
        ours.ToolChoice: {"type": ["string", "object"]},
        ours.MessagesField: {"type": "array", "minItems": 1, "items": {"type": "object"}},
        ours.ImagesField: anything,
        Size: {"type": "string"},
    }

    def shape(_: Any, field: Any, **__: Any) -> dict[str, Any]:
        known = next((shapes[kind] for kind in type(field).__mro__ if kind in shapes), {})
        return known | (field.describe() if isinstance(field, ours.Described) else {})

    plugin.converter.add_attribute_function(shape)


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
