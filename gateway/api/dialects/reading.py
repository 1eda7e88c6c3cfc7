"""Checks of members of a request, with errors that carry their path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.domain.errors import InvalidRequest, MissingField
from gateway.domain.media import EmbeddedUrl, MediaKind, MediaRef

Object = Mapping[str, Any]


def text(holder: Object, name: str, path: str) -> str:
    """The member `name` of an object at `path`. Raises MissingField, InvalidRequest."""
    found = optional_text(holder, name, path)
    if found is None:
        raise MissingField(f"{_at(path, name)} is required.", param=_at(path, name))
    return found


def optional_text(holder: Object, name: str, path: str) -> str | None:
    found = holder.get(name)
    if found is None or isinstance(found, str):
        return found
    raise InvalidRequest(f"{_at(path, name)} must be a string.", param=_at(path, name))


def an_object(value: object, path: str) -> Object:
    if isinstance(value, dict):
        return value
    raise InvalidRequest(f"{path} must be an object.", param=path)


def optional_object(holder: Object, name: str, path: str) -> Object:
    """The member `name` of an object at `path`; an empty object when it is not given."""
    found = holder.get(name)
    return {} if found is None else an_object(found, _at(path, name))


def objects(value: object, path: str) -> Iterator[tuple[Object, str]]:
    """The objects of a list, each with its path."""
    if not isinstance(value, list):
        raise InvalidRequest(f"{path} must be a list.", param=path)
    for position, item in enumerate(value):
        yield an_object(item, f"{path}[{position}]"), f"{path}[{position}]"


def embedded(mime_type: str, base64: str, path: str, *, filename: str | None = None) -> MediaRef:
    """An attachment whose bytes stand in the request as base64."""
    url = base64 if isinstance(base64, EmbeddedUrl) else f"data:{mime_type};base64,{base64}"
    return MediaRef(media_kind(mime_type), path, url=url, filename=filename)


def media_kind(mime_type: str) -> MediaKind:
    match mime_type.partition("/")[0].lower():
        case "image":
            return "image"
        case "video":
            return "video"
        case "audio":
            return "audio"
    return "file"


def unsupported(kind: object, path: str, supported: str) -> InvalidRequest:
    """The error for a part whose type the dialect does not have."""
    return InvalidRequest(
        f"{path}.type {str(kind)[:64]!r} is not supported; use {supported}.",
        param=f"{path}.type",
        code="unsupported_part",
    )


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
