"""Mutations of a vendor's answer: every field, frame and framing changed, one at a time."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

Path = tuple[str | int, ...]
ABSENT = object()
_HALF = "\ud83d"


@dataclass(frozen=True)
class Reply:
    """An HTTP response; `framing` is how its body is delimited."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    framing: str = "length"  # length, bytes, close, short

    def header(self, name: str) -> str:
        return next((v for k, v in self.headers if k.lower() == name.lower()), "")

    def with_header(self, name: str, value: str | None) -> Reply:
        kept = tuple((k, v) for k, v in self.headers if k.lower() != name.lower())
        return replace(self, headers=kept if value is None else (*kept, (name, value)))


@dataclass(frozen=True)
class Mutation:
    """One change; `harmless` ones leave every answer readable."""

    name: str
    apply: Callable[[Reply], Reply]
    harmless: bool = False


def mutations(reply: Reply) -> list[Mutation]:
    """Return all mutations of a reply, in a fixed order."""
    found = list(_TRANSPORT)
    body = documents(reply)
    if body is None:
        return found
    for at, document in enumerate(body.documents):
        for path, value in _walk(document, ()):
            for operation, changed in _changes(value, path):
                name = f"{operation} {at}:{'.'.join(map(str, path)) or '(all)'}"
                found.append(Mutation(name, _in_document(at, path, changed)))
    if len(body.documents) > 1:
        for at in range(len(body.documents)):
            found.append(Mutation(f"frame {at} left out", _in_frames(at, 0)))
            found.append(Mutation(f"frame {at} twice", _in_frames(at, 2)))
            found.append(Mutation(f"end before frame {at}", _ends_before(at)))
    return found


@dataclass(frozen=True)
class Body:
    """Documents of a body, and a way to write others in their place."""

    documents: list[Any]
    write: Callable[[list[Any]], bytes]


def documents(reply: Reply) -> Body | None:
    """Return the JSON documents of a body: the body, the data of events, or an array's elements."""
    kind, text = reply.header("Content-Type"), reply.body
    if kind.startswith("text/event-stream"):
        return _events(text)
    if not kind.startswith("application/json"):
        return None
    value = json.loads(text)
    if isinstance(value, list):
        return Body(value, lambda values: b"[" + b"\n,\r\n".join(map(_dump, values)) + b"]")
    return Body([value], lambda values: _dump(values[0]) if values else b"")


def _events(text: bytes) -> Body:
    separator = b"\r\n\r\n" if b"\r\n\r\n" in text else b"\n\n"
    heads, found, tail = [], [], b""
    for frame in text.split(separator):
        head, mark, data = frame.rpartition(b"data: ")
        if not mark:
            continue
        if data == b"[DONE]":
            tail = frame + separator
        else:
            heads.append(head)
            found.append(json.loads(data))

    def write(values: list[Any]) -> bytes:
        frames = []
        for at, value in enumerate(values):
            head = heads[at] if len(values) == len(heads) else b""
            frames.append(head + b"data: " + _dump(value) + separator)
        return b"".join(frames) + tail

    return Body(found, write)


def _dump(value: Any) -> bytes:
    """Encode a document; half a character can only be written as an escape."""
    return json.dumps(value, ensure_ascii=False).replace(_HALF, "\\ud83d").encode()


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if path:
        yield path, value
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:3])
    for name, item in items:
        yield from _walk(item, (*path, name))


def _changes(value: Any, path: Path) -> Iterator[tuple[str, Any]]:
    yield "removed", ABSENT
    if value is not None:
        yield "null", None
    match value:
        case bool() | None:
            yield "a string", "yes"
        case int() | float():
            yield "a string", str(value)
            yield "not a number", float("nan")
            yield "infinite", float("inf")
            yield "negative", -1 - value
            yield "a list", [value]
        case str():
            yield "a number", 42
            yield "an object", {"value": value}
            yield "a list", [value]
            yield "empty", ""
            yield "doubled", value + value
            yield "half a character", value + _HALF
        case list():
            yield "an object", value[0] if value else {}
            yield "a string", "text"
            yield "empty", []
            yield "doubled", value + value
        case dict():
            yield "a list", [value]
            yield "a string", "text"
            yield "empty", {}


def _in_document(at: int, path: Path, changed: Any) -> Callable[[Reply], Reply]:
    def apply(reply: Reply) -> Reply:
        body = documents(reply)
        assert body is not None
        values = copy.deepcopy(body.documents)
        target = values[at]
        for name in path[:-1]:
            target = target[name]
        if changed is ABSENT:
            del target[path[-1]]
        else:
            target[path[-1]] = changed
        return replace(reply, body=body.write(values))

    return apply


def _in_frames(at: int, times: int) -> Callable[[Reply], Reply]:
    def apply(reply: Reply) -> Reply:
        body = documents(reply)
        assert body is not None
        values = body.documents
        return replace(
            reply, body=body.write([*values[:at], *[values[at]] * times, *values[at + 1 :]])
        )

    return apply


def _ends_before(at: int) -> Callable[[Reply], Reply]:
    def apply(reply: Reply) -> Reply:
        body = documents(reply)
        assert body is not None
        mark = _dump(body.documents[at])[:40]
        whole = body.write(body.documents)
        return replace(reply, body=whole[: whole.find(mark)])

    return apply


def _labelled(kind: str | None) -> Callable[[Reply], Reply]:
    return lambda reply: reply.with_header("Content-Type", kind)


def _with_body(change: Callable[[bytes], bytes]) -> Callable[[Reply], Reply]:
    return lambda reply: replace(reply, body=change(reply.body))


def _framed(framing: str) -> Callable[[Reply], Reply]:
    return lambda reply: replace(reply, framing=framing)


def _gzipped(reply: Reply) -> Reply:
    zipped = replace(reply, body=gzip.compress(reply.body))
    return zipped.with_header("Content-Encoding", "gzip")


def _replaced(status: int, kind: str, body: bytes) -> Callable[[Reply], Reply]:
    return lambda reply: replace(reply, status=status, body=body).with_header("Content-Type", kind)


def _other_mode(reply: Reply) -> Reply:
    streamed = "event" in reply.header("Content-Type")
    return reply.with_header(
        "Content-Type", "application/json" if streamed else "text/event-stream"
    )


_PAGE = b"<!doctype html><title>Blocked</title>"
_TRANSPORT = (
    Mutation("in chunks of a byte", _framed("bytes"), harmless=True),
    Mutation("until the connection closes", _framed("close"), harmless=True),
    Mutation("compressed", _gzipped, harmless=True),
    Mutation("labelled text/plain", _labelled("text/plain; charset=utf-8"), harmless=True),
    Mutation("without a label", _labelled(None), harmless=True),
    Mutation("after a mark", _with_body(lambda body: b"\xef\xbb\xbf" + body), harmless=True),
    Mutation("labelled text/html", _labelled("text/html")),
    Mutation("labelled as the other mode", _other_mode),
    Mutation("compressed without a label", _with_body(gzip.compress)),
    Mutation("cut in half", _with_body(lambda body: body[: len(body) // 2])),
    Mutation("shorter than announced", _framed("short")),
    Mutation("empty", _with_body(lambda body: b"")),
    Mutation("twice", _with_body(lambda body: body + body)),
    Mutation("followed by words", _with_body(lambda body: body + b"\nthat is all\n")),
    Mutation("with a bad byte", _with_body(lambda body: body[:-30] + b"\xff" + body[-30:])),
    Mutation("a page", _replaced(200, "text/html", _PAGE)),
    Mutation("a page with 403", _replaced(403, "text/html", _PAGE)),
    Mutation("words with 401", _replaced(401, "text/plain", b"error code: 1010")),
    Mutation("a page with 429", _replaced(429, "text/html", b"<h1>Too many requests</h1>")),
)
