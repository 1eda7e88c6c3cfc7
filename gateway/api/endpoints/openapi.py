"""/openapi.json from the views and the schemas that validate requests, and /docs from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, render_template
from flask.typing import ResponseReturnValue
from werkzeug.routing import Rule

from gateway.api.context import current
from gateway.api.dialects.base import OPENAI, Dialect
from gateway.api.dialects.paths import dialect_at
from gateway.api.hooks import auth
from gateway.api.http.described import JSON, Description, described, description_of
from gateway.api.http.responses import json_response

if TYPE_CHECKING:
    from apispec import APISpec

bp = Blueprint("reference", __name__, template_folder="templates")

_FORM = "multipart/form-data"
_ARGUMENT = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_WITHOUT_WORDS = frozenset({"unsupported", "console"})  # blueprints that are no part of the API
_HEADERS: Mapping[str, Mapping[str, Any]] = {
    "Idempotency-Key": {
        "description": "The same key and body get the same answer for a day",
        "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
    },
    "Prefer": {
        "description": "respond-async: answer 202 with the job, for images and videos",
        "schema": {"type": "string"},
    },
    "X-Gateway-Dry-Run": {
        "description": "1: show the vendor's request and send nothing",
        "schema": {"type": "string"},
    },
}
_STRING = {"type": "string"}
_NULLABLE = {"type": ["string", "null"]}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": _STRING,
                "type": _STRING,
                "param": _NULLABLE,
                "code": _NULLABLE,
            },
        }
    },
}


@bp.get("/openapi.json")
def openapi() -> ResponseReturnValue:
    """Describe the endpoints in OpenAPI's format."""
    return json_response(_document(open_pool=_open_pool()))


@bp.get("/docs")
@described(answers=("text/html",))
def docs() -> ResponseReturnValue:
    """Show the endpoints as a page."""
    html = render_template("docs.html", spec=_document(open_pool=_open_pool()))
    page = Response(html, mimetype="text/html")
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

    spec = APISpec(
        title="Gateway",
        version="1",
        openapi_version="3.1.0",
        plugins=[MarshmallowPlugin()],
        info={"description": "One OpenAI-compatible endpoint in front of the AI accounts you own."},
        security=[{}, {"bearer": []}] if open_pool else [{"bearer": []}],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    spec.components.schema("Error", _ERROR)
    for rule in current_app.url_map.iter_rules():
        if not (rule.websocket or rule.endpoint.partition(".")[0] in _WITHOUT_WORDS):
            _add(spec, rule)
    document: dict[str, Any] = spec.to_dict()
    return document


def _add(spec: APISpec, rule: Rule) -> None:
    view = current_app.view_functions[rule.endpoint]
    words = description_of(view)
    parameters = [
        *(_parameter(name, "path", _STRING, required=True) for name in sorted(rule.arguments)),
        *(_parameter(name, "query", schema) for name, schema in words.query.items()),
        *({"name": name, "in": "header", **_HEADERS[name]} for name in words.headers),
    ]
    operation: dict[str, Any] = {
        "summary": (view.__doc__ or "").partition("\n")[0].rstrip("."),
        "parameters": parameters,
        "responses": _responses(words, dialect_at(rule.rule)),
    }
    if words.body is not None or words.form is not None:
        operation["requestBody"] = {"required": True, "content": _bodies(spec, words)}
    if rule.endpoint in auth.PUBLIC:
        operation["security"] = []
    path = _ARGUMENT.sub(r"{\1}", rule.rule)
    for method in sorted((rule.methods or set()) & _METHODS):
        name = re.sub(r"\W+", "_", f"{method.lower()} {rule.rule}").strip("_")
        spec.path(path, operations={method.lower(): {"operationId": name, **operation}})


def _parameter(
    name: str, place: str, schema: Mapping[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required or schema.get("x-required", False),
        "schema": {key: value for key, value in schema.items() if key != "x-required"},
    }


def _responses(described: Description, dialect: Dialect) -> dict[str, Any]:
    kinds: dict[str, Any] = {JSON: {"schema": {"type": "object"}}}
    content = {kind: kinds.get(kind, {}) for kind in described.answers}
    responses: dict[str, Any] = {"200": {"description": "Done", "content": content}}
    if "Prefer" in described.headers:
        job = {"description": "The job, where respond-async was preferred"}
        responses["202"] = job | {"content": {JSON: kinds[JSON]}}
    error = {"schema": "Error"} if dialect is OPENAI else kinds[JSON]
    responses["default"] = {"description": "An error", "content": {JSON: error}}
    return responses


def _bodies(spec: APISpec, described: Description) -> dict[str, Any]:
    """The body's schema for each of its content types."""
    bodies: dict[str, Any] = {}
    reference: dict[str, Any] = {}
    if described.body is not None:
        name = type(described.body).__name__.removesuffix("Schema")
        if name not in spec.components.schemas:
            spec.components.schema(name, schema=type(described.body))
        reference = {"$ref": f"#/components/schemas/{name}"}
        bodies[JSON] = {"schema": reference}
    if described.form is not None:
        form = {
            "type": "object",
            "properties": dict(described.form),
            "required": list(described.required),
        }
        bodies[_FORM] = {"schema": {"allOf": [reference, form]} if reference else form}
    return bodies
