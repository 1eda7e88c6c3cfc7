"""Pictures that callers send with a form, on their way into the media store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from gateway.domain.errors import UnsupportedMediaType, UpstreamInvalidResponse
from gateway.domain.media import MediaRef
from gateway.services.media import MediaService


@dataclass(frozen=True, slots=True)
class ChunkSource:
    """Bytes of a caller's, in the guise of a generated picture: the store takes both."""

    chunks: Iterable[bytes]
    mime_type: str = "application/octet-stream"
    url: str | None = None

    def open(self) -> AbstractContextManager[Iterator[bytes]]:
        return nullcontext(iter(self.chunks))


def keep(media: MediaService, chunks: Iterable[bytes], owner: str, param: str) -> MediaRef:
    """Store an uploaded picture and return a reference to it.

    Raises UnsupportedMediaType naming `param` when it is no picture, StorageUnavailable.
    """
    try:
        stored = media.archive(ChunkSource(chunks), owner)
    except UpstreamInvalidResponse:
        raise UnsupportedMediaType(f"{param} is not a picture.", param=param) from None
    return MediaRef("image", param, url=stored_link(stored.name))


def stored_link(name: str) -> str:
    """How a request refers to media in the store; good for their owner only."""
    return f"/media/{name}"
