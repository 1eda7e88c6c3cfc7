"""What an upstream says while it answers: the one vocabulary between vendors and renderers.

An answer is
`(TextDelta | ReasoningDelta | ToolCallDelta | Likelihoods | MediaReady | Progress)* Usage? Finish*`
with one Finish per choice and nothing but Usage after the last. Upstreams yield it in
batches (lists): all events that arrived together, so that they leave together in one write.
An answer that stops without Finish is an error and must be raised as one.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

from gateway.domain.media import MediaSource, StoredMedia

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]
_MOST_TOKENS = 2**40  # of one call: millions of such calls still add up in a database


@dataclass(slots=True)
class TextDelta:
    text: str
    choice: int = 0


@dataclass(slots=True)
class ReasoningDelta:
    text: str
    choice: int = 0


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of one tool call. `id` and `name` come with its first piece only."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    signature: str | None = None  # opaque vendor token that must come back with the call
    choice: int = 0


@dataclass(slots=True)
class Likelihoods:
    """How likely the tokens of the text before it were: `logprobs.content` in OpenAI's form."""

    tokens: list[dict[str, Any]]
    choice: int = 0


@dataclass(slots=True)
class MediaReady:
    """A generated picture or video, to be read from `source` before the next batch is asked for."""

    kind: Literal["image", "video", "audio"]
    source: MediaSource
    cover: MediaSource | None = None  # still of a video


@dataclass(slots=True)
class MediaStored:
    """A generated picture or video once the gateway keeps it: what services make of MediaReady."""

    kind: Literal["image", "video", "audio"]
    media: StoredMedia
    cover: StoredMedia | None = None


@dataclass(slots=True)
class Progress:
    """The vendor is working; `percent` where it says how far."""

    percent: int | None = None
    note: str = ""


@dataclass(slots=True)
class Usage:
    """Tokens as billed by the vendor; estimated=True where the vendor reports none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    images: int = 0
    videos: int = 0
    estimated: bool = False


def tokens_of(raw: object) -> int:
    """A vendor's count of tokens; 0 for what makes no sense."""
    return raw if type(raw) is int and 0 <= raw <= _MOST_TOKENS else 0


@dataclass(slots=True)
class Finish:
    reason: FinishReason
    choice: int = 0


Event = (
    TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | Likelihoods
    | MediaReady
    | MediaStored
    | Progress
    | Usage
    | Finish
)
Events = Generator[list[Event], None, None]
