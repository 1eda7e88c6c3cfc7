"""Interface of a media store, and the types of media it knows."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from gateway.domain.errors import (
    NotFound,
    RequestTooLarge,
    StorageUnavailable,
    UnsupportedMediaType,
)
from gateway.domain.media import Blob, StoredMedia
from gateway.formats.blobs import FileBlob
from gateway.formats.sniff import HEAD_BYTES, dimensions, sniff
from gateway.runtime.cooperative import run_in_thread
from gateway.runtime.throttled_log import ThrottledErrorLog, describe_error

OCTET_STREAM = "application/octet-stream"
PIECE = 64 * 1024
_BATCH_BYTES = 1024 * 1024  # hashed and written at once, while others run

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "image/png": "png",
        "image/jpeg": "jpg",
        "image/gif": "gif",
        "image/webp": "webp",
        "image/bmp": "bmp",
        "image/tiff": "tiff",
        "image/heic": "heic",
        "image/heif": "heif",
        "image/avif": "avif",
        "video/mp4": "mp4",
        "video/quicktime": "mov",
        "video/webm": "webm",
        "video/x-msvideo": "avi",
        "video/x-matroska": "mkv",
        "video/mpeg": "mpg",
        "video/x-flv": "flv",
        "video/x-ms-wmv": "wmv",
        "video/ogg": "ogv",
        "video/3gpp": "3gp",
        "audio/wav": "wav",
        "audio/mpeg": "mp3",
        "audio/mp4": "m4a",
        "audio/ogg": "ogg",
        "audio/flac": "flac",
        "audio/aac": "aac",
        "audio/aiff": "aiff",
        "application/pdf": "pdf",
        OCTET_STREAM: "bin",
    }
)
MIME_TYPES: Mapping[str, str] = MappingProxyType({ext: mime for mime, ext in EXTENSIONS.items()})
_away = ThrottledErrorLog("media_store_is_away")
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that lies in a store; `modified_at` is unix time."""

    media: StoredMedia
    modified_at: float


class MediaStore(Protocol):
    """Bytes by the SHA-256 of their content: equal content is kept once.

    Every method raises StorageUnavailable when the disk or the service behind it fails.
    """

    def put(self, chunks: Iterable[bytes], *, limit: int) -> StoredMedia:
        """Keep a stream; raises RequestTooLarge past `limit` bytes.

        The type is sniffed. When this raises, also what `chunks` raised, nothing was kept.
        """
        ...

    def open(
        self, stored: StoredMedia, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Read the bytes from `start` up to `end` (exclusive); raises NotFound on entering."""
        ...

    def blob(self, stored: StoredMedia) -> Blob:
        """The bytes for a request to a vendor; they outlast the entry. Raises NotFound."""
        ...

    def find(self, media_id: str, extension: str) -> StoredMedia | None:
        """Metadata of an entry from the entry itself; None also for malformed names."""
        ...

    def entries(self) -> Iterator[Entry]: ...

    def url(self, stored: StoredMedia, *, expires_s: int) -> str | None:
        """A link that fetches the bytes without the gateway, where the store has such links."""
        ...

    def delete(self, stored: StoredMedia, *, unless_newer_than: float | None = None) -> bool:
        """Remove an entry and tell whether it is gone.

        It stays when it was put after `unless_newer_than` (unix time).
        """
        ...

    def usage(self) -> int:
        """Bytes kept."""
        ...

    def sweep(self, *, older_than_s: float) -> int:
        """Remove what interrupted puts left behind; returns how many there were."""
        ...

    def ping(self) -> None: ...


def name_of(stored: StoredMedia) -> str:
    """The entry's name, checked, because paths and keys are made of it; raises NotFound."""
    if not _ID.fullmatch(stored.id) or stored.extension not in MIME_TYPES:
        raise NotFound("There is no such media.")
    return stored.name


def entry_of(name: str, size: int) -> StoredMedia | None:
    """The inverse of `name_of`: None for names that are not of a store's making."""
    media_id, _, extension = name.partition(".")
    if not _ID.fullmatch(media_id) or extension not in MIME_TYPES:
        return None
    return StoredMedia(media_id, extension, MIME_TYPES[extension], size)


def receive(chunks: Iterable[bytes], file: io.FileIO, *, limit: int) -> StoredMedia:
    """Write a stream to an unbuffered file while it is hashed, counted and sniffed."""
    digest = hashlib.sha256()
    head = b""
    size = 0
    buffered: list[bytes] = []
    buffered_bytes = 0

    def put_away() -> None:
        for piece in buffered:
            digest.update(piece)
            _write(file, piece)
        buffered.clear()

    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise RequestTooLarge(f"The content is larger than {limit} bytes.")
        if len(head) < HEAD_BYTES:
            head += chunk[: HEAD_BYTES - len(head)]
        buffered.append(chunk)
        buffered_bytes += len(chunk)
        if buffered_bytes >= _BATCH_BYTES:
            buffered_bytes = 0
            run_in_thread(put_away)
    put_away()
    mime_type = sniff(head) or OCTET_STREAM
    if mime_type not in EXTENSIONS:
        mime_type = OCTET_STREAM
    width, height = _measure(file, mime_type, size)
    return StoredMedia(digest.hexdigest(), EXTENSIONS[mime_type], mime_type, size, width, height)


def _write(file: io.FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as err:
        raise unavailable(err) from err


def _measure(file: io.FileIO, mime_type: str, size: int) -> tuple[int | None, int | None]:
    if not mime_type.startswith("image/"):
        return None, None
    blob = FileBlob(os.dup(file.fileno()), size)
    try:
        return dimensions(blob) or (None, None)
    except UnsupportedMediaType:
        # Kept all the same: only whoever shows it to a model has to refuse it.
        return None, None
    finally:
        blob.close()


def unavailable(err: Exception) -> StorageUnavailable:
    message = "The media store cannot be used at the moment. Try again later."
    return StorageUnavailable(message).because(_away.record(describe_error(err)))
