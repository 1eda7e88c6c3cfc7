"""JSON bodies whose large data URLs are taken out before they are parsed, and put back after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.domain.errors import InvalidJson
from gateway.domain.media import EmbeddedUrl
from gateway.net.codecs.data_urls import LIFT_BYTES, lift
from gateway.net.codecs.json_limits import check_depth, check_values

# Where schemas read attachments: in these fields of a request, under these keys in them.
_FIELDS = frozenset({"messages", "image", "mask", "input_reference"})
_KEYS = frozenset(
    {
        *("url", "data", "file", "file_url", "file_data", "audio_url"),
        *("image", "images", "image_url", "video", "videos", "video_url"),
        *("mask", "input_reference"),
    }
)


class _NoAttachment(Exception):
    """A data URL stands where text is read."""


def parsed(text: bytes | bytearray) -> Any:
    """What a JSON text says, with EmbeddedUrls as attachments. Raises InvalidJson.

    Should one of the large data URLs stand anywhere else, all of them are plain strings.
    """
    if len(text) > LIFT_BYTES:
        short, found = lift(text)
        if found:
            try:
                return _put_back(_document(short), found)
            except _NoAttachment:
                pass
    return _document(text)


def _document(text: bytes | bytearray) -> Any:
    check_values(text)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise InvalidJson(f"The body is not valid JSON: {exc}.") from None
    check_depth(text, document)
    return document


def _put_back(document: Any, found: Mapping[str, EmbeddedUrl]) -> Any:
    if not isinstance(document, dict):
        return document
    return {
        name: _replaced(value, found, _KEYS if name in _FIELDS else frozenset(), name)
        for name, value in document.items()
    }


def _replaced(value: Any, found: Mapping[str, EmbeddedUrl], keys: frozenset[str], key: str) -> Any:
    if isinstance(value, str):
        url = found.get(value)
        if url is None:
            return value
        if key not in keys:
            raise _NoAttachment
        return url
    if isinstance(value, dict):
        return {name: _replaced(item, found, keys, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, found, keys, key) for item in value]
    return value
