"""multipart/form-data request bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.domain.media import Blob


@dataclass(frozen=True, slots=True)
class File:
    """One file field of a form."""

    name: str
    blob: Blob
    filename: str
    mime_type: str


class Multipart:
    size: int
    content_type: str

    def __init__(self, fields: Iterable[tuple[str, str]], files: Iterable[File] = ()) -> None:
        raise NotImplementedError

    def chunks(self) -> Iterator[bytes]:
        raise NotImplementedError
