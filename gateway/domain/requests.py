"""Callers' requests, after validation and before any vendor's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict

from gateway.domain.media import Media, MediaRef

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    signature: str | None = None  # opaque token of the vendor that wrote this text


@dataclass(frozen=True, slots=True)
class ReasoningBlock:
    """A block of a model's reasoning, with the opaque token that its vendor wants back."""

    text: str
    signature: str | None = None


Part = Text | MediaRef | Media


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str  # JSON text
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: tuple[ReasoningBlock, ...] = ()
    vendor_fields: Mapping[str, Any] = field(default_factory=dict)
    """Members of a vendor's turn that this gateway does not know, for that same vendor."""
    vendor: str | None = None
    """The upstream that wrote this turn, where the caller's dialect tells."""

    @property
    def reasoning_text(self) -> str:
        return "".join(block.text for block in self.reasoning)

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))

    def without_opaque(self) -> Message:
        """The turn without its signatures and vendor fields."""
        return replace(
            self,
            parts=tuple(Text(p.text) if isinstance(p, Text) else p for p in self.parts),
            tool_calls=tuple(replace(call, signature=None) for call in self.tool_calls),
            reasoning=tuple(ReasoningBlock(b.text) for b in self.reasoning if b.text),
            vendor_fields={},
        )


class ChatParams(TypedDict, total=False):
    """OpenAI's names; only what the caller gave (null counts as not given)."""

    temperature: float
    top_p: float
    max_tokens: int
    max_completion_tokens: int
    n: int
    stop: list[str]
    seed: int
    presence_penalty: float
    frequency_penalty: float
    logit_bias: dict[str, Any]
    logprobs: bool
    top_logprobs: int
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    response_format: dict[str, Any]
    reasoning_effort: str
    thinking: dict[str, Any]
    modalities: list[str]
    image_config: dict[str, Any]
    web_search_options: dict[str, Any]
    top_k: int
    min_p: float
    repetition_penalty: float
    service_tier: str
    user: str
    metadata: dict[str, Any]
    store: bool
    verbosity: str
    prediction: dict[str, Any]
    safety_identifier: str
    prompt_cache_key: str
    chat_template_kwargs: dict[str, Any]
    enable_thinking: bool


@dataclass(frozen=True, slots=True)
class ChatRequest:
    model: str
    messages: tuple[Message, ...]
    params: ChatParams = field(default_factory=lambda: ChatParams())
    stream: bool = False
    include_usage: bool = False
    media_format: Literal["parts", "markdown"] | None = None
    auto_delete: bool = True
    demanded: Mapping[str, str] = field(default_factory=dict)
    """Parameters that must not be left out, each with the field that demands it."""

    def for_upstream(self, name: str) -> ChatRequest:
        """The request without the opaque members that other upstreams have written."""
        if all(message.vendor in (None, name) for message in self.messages):
            return self
        kept = [m if m.vendor in (None, name) else m.without_opaque() for m in self.messages]
        return replace(self, messages=tuple(kept))


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """`size` (`WxH`, `1K`, `2K`, `4K`) wins over `ratio`.

    With neither it is the one of `image_sizes.RATIOS` that is nearest to the first of
    `images`, else a square. `group` asks for a coherent set of at most that many images,
    `layers` for the image's layers, at most that many (0: as the model likes).
    """

    model: str
    prompt: str
    images: tuple[MediaRef | Media, ...] = ()
    mask: MediaRef | Media | None = None
    ratio: str | None = None
    size: str | None = None
    n: int = 1
    seed: int | None = None
    watermark: bool | None = None
    response_format: Literal["url", "b64_json", "both"] = "url"
    output_format: str | None = None
    quality: str | None = None
    background: str | None = None
    group: int | None = None
    layers: int | None = None
    optimize_prompt: bool | None = None
    partial_images: int | None = None  # how many, in OpenAI's events
    stream: bool = False
    asynchronous: bool = False


ReferenceRole = Literal["first_frame", "last_frame", "reference", "edit", "extend"]


@dataclass(frozen=True, slots=True)
class Reference:
    """Media that a video is made from: a frame, something it shows, or the video to change."""

    role: ReferenceRole
    media: MediaRef | Media


@dataclass(frozen=True, slots=True)
class VendorTask:
    """An earlier task at a vendor, which only its account can see."""

    upstream: str
    account: str
    task_id: str


@dataclass(frozen=True, slots=True)
class EarlierJob:
    """A job of the caller's own whose video is to be used; `param` names the field."""

    use: Literal["edit_of", "extend_of", "final_of"]
    job_id: str
    param: str


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """`images` have no roles: none, the first frame, the first and the last, or references.

    `earlier_jobs` become `edit_of`, `extend_of` and `final_of`, which name tasks whose videos
    the vendor still has; a video to edit or extend that it has not is one of `references`.
    """

    model: str
    prompt: str
    images: tuple[MediaRef | Media, ...] = ()
    ratio: str | None = None
    duration: float | None = None  # seconds
    resolution: str | None = None
    size: str | None = None  # WxH
    seed: int | None = None
    watermark: bool | None = None
    audio: bool | None = None
    references: tuple[Reference, ...] = ()
    earlier_jobs: tuple[EarlierJob, ...] = ()
    edit_of: VendorTask | None = None
    extend_of: VendorTask | None = None
    final_of: VendorTask | None = None
    draft: bool | None = None
    camera_fixed: bool | None = None
    service_tier: str | None = None
    expires_after_s: int | None = None
    callback_url: str | None = None  # gets each state of the job
    callback_base: str | None = None  # the gateway's own address, as its caller knows it
    stream: bool = False
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class VendorCall:
    """One vendor request as it would be sent, for a dry run: no secrets, no media bytes."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any
