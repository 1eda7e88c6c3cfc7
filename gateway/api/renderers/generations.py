"""Finished jobs as the answers of the image and video endpoints.

One object is both shapes: the documented `choices[].message.images|videos`, and OpenAI's
`data[]`. https://platform.openai.com/docs/api-reference/images/object
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.api.renderers.chat import Sign, usage_object
from gateway.api.renderers.chat_stream import ChunkWriter
from gateway.api.renderers.image_events import input_details
from gateway.domain.errors import NotFound
from gateway.domain.events import MediaStored, Usage
from gateway.domain.jobs import Job
from gateway.domain.media import Blob, StoredMedia
from gateway.net.codecs.json_body import Base64
from gateway.services.jobs.records import stored_of, usage_of

_SORA_SIZES = ("720x1280", "1280x720", "1024x1792", "1792x1024")
_IMAGES = "以下是为您生成的图片："
Read = Callable[[StoredMedia], Blob]


def result(job: Job, sign: Sign, read: Read) -> dict[str, Any]:
    """The body of the synchronous answer; pictures asked for as base64 are leaves to stream.

    Those that were removed since are null.
    """
    media = [stored_of(entry) for entry in (job.result or {}).get("media", [])]
    body: dict[str, Any] = {
        "id": job.id,
        "object": "chat.completion",
        "created": int(job.completed_at or job.created_at),
        "model": job.model,
    }
    if job.kind == "image":
        message, data = _images([stored for stored, _ in media], job, sign, read)
        body["data"] = data
    else:
        message = _videos(media, sign)
    body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body["usage"] = _usage(usage_of(job))
    return body


def _usage(usage: Usage) -> dict[str, Any]:
    """Chat's names and the images endpoint's for the same numbers."""
    return usage_object(usage) | {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "input_tokens_details": input_details(usage),
    }


def _images(
    media: list[StoredMedia], job: Job, sign: Sign, read: Read
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    urls = [sign(stored) for stored in media]
    content = "\n".join([_IMAGES, *(f"![image]({url})" for url in urls)])
    message = {"role": "assistant", "content": content, "images": urls}
    wanted = job.request.get("response_format") or "url"
    data: list[dict[str, Any]] = [{} for _ in media]
    for item, stored, url in zip(data, media, urls, strict=True):
        if wanted != "b64_json":
            item["url"] = url
        if wanted != "url":
            item["b64_json"] = _base64(stored, read)
    return message, data


def _base64(stored: StoredMedia, read: Read) -> Base64 | None:
    try:
        return Base64(read(stored))
    except NotFound:
        return None


def _videos(media: list[tuple[StoredMedia, StoredMedia | None]], sign: Sign) -> dict[str, Any]:
    videos = [
        {"vid": stored.id, "cover": sign(cover) if cover else None, "url": sign(stored)}
        for stored, cover in media
    ]
    lines = []
    for video in videos:
        if video["cover"]:
            lines.append(f"![视频封面]({video['cover']})")
        lines.append(f"视频链接: {video['url']}")
    return {"role": "assistant", "content": "\n".join(lines), "videos": videos}


def shown_status(job: Job) -> str:
    """The contract's word: submitting and storing are the gateway's own affair.

    A video waits until a vendor has taken it: it may have to wait for another account.
    """
    if job.status == "submitting" and job.kind == "video":
        return "queued"
    return "in_progress" if job.status in ("submitting", "storing") else job.status


def job_object(job: Job, result: dict[str, Any] | None = None) -> dict[str, Any]:
    """The job as `/v1/jobs` shows it; `result` is the body of the synchronous answer."""
    error = None
    if job.error is not None and job.done:
        error = {name: job.error.get(name) for name in ("message", "type", "param", "code")}
    return {
        "id": job.id,
        "object": "job",
        "kind": job.kind,
        "model": job.model,
        "status": shown_status(job),
        "progress": job.progress,
        "created_at": int(job.created_at),
        "completed_at": int(job.completed_at) if job.completed_at else None,
        "result": result,
        "error": error,
    }


def video_object(job: Job, sign: Sign | None = None) -> dict[str, Any]:
    """The job in Sora's shape, with a link to the film where it can be signed.

    https://platform.openai.com/docs/api-reference/videos/object
    """
    status = {"queued": "queued", "completed": "completed", "failed": "failed"}.get(job.status)
    error = job.error or ({"code": "cancelled", "message": "The job was cancelled."})
    body: dict[str, Any] = {
        "id": job.id,
        "object": "video",
        "model": job.model,
        "status": status or ("failed" if job.status == "cancelled" else "in_progress"),
        "progress": job.progress,
        "created_at": int(job.created_at),
        "completed_at": int(job.completed_at) if job.completed_at else None,
        "expires_at": None,
        "seconds": str(round(job.request.get("duration") or 5)),
        "size": _sora_size(job.request),
        "prompt": job.request.get("prompt") or None,  # forgotten once the job has ended
        "remixed_from_video_id": None,
        "error": None,
    }
    if body["status"] == "failed":
        body["error"] = {"code": error.get("code"), "message": error.get("message")}
    if job.status == "completed" and sign is not None:
        body["metadata"] = {"url": sign(stored_of((job.result or {})["media"][0])[0])}
    return body


def _sora_size(wanted: dict[str, Any]) -> str:
    """One of the sizes that Sora's clients know: the asked one, or upright or lying 720p."""
    if (size := wanted.get("size")) in _SORA_SIZES:
        return str(size)
    width, _, height = str(size or wanted.get("ratio") or "16:9").replace(":", "x").partition("x")
    upright = width.isdigit() and height.isdigit() and int(width) < int(height)
    return "720x1280" if upright else "1280x720"


class GenerationChunkWriter(ChunkWriter):
    """Chunks whose media deltas look like the documented messages."""

    def _media(self, event: MediaStored) -> bytes:
        url = self._sign(event.media)
        if event.kind == "image":
            delta = {"content": f"![image]({url})\n", "images": [url]}
            return self._delta(delta)
        cover = self._sign(event.cover) if event.cover else None
        lines = [f"![视频封面]({cover})"] if cover else []
        content = "\n".join([*lines, f"视频链接: {url}\n"])
        video = {"vid": event.media.id, "cover": cover, "url": url}
        return self._delta({"content": content, "videos": [video]})
