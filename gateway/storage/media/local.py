"""Media in a directory: `DIR/ab/<sha-256>.<extension>`, written beside and renamed into place."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.domain.errors import NotFound
from gateway.domain.media import StoredMedia
from gateway.formats.blobs import FileBlob
from gateway.runtime.cooperative import run_in_thread
from gateway.storage.media.store import (
    PIECE,
    Entry,
    entry_of,
    name_of,
    receive,
    unavailable,
)

_INCOMING = "incoming"
_OURS = 0o700  # a folder that nobody else on the machine may look into


class LocalMediaStore:
    """A MediaStore in `root`, which is made when the first entry is put."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, chunks: Iterable[bytes], *, limit: int) -> StoredMedia:
        with self._incoming() as (file, path):
            stored = receive(chunks, file, limit=limit)
            with _disk():
                self._commit(file, path, self._path(stored))
        return stored

    @contextmanager
    def open(
        self, stored: StoredMedia, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        with self._opened(stored) as file:
            yield _pieces(file, start, stored.size if end is None else end)

    def blob(self, stored: StoredMedia) -> FileBlob:
        with self._opened(stored) as file:
            return FileBlob(os.dup(file.fileno()), stored.size)

    def find(self, media_id: str, extension: str) -> StoredMedia | None:
        found = entry_of(f"{media_id}.{extension}", 0)
        if found is None:
            return None
        try:
            with _entry():
                status = self._path(found).lstat()
        except NotFound:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return entry_of(found.name, status.st_size)

    def entries(self) -> Iterator[Entry]:
        for path in self._root.glob("[0-9a-f][0-9a-f]/*.*"):
            with suppress(NotFound), _entry():
                status = path.lstat()
                media = entry_of(path.name, status.st_size)
                if media is not None and stat.S_ISREG(status.st_mode):
                    yield Entry(media, status.st_mtime)

    def url(self, stored: StoredMedia, *, expires_s: int) -> None:
        return None

    def delete(self, stored: StoredMedia, *, unless_newer_than: float | None = None) -> bool:
        path = self._path(stored)
        with suppress(NotFound), _entry():
            if unless_newer_than is not None and path.lstat().st_mtime > unless_newer_than:
                return False
            path.unlink()
        return True

    def usage(self) -> int:
        return sum(entry.media.size for entry in self.entries())

    def sweep(self, *, older_than_s: float) -> int:
        removed = 0
        for path in (self._root / _INCOMING).glob("*"):
            with suppress(NotFound), _entry():
                if path.lstat().st_mtime < time.time() - older_than_s:
                    path.unlink()
                    removed += 1
        return removed

    def ping(self) -> None:
        with self._incoming() as (file, _), _disk():
            file.write(b"?")

    def _path(self, stored: StoredMedia) -> Path:
        name = name_of(stored)
        return self._root / name[:2] / name

    def _opened(self, stored: StoredMedia) -> io.FileIO:
        with _entry():
            # Not through a link: nothing in a store is one.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            return io.FileIO(os.open(self._path(stored), flags))

    @contextmanager
    def _incoming(self) -> Iterator[tuple[io.FileIO, Path]]:
        """A new file of our own; it is gone when the block ends unless it was renamed."""
        path = self._root / _INCOMING / secrets.token_hex(16)
        with _disk():
            self._root.mkdir(_OURS, parents=True, exist_ok=True)
            path.parent.mkdir(_OURS, exist_ok=True)
            # Unbuffered, so that closing a file on a full disk cannot fail a second time.
            file = io.FileIO(path, "x+", opener=_private)
        try:
            with file:
                yield file, path
        finally:
            with suppress(OSError):
                path.unlink()

    @staticmethod
    def _commit(file: io.FileIO, path: Path, final: Path) -> None:
        run_in_thread(os.fsync, file.fileno())
        final.parent.mkdir(_OURS, exist_ok=True)
        # Also when it is there already: its age then says that somebody still wants it.
        path.replace(final)
        directory = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            run_in_thread(os.fsync, directory)
        finally:
            os.close(directory)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise unavailable(err) from err


@contextmanager
def _entry() -> Iterator[None]:
    """Translate errors like `_disk`; a missing entry raises NotFound."""
    with _disk():
        try:
            yield
        except OSError as err:
            if err.errno in (errno.ENOENT, errno.ELOOP):
                raise NotFound("There is no such media.") from err
            raise


def _pieces(file: io.FileIO, start: int, end: int) -> Iterator[bytes]:
    with _disk():
        file.seek(start)
        while start < end and (piece := file.read(min(PIECE, end - start))):
            start += len(piece)
            yield piece
