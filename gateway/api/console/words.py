"""The console's languages: its English texts, and what they are in Chinese."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flask import request

LANGUAGES = {"en": "English", "zh": "中文"}
COOKIE = "gateway_language"


@cache
def chinese() -> Mapping[str, str]:
    return tomllib.loads(Path(__file__).with_name("zh.toml").read_text("utf-8"))


def language() -> str:
    """As the reader has chosen, else as the browser asks."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return str(chosen)
    return request.accept_languages.best_match(list(LANGUAGES), default="en")


def translator(name: str) -> Callable[..., str]:
    """A function from a text, and the values for its {names}, to the text in the language."""
    words = chinese() if name == "zh" else {}

    def translate(text: str, **values: Any) -> str:
        found = words.get(text, text)
        return found.format(**values) if values else found

    return translate
