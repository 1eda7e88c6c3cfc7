"""Stored interactions: their output and their progress.

https://ai.google.dev/gemini-api/docs/background-execution
"""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from gateway.simulators.behaviour import Behaviour
from gateway.simulators.chat.replies import compose, count_tokens, sample_json
from gateway.simulators.gemini.files import Files, timestamp
from gateway.simulators.gemini.interaction_requests import InteractionRequest, refusal
from gateway.simulators.gemini.sizes import image_size, video_size
from gateway.simulators.ledger import Ledger
from gateway.simulators.media.images import generate_image
from gateway.simulators.media.media_info import describe_attachments
from gateway.simulators.media.videos import generate_video
from gateway.simulators.state import current_state

Content = dict[str, Any]

SIGNATURE = base64.b64encode(b"simulated thought").decode()

_VIDEO_TOKENS_PER_S = 5792
_IMAGE_TOKENS = 1120
_TOKENS_PER_MEDIUM = 258
_BLOCKED = ("prohibited_content", "The request was blocked by the prohibited content policy.")
_FILTERED = {
    "text": ("safety", "The answer was blocked by a safety policy."),
    "image": ("image_safety", "The generated image was blocked by a safety policy."),
    "video": ("safety", "The generated video was blocked by a safety policy."),
}
_LONGEST_EXTENDED_S = 40
_FAILED = ("api_error", "An unexpected error occurred while the output was generated.")


@dataclass(slots=True)
class Interaction:
    """One interaction, with its outcome. `pieces` are those of its text.

    `counted` says that the ledger waits for its end as for that of a task.
    """

    id: str
    owner: str
    order: InteractionRequest
    turns: int
    outcome: str
    error: tuple[str, str] | None
    pieces: tuple[str, ...]
    seconds: float
    gone: bool
    ready_at: float
    created_at: float = field(default_factory=time.time)
    cancelled: bool = False
    counted: bool = False
    _media: Content | None = None

    @property
    def running(self) -> bool:
        return not self.cancelled and time.monotonic() < self.ready_at

    @property
    def status(self) -> str:
        if self.cancelled:
            return "cancelled"
        return "in_progress" if self.running else self.outcome

    def media(self) -> Content | None:
        """Return the image or video that was made, if one was."""
        if self._media is None and self.outcome == "completed":
            if self.order.model.kind == "image":
                self._media = self._image()
            elif self.order.model.kind == "video":
                self._media = self._video()
        return self._media

    def _image(self) -> Content:
        order = self.order
        width, height = image_size(order.ratio, order.size, order.seen)
        data = generate_image(order.text, width, height, "JPEG" if order.jpeg else "PNG")
        mime = "image/jpeg" if order.jpeg else "image/png"
        return {"type": "image", "mime_type": mime, "data": base64.b64encode(data).decode()}

    def _video(self) -> Content:
        order = self.order
        width, height = video_size(order.ratio or "16:9", order.size or "720p")

        def made() -> bytes:
            return generate_video(width, height, self.seconds, seed=order.text, sound=True)

        shown: Content = {"type": "video", "mime_type": "video/mp4"}
        # What ran in the background comes inline, whatever delivery was asked for.
        if order.by_uri and not order.background:
            file = (
                current_state()
                .store(Files)
                .generated(self.owner, "video/mp4", made, gone=self.gone)
            )
            return shown | {"uri": file.view()["downloadUri"]}
        return shown | {"data": base64.b64encode(made()).decode()}

    def thought(self) -> str:
        """Return the summary of the thought that comes first."""
        return " ".join(
            filter(None, ("I read the request.", describe_attachments(self.order.seen)))
        )

    def view(self) -> dict[str, Any]:
        """Return the interaction as the API shows it."""
        shown = self.brief()
        steps: list[Content] = [{"type": "user_input", "content": list(self.order.shown)}]
        if not self.running and not self.cancelled:
            output: list[Content] = []
            if self.pieces:
                output.append({"type": "text", "text": "".join(self.pieces)})
            if (media := self.media()) is not None:
                output.append(media)
            summary = [{"type": "text", "text": self.thought()}]
            steps.append({"type": "thought", "signature": SIGNATURE, "summary": summary})
            if output:
                steps.append({"type": "model_output", "content": output})
            shown["usage"] = self.usage()
            if self.error is not None:
                code, message = self.error
                shown["errors"] = [{"code": code, "message": message}]
        if self.order.previous:
            shown["previous_interaction_id"] = self.order.previous
        return shown | {"steps": steps}

    def brief(self) -> dict[str, Any]:
        """Return the interaction without its steps, as events carry it."""
        shown: dict[str, Any] = {
            "object": "interaction",
            "model": self.order.model.id,
            "status": self.status,
            "created": timestamp(self.created_at),
            "updated": timestamp(time.time()),
        }
        return {"id": self.id, **shown} if self.order.store else shown

    def usage(self) -> dict[str, Any]:
        """Return the usage."""
        order = self.order
        kind = order.model.kind
        asked = count_tokens(order.text) + _TOKENS_PER_MEDIUM * len(order.seen)
        made = {"text": len(self.pieces)}
        if self.media() is not None:
            cost = {"image": _IMAGE_TOKENS, "video": round(_VIDEO_TOKENS_PER_S * self.seconds)}
            made[kind] = cost[kind]
        return {
            "total_tokens": asked + sum(made.values()),
            "total_input_tokens": asked,
            "total_output_tokens": sum(made.values()),
            "total_thought_tokens": 0,
            "total_cached_tokens": 0,
            "total_tool_use_tokens": 0,
            "output_tokens_by_modality": [
                {"modality": name, "tokens": tokens} for name, tokens in made.items() if tokens
            ],
        }


class Interactions:
    """All interactions that are stored, or still being made."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._kept: dict[str, Interaction] = {}

    def start(self, order: InteractionRequest, owner: str, words: Behaviour) -> Interaction:
        """Begin an interaction; videos take their time."""
        before = self.find(order.previous, owner) if order.previous else None
        turns = order.turns + (before.turns if before else 0)
        outcome, error, pieces = _outcome(order, turns, words)
        video = order.model.kind == "video"
        wait_s = words.number("video") if video or "video" in words else 0
        one = Interaction(
            id=f"v1_{secrets.token_urlsafe(32)}",
            owner=owner,
            order=order,
            turns=turns,
            outcome=outcome,
            error=error,
            pieces=pieces,
            seconds=_length(order, before),
            gone="gone" in words,
            ready_at=time.monotonic() + wait_s,
            counted=video or order.background,
        )
        with self._lock:
            if order.store or one.counted:
                self._kept[one.id] = one
        if one.counted:
            self._ledger.add("tasks", one.id)
        return one

    def find(self, interaction_id: str, owner: str) -> Interaction | None:
        with self._lock:
            found = self._kept.get(interaction_id)
        if found is None or found.owner != owner or not found.order.store:
            return None
        return found

    def cancel(self, one: Interaction) -> bool:
        """Stop an interaction; False when it was done already."""
        with self._lock:
            if not one.running:
                return False
            one.cancelled = True
        self._count(one, "cancelled")
        return True

    def remove(self, one: Interaction) -> None:
        """Forget an interaction."""
        self.update_ledger()
        with self._lock:
            removed = self._kept.pop(one.id, None)
        if removed is not None and (one.order.background or one.order.model.kind == "video"):
            self._ledger.record_end("tasks", one.id, "deleted")

    def update_ledger(self) -> None:
        """Record the interactions that finished since the last call."""
        with self._lock:
            done = [one for one in self._kept.values() if one.counted and not one.running]
        for one in done:
            self._count(one, "succeeded" if one.outcome == "completed" else "failed")

    def _count(self, one: Interaction, event: str) -> None:
        with self._lock:
            was_counted, one.counted = one.counted, False
        if was_counted:
            self._ledger.record_end("tasks", one.id, event)


def _length(order: InteractionRequest, before: Interaction | None) -> float:
    """Return the length of the video in seconds; an extension includes what it extends."""
    if order.task != "extend" or before is None:
        return order.seconds
    total = before.seconds + order.seconds
    if total > _LONGEST_EXTENDED_S:
        raise refusal("invalid", "duration", f"makes more than {_LONGEST_EXTENDED_S}s in all")
    return total


def _outcome(
    order: InteractionRequest, turns: int, words: Behaviour
) -> tuple[str, tuple[str, str] | None, tuple[str, ...]]:
    """Return the status in the end, the error, and the text in pieces."""
    kind = order.model.kind
    if "blocked" in words:
        return "failed", _BLOCKED, ()
    if "failed" in words:
        return "failed", _FAILED, ()
    pieces: tuple[str, ...] = ()
    status = "completed"
    if kind == "text":
        reply = compose(
            turns=turns,
            last=order.text,
            seen=order.seen,
            behaviour=words,
            max_tokens=order.most_tokens,
            json_text=None if order.schema is None else sample_json(order.schema, order.text),
        )
        pieces = reply.pieces
        status = "incomplete" if reply.finish == "length" else "completed"
    if "filtered" in words:
        return "failed", _FILTERED[kind], pieces
    return status, None, pieces
