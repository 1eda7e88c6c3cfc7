"""/openapi.json from the views and the schemas that validate requests, and /docs from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.routing import Rule

from gateway.api.context import current
from gateway.api.dialects.base import OPENAI, Dialect
from gateway.api.dialects.paths import dialect_at
from gateway.api.hooks import auth
from gateway.api.http.described import JSON, Description, described, description_of
from gateway.api.http.responses import json_response
from gateway.domain.errors import GatewayError

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
_TRIED = {  # in the playground
    "/v1/chat/completions": "chat",
    "/v1/images/generations": "image",
    "/v1/video/generations": "video",
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
    html = render_template(
        "docs.html",
        spec=_document(open_pool=_open_pool()),
        base=request.host_url.rstrip("/"),
        fields_of=_fields,
        values=_values,
        tried=_TRIED,
        errors=_error_codes(),
    )
    page = Response(html, mimetype="text/html")
    page.headers["Content-Security-Policy"] = (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
    page.headers["X-Content-Type-Options"] = "nosniff"
    page.headers["Cache-Control"] = "no-store"
    return page


@cache
def examples() -> dict[str, Any]:
    """A request and what it is answered, by path; the tests send them."""
    text = Path(__file__).with_name("examples.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _fields(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of a body as rows of a table; parts that are named elsewhere are looked up."""
    if (reference := schema.get("$ref")) is not None:
        return _fields(spec, spec["components"]["schemas"][reference.rpartition("/")[2]])
    rows = [row for part in schema.get("allOf", ()) if part for row in _fields(spec, part)]
    required = schema.get("required", ())
    for name, shape in schema.get("properties", {}).items():
        kind = shape.get("type", "string, object or list")
        rows.append(
            {
                "name": name,
                "required": name in required,
                "type": kind if isinstance(kind, str) else " or ".join(kind),
                "values": _values(shape),
            }
        )
    return rows


def _values(shape: Mapping[str, Any]) -> str:
    """What a field may be, and what it is when it is not given."""
    said = []
    if "enum" in shape:
        said.append(", ".join(str(word) for word in shape["enum"] if word is not None))
    if "minimum" in shape or "maximum" in shape:
        said.append(f"{shape.get('minimum', '…')} to {shape.get('maximum', '…')}")
    if "maxLength" in shape:
        said.append(f"up to {shape['maxLength']:,} characters")
    if shape.get("default") not in (None, [], ()):
        said.append(f"default {json.dumps(shape['default'])}")
    return "; ".join(said)


@cache
def _error_codes() -> dict[int, list[str]]:
    """The codes of all errors by status."""
    found: dict[int, set[str]] = {}
    waiting: list[type[GatewayError]] = [GatewayError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.code:
            found.setdefault(kind.status, set()).add(kind.code)
    return {status: sorted(codes) for status, codes in sorted(found.items())}


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
    example = examples().get(rule.rule)
    if example is not None and "POST" in (rule.methods or ()):
        operation["responses"]["200"]["content"][JSON]["example"] = example["answer"]
    if words.body is not None or words.form is not None:
        operation["requestBody"] = {"required": True, "content": _bodies(spec, words)}
    if rule.endpoint in auth.PUBLIC:
        operation["security"] = []
    if example is not None and "requestBody" in operation:
        operation["requestBody"]["content"][JSON]["example"] = example["request"]
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
    content = {kind: dict(kinds.get(kind, {})) for kind in described.answers}
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
