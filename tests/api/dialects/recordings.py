"""Requests of real programs, with their long texts replaced by shorter ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "recorded"


def recorded(dialect: str, path: str = "") -> list[dict[str, Any]]:
    """Each has `client`, `path` and `body`; `path` selects those that contain it."""
    found = json.loads((_FOLDER / f"{dialect}.json").read_text("utf-8"))
    return [request for request in found if path in request["path"]]


def name_of(request: dict[str, Any]) -> str:
    return request["client"].replace(" ", "-")
