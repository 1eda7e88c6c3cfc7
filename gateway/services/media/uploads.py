"""Images that callers send with a form, on their way into the media store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from gateway.domain.accounts import Caller
from gateway.domain.errors import UnsupportedMediaType, UpstreamInvalidResponse
from gateway.domain.media import MediaRef
from gateway.services.media.media import MediaService


@dataclass(frozen=True, slots=True)
class ChunkSource:
    """A caller's upload as a MediaSource: the store takes both."""

    chunks: Iterable[bytes]
    mime_type: str = "application/octet-stream"
    url: str | None = None

    def open(self) -> AbstractContextManager[Iterator[bytes]]:
        return nullcontext(iter(self.chunks))


def keep(media: MediaService, chunks: Iterable[bytes], caller: Caller, param: str) -> MediaRef:
    """Store an uploaded image and return a reference to it.

    Raises UnsupportedMediaType naming `param` when it is no image, StorageUnavailable.
    """
    try:
        stored = media.archive(
            ChunkSource(chunks), caller.owner, temporary=caller.credential is not None
        )
    except UpstreamInvalidResponse:
        raise UnsupportedMediaType(f"{param} is not an image.", param=param) from None
    return MediaRef("image", param, url=stored_link(stored.name))


def stored_link(name: str) -> str:
    """Reference of a request to stored media; valid for their owner only."""
    return f"/media/{name}"
