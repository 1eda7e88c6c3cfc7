"""JSON request bodies with media in them, which are never whole in memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.domain.errors import InvalidRequest
from gateway.domain.media import Blob


@dataclass(frozen=True, slots=True)
class Base64:
    """A leaf of a document: `prefix` and the base64 of `blob` as one JSON string."""

    blob: Blob
    prefix: str = ""

    @property
    def size(self) -> int:
        """Bytes of the string's content as JSON."""
        return len(self.escaped_prefix) + self.blob.base64_size

    @property
    def escaped_prefix(self) -> bytes:
        return orjson.dumps(self.prefix)[1:-1]


class JsonBody:
    """A document with Base64 leaves as a request body; see net.http.Body."""

    def __init__(self, document: Any) -> None:
        self._texts, self._leaves = _serialise(document)
        self.size = sum(map(len, self._texts)) + sum(leaf.size for leaf in self._leaves)

    def chunks(self) -> Iterator[bytes]:
        for text, leaf in zip(self._texts, self._leaves, strict=False):
            yield text + leaf.escaped_prefix
            yield from leaf.blob.base64()
        yield self._texts[-1]


def encode(document: Any) -> bytes | JsonBody:
    """Serialise `document`: bytes if there is no media in it.

    Raises InvalidRequest for what JSON cannot carry, such as half a surrogate pair.
    """
    body = JsonBody(document)
    return body if body._leaves else body._texts[0]


def redacted(document: Any) -> Any:
    """`document` with "<base64 1234 bytes>" in place of its media."""
    if isinstance(document, Base64):
        return f"<base64 {document.blob.size} bytes>"
    if isinstance(document, dict):
        return {key: redacted(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [redacted(value) for value in document]
    return document


def _serialise(document: Any) -> tuple[list[bytes], list[Base64]]:
    """The JSON text around each leaf, and the leaves."""
    leaves: list[Base64] = []
    mark = ""

    def place(value: Any) -> str:
        nonlocal mark
        if not isinstance(value, Base64):
            raise TypeError(f"{type(value).__name__} is no JSON")
        # The caller's own text cannot contain what is drawn here.
        mark = mark or f"blob-{secrets.token_hex(16)}"
        leaves.append(value)
        return mark

    try:
        text = orjson.dumps(document, default=place, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError as err:
        raise InvalidRequest("The request has values that JSON cannot carry") from err
    return text.split(mark.encode()) if leaves else [text], leaves
