"""Attachments as callers name them, turned into bytes that were looked at."""

from __future__ import annotations

import re
import string
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from gateway.domain.accounts import Caller
from gateway.domain.errors import (
    GatewayError,
    InvalidBase64,
    InvalidImageUrl,
    InvalidRequest,
    NotFound,
    RequestTooLarge,
    StorageUnavailable,
)
from gateway.domain.media import Blob, EmbeddedUrl, Media, MediaKind, MediaRef, StoredMedia
from gateway.formats.blobs import FileBlob, decode_base64, spool
from gateway.net.fetch.fetcher import Fetcher
from gateway.runtime.concurrent import concurrent_map
from gateway.services.media.attachments import Request, attachments, swapped
from gateway.services.media.kinds import Identity, identify
from gateway.services.media.urls import MediaUrls, OwnLink
from gateway.storage.media.store import MediaStore
from gateway.storage.records.files import FileStore
from gateway.storage.records.media_index import MediaIndex

MB = 1_000_000
_SIDE_BY_SIDE = 6
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HTTP = re.compile(r"https?:", re.IGNORECASE)
_DATA = re.compile(r"data:[^,]{0,256},", re.IGNORECASE)
_BARE_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{32}")


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Bytes of one attachment by kind, of all attachments of a request, and of generated media.

    `temporary` is for all uploads of callers with credentials of their own. An attachment that a
    request repeats counts each time, save in `request_count`.
    """

    image: int = 30 * MB
    video: int = 200 * MB
    audio: int = 30 * MB
    file: int = 100 * MB
    generated: int = 1000 * MB
    temporary: int = 10_000 * MB
    request_bytes: int = 500 * MB
    request_count: int = 100
    repeated_count: int = 1000

    def of(self, kind: MediaKind) -> int:
        size: int = getattr(self, kind)
        return size


@dataclass(frozen=True, slots=True)
class _Loaded:
    blob: Blob
    digest: str
    identity: Identity
    filename: str | None = None
    url: str | None = None
    kept: bool = False  # it came out of the media store


class _Stopped(Exception):
    """The request is over; nobody waits for this download any more."""


class _Budget:
    """The bytes that one request's attachments may have together, and whether it still runs."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()
        self.stopped = False

    def take(self, size: int) -> None:
        with self._lock:
            self._left -= size
            if self._left < 0:
                raise RequestTooLarge("The attachments of this request are too large together.")

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self.stopped:
                raise _Stopped
            self.take(len(chunk))
            yield chunk


class Resolver:
    """Loads what MediaRefs name: data URLs, links, the gateway's own links, uploaded files."""

    def __init__(
        self,
        *,
        store: MediaStore,
        index: MediaIndex,
        files: FileStore,
        fetcher: Fetcher,
        urls: MediaUrls,
        limits: MediaLimits,
    ) -> None:
        self._store = store
        self._index = index
        self._files = files
        self._fetcher = fetcher
        self._urls = urls
        self._limits = limits

    @contextmanager
    def resolved(self, request: Request, caller: Caller) -> Iterator[Request]:
        refs = [part for part in attachments(request) if isinstance(part, MediaRef)]
        if not refs:
            yield request
            return
        with ExitStack() as stack:
            loaded = self._load(refs, caller, stack)
            yield swapped(request, lambda part: _media(part, loaded))

    def _load(self, refs: list[MediaRef], caller: Caller, stack: ExitStack) -> dict[_Key, _Loaded]:
        distinct = {_key(ref): ref for ref in reversed(refs)}
        self._check_count(refs, distinct)
        budget = _Budget(self._limits.request_bytes)
        loaded = {}
        links = {}
        for key, ref in distinct.items():
            with _named(ref):
                found = self._near(ref, caller, budget)
            if found is None:
                links[key] = ref
            else:
                loaded[key] = _closed_on_exit(found, stack)
        for key, found in self._fetched(links, budget).items():
            loaded[key] = _closed_on_exit(found, stack)
        for key, times in Counter(map(_key, refs)).items():
            with _named(distinct[key]):
                # Most vendors are sent an attachment again each time that it stands there.
                budget.take(loaded[key].blob.size * (times - 1))
        self._touch([found.digest for found in loaded.values() if found.kept])
        return loaded

    def _check_count(self, refs: list[MediaRef], distinct: Collection[_Key]) -> None:
        for count, most, which in (
            (len(distinct), self._limits.request_count, "different attachments"),
            (len(refs), self._limits.repeated_count, "attachments, repeated ones included"),
        ):
            if count > most:
                raise InvalidRequest(f"A request has at most {most} {which}.", param=refs[-1].param)

    def _touch(self, media_ids: list[str]) -> None:
        if media_ids:
            # Failing to record the last use of media is no reason to refuse the request.
            with suppress(StorageUnavailable):
                self._index.touch(media_ids)

    def _near(self, ref: MediaRef, caller: Caller, budget: _Budget) -> _Loaded | None:
        """Attachment that needs no network; None for links that do."""
        if ref.file_id is not None:
            return self._uploaded(ref, ref.file_id, caller, budget)
        if isinstance(ref.url, EmbeddedUrl):
            return self._extracted(ref, ref.url, budget)
        url = (ref.url or "").strip()
        if link := self._urls.recognise(url):
            return self._own(ref, link, caller, budget)
        if _HTTP.match(url):
            return None
        blob, digest = self._embedded(url, self._limits.of(ref.kind))
        budget.take(blob.size)
        return _Loaded(blob, digest, identify(ref.kind, blob))

    def _extracted(self, ref: MediaRef, url: EmbeddedUrl, budget: _Budget) -> _Loaded:
        _check_size(url.blob.size, self._limits.of(ref.kind))
        budget.take(url.blob.size)
        return _Loaded(url.blob, url.digest, identify(ref.kind, url.blob))

    @staticmethod
    def _embedded(url: str, limit: int) -> tuple[Blob, str]:
        if data := _DATA.match(url):
            if not data[0][:-1].lower().endswith(";base64"):
                raise InvalidBase64("A data URL needs `;base64` before its comma.")
            return _decoded(url, limit, data.end())
        if _SCHEME.match(url) or not _BARE_BASE64.match(url):
            raise InvalidImageUrl("Send an http or https URL, or a data URL.")
        return _decoded(url, limit)

    def _own(self, ref: MediaRef, link: OwnLink, caller: Caller, budget: _Budget) -> _Loaded | None:
        """Media of one of our own links; None for a foreign link."""
        if not link.ours and not link.here:
            return None
        if link.ours and link.fresh:
            stored = self._store.find(link.media_id, link.extension)
        else:
            stored = self._index.owned(link.media_id, caller.owner)
        with suppress(NotFound):
            if stored is not None:
                return self._stored(ref, stored, budget)
        raise InvalidImageUrl("This link of the gateway has expired, or its media were removed.")

    def _uploaded(self, ref: MediaRef, file_id: str, caller: Caller, budget: _Budget) -> _Loaded:
        record = self._files.get(file_id, caller.owner)
        stored = None if record is None else self._index.get(record.media_id)
        if record is None or stored is None:
            raise NotFound(f"There is no file {file_id[:128]!r}.")
        return replace(self._stored(ref, stored, budget), filename=record.filename)

    def _stored(self, ref: MediaRef, stored: StoredMedia, budget: _Budget) -> _Loaded:
        _check_size(stored.size, self._limits.of(ref.kind))
        budget.take(stored.size)
        blob = self._store.blob(stored)
        return _Loaded(blob, stored.id, identify(ref.kind, blob), kept=True)

    def _fetched(self, links: dict[_Key, MediaRef], budget: _Budget) -> dict[_Key, _Loaded]:
        """Fetch links side by side; the first failure, or leaving, stops the others."""
        if len(links) < 2:
            return {key: self._fetch(ref, budget) for key, ref in links.items()}

        def fetch(ref: MediaRef) -> _Loaded:
            return self._fetch(ref, budget)

        try:
            found = concurrent_map(fetch, list(links.values()), at_once=_SIDE_BY_SIDE)
        finally:
            budget.stopped = True
        return dict(zip(links, found, strict=True))

    def _fetch(self, ref: MediaRef, budget: _Budget) -> _Loaded:
        url = (ref.url or "").strip()
        limit = self._limits.of(ref.kind)
        with _named(ref):
            with self._fetcher.open(url, limit=limit) as fetched:
                blob, digest = spool(budget.counted(fetched.chunks()), limit=limit)
            return _Loaded(blob, digest, identify(ref.kind, blob), url=url)


_Key = tuple[MediaKind, str | None, str | None]


def _key(ref: MediaRef) -> _Key:
    return ref.kind, ref.url, ref.file_id


@contextmanager
def _named(ref: MediaRef) -> Iterator[None]:
    """Make errors name the attachment that they are about."""
    try:
        yield
    except GatewayError as err:
        err.param = err.param or ref.param
        raise


def _decoded(text: str, limit: int, start: int = 0) -> tuple[Blob, str]:
    # What is certainly too large is not decoded up to the limit first.
    length = len(text) - start
    if length // 4 * 3 > limit + 2:
        characters = length - sum(map(text.count, string.whitespace))
        if characters // 4 * 3 > limit + 2:
            raise RequestTooLarge(f"The attachment is larger than {limit} bytes.")
    return decode_base64(text, limit=limit, start=start)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise RequestTooLarge(f"The attachment is larger than {limit} bytes.")


def _closed_on_exit(loaded: _Loaded, stack: ExitStack) -> _Loaded:
    if isinstance(loaded.blob, FileBlob):
        stack.callback(loaded.blob.close)
    return loaded


def _media(part: MediaRef | Media, found: dict[_Key, _Loaded]) -> Media:
    if isinstance(part, Media):
        return part
    ref, loaded = part, found[_key(part)]
    identity = loaded.identity
    return Media(
        kind=identity.kind,
        mime_type=identity.mime_type,
        blob=loaded.blob,
        digest=loaded.digest,
        width=identity.width,
        height=identity.height,
        url=loaded.url,
        filename=ref.filename or loaded.filename,
        detail=ref.detail,
        fps=ref.fps,
        param=ref.param,
    )
