"""multipart/form-data request bodies (RFC 7578), streamed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.domain.media import Blob


@dataclass(frozen=True, slots=True)
class File:
    """One file of a form."""

    name: str
    blob: Blob
    filename: str
    mime_type: str


class Multipart:
    """Fields, then files, as a request body; see net.http.Body."""

    def __init__(self, fields: Iterable[tuple[str, str]], files: Iterable[File] = ()) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts: list[tuple[bytes, Blob]] = []
        pending = b""
        for name, value in fields:
            pending += f"--{boundary}\r\n{_disposition(name)}\r\n\r\n{value}\r\n".encode()
        for file in files:
            head = f'{_disposition(file.name)}; filename="{_escaped(file.filename)}"\r\n'
            kind = f"Content-Type: {_one_line(file.mime_type)}\r\n\r\n"
            self._parts.append((pending + f"--{boundary}\r\n{head}{kind}".encode(), file.blob))
            pending = b"\r\n"
        self._end = pending + f"--{boundary}--\r\n".encode()
        self.size = len(self._end) + sum(len(head) + blob.size for head, blob in self._parts)

    def chunks(self) -> Iterator[bytes]:
        for head, blob in self._parts:
            yield head
            yield from blob.chunks()
        yield self._end


def _disposition(name: str) -> str:
    return f'Content-Disposition: form-data; name="{_escaped(name)}"'


def _escaped(text: str) -> str:
    """Escape as browsers do: https://html.spec.whatwg.org/#multipart-form-data."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "")
