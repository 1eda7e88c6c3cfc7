"""Protocols of the vendors' adapters, and what belongs to one call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

from gateway.domain.accounts import Account, Kind
from gateway.domain.embeddings import EmbeddingRequest, Embeddings
from gateway.domain.errors import InvalidRequest
from gateway.domain.events import Events
from gateway.domain.image_sizes import contradicts
from gateway.domain.jobs import VideoTask
from gateway.domain.models import ModelFacts, ModelTable
from gateway.domain.requests import ChatRequest, ImageRequest, VendorCall, VideoRequest
from gateway.domain.timeouts import Timeouts
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.upstreams.errors import keep_private
from gateway.upstreams.image_checks import check_image
from gateway.upstreams.registry import VendorSpec


class SessionJournal(Protocol):
    """Remembers vendor sessions from before they exist until they are gone."""

    def session(
        self,
        account: Account,
        *,
        create: Callable[[str], str],
        delete: Callable[[str], None],
        keep: bool = False,
    ) -> AbstractContextManager[str]:
        """`create(label)` returns the session's resource name, which the block gets.

        Leaving the block calls `delete(name)`, however it is left, unless `keep`.
        """
        ...


@dataclass(frozen=True, slots=True)
class CallContext:
    """Context of one request that is no part of its content."""

    request_id: str
    journal: SessionJournal
    served: Callable[[str], None] = lambda model: None
    """Called with the model that the vendor says answers, before the first batch."""


class Upstream(Protocol):
    """One vendor. Messages, images and frames arrive resolved: `Media`, never `MediaRef`.

    `kinds` tells which of `ChatUpstream`, `ImageUpstream` and `VideoUpstream` it is.
    Every method raises GatewayError only. Networks, statuses and vendor codes become
    errors whose `fault` says who is to blame, by the vendor's own table.
    """

    name: str
    kinds: tuple[Kind, ...]
    checks_credentials: bool  # an answer proves that a caller's own credential is good
    chat_makes_images: bool  # its chat models make images when asked to

    def takes(self, credential: str) -> bool:
        """Tell whether a caller's own credential has this vendor's form."""
        ...

    def facts(self, model: str) -> ModelFacts | None:
        """The row of the table of models for a vendor's model, if it has one."""
        ...

    def changed(self, request: ChatRequest | ImageRequest | VideoRequest) -> Iterable[str]:
        """Given parameters that the vendor gets with another value, as `size=2K`."""
        ...

    def examples(self, kind: Kind) -> list[str]:
        """A vendor's id of each family in the table of models that makes `kind`."""
        ...

    def kind_of(self, model: str) -> Kind:
        """Tell what a vendor's own model id makes."""
        ...

    def image_types(self, model: str, kind: Kind) -> frozenset[str]:
        """Types of images that may be sent to a model; others are converted before."""
        ...

    def dropped(
        self, request: ChatRequest | ImageRequest | VideoRequest, account: Account | None = None
    ) -> Iterable[str]:
        """Names of the given parameters that this vendor has no place for.

        Of an image or video, whose references need not be resolved, its `OPTIONS`. Where
        accounts are at servers that differ, `account` tells which one is meant.
        """
        ...


class ChatUpstream(Upstream, Protocol):
    def chat(self, request: ChatRequest, account: Account, context: CallContext) -> Events: ...

    def plan_chat(self, request: ChatRequest, account: Account) -> list[VendorCall]:
        """The vendor requests that `chat` would send, secrets and media redacted."""
        ...


class ImageUpstream(Upstream, Protocol):
    def check_image(self, request: ImageRequest) -> None:
        """Raise InvalidRequest for what the model is known not to make, naming the field."""
        ...

    def image(self, request: ImageRequest, account: Account, context: CallContext) -> Events:
        """Yield MediaReady for each image as it is ready, then Usage and Finish."""
        ...

    def plan_image(self, request: ImageRequest, account: Account) -> list[VendorCall]: ...

    def takes_default_ratio(self, model: str) -> bool:
        """Tell whether an image model takes a ratio that the caller has not asked for."""
        ...


class EmbeddingUpstream(Upstream, Protocol):
    def embed(self, request: EmbeddingRequest, account: Account, request_id: str) -> Embeddings: ...

    def plan_embedding(self, request: EmbeddingRequest, account: Account) -> list[VendorCall]: ...


class VideoUpstream(Upstream, Protocol):
    def submit_video(self, request: VideoRequest, account: Account, context: CallContext) -> str:
        """Start a task and return its id. `error.sent` tells whether it may have started."""
        ...

    def check_video(self, task_id: str, account: Account) -> VideoTask:
        """Raises JobFailed or ContentFiltered when the vendor gave the task up.

        JobFailed is a TaskUnknown where the vendor knows no such task.
        """
        ...

    def cancel_video(self, task_id: str, account: Account) -> None:
        """Ask the vendor to stop; raises Conflict when it can no longer be stopped."""
        ...

    def release_video(self, task_id: str, account: Account) -> None:
        """Let the vendor forget a video that is kept here, where it would keep it for long."""
        ...

    def plan_video(self, request: VideoRequest, account: Account) -> list[VendorCall]: ...


@runtime_checkable
class SessionReaper(Protocol):
    """A vendor that keeps sessions, which have to be deleted."""

    name: str

    def sweep_sessions(self, account: Account, label: str) -> int:
        """Delete the vendor's sessions that carry `label`; returns how many there were."""
        ...

    def session_labels(self, account: Account, prefix: str) -> Iterable[str]:
        """The labels with this beginning that the vendor's sessions carry."""
        ...


def chat_upstream(upstream: Upstream) -> ChatUpstream:
    """The vendor as one that chats. Raises InvalidRequest for one that does not."""
    return cast(ChatUpstream, _making("chat", upstream))


def image_upstream(upstream: Upstream) -> ImageUpstream:
    """The vendor as one that makes images. Raises InvalidRequest for one that does not."""
    return cast(ImageUpstream, _making("image", upstream))


def video_upstream(upstream: Upstream) -> VideoUpstream:
    """The vendor as one that makes videos. Raises InvalidRequest for one that does not."""
    return cast(VideoUpstream, _making("video", upstream))


def embedding_upstream(upstream: Upstream) -> EmbeddingUpstream:
    """The vendor as one that embeds. Raises InvalidRequest for one that does not."""
    return cast(EmbeddingUpstream, _making("embedding", upstream))


def _making(kind: Kind, upstream: Upstream) -> Upstream:
    if kind not in upstream.kinds:
        answers = "does not chat" if kind == "chat" else f"makes no {kind}s"
        raise InvalidRequest(f"The upstream {upstream.name} {answers}", param="model")
    return upstream


class Adapter(ABC):
    """Common beginning of all adapters. With `base_url` it asks another server of its vendor's."""

    checks_credentials = True
    chat_makes_images = False

    def __init__(
        self,
        spec: VendorSpec,
        http: Http,
        fetcher: Fetcher,
        *,
        base_url: str | None = None,
        engine: str | None = None,
        models: ModelTable | None = None,
    ) -> None:
        self.name = spec.name
        self.kinds = spec.kinds
        self._spec = spec
        self._http = http
        self._fetcher = fetcher
        self._base_url = base_url or spec.base_url
        if base_url and not base_url.startswith(spec.base_url):
            keep_private(base_url)
        self._engine = engine
        self._models = models or ModelTable()
        # An answer in one piece has no first byte until all of it is ready.
        self._patient = replace(http.timeouts, first_byte_s=http.timeouts.total_s)

    def facts(self, model: str) -> ModelFacts | None:
        return self._models.find(self.name, model)

    def examples(self, kind: Kind) -> list[str]:
        rows = (row for row in self._models if row.upstream == self.name and row.kind == kind)
        return [row.example for row in rows if row.example is not None]

    def changed(self, request: ChatRequest | ImageRequest | VideoRequest) -> Iterable[str]:
        return ()

    def check_image(self, request: ImageRequest) -> None:
        check_image(request, self.dropped(request), self.facts(request.model))

    def _timeouts(self, model: str, *, stream: bool) -> Timeouts:
        """The time that an answer of the model may take; all of it before the first byte."""
        facts, timeouts = self.facts(model), self._http.timeouts
        if facts is not None and facts.total_s is not None:
            timeouts = replace(timeouts, total_s=max(timeouts.total_s, facts.total_s))
            if stream:
                waiting_s = max(timeouts.first_byte_s, facts.total_s / 2)
                timeouts = replace(timeouts, first_byte_s=waiting_s, idle_s=waiting_s)
        return timeouts if stream else replace(timeouts, first_byte_s=timeouts.total_s)

    def takes(self, credential: str) -> bool:
        return self._spec.has_form(credential)

    @abstractmethod
    def kind_of(self, model: str) -> Kind: ...

    @abstractmethod
    def image_types(self, model: str, kind: Kind) -> frozenset[str]: ...

    @abstractmethod
    def dropped(
        self, request: ChatRequest | ImageRequest | VideoRequest, account: Account | None = None
    ) -> Iterable[str]: ...


OPTIONS = {  # of images and videos: what a vendor may lack, by the caller's name for it
    "seed": "seed",
    "watermark": "watermark",
    "output_format": "output_format",
    "quality": "quality",
    "background": "background",
    "generate_audio": "audio",
    "group": "group",
    "layers": "layers",
    "optimize_prompt": "optimize_prompt",
    "camera_fixed": "camera_fixed",
    "draft": "draft",
    "service_tier": "service_tier",
    "execution_expires_after": "expires_after_s",
    "mask": "mask",
    "partial_images": "partial_images",
}


def unused(request: ImageRequest | VideoRequest, taken: Container[str]) -> list[str]:
    """The options that were given and are not among those `taken`."""
    names = [
        name
        for name, field in OPTIONS.items()
        if getattr(request, field, None) is not None and name not in taken
    ]
    if isinstance(request, ImageRequest):
        if "partial_images" in names and not request.partial_images:  # none were asked for
            names.remove("partial_images")
        if contradicts(request.size, request.ratio):
            names.append("ratio")
    return names


_FIELDS = {"reference": "references", "edit": "edit_of", "extend": "extend_of"}


def with_frames(request: VideoRequest) -> VideoRequest:
    """The request with the frames among its references as `images`: the first, then the last.

    Raises InvalidRequest for references, edits, extensions and finals, which no adapter sends
    to its vendor, and for a last frame without a first one.
    """
    fields = [name for name in ("edit_of", "extend_of", "final_of") if getattr(request, name)]
    fields += [_FIELDS[r.role] for r in request.references if r.role in _FIELDS]
    if fields:
        message = f"{request.model} makes videos from a prompt, a first and a last frame only"
        raise InvalidRequest(message, param=fields[0])
    frames = sorted(request.references, key=lambda reference: reference.role)
    if frames and not request.images and frames[0].role != "first_frame":
        raise InvalidRequest("A last frame needs a first frame", param="last_frame")
    images = (*request.images, *(frame.media for frame in frames))
    return replace(request, images=images, references=())
