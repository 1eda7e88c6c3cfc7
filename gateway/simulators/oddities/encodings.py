"""Other wrappings of base64: the URL-safe alphabet, line breaks, data URLs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gateway.simulators.oddities.bodies import Change, Frames

_FIELDS = ("b64_json", "data")


def _url_safe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_").rstrip("=")


def _with_line_breaks(text: str) -> str:
    return "\r\n".join(textwrap.wrap(text, 76)) + "\r\n"


def _as_data_url(text: str) -> str:
    return f"data:image/png;base64,{text}"


def _wrapped(wrap: Callable[[str], str]) -> Change:
    def change(frames: Frames, _: int) -> Frames:
        for document in frames.documents:
            _wrap_in(document, wrap)
        return frames

    return change


def _wrap_in(value: Any, wrap: Callable[[str], str]) -> None:
    if isinstance(value, list):
        for item in value:
            _wrap_in(item, wrap)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in _FIELDS and isinstance(item, str):
                value[name] = wrap(item)
            else:
                _wrap_in(item, wrap)


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "urlsafe": _wrapped(_url_safe),
        "linebreaks": _wrapped(_with_line_breaks),
        "dataurl": _wrapped(_as_data_url),
    }
)
