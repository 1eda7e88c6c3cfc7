"""Media in and out: what callers attach, and what vendors make and callers link to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from gateway.domain.accounts import Caller
from gateway.domain.errors import (
    NotFound,
    RequestTooLarge,
    StorageUnavailable,
    UpstreamInvalidResponse,
)
from gateway.domain.media import Blob, MediaSource, StoredMedia
from gateway.net.fetch.fetcher import Fetcher
from gateway.runtime.logs import log
from gateway.services.media.attachments import Request
from gateway.services.media.resolve import MediaLimits, Resolver
from gateway.services.media.urls import MediaUrls
from gateway.storage.db.engine import Write
from gateway.storage.media.store import OCTET_STREAM, MediaStore
from gateway.storage.records.files import TEMPORARY_KEEP_S, FileStore
from gateway.storage.records.media_index import MediaIndex

_LEFTOVER_S = 86_400  # no put takes that long
_LONGEST_JOB_S = 25 * 3600  # for so long a job may still need what it has stored
_TOUCHED_EVERY_S = 3600  # a link may be this much younger than its media's `last_used_at`
_TOUCH_BATCH = 500
_FULL_SCAN_EVERY_S = 86_400
_BRIEFLY_S = 600  # within which a request refers to what it has stored


class MediaService:
    """Media by owner. What nobody used for `keep_s`, or what exceeds `max_bytes`, is swept.

    Media behind a valid link, a file or an unfinished job stay in any case. Temporary media,
    which callers with credentials of their own have uploaded, are kept for a day after their
    last use, or for an unfinished job; they go first when `max_bytes` is exceeded.
    """

    def __init__(
        self,
        *,
        store: MediaStore,
        index: MediaIndex,
        files: FileStore,
        fetcher: Fetcher,
        urls: MediaUrls,
        limits: MediaLimits | None = None,
        keep_s: float = 90 * 86_400,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._index = index
        self._files = files
        self._urls = urls
        self._limits = limits or MediaLimits()
        self._needed_s = max(urls.longest_s + _TOUCHED_EVERY_S, _LONGEST_JOB_S)
        self._keep_s = max(keep_s, self._needed_s)
        self._max_bytes = max_bytes
        self._clock = clock
        self._full_scan_at = time.monotonic()
        self._linked: set[str] = set()
        self._resolver = Resolver(
            store=store,
            index=index,
            files=files,
            fetcher=fetcher,
            urls=urls,
            limits=self._limits,
        )

    def resolved(self, request: Request, caller: Caller) -> AbstractContextManager[Request]:
        """The request with Media in place of every MediaRef; they end with the block.

        Raises InvalidImageUrl, InvalidBase64, UnsupportedMediaType, RequestTooLarge and, for
        a file that is not the caller's, NotFound; `param` names the attachment.
        """
        return self._resolver.resolved(request, caller)

    def archive(self, source: MediaSource, owner: str, *, temporary: bool = False) -> StoredMedia:
        """Move generated media from the vendor into the store; raises UpstreamError.

        Raises RequestTooLarge when the limit for temporary media is reached.
        """
        if temporary and self._index.temporary_bytes() > self._limits.temporary:
            raise RequestTooLarge(
                "The space for uploads with callers' own credentials is used up; retry later."
            )
        try:
            with source.open() as chunks:
                stored = self._store.put(chunks, limit=self._limits.generated)
        except RequestTooLarge as err:
            raise UpstreamInvalidResponse("The vendor's result is too large to keep.") from err
        if stored.mime_type == OCTET_STREAM:
            raise UpstreamInvalidResponse("The vendor's result is neither picture nor video.")
        self._index.add(stored, owner, temporary=temporary)
        return stored

    def sign(self, stored: StoredMedia, *, base: str | None = None) -> str:
        """A link for everybody who is shown it; below `base` when no public URL is configured."""
        self._linked.add(stored.id)
        return self._urls.sign(stored, base=base)

    def touch_links(self) -> None:
        """Record new links as uses of their media; a periodic task calls it."""
        linked, self._linked = sorted(self._linked), set()
        for start in range(0, len(linked), _TOUCH_BATCH):
            self._index.touch(linked[start : start + _TOUCH_BATCH])

    def verify(self, media_id: str, extension: str, expires: str, signature: str) -> StoredMedia:
        """Media of a link. Raises Forbidden when the link is forged or expired, NotFound."""
        self._urls.check(f"{media_id}.{extension}", expires, signature)
        stored = self._store.find(media_id, extension)
        if stored is None:
            raise NotFound("There is no such media.")
        return stored

    def owned(self, media_id: str, caller: Caller) -> StoredMedia:
        """Media of the caller's own; to everybody else they do not exist (NotFound)."""
        stored = self._index.owned(media_id, caller.owner)
        if stored is None:
            raise NotFound("There is no such media.")
        self._index.touch([media_id])
        return stored

    def open(
        self, stored: StoredMedia, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Read the bytes from `start` up to `end` (exclusive); raises NotFound on entering."""
        return self._store.open(stored, start, end)

    def need(self, job_id: str, names: Iterable[str]) -> Write:
        """To be written with a job: keeps the media named `id.ext` for as long as it runs."""
        return self._index.need(job_id, [name.partition(".")[0] for name in names])

    def blob(self, stored: StoredMedia) -> Blob:
        """The bytes to be read several times; raises NotFound."""
        return self._store.blob(stored)

    def presigned(self, stored: StoredMedia, *, expires_s: int = 3600) -> str | None:
        """A link to the bytes past the gateway, where the store has such links."""
        return self._store.url(stored, expires_s=expires_s)

    def ping(self) -> None:
        self._store.ping()

    def sweep(self) -> int:
        """Remove what nobody needs any more; returns how many media went.

        What the database or the store refuses of one step is logged, and keeps no other from
        being taken.
        """
        self._step(self._files.purge)
        removed = self._step(self._sweep_unused)
        if self._max_bytes is not None:
            removed += self._step(self._sweep_surplus)
        if time.monotonic() >= self._full_scan_at:
            self._full_scan_at = time.monotonic() + _FULL_SCAN_EVERY_S
            removed += self._step(self._sweep_strays)
        self._step(self._sweep_leftovers)
        return removed

    @staticmethod
    def _step(work: Callable[[], int]) -> int:
        try:
            return work()
        except StorageUnavailable as err:
            reason = str(err.__cause__ or err)
            log.warning("media_sweep_failed", step=work.__name__.lstrip("_"), reason=reason)
            return 0

    def _sweep_unused(self) -> int:
        now = self._clock()
        removed = self._remove_unused(now - self._keep_s)
        return removed + self._remove_unused(now - TEMPORARY_KEEP_S, temporary=True)

    def _sweep_surplus(self) -> int:
        assert self._max_bytes is not None
        now, removed = self._clock(), 0
        for unused_s, temporary in ((_BRIEFLY_S, True), (self._needed_s, False)):
            surplus = self._index.total_bytes() - self._max_bytes
            removed += self._remove_unused(now - unused_s, surplus=surplus, temporary=temporary)
        return removed

    def _sweep_strays(self) -> int:
        """Remove entries that the index does not know, such as those of interrupted requests."""
        unused_since, removed = self._clock() - self._keep_s, 0
        for entry in self._store.entries():
            if entry.modified_at < unused_since and self._index.get(entry.media.id) is None:
                removed += self._store.delete(entry.media, unless_newer_than=unused_since)
        return removed

    def _sweep_leftovers(self) -> int:
        return self._store.sweep(older_than_s=_LEFTOVER_S)

    def _remove_unused(
        self, unused_since: float, *, surplus: float = math.inf, temporary: bool = False
    ) -> int:
        """Remove media, least recently used first, until `surplus` bytes are gone."""
        removed = 0
        while surplus > 0:
            before = removed
            for stored in self._index.candidates(unused_since=unused_since, temporary=temporary):
                if surplus > 0 and self._index.remove(
                    stored.id, unused_since=unused_since, temporary=temporary
                ):
                    # An equal put may have come in between: its bytes are newer, and stay.
                    self._store.delete(stored, unless_newer_than=unused_since)
                    surplus -= stored.size
                    removed += 1
            if removed == before:
                break
        return removed
