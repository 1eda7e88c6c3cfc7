"""Events of an upstream's answer: the one vocabulary between vendors and renderers.

An answer is
`(TextDelta | ReasoningDelta | ToolCallDelta | Logprobs | Annotations | VendorFields
| MediaReady | ImageDraft | Progress)* Usage? Finish*`
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
    """A piece of the answer's text; `signature` as in `ReasoningDelta`."""

    text: str
    choice: int = 0
    signature: str | None = None


@dataclass(slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning.

    `signature` is an opaque token of the vendor's, which it wants back with the block that
    it ends; its text may be empty.
    """

    text: str
    choice: int = 0
    signature: str | None = None


@dataclass(slots=True)
class Annotations:
    """Sources of the text before them: OpenAI's `url_citation` objects."""

    items: list[dict[str, Any]]
    choice: int = 0


@dataclass(slots=True)
class VendorFields:
    """Members of the vendor's turn that only the same vendor understands, to come back with it.

    For example `reasoning_details` of an OpenAI-compatible server. Dialects that have no
    place for them leave them out.
    """

    fields: dict[str, Any]
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
class Logprobs:
    """Log probabilities of the tokens of the text before: `logprobs.content` in OpenAI's form."""

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
class ImageDraft:
    """An image that is not finished, for who watches: nothing keeps it."""

    index: int
    base64: str
    format: str  # png, jpeg, webp


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
    reasoning_tokens: int = 0  # of the completion
    cached_tokens: int = 0  # of the prompt
    cache_write_tokens: int = 0  # of the prompt, where the vendor bills writing its cache
    image_input_tokens: int = 0  # of the prompt
    image_output_tokens: int = 0  # of the completion
    images: int = 0
    videos: int = 0
    estimated: bool = False
    cost: int | None = None  # nanos, once it is priced
    cost_basis: str = "unknown"

    def add(self, more: Usage) -> None:
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.estimated = self.estimated or more.estimated
        if more.cost is not None:
            self.cost = (self.cost or 0) + more.cost
            self.cost_basis = more.cost_basis


_COUNTS = (
    *("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens"),
    *("cache_write_tokens", "image_input_tokens", "image_output_tokens", "images", "videos"),
)


def tokens_of(raw: object) -> int:
    """A vendor's count of tokens, as a number of any form; 0 for what makes no sense."""
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) < 16:
        raw = int(raw)
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    return raw if type(raw) is int and 0 <= raw <= _MOST_TOKENS else 0


@dataclass(slots=True)
class Finish:
    """The end of one choice."""

    reason: FinishReason
    choice: int = 0
    stop_sequence: str | None = None  # the one of the request's that ended the text


Event = (
    TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | Logprobs
    | Annotations
    | VendorFields
    | MediaReady
    | MediaStored
    | ImageDraft
    | Progress
    | Usage
    | Finish
)
Events = Generator[list[Event], None, None]
