"""The dialect of each path, for errors that are raised before an endpoint is known."""

from __future__ import annotations

import re

from gateway.api.dialects.ark.errors import ARK
from gateway.api.dialects.base import OPENAI, Dialect
from gateway.api.dialects.gemini.errors import GOOGLE
from gateway.api.dialects.messages.errors import MESSAGES

_DIALECTS: tuple[tuple[re.Pattern[str], Dialect], ...] = (
    (re.compile(r"/v1/messages(/|$)"), MESSAGES),
    (re.compile(r"/v1beta/|/upload/|(/v1)?/models/.+:\w+(Content|Contents|Tokens)$"), GOOGLE),
    (re.compile(r"/api/v3(/|$)"), ARK),
)
"""First match wins, from the start of the path. A dialect adds its line here."""


def dialect_at(path: str) -> Dialect:
    for pattern, dialect in _DIALECTS:
        if pattern.match(path):
            return dialect
    return OPENAI
