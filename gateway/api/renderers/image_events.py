"""Finished images as OpenAI's image events.

https://platform.openai.com/docs/api-reference/images-streaming
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import orjson

from gateway.api.dialects.base import OPENAI
from gateway.api.dialects.stream import event_frame
from gateway.api.renderers.chat import Sign
from gateway.domain.errors import GatewayError
from gateway.domain.events import Event, ImageDraft, MediaStored, Progress, Usage
from gateway.domain.media import Blob, StoredMedia
from gateway.domain.requests import ImageRequest

Operation = Literal["image_generation", "image_edit"]


class ImageEventWriter:
    """Frames of one stream: an event per image, whose usage is that of the whole request.

    The last image waits for the usage, which comes after it.
    """

    def __init__(
        self,
        operation: Operation,
        request: ImageRequest,
        sign: Sign,
        read: Callable[[StoredMedia], Blob],
    ) -> None:
        self._operation = operation
        self._request = request
        self._sign = sign
        self._read = read
        self._last: StoredMedia | None = None
        self._usage = Usage()

    def opening(self) -> bytes:
        return b""

    def batch(self, batch: list[Event]) -> bytes:
        frames = b""
        for event in batch:
            match event:
                case MediaStored():
                    frames += self._completed()
                    self._last = event.media
                case ImageDraft():
                    frames += self._draft(event)
                case Usage():
                    self._usage = event
                case Progress():
                    frames += OPENAI.heartbeat
        return frames

    def ending(self) -> bytes:
        return self._completed()

    def failed(self, err: GatewayError) -> bytes:
        return OPENAI.error_frame(err, "")

    def heartbeat(self) -> bytes:
        return OPENAI.heartbeat

    def _draft(self, draft: ImageDraft) -> bytes:
        name = f"{self._operation}.partial_image"
        body: dict[str, Any] = {
            "type": name,
            "partial_image_index": draft.index,
            "size": self._request.size or "auto",
            "output_format": draft.format,
            "b64_json": draft.base64,
            **self._common(),
        }
        return event_frame(name, orjson.dumps(body))

    def _common(self) -> dict[str, Any]:
        return {
            "created_at": int(time.time()),
            "quality": self._request.quality or "auto",
            "background": self._request.background or "auto",
        }

    def _completed(self) -> bytes:
        stored, self._last = self._last, None
        if stored is None:
            return b""
        name, usage = f"{self._operation}.completed", self._usage
        body: dict[str, Any] = {
            "type": name,
            **self._common(),
            "size": f"{stored.width}x{stored.height}" if stored.width else self._request.size,
            "output_format": stored.extension.replace("jpg", "jpeg"),
            "url": self._sign(stored),
            "usage": {
                "input_tokens": usage.prompt_tokens,
                "output_tokens": usage.completion_tokens,
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                "input_tokens_details": input_details(usage),
            },
        }
        image = b"".join(self._read(stored).base64())
        # Base64 needs no escapes, and is the largest part of the event.
        text = orjson.dumps(body)[:-1] + b',"b64_json":"' + image + b'"}'
        return event_frame(name, text)


def input_details(usage: Usage) -> dict[str, int]:
    images = min(usage.image_input_tokens, usage.prompt_tokens)
    return {"text_tokens": usage.prompt_tokens - images, "image_tokens": images}
