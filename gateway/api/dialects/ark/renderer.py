"""Jobs as Ark shows them: tasks, images, and the events of a stream of images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.api.dialects.ark.errors import ARK, code_of
from gateway.api.dialects.stream import event_frame
from gateway.domain.embeddings import Embeddings
from gateway.domain.errors import GatewayError, NotFound, TaskExpired
from gateway.domain.events import Event, MediaStored, Usage
from gateway.domain.jobs import Job, Status
from gateway.domain.media import Blob, StoredMedia
from gateway.net.codecs.json_body import Base64
from gateway.services.jobs.records import stored_of, task_id_of, usage_of

Sign = Callable[[StoredMedia], str]

STATUSES: Mapping[str, tuple[Status, ...]] = {
    "queued": ("queued", "submitting"),
    "running": ("in_progress", "storing"),
    "succeeded": ("completed",),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
    "expired": (),  # found as failed; shown by its error
}
_STATUS_OF = {status: name for name, statuses in STATUSES.items() for status in statuses}
_ECHOED = ("seed", "resolution", "ratio", "service_tier", "draft")
_EXPIRES_AFTER_S = 172_800  # Ark's own default
_FPS = 24


def task_object(job: Job, sign: Sign) -> dict[str, Any]:
    """https://www.volcengine.com/docs/82379/1521309"""
    asked = job.request
    task: dict[str, Any] = {
        "id": task_id_of(job.id),
        "model": job.model,
        "status": _STATUS_OF[job.status],
        "error": None,
        "created_at": int(job.created_at),
        "updated_at": int(job.completed_at or job.created_at),
        "execution_expires_after": asked.get("expires_after_s") or _EXPIRES_AFTER_S,
        **{name: asked[name] for name in _ECHOED if asked.get(name) is not None},
    }
    if asked.get("duration") is not None:
        task["duration"] = int(asked["duration"])
    if asked.get("audio") is not None:
        task["generate_audio"] = asked["audio"]
    if job.status == "completed":
        stored, thumbnail = stored_of((job.result or {})["media"][0])
        task["content"] = {"video_url": sign(stored)}
        if thumbnail is not None:
            task["content"]["last_frame_url"] = sign(thumbnail)
        tokens = usage_of(job).completion_tokens
        task["usage"] = {"completion_tokens": tokens, "total_tokens": tokens}
        task["framespersecond"] = _FPS
    elif job.status == "failed":
        error = job.error or {}
        if error.get("code") == TaskExpired.code:
            task["status"] = "expired"
        code = code_of(error.get("status") or 500, error.get("code"))
        task["error"] = {"code": code, "message": error.get("message") or "The task failed."}
    return task


def callback_body(job: Job, sign: Callable[..., str]) -> bytes:
    """The task, with links below the address at which its caller knows the gateway."""
    base = job.request.get("callback_base")
    return orjson.dumps(task_object(job, lambda stored: sign(stored, base=base)))


def images_object(job: Job, sign: Sign, read: Callable[[StoredMedia], Blob]) -> dict[str, Any]:
    """https://www.volcengine.com/docs/82379/1541523"""
    base64 = job.request.get("response_format") == "b64_json"
    media = [stored_of(entry)[0] for entry in (job.result or {}).get("media", [])]
    return {
        "model": job.model,
        "created": int(job.completed_at or job.created_at),
        "data": [
            ({"b64_json": _base64(stored, read)} if base64 else {"url": sign(stored)})
            | _size(stored)
            for stored in media
        ],
        "usage": _usage(usage_of(job)),
    }


def multimodal_object(found: Embeddings, model: str) -> dict[str, Any]:
    """https://www.volcengine.com/docs/82379/1523520"""
    (vector,) = found.vectors
    return {
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": {"object": "embedding", "embedding": vector},
        "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
    }


def _base64(stored: StoredMedia, read: Callable[[StoredMedia], Blob]) -> Base64 | None:
    try:
        return Base64(read(stored))
    except NotFound:
        return None


def _size(stored: StoredMedia) -> dict[str, str]:
    return {"size": f"{stored.width}x{stored.height}"} if stored.width and stored.height else {}


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "generated_images": usage.images,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


class ImageStream:
    """Server-sent events of a stream of images, each named by its type."""

    def __init__(self, model: str, sign: Sign, *, request_id: str) -> None:
        self._model = model
        self._sign = sign
        self._request_id = request_id
        self._index = 0
        self._usage = Usage()

    def opening(self) -> bytes:
        return b""

    def batch(self, batch: list[Event]) -> bytes:
        frames = b""
        for event in batch:
            if isinstance(event, MediaStored):
                frames += self._event(
                    "partial_succeeded",
                    {"image_index": self._index, "url": self._sign(event.media)}
                    | _size(event.media),
                )
                self._index += 1
            elif isinstance(event, Usage):
                self._usage = event
        return frames

    def ending(self) -> bytes:
        return self._event("completed", {"usage": _usage(self._usage)}) + b"data: [DONE]\n\n"

    def failed(self, err: GatewayError) -> bytes:
        return ARK.error_frame(err, self._request_id)

    def heartbeat(self) -> bytes:
        return ARK.heartbeat

    def _event(self, name: str, members: dict[str, Any]) -> bytes:
        kind = f"image_generation.{name}"
        head = {"type": kind, "model": self._model, "created": int(time.time())}
        return event_frame(kind, head | members)
