"""/openapi.json from the schemas that validate requests, and /docs, a page made from it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, render_template
from flask.typing import ResponseReturnValue

from gateway.api.context import current
from gateway.api.hooks import auth
from gateway.api.http.responses import json_response
from gateway.api.schemas import fields as ours
from gateway.api.schemas.chat import ChatRequestSchema
from gateway.api.schemas.images import ImageEditSchema, ImageRequestSchema, Size
from gateway.api.schemas.parts import ROLES
from gateway.api.schemas.videos import VideoRequestSchema

if TYPE_CHECKING:
    from apispec.ext.marshmallow import MarshmallowPlugin

bp = Blueprint("reference", __name__, template_folder="templates")

_JSON, _FORM = "application/json", "multipart/form-data"
_BODIES = {
    "chat.create_completion": ("ChatRequest", (_JSON,)),
    "generations.create_image": ("ImageRequest", (_JSON,)),
    "generations.edit_image": ("ImageEdit", (_FORM,)),
    "generations.create_video": ("VideoRequest", (_JSON,)),
    "videos.create": ("VideoRequest", (_JSON, _FORM)),
    "files.upload": ("FileUpload", (_FORM,)),
}
_PAGE = ("limit", "order", "after")
_QUERIES = {
    "generations.list_jobs": _PAGE,
    "videos.list_videos": _PAGE,
    "videos.content": ("variant",),
    "files.list_files": (*_PAGE, "purpose"),
    "media.serve": ("exp", "sig"),
}
_ASYNC = ("generations.create_image", "generations.edit_image", "generations.create_video")
_STREAMS = (*_ASYNC, "chat.create_completion")
_BYTES = ("videos.content", "files.get_content", "media.serve", "ops.metrics")
_HEADERS = {
    "Idempotency-Key": "The same key and body get the same answer for a day",
    "Prefer": "respond-async: answer 202 with the job, for pictures and videos",
    "X-Gateway-Dry-Run": "1: show the vendor's request and send nothing",
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
    return json_response(_document(open_pool=_open_pool()))


@bp.get("/docs")
def docs() -> ResponseReturnValue:
    page = Response(
        render_template("docs.html", spec=_document(open_pool=_open_pool())), mimetype="text/html"
    )
    page.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    page.headers["X-Content-Type-Options"] = "nosniff"
    page.headers["Cache-Control"] = "no-store"
    return page


def _open_pool() -> bool:
    return current().services.settings.pool_access == "open"


@cache
def _document(*, open_pool: bool) -> dict[str, Any]:
    from apispec import APISpec
    from apispec.ext.marshmallow import MarshmallowPlugin

    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="Gateway",
        version="1",
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": "One OpenAI-compatible endpoint in front of the AI accounts you own."},
        security=[{}, {"bearer": []}] if open_pool else [{"bearer": []}],
    )
    _describe_fields(plugin)
    bearer = {"type": "http", "scheme": "bearer"}
    spec.components.security_scheme("bearer", bearer)
    spec.components.schema("Error", _ERROR)
    spec.components.schema("FileUpload", _UPLOAD)
    for name, schema in (
        ("ChatRequest", ChatRequestSchema),
        ("ImageRequest", ImageRequestSchema),
        ("ImageEdit", ImageEditSchema),
        ("VideoRequest", VideoRequestSchema),
    ):
        spec.components.schema(name, schema=schema)
    edit = spec.components.schemas["ImageEdit"]
    edit["required"] = [*edit["required"], "image"]
    edit["properties"]["image"] = {"oneOf": [_FILE, {"type": "array", "items": _FILE}]}
    edit["properties"]["mask"] = _FILE
    for endpoint in _SUMMARIES:
        for rule in current_app.url_map.iter_rules(endpoint):
            (method,) = (rule.methods or set()) & {"GET", "POST", "DELETE"}
            path = rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}")
            named = [_parameter(name, "path") for name in sorted(rule.arguments)]
            spec.path(path, operations={method.lower(): _operation(endpoint)}, parameters=named)
    document: dict[str, Any] = spec.to_dict()
    return document


def _operation(endpoint: str) -> dict[str, Any]:
    error = {"description": "An error", "content": {"application/json": {"schema": "Error"}}}
    found: dict[str, Any] = {
        "operationId": endpoint.replace(".", "_"),
        "summary": _SUMMARIES[endpoint],
        "responses": {"200": {"description": "Done"} | _content(endpoint), "default": error},
    }
    if endpoint in auth.PUBLIC:
        found["security"] = []
    if endpoint in _ASYNC:
        job = {"description": "The job, where respond-async was preferred"}
        found["responses"]["202"] = job | _content("generations.get_job")
    parameters = [_parameter(name, "query") for name in _QUERIES.get(endpoint, ())]
    for given in parameters:
        if given["name"] == "limit":
            most = 10_000 if endpoint == "files.list_files" else 100
            given["schema"] = {"type": "integer", "minimum": 1, "maximum": most}
    if body := _BODIES.get(endpoint):
        schema, content_types = body
        content = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
        found["requestBody"] = {"required": True, "content": dict.fromkeys(content_types, content)}
        if schema in ("ChatRequest", "ImageRequest", "ImageEdit", "VideoRequest"):
            names = [name for name in _HEADERS if name != "Prefer" or endpoint in _ASYNC]
            parameters += [_parameter(name, "header") for name in names]
    if parameters:
        found["parameters"] = parameters
    return found


def _content(endpoint: str) -> dict[str, Any]:
    if endpoint in _BYTES:
        return {"content": {"*/*": {}}}
    content: dict[str, Any] = {_JSON: {"schema": {"type": "object"}}}
    if endpoint in _STREAMS:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {"content": content}


def _parameter(name: str, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": place, "schema": {"type": "string"}}
    if name == "order":
        found["schema"]["enum"] = ["asc", "desc"]
    if place == "path" or name in ("exp", "sig"):
        found["required"] = True
    if name in _HEADERS:
        found["description"] = _HEADERS[name]
    if name == "Idempotency-Key":
        found["schema"]["pattern"] = "^[ -~]{1,255}$"
    return found


def _describe_fields(plugin: MarshmallowPlugin) -> None:
    assert plugin.converter is not None
    shapes: dict[type, dict[str, Any]] = {
        ours.Number: {"type": "number"},
        ours.Duration: {"type": ["number", "string"]},
        ours.Flag: {"type": "boolean"},
        ours.Object: {"type": "object"},
        ours.Objects: {"type": "array", "items": {"type": "object"}},
        ours.Word: {"type": "string"},
        ours.StopField: {"type": ["string", "array"], "items": {"type": "string"}},
        ours.ToolChoice: {"type": ["string", "object"]},
        ours.MessagesField: {"type": "array", "minItems": 1, "items": _MESSAGE},
        Size: {"type": "string", "examples": ["1024x1024", "2K", "auto", "16:9"]},
    }

    def shape(_: Any, field: Any, **__: Any) -> dict[str, Any]:
        known = next((shapes[kind] for kind in type(field).__mro__ if kind in shapes), {})
        return known | (field.describe() if isinstance(field, ours.Described) else {})

    plugin.converter.add_attribute_function(shape)


_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string", "enum": list(ROLES)},
        "content": {"type": ["string", "array", "null"]},
    },
}
_FILE = {"type": "string", "format": "binary"}
_UPLOAD = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": _FILE,
        "purpose": {"type": "string", "default": "user_data"},
        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2592000},
    },
}
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
