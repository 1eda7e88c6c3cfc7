"""Request bodies: bounded reading, and JSON whose large data URLs are taken out first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import orjson
from werkzeug.http import parse_options_header

from gateway.api.context import RequestContext
from gateway.api.schemas.fields import RequestSchema
from gateway.domain.errors import InvalidJson, RequestTooLarge, UnsupportedContentType
from gateway.domain.media import EmbeddedUrl
from gateway.formats.blobs import Spool
from gateway.net.codecs.data_urls import LARGE_URL_BYTES, extract_data_urls
from gateway.net.codecs.json_limits import check_depth, check_values
from gateway.runtime.cooperative import YieldBudget
from gateway.runtime.interruption import IncompleteBody
from gateway.runtime.memory import MemoryBudget

_JSON_TYPES = frozenset({"", "application/json", "text/plain", "text/json"})
_PIECE_BYTES = 256 * 1024
_MAX_TEXT_BYTES = 16 * 1024 * 1024  # of JSON without the data URLs of its attachments
_MEMORY_BYTES = 256 * 1024 * 1024
_MEMORY_WAIT_S = 10.0
_memory = MemoryBudget(_MEMORY_BYTES, wait_s=_MEMORY_WAIT_S)
# Where schemas read attachments: in these fields of a request, under these keys in them.
_ATTACHMENT_FIELDS = frozenset(
    {"messages", "image", "images", "mask", "input_reference", "input", "contents", "requests"}
    | {"first_frame", "last_frame", "references", "content"}
)
_FREE_FORM = frozenset({"input", "args", "response"})  # arguments and results of tools
_ATTACHMENT_KEYS = frozenset(
    {
        *("url", "data", "file", "file_url", "file_data", "audio_url"),
        *("image", "images", "image_url", "video", "videos", "video_url"),
        *("mask", "input_reference", "first_frame", "last_frame", "references"),
    }
)


def check_length(context: RequestContext) -> tuple[int, int | None]:
    """The limit for the body and its announced length. Raises RequestTooLarge."""
    limit = context.services.settings.max_body_bytes
    environ = context.environ
    announced = environ.get("CONTENT_LENGTH", "")  # of a form that the worker has checked
    length = int(announced) if announced and "HTTP_TRANSFER_ENCODING" not in environ else None
    if length is not None and length > limit:
        raise _too_large(context, limit)
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedContentType("A compressed request body is not accepted; send it plain.")
    return limit, length


class BodyReader:
    """A request body for parsers that do not notice when it is cut short or too long."""

    def __init__(self, context: RequestContext) -> None:
        self._limit, self._length = check_length(context)
        self._context = context
        self._source = context.environ["wsgi.input"]
        self._read_bytes = 0
        self._yield_budget = YieldBudget()

    def read(self, size: int = -1) -> bytes:
        data = cast(bytes, self._source.read(size) if size >= 0 else self._source.read())
        self._read_bytes += len(data)
        self._yield_budget.spend(len(data))
        if self._read_bytes > self._limit:
            raise _too_large(self._context, self._limit)
        if self._length is not None and size and not data and self._read_bytes < self._length:
            raise _cut_short(self._read_bytes, self._length)
        return data


@contextmanager
def request_body(context: RequestContext) -> Iterator[bytes]:
    """The whole request body, for the block.

    A large one is received on disk, so that slow senders cost no memory, and then loaded
    within the budget of the process. Raises RequestTooLarge, InvalidRequest (cut short) and
    GatewayOverloaded.
    """
    limit, length = check_length(context)
    if length is not None and length <= _PIECE_BYTES:
        data: bytes = context.environ["wsgi.input"].read(length)
        if len(data) != length:
            raise _cut_short(len(data), length)
        yield data
        return
    reader = BodyReader(context)
    with Spool(limit=limit, memory=_PIECE_BYTES) as spool:
        while piece := reader.read(_PIECE_BYTES):
            spool.write(piece)
        received, _ = spool.finish()
    with _memory.reserve(received.size):
        yield received.read_at(0, received.size)


def json_body(context: RequestContext) -> dict[str, Any]:
    """The body as a JSON object, with an EmbeddedUrl for each large embedded attachment.

    Raises InvalidJson, UnsupportedContentType and the errors of `request_body`.
    """
    if not _is_json(context.environ.get("CONTENT_TYPE", "")):
        raise UnsupportedContentType("The body must be JSON: Content-Type: application/json.")
    with request_body(context) as data:
        if not data:
            raise InvalidJson("The body is empty; send a JSON object.")
        document = _document_with_attachments(data)
    if not isinstance(document, dict):
        raise InvalidJson("The body must be a JSON object.")
    return document


def load(context: RequestContext, schema: RequestSchema, document: Mapping[str, Any]) -> Any:
    """The request that `document` describes. Raises ValidationError, which is answered as 400."""
    context.trace.unknown = schema.unknown_in(document)
    return schema.read(document)


def _cut_short(read_bytes: int, length: int) -> IncompleteBody:
    return IncompleteBody(f"The body ended after {read_bytes} of {length} bytes.")


def _too_large(context: RequestContext, limit: int) -> RequestTooLarge:
    context.close_connection = True  # what was not read must not be taken for the next request
    return RequestTooLarge(f"The body is larger than {limit / 1048576:g} MB.")


@lru_cache(maxsize=128)
def _is_json(content_type: str) -> bool:
    kind, options = parse_options_header(content_type)
    kind, charset = kind.lower(), options.get("charset", "utf-8").lower()
    return (kind in _JSON_TYPES or kind.endswith("+json")) and charset in ("utf-8", "utf8")


class _NotAnAttachment(Exception):
    """A data URL stands where text is read."""


def _document_with_attachments(text: bytes | bytearray) -> Any:
    """The document; should one of its large data URLs be no attachment, all are plain strings."""
    if len(text) > LARGE_URL_BYTES:
        shortened, urls = extract_data_urls(text)
        if urls:
            try:
                return _with_urls(_document(shortened), urls)
            except _NotAnAttachment:
                pass
    return _document(text)


def _document(text: bytes | bytearray) -> Any:
    if len(text) > _MAX_TEXT_BYTES:
        raise RequestTooLarge(
            f"The body has more than {_MAX_TEXT_BYTES >> 20} MB that are no attachment."
        )
    check_values(text)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise InvalidJson(f"The body is not valid JSON: {exc}.") from None
    check_depth(text, document)
    return document


def _with_urls(document: Any, urls: Mapping[str, EmbeddedUrl]) -> Any:
    if not isinstance(document, dict):
        return document
    return {
        name: _replaced(
            value, urls, _ATTACHMENT_KEYS if name in _ATTACHMENT_FIELDS else frozenset(), name
        )
        for name, value in document.items()
    }


def _replaced(value: Any, urls: Mapping[str, EmbeddedUrl], keys: frozenset[str], key: str) -> Any:
    if isinstance(value, str):
        url = urls.get(value)
        if url is None:
            return value
        if key not in keys:
            raise _NotAnAttachment
        return url
    if isinstance(value, dict):
        return {
            name: _replaced(item, urls, frozenset() if name in _FREE_FORM else keys, name)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_replaced(item, urls, keys, key) for item in value]
    return value
