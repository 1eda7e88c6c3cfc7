"""Videos by the Interactions API: from the start of one to its deletion at the vendor.

https://ai.google.dev/api/interactions-api
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    Conflict,
    GatewayError,
    JobFailed,
    NotFound,
    TaskUnknown,
    UpstreamInvalidResponse,
)
from gateway.domain.jobs import VideoTask
from gateway.domain.media import MediaSource
from gateway.domain.requests import VendorCall, VideoRequest
from gateway.net.codecs import json_body as jsonbody
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.upstreams.gemini import files, videos
from gateway.upstreams.gemini.endpoint import (
    API,
    LARGEST_ANSWER,
    Endpoint,
    planned,
    raise_for_status,
)
from gateway.upstreams.media_sources import InlineSource, UrlSource

_ALMOST_DONE = 99
_DELETE_S = 5.0


class VideoTasks:
    """The tasks of the Gemini API."""

    def __init__(self, http: Http, fetcher: Fetcher) -> None:
        self._http = http
        self._fetcher = fetcher
        self._brief = replace(http.timeouts, first_byte_s=_DELETE_S, total_s=_DELETE_S)

    def submit(self, request: VideoRequest, endpoint: Endpoint, account: Account) -> str:
        """Return the id of a new interaction."""
        body = jsonbody.encode(videos.video_body(request))
        url = _url(endpoint)
        with self._http.send("POST", url, headers=endpoint.headers, body=body) as answer:
            raise_for_status(answer, account)
            interaction = answer.json()
        task_id = interaction.get("id") if isinstance(interaction, dict) else None
        if not isinstance(task_id, str) or not task_id:
            raise UpstreamInvalidResponse("Gemini took a video but gave it no id", sent=True)
        return task_id

    def plan(self, request: VideoRequest, endpoint: Endpoint) -> VendorCall:
        return planned("POST", _url(endpoint), endpoint.headers, videos.video_body(request))

    def check(self, task_id: str, endpoint: Endpoint, account: Account) -> VideoTask:
        """Poll the task. A finished video may not have reached the vendor's files yet."""
        url = _url(endpoint, task_id)
        with self._http.send("GET", url, headers=endpoint.headers) as answer:
            if answer.status == 404:
                raise TaskUnknown("Gemini does not know this video")
            raise_for_status(answer, account)
            interaction = answer.json(LARGEST_ANSWER)
        try:
            video = videos.video_of(interaction, account)
            tokens = videos.output_tokens(interaction)
        except (AttributeError, TypeError):
            raise UpstreamInvalidResponse("Gemini's word on a video cannot be read") from None
        if video is None:
            return VideoTask(running=True)
        source = self._source(video, endpoint, account)
        if source is None:
            return VideoTask(running=True, percent=_ALMOST_DONE)
        return VideoTask(running=False, video=source, completion_tokens=tokens)

    def _source(
        self, video: videos.Video, endpoint: Endpoint, account: Account
    ) -> MediaSource | None:
        """Source to read the video from, None while its file is not ready."""
        if video.data:
            return InlineSource(video.data, video.mime_type)
        if (file_id := video.file_id) is None:
            return UrlSource(self._fetcher, video.uri or "", video.mime_type)
        url = f"{endpoint.base_url}/{API}/files/{file_id}"
        try:
            state = files.read_file(self._http, url, endpoint, account).get("state")
        except NotFound:
            raise JobFailed("Gemini has deleted the video", sent=True) from None
        if state == "PROCESSING":
            return None
        if state == "FAILED":
            raise JobFailed("Gemini lost the video while storing it", sent=True)
        # The key stays with this host: a redirect leads to one that signs its own addresses.
        return UrlSource(
            self._fetcher,
            f"{url}:download?alt=media",
            video.mime_type,
            headers=endpoint.auth,
        )

    def cancel(self, task_id: str, endpoint: Endpoint, account: Account) -> None:
        """Stop the interaction, then delete it."""
        url = f"{_url(endpoint, task_id)}/cancel"
        with self._http.send("POST", url, headers=endpoint.headers, body=b"{}") as answer:
            if answer.status == 404:
                raise NotFound("Gemini does not know the video any more")
            if answer.status in (400, 409):
                raise Conflict("the video can no longer be cancelled")
            raise_for_status(answer, account)
            interaction = answer.json(LARGEST_ANSWER)
        if isinstance(interaction, dict) and interaction.get("status") == "completed":
            raise Conflict("the video is already made")
        self.release(task_id, endpoint)

    def release(self, task_id: str, endpoint: Endpoint) -> None:
        """Delete the interaction. Best effort: the vendor forgets it by itself within 55 days."""
        url = _url(endpoint, task_id)
        with (
            suppress(GatewayError),
            self._http.send(
                "DELETE", url, headers=endpoint.headers, timeouts=self._brief
            ) as answer,
        ):
            answer.drain()


def _url(endpoint: Endpoint, task_id: str | None = None) -> str:
    url = f"{endpoint.base_url}/{API}/interactions"
    return f"{url}/{quote(task_id, safe='')}" if task_id else url
