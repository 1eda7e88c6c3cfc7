"""Uploaded files: named content that callers use by id in later requests."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from gateway.domain.accounts import Caller
from gateway.domain.errors import InvalidRequest, NotFound, RequestTooLarge
from gateway.domain.media import FileRecord, StoredMedia
from gateway.storage.media.store import MediaStore
from gateway.storage.records.files import TEMPORARY_KEEP_S, FileStore
from gateway.storage.records.media_index import MediaIndex

TEMPORARY_BYTES = 10_000_000_000  # of all callers with credentials of their own

MB = 1_000_000
_LONGEST_NAME = 255
_PURPOSE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SEPARATORS = re.compile(r"[/\\]")
_LONGEST_LIFE_S = 30 * 86_400  # OpenAI's bounds of expires_after
_SHORTEST_LIFE_S = 3600
_PAGE = 1000


class FileService:
    """Files by owner; to everybody else a file does not exist (NotFound)."""

    def __init__(
        self,
        *,
        store: MediaStore,
        index: MediaIndex,
        files: FileStore,
        max_bytes: int = 200 * MB,
        owner_bytes: int = 2000 * MB,
        owner_count: int = _PAGE,
        temporary_bytes: int = TEMPORARY_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._index = index
        self._files = files
        self._max_bytes = max_bytes
        self._owner_bytes = owner_bytes
        self._owner_count = owner_count
        self._temporary_bytes = temporary_bytes
        self._clock = clock

    def create(
        self,
        chunks: Iterable[bytes],
        *,
        filename: str,
        purpose: str,
        expires_after_s: int | None = None,
        caller: Caller,
    ) -> FileRecord:
        """Keep an upload byte for byte.

        The type is sniffed; what the caller calls the file is only its name.

        A caller with a credential of its own has the file for a day.

        Raises InvalidRequest, RequestTooLarge (the file, or all of its owner's files).
        """
        purpose = _purpose(purpose)
        expires_at = self._expiry(expires_after_s, caller)
        room = self._room(caller)
        try:
            limit = min(self._max_bytes, room)
            stored = self._store.put(chunks, limit=limit)
        except RequestTooLarge as err:
            raise self._too_large(room) from err
        if not stored.size:
            raise InvalidRequest("The file is empty.", param="file")
        self._index.add(stored, caller.owner, temporary=caller.credential is not None)
        return self._files.create(
            owner=caller.owner,
            media_id=stored.id,
            filename=_display_name(filename) or stored.name,
            purpose=purpose,
            size=stored.size,
            mime_type=stored.mime_type,
            expires_at=expires_at,
        )

    def list(
        self,
        caller: Caller,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 100,
        order: str = "desc",
    ) -> tuple[Sequence[FileRecord], bool]:
        """The caller's files by age, at most `limit` of them, and whether there are more."""
        if order not in ("asc", "desc"):
            raise InvalidRequest("order must be `asc` or `desc`.", param="order")
        found = self._files.list(
            caller.owner, purpose=purpose, after=after, limit=limit + 1, order=order
        )
        return found[:limit], len(found) > limit

    def get(self, file_id: str, caller: Caller) -> FileRecord:
        record = self._files.get(file_id, caller.owner)
        if record is None:
            raise _unknown(file_id)
        return record

    def content(self, file_id: str, caller: Caller) -> tuple[FileRecord, StoredMedia]:
        """A file and the entry of the media store that has its bytes."""
        record = self.get(file_id, caller)
        stored = self._index.get(record.media_id)
        if stored is None:
            raise _unknown(file_id)
        return record, stored

    def delete(self, file_id: str, caller: Caller) -> None:
        """Forget a file. Its bytes, which others may share, go when nothing uses them any more."""
        if not self._files.delete(file_id, caller.owner):
            raise _unknown(file_id)

    def _room(self, caller: Caller) -> int:
        kept = self._files.list(caller.owner, limit=self._owner_count)
        if len(kept) >= self._owner_count:
            raise InvalidRequest(
                f"There are {len(kept)} files already. Delete some to upload more.",
                param="file",
                code="too_many_files",
            )
        size = sum(record.size for record in kept)
        room = self._owner_bytes - size
        if caller.credential is not None:
            room = min(room, self._temporary_bytes - self._index.temporary_bytes())
        return max(room, 0)

    def _too_large(self, room: int) -> RequestTooLarge:
        if room < self._max_bytes:
            return RequestTooLarge(
                f"Your files may have {self._owner_bytes} bytes together, and {room} are left. "
                "Delete some to upload more.",
                param="file",
            )
        return RequestTooLarge(f"The file is larger than {self._max_bytes} bytes.", param="file")

    def _expiry(self, expires_after_s: int | None, caller: Caller) -> float | None:
        if expires_after_s is not None and not (
            _SHORTEST_LIFE_S <= expires_after_s <= _LONGEST_LIFE_S
        ):
            raise InvalidRequest(
                f"A file expires after {_SHORTEST_LIFE_S} to {_LONGEST_LIFE_S} seconds.",
                param="expires_after[seconds]",
            )
        life_s: float | None = expires_after_s
        if caller.credential is not None:
            life_s = min(life_s or TEMPORARY_KEEP_S, TEMPORARY_KEEP_S)
        return None if life_s is None else self._clock() + life_s


def _unknown(file_id: str) -> NotFound:
    return NotFound(f"There is no file {file_id[:128]!r}.", param="file_id")


def _purpose(purpose: str) -> str:
    if not _PURPOSE.fullmatch(purpose):
        raise InvalidRequest(
            "A purpose is a word such as `user_data` or `vision`.", param="purpose"
        )
    return purpose


def _display_name(filename: str) -> str:
    """The last part of a name, without what is invisible; only ever shown, never a path."""
    shown = "".join(
        character for character in filename[:4096] if unicodedata.category(character)[0] != "C"
    )
    last = _SEPARATORS.split(shown)[-1].strip()[:_LONGEST_NAME]
    return last if last.strip(".") else ""
