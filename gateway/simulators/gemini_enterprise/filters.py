"""The filter language of lists, as far as sessions need it. https://google.aip.dev/160"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.simulators.gemini_enterprise.store import Session, nanoseconds
from gateway.simulators.google.errors import invalid

Condition = Callable[[Session], bool]

_TOKEN = re.compile(
    r'\s*(?:(?P<mark>[()]|!=|>=|<=|[=<>:])|"(?P<text>[^"]*)"|(?P<word>[^\s()=<>:!"]+))'
)
_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
}
_FIELDS: Mapping[str, Callable[[Session], str]] = {
    "user_pseudo_id": lambda session: str(session.given.get("userPseudoId", "")),
    "display_name": lambda session: str(session.given.get("displayName", "")),
    "state": lambda _: "IN_PROGRESS",
    "is_pinned": lambda session: str(bool(session.given.get("isPinned"))).lower(),
    "starred": lambda _: "false",
    "create_time": lambda session: nanoseconds(session.created_at),
    "update_time": lambda session: nanoseconds(session.updated_at),
}
_ORDERS: Mapping[str, Callable[[Session], Any]] = {
    "create_time": lambda session: session.created_at,
    "update_time": lambda session: session.updated_at,
    "session_name": lambda session: session.name,
    "display_name": _FIELDS["display_name"],
    "is_pinned": _FIELDS["is_pinned"],
}


def condition_of(text: str) -> Condition:
    """Return the predicate of a filter; raises GoogleError."""
    if not text.strip():
        return lambda _: True
    return _Parser(_tokens(text), text).read()


def order_by(sessions: list[Session], text: str) -> list[Session]:
    """Return the sessions in the order that `update_time desc, …` asks for."""
    for clause in reversed([part.split() for part in text.split(",") if part.strip()]):
        if clause[0] not in _ORDERS or clause[1:] not in ([], ["desc"], ["asc"]):
            raise invalid(f"Invalid order_by: {text}")
        sessions = sorted(sessions, key=_ORDERS[clause[0]], reverse=clause[1:] == ["desc"])
    return sessions


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return kinds and values: marks, quoted texts and words."""
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise invalid(f"Invalid filter: {text}")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        at = match.end()
    return found


class _Parser:
    """OR binds weaker than AND, NOT strongest."""

    def __init__(self, tokens: Sequence[tuple[str, str]], text: str) -> None:
        self._tokens = list(tokens)
        self._text = text

    def read(self) -> Condition:
        condition = self._either()
        if self._tokens:
            raise self._invalid()
        return condition

    def _either(self) -> Condition:
        options = [self._both()]
        while self._accept("word", "OR"):
            options.append(self._both())
        return lambda session: any(option(session) for option in options)

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._accept("word", "AND"):
            parts.append(self._one())
        return lambda session: all(part(session) for part in parts)

    def _one(self) -> Condition:
        if self._accept("word", "NOT"):
            negated = self._one()
            return lambda session: not negated(session)
        if self._accept("mark", "("):
            inner = self._either()
            if not self._accept("mark", ")"):
                raise self._invalid()
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        kind, name = self._next()
        _, mark = self._next()
        value_kind, value = self._next()
        if kind != "word" or value_kind == "mark":
            raise self._invalid()
        if name == "labels" and mark in (":", "="):
            return lambda session: value in session.given.get("labels", [])
        if name not in _FIELDS or mark not in _COMPARE:
            raise self._invalid()
        field, compare = _FIELDS[name], _COMPARE[mark]
        return lambda session: compare(field(session), value)

    def _accept(self, kind: str, value: str) -> bool:
        if self._tokens and self._tokens[0] == (kind, value):
            del self._tokens[0]
            return True
        return False

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise self._invalid()
        return self._tokens.pop(0)

    def _invalid(self) -> Exception:
        return invalid(f"Invalid filter: {self._text}")
