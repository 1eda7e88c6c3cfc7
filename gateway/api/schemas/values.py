"""Members of objects that are read by hand: nested schemas would cost ten times as much."""

from __future__ import annotations

from gateway.domain.errors import InvalidRequest, MissingField


def optional_text(value: object, path: str) -> str | None:
    """Raises InvalidRequest naming the member."""
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequest(f"{path} must be a string.", param=path)


def not_empty(value: object, path: str) -> str:
    """Raises InvalidRequest or MissingField naming the member."""
    if not isinstance(value, str):
        raise InvalidRequest(f"{path} must be a string.", param=path)
    if not value.strip():
        raise MissingField(f"{path} is empty.", param=path)
    return value
