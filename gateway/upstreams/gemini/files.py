"""Gemini's Files API, for media too large to travel inside a request.

https://ai.google.dev/api/files
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import orjson

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    GatewayError,
    UnsupportedMediaType,
    UpstreamInvalidResponse,
    UpstreamTimeout,
)
from gateway.domain.media import Media
from gateway.net.http.client import Http
from gateway.runtime.interruption import shielded
from gateway.upstreams.errors import redact
from gateway.upstreams.gemini.endpoint import API, Endpoint, raise_for_status
from gateway.upstreams.uploads import uploads

_LONGEST_PROCESSING_S = 300.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


def announcement(media: Media, endpoint: Endpoint) -> tuple[str, dict[str, str], dict[str, Any]]:
    """URL, headers and document of the request that begins an upload."""
    headers = {
        **endpoint.headers,
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": str(media.blob.size),
        "X-Goog-Upload-Header-Content-Type": media.mime_type,
    }
    document = {"file": {"displayName": media.digest, "mimeType": media.mime_type}}
    return f"{endpoint.base_url}/upload/{API}/files", headers, document


@contextmanager
def uploaded(
    http: Http, endpoint: Endpoint, account: Account, attachments: Mapping[str, Media]
) -> Iterator[dict[str, str]]:
    """Keep `attachments` (by digest) at the vendor for the block, which gets their URIs."""
    with ExitStack() as kept:

        def upload(media: Media, over: Event) -> dict[str, Any]:
            file = _upload(http, endpoint, account, media)
            url = f"{endpoint.base_url}/{API}/{file['name']}"
            if over.is_set():
                _delete(http, url, endpoint)
            else:
                kept.callback(_delete, http, url, endpoint)
            return {**file, "url": url}

        files = uploads(upload, list(attachments.values()))
        uris = [_ready_uri(http, file["url"], endpoint, account, file) for file in files]
        yield dict(zip(attachments, uris, strict=True))


def _delete(http: Http, url: str, endpoint: Endpoint) -> None:
    # Files go by themselves after two days, so a failure to delete is no failure.
    with (
        shielded(),
        suppress(GatewayError),
        http.send("DELETE", url, headers=endpoint.headers) as answer,
    ):
        answer.read()


def _upload(http: Http, endpoint: Endpoint, account: Account, media: Media) -> dict[str, Any]:
    """Announce the file, then send it in one piece."""
    url, headers, document = announcement(media, endpoint)
    with http.send("POST", url, headers=headers, body=orjson.dumps(document)) as answer:
        raise_for_status(answer, account)
        answer.read()
        target = answer.headers.get("x-goog-upload-url")
    if not target:
        raise UpstreamInvalidResponse("Gemini named no address to upload to")
    if urlsplit(target)[:2] != urlsplit(url)[:2]:  # scheme and host
        raise UpstreamInvalidResponse("Gemini named an address of another host to upload to")
    headers = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
    with http.send("POST", target, headers=headers, body=media.blob) as answer:
        raise_for_status(answer, account)
        return _file(answer.json())


def _ready_uri(
    http: Http, url: str, endpoint: Endpoint, account: Account, file: dict[str, Any]
) -> str:
    """Wait until the vendor has looked at the file."""
    deadline = time.monotonic() + _LONGEST_PROCESSING_S
    pause_s = _FIRST_PAUSE_S
    while file.get("state") == "PROCESSING":
        if time.monotonic() > deadline:
            raise UpstreamTimeout("Gemini takes too long to process an attachment")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        file = read_file(http, url, endpoint, account)
    if file.get("state") == "FAILED":
        reason = redact(str((file.get("error") or {}).get("message") or "no reason given"))
        raise UnsupportedMediaType(f"Gemini could not process an attachment: {reason}")
    return str(file["uri"])


def read_file(http: Http, url: str, endpoint: Endpoint, account: Account) -> dict[str, Any]:
    """The vendor's record of a file: `state` is PROCESSING, ACTIVE or FAILED."""
    with http.send("GET", url, headers=endpoint.headers) as answer:
        raise_for_status(answer, account)
        return _file({"file": answer.json()})


def _file(answer: Any) -> dict[str, Any]:
    file = answer.get("file") if isinstance(answer, dict) else None
    if not isinstance(file, dict) or not file.get("name") or not file.get("uri"):
        raise UpstreamInvalidResponse("Gemini did not say what became of an upload")
    return file
