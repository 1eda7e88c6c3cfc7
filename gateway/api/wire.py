"""Reading request bodies, and writing answers that may take their time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar, cast

import orjson
from flask import Request, current_app, g, request
from werkzeug.http import parse_options_header

from gateway.api.app import Answer
from gateway.api.schemas.fields import RequestSchema
from gateway.domain.connection import HOLD, IncompleteBody
from gateway.domain.errors import (
    GatewayError,
    InvalidJson,
    RequestTooLarge,
    UnsupportedContentType,
)
from gateway.services import Services
from gateway.services.dispatch import Trace
from gateway.services.limits import Standing, format_s

_JSON_TYPES = frozenset({"", "application/json", "text/plain", "text/json"})
_JSON = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
_EVENT_STREAM = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
]
_COMMENT = b": waiting\n\n"
_PIECE = 256 * 1024
T = TypeVar("T")


def services() -> Services:
    return cast(Services, current_app.extensions["gateway"])


def the_request() -> Request:
    """Itself, where `request` stands for whatever is being answered at the time."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def trace() -> Trace:
    return cast(Trace, g.trace)


def address() -> str:
    """Where the request comes from, as far as the trusted proxies tell."""
    return request.remote_addr or ""


def check_length() -> tuple[int, int | None]:
    """The limit for the body and its announced length. Raises RequestTooLarge."""
    limit = services().settings.max_body_bytes
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedContentType("A compressed request body is not accepted; send it plain.")
    return limit, length


class BodyReader:
    """A request body for parsers that do not notice when it is cut short or too long."""

    def __init__(self, source: Any, limit: int, length: int | None) -> None:
        self._source = source
        self._limit = limit
        self._length = length
        self._seen = 0

    def read(self, size: int = -1) -> bytes:
        data = cast(bytes, self._source.read(size) if size >= 0 else self._source.read())
        self._seen += len(data)
        if self._seen > self._limit:
            raise _too_large(self._limit)
        if self._length is not None and size and not data and self._seen < self._length:
            raise _cut_short(self._seen, self._length)
        return data


def body() -> bytes | bytearray:
    """The whole request body. Raises RequestTooLarge, InvalidRequest (cut short)."""
    limit, length = check_length()
    source = request.environ["wsgi.input"]
    if length is not None and length <= _PIECE:
        data: bytes | bytearray = source.read(length)
    else:
        # In pieces: the server's own way of collecting a large body holds it three times.
        data = bytearray()
        while len(data) <= limit and (piece := source.read(_PIECE)):
            data += piece
    if len(data) > limit:
        raise _too_large(limit)
    if length is not None and len(data) != length:
        raise _cut_short(len(data), length)
    return data


def _cut_short(seen: int, length: int) -> IncompleteBody:
    return IncompleteBody(f"The body ended after {seen} of {length} bytes.")


def _too_large(limit: int) -> RequestTooLarge:
    g.close_connection = True  # what was not read must not be taken for the next request
    return RequestTooLarge(f"The body is larger than {limit / 1048576:g} MB.")


def json_body() -> Any:
    """The body as JSON. Raises InvalidJson, UnsupportedContentType and what `body` raises."""
    if not _is_json(request.environ.get("CONTENT_TYPE", "")):
        raise UnsupportedContentType("The body must be JSON: Content-Type: application/json.")
    data = body()
    if not data:
        raise InvalidJson("The body is empty; send a JSON object.")
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise InvalidJson(f"The body is not valid JSON: {exc}.") from None
    if not isinstance(document, dict):
        raise InvalidJson("The body must be a JSON object.")
    return document


@lru_cache(maxsize=128)
def _is_json(content_type: str) -> bool:
    kind, options = parse_options_header(content_type)
    kind, charset = kind.lower(), options.get("charset", "utf-8").lower()
    return (kind in _JSON_TYPES or kind.endswith("+json")) and charset in ("utf-8", "utf8")


def load(schema: RequestSchema) -> Any:
    """Validate the JSON body; a ValidationError becomes a 400 in `api.errors`."""
    document = json_body()
    return schema.for_document(document).load(document)


def json_response(payload: Any, status: int = 200) -> Answer:
    return Answer(orjson.dumps(payload), status, _JSON)


def hold(make: Callable[[], T]) -> T:
    """Run something slow whose JSON answer may have to be kept alive with white space."""
    held = request.environ.get(HOLD)
    if held is None:
        return make()
    settings = services().settings
    held.arm(
        headers=[*_JSON, *_early_headers()],
        filler=b" ",
        first_after_s=settings.hold_s,
        every_s=settings.heartbeat_s,
    )
    return make()


def event_stream(
    frames: Generator[bytes, None, None], last_words: Callable[[GatewayError], bytes]
) -> Answer:
    """Answer with `frames` as they come.

    The first frame is taken before the response begins, so an error raised until then
    keeps its HTTP status, unless the wait has already been bridged with comments: then
    `last_words` says it inside the stream. `close` runs when the client leaves, also
    before the first byte, which is what gives the account back.
    """
    held = request.environ.get(HOLD)
    if held is not None:
        settings = services().settings
        held.arm(
            headers=[*_EVENT_STREAM, *_early_headers()],
            filler=_COMMENT,
            first_after_s=settings.hold_s,
            every_s=settings.heartbeat_s,
        )
    try:
        first = next(frames)
    except GatewayError as err:
        frames.close()
        if held is None or not held.started:
            raise
        return Answer(last_words(err), headers=_EVENT_STREAM)
    except BaseException:
        frames.close()
        raise
    response = Answer(chain((first,), frames), headers=_EVENT_STREAM, direct_passthrough=True)
    response.call_on_close(frames.close)
    return response


def limit_headers() -> list[tuple[str, str]]:
    """What the caller has left of its limit, in OpenAI's form."""
    standing: Standing | None = g.get("standing")
    if standing is None:
        return []
    return [
        ("x-ratelimit-limit-requests", str(standing.limit)),
        ("x-ratelimit-remaining-requests", str(standing.remaining)),
        ("x-ratelimit-reset-requests", format_s(standing.reset_s)),
    ]


def _early_headers() -> list[tuple[str, str]]:
    """What can be said before anything is known of the answer."""
    found = trace()
    headers = [("X-Request-Id", found.request_id), ("Access-Control-Allow-Origin", "*")]
    headers += limit_headers()
    if found.job:
        headers.append(("X-Gateway-Job", found.job))
    return headers
