"""The calls of the assistant's API: sessions, files, and questions.

https://docs.cloud.google.com/gemini/enterprise/docs/reference/rest
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from threading import Event
from typing import Any
from urllib.parse import urlencode, urljoin

from gateway.domain.accounts import Account
from gateway.domain.errors import Fault, UpstreamError, UpstreamInvalidResponse
from gateway.domain.media import Media, MediaSource
from gateway.net.codecs import json_body as jsonbody
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Answer, Http
from gateway.upstreams.gemini_enterprise.engine import TABLE, VENDOR, Engine
from gateway.upstreams.gemini_enterprise.turns import Attachment
from gateway.upstreams.google import errors as google_errors
from gateway.upstreams.google.credentials import GoogleCredentials, has_key_file, shortened
from gateway.upstreams.media_sources import LARGEST_RESULT_BYTES
from gateway.upstreams.uploads import uploads

_PAGE_SIZE = 1000
_DELETE_PAUSES_S = (0.1, 0.5)  # before the second and the third attempt
_HOUSEKEEPING_S = 60.0
_DOWNLOAD_S = 600.0
_DELETE_S = 5.0  # a process that ends has little time for each session
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# The vendor refuses other names as if the account had no right to them.
_ID = re.compile(r"[\w.~:-]{1,256}", re.ASCII)
_SESSION = re.compile(rf"projects/(?:{_ID.pattern}/){{1,8}}sessions/{_ID.pattern}", re.ASCII)


class Client:
    """One account at its engine."""

    __slots__ = ("_account", "_credentials", "_fetcher", "_http", "engine")

    def __init__(
        self,
        http: Http,
        fetcher: Fetcher,
        credentials: GoogleCredentials,
        engine: Engine,
        account: Account,
    ) -> None:
        self._http = http
        self._fetcher = fetcher
        self._credentials = credentials
        self._account = account
        self.engine = engine

    def create_session(self, label: str) -> str:
        """Return the resource name of a new session that carries `label`."""
        session = self._housekeep("POST", self.engine.sessions_url, session_body(label))
        name = session.get("name")
        if not isinstance(name, str) or not _SESSION.fullmatch(name):
            raise UpstreamInvalidResponse(f"{VENDOR} did not name the new session", sent=True)
        return name

    def delete_session(self, name: str) -> None:
        """Delete a session; one that is gone already is fine. Tries three times in all."""
        for pause_s in _DELETE_PAUSES_S:
            try:
                return self._delete(name)
            except UpstreamError as exc:
                if exc.fault is not Fault.VENDOR:
                    raise
                time.sleep(pause_s)
        return self._delete(name)

    def _delete(self, name: str) -> None:
        with self._send("DELETE", self.engine.url(name), within_s=_DELETE_S) as answer:
            if answer.status != 404:
                self._check(answer)
            answer.read()

    def sessions_with(self, label: str) -> list[str]:
        """The names of all sessions that carry `label`."""
        return [
            session["name"]
            for session in self._sessions({"filter": f'labels:"{label}"'})
            if label in (session.get("labels") or ())
        ]

    def labels_with(self, prefix: str) -> set[str]:
        """The labels with this beginning that sessions carry."""
        return {
            label
            for session in self._sessions({})
            for label in session.get("labels") or ()
            if label.startswith(prefix)
        }

    def _sessions(self, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        query["pageSize"] = str(_PAGE_SIZE)
        while True:
            page = self._housekeep("GET", f"{self.engine.sessions_url}?{urlencode(query)}")
            yield from page.get("sessions") or ()
            query["pageToken"] = page.get("nextPageToken") or ""
            if not query["pageToken"]:
                return

    def add_files(self, session: str, attachments: Collection[Attachment]) -> list[str]:
        """Upload attachments into a session and return the ids they have there, in order."""
        of_media = {attachment.media.digest: attachment for attachment in attachments}

        def upload(media: Media, _: Event) -> str:
            return self._add_file(session, replace(of_media[media.digest], media=media))

        return uploads(upload, [attachment.media for attachment in attachments])

    def _add_file(self, session: str, attachment: Attachment) -> str:
        url = self.engine.file_url(session)
        file_id = self._housekeep("POST", url, file_body(attachment)).get("fileId")
        if not isinstance(file_id, str) or not _ID.fullmatch(file_id):
            raise UpstreamInvalidResponse(f"{VENDOR} gave an attachment no id", sent=True)
        return file_id

    @contextmanager
    def ask(self, body: dict[str, Any]) -> Iterator[Answer]:
        """Ask the assistant; the block reads the array that it answers with."""
        with self._send("POST", self.engine.assist_url, body) as answer:
            self._check(answer)
            yield answer

    def source_in(self, session: str) -> Callable[[str, str], MediaSource]:
        """Make sources of files that the session has: from their ids and types."""
        return lambda file_id, mime_type: _SessionFile(self, session, file_id, mime_type)

    @contextmanager
    def download(self, session: str, file_id: str) -> Iterator[Iterator[bytes]]:
        """Read a file of a session; the redirect is to a host that must not see the token."""
        query = urlencode({"fileId": file_id, "alt": "media"})
        url = self.engine.url(f"{session}:downloadFile?{query}")
        with self._send("GET", url) as answer:
            if answer.status not in _REDIRECTS:
                self._check(answer)
                yield answer.chunks()
                return
            target = urljoin(url, answer.headers.get("location", ""))
            answer.read()
        with self._fetcher.open(
            target, limit=LARGEST_RESULT_BYTES, vendor=True, total_s=_DOWNLOAD_S
        ) as fetched:
            yield fetched.chunks()

    def _housekeep(self, method: str, url: str, body: dict[str, Any] | None = None) -> Any:
        """Make a call that is answered at once, with a JSON object."""
        with self._send(method, url, body, within_s=_HOUSEKEEPING_S) as answer:
            self._check(answer)
            document = answer.json()
        if not isinstance(document, dict):
            raise UpstreamInvalidResponse(f"{VENDOR} sent nonsense", sent=True)
        return document

    @contextmanager
    def _send(
        self,
        method: str,
        url: str,
        body: dict[str, Any] | None = None,
        *,
        within_s: float | None = None,
    ) -> Iterator[Answer]:
        """Send a request with a good token; where it is refused, once more with a new one."""
        renewable = has_key_file(self._account)
        content = None if body is None else jsonbody.encode(body)
        timeouts = None if within_s is None else shortened(self._http.timeouts, within_s)
        for last in (not renewable, True):
            token = self._credentials.bearer(self._account)
            headers = self.engine.headers(token, own_token=not renewable)
            with self._http.send(
                method, url, headers=headers, body=content, timeouts=timeouts
            ) as answer:
                if last or answer.status != 401:
                    yield answer
                    return
            # A token may end early, or while the machine sleeps.
            self._credentials.forget(self._account, token)

    def _check(self, answer: Answer) -> None:
        google_errors.raise_for_status(answer, vendor=VENDOR, account=self._account, table=TABLE)


class _SessionFile:
    """A generated file; it lasts as long as its session."""

    __slots__ = ("_client", "_file_id", "_session", "mime_type", "url")

    def __init__(self, client: Client, session: str, file_id: str, mime_type: str) -> None:
        self._client = client
        self._session = session
        self._file_id = file_id
        self.mime_type = mime_type
        self.url: str | None = None

    def open(self) -> AbstractContextManager[Iterator[bytes]]:
        return self._client.download(self._session, self._file_id)


def session_body(label: str) -> dict[str, Any]:
    """A session that can be found again by its label."""
    return {"displayName": label, "labels": [label]}


def file_body(attachment: Attachment) -> dict[str, Any]:
    """An attachment as `addContextFile` takes it."""
    media = attachment.media
    return {
        "fileName": attachment.filename,
        "mimeType": media.mime_type,
        "fileContents": jsonbody.Base64(media.blob),
    }
