"""Reading request bodies, and writing JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import orjson
from flask import Response
from werkzeug.http import parse_options_header

from gateway.api.app import Answer
from gateway.api.context import services, state, the_request, trace
from gateway.api.http.embedded import parsed
from gateway.api.schemas.fields import RequestSchema
from gateway.domain.errors import (
    InvalidJson,
    RequestTooLarge,
    UnsupportedContentType,
)
from gateway.runtime.cooperative import Turns
from gateway.runtime.interruption import IncompleteBody
from gateway.services.access.limits import Standing, format_s

_JSON_TYPES = frozenset({"", "application/json", "text/plain", "text/json"})
# Whoever asks decides what is answered; caches in between must not mix that up.
_VARY = ("Vary", "Authorization, Origin")
JSON = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), _VARY]
EVENT_STREAM = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
    _VARY,
]
_EXPOSED = ", ".join(
    (
        "X-Request-Id",
        "X-Gateway-Upstream",
        "X-Gateway-Account",
        "X-Gateway-Attempts",
        "X-Gateway-Dropped-Params",
        "X-Gateway-Usage",
        "X-Gateway-Job",
        "Idempotent-Replayed",
        "Retry-After",
        "Location",
        "ETag",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    )
)
CORS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", _EXPOSED),
]
_PIECE = 256 * 1024
POLL_S = "2"


def address() -> str:
    """Where the request comes from, as far as the trusted proxies tell."""
    return the_request().remote_addr or ""


def check_length() -> tuple[int, int | None]:
    """The limit for the body and its announced length. Raises RequestTooLarge."""
    limit = services().settings.max_body_bytes
    environ = the_request().environ
    announced = environ.get("CONTENT_LENGTH", "")  # of a form that the worker has checked
    length = int(announced) if announced and "HTTP_TRANSFER_ENCODING" not in environ else None
    if length is not None and length > limit:
        raise _too_large(limit)
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedContentType("A compressed request body is not accepted; send it plain.")
    return limit, length


class BodyReader:
    """A request body for parsers that do not notice when it is cut short or too long."""

    def __init__(self, source: Any, limit: int, length: int | None) -> None:
        self._source = source
        self._limit = limit
        self._length = length
        self._seen = 0
        self._turns = Turns()

    def read(self, size: int = -1) -> bytes:
        data = cast(bytes, self._source.read(size) if size >= 0 else self._source.read())
        self._seen += len(data)
        self._turns.after(len(data))
        if self._seen > self._limit:
            raise _too_large(self._limit)
        if self._length is not None and size and not data and self._seen < self._length:
            raise _cut_short(self._seen, self._length)
        return data


def body() -> bytes | bytearray:
    """The whole request body. Raises RequestTooLarge, InvalidRequest (cut short)."""
    limit, length = check_length()
    source = the_request().environ["wsgi.input"]
    if length is not None and length <= _PIECE:
        data: bytes | bytearray = source.read(length)
    else:
        # In pieces: the server's own way of collecting a large body holds it three times.
        data = bytearray()
        turns = Turns()
        while len(data) <= limit and (piece := source.read(_PIECE)):
            data += piece
            turns.after(len(piece))
    if len(data) > limit:
        raise _too_large(limit)
    if length is not None and len(data) != length:
        raise _cut_short(len(data), length)
    return data


def _cut_short(seen: int, length: int) -> IncompleteBody:
    return IncompleteBody(f"The body ended after {seen} of {length} bytes.")


def _too_large(limit: int) -> RequestTooLarge:
    state().close_connection = True  # what was not read must not be taken for the next request
    return RequestTooLarge(f"The body is larger than {limit / 1048576:g} MB.")


def json_body() -> Any:
    """The body as JSON. Raises InvalidJson, UnsupportedContentType and what `body` raises."""
    if not _is_json(the_request().environ.get("CONTENT_TYPE", "")):
        raise UnsupportedContentType("The body must be JSON: Content-Type: application/json.")
    data = body()
    if not data:
        raise InvalidJson("The body is empty; send a JSON object.")
    document = parsed(data)
    if not isinstance(document, dict):
        raise InvalidJson("The body must be a JSON object.")
    return document


@lru_cache(maxsize=128)
def _is_json(content_type: str) -> bool:
    kind, options = parse_options_header(content_type)
    kind, charset = kind.lower(), options.get("charset", "utf-8").lower()
    return (kind in _JSON_TYPES or kind.endswith("+json")) and charset in ("utf-8", "utf8")


def load(schema: RequestSchema, document: Mapping[str, Any]) -> Any:
    """Validate what was sent; a ValidationError becomes a 400 in `api.errors`."""
    trace().unknown = schema.unknown_in(document)
    return schema.read(document)


def json_response(payload: Any, status: int = 200) -> Answer:
    return Answer(orjson.dumps(payload), status, JSON)


def polled(response: Response, *, done: bool) -> Response:
    """A state that is asked for again and again: when to, and 304 while it is as it was."""
    if not done:
        response.headers["Retry-After"] = POLL_S
    if not response.is_streamed:
        response.add_etag()
        response.make_conditional(the_request())
    return response


def limit_headers(standing: Standing | None) -> list[tuple[str, str]]:
    """What the caller has left of its limit, in OpenAI's form."""
    if standing is None:
        return []
    return [
        ("x-ratelimit-limit-requests", str(standing.limit)),
        ("x-ratelimit-remaining-requests", str(standing.remaining)),
        ("x-ratelimit-reset-requests", format_s(standing.reset_s)),
    ]
