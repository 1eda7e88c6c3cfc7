"""A conversation as the one text that an assistant is asked, and the files that go with it."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from gateway.domain.media import Media
from gateway.domain.requests import Message, Text

_ROLES = {"user": "User", "assistant": "Assistant", "tool": "Tool"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the session. Numbers start at 1; no two names are the same."""

    number: int
    filename: str
    media: Media


def attachments_of(media: Iterable[Media]) -> dict[str, Attachment]:
    """Media that have to be uploaded, by digest, in the order of their first use."""
    found: dict[str, Attachment] = {}
    names: set[str] = set()
    for item in media:
        if item.digest not in found:
            number = len(found) + 1
            name = _filename(item, number)
            if name in names:
                name = f"{number}-{name}"
            names.add(name)
            found[item.digest] = Attachment(number, name, item)
    return found


def query_of(messages: Sequence[Message], attachments: dict[str, Attachment]) -> str:
    """The text of the query. What a single user says alone is sent as it is.

    Else instructions come first, then the turns under the names of their roles, each
    with the attachments it brought, because the vendor gets all files in one list.
    """
    instructions = [message.text for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    if len(turns) == 1 and turns[0].role == "user":
        paragraphs = [*instructions, turns[0].text]
    else:
        paragraphs = [*instructions, *(_turn(message, attachments) for message in turns)]
    return "\n\n".join(text for text in paragraphs if text)


def _turn(message: Message, attachments: dict[str, Attachment]) -> str:
    lines: list[str] = []
    for part in message.parts:
        if isinstance(part, Text):
            lines.append(part.text)
        elif isinstance(part, Media):
            attachment = attachments[part.digest]
            lines.append(f"[attachment {attachment.number}: {attachment.filename}]")
    lines += [f"[called {call.name} with {call.arguments}]" for call in message.tool_calls]
    text = "\n".join(line for line in lines if line)
    return f"{_ROLES[message.role]}: {text}" if text else ""


def _filename(media: Media, number: int) -> str:
    name = PurePath((media.filename or "").replace("\\", "/")).name
    return name or f"attachment-{number}{mimetypes.guess_extension(media.mime_type) or ''}"
