"""What a vendor must be able to do, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.domain.accounts import Account, Kind
from gateway.domain.events import Events
from gateway.domain.jobs import VideoTask
from gateway.domain.requests import ChatRequest, ImageRequest, VendorCall, VideoRequest


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


class Token(NamedTuple):
    """An access token and how long it is still good."""

    text: str
    left_s: float


class ShareToken(Protocol):
    """Lets all processes use one token, and one of them fetch the next."""

    def __call__(
        self, key: str, fetch: Callable[[], Token], usable: Callable[[Token], bool]
    ) -> Token:
        """A token that is `usable`, if another process has it, else what `fetch` returns."""
        ...


def each_its_own(key: str, fetch: Callable[[], Token], usable: Callable[[Token], bool]) -> Token:
    """Share tokens with nobody."""
    return fetch()


@dataclass(frozen=True, slots=True)
class CallContext:
    """What belongs to one request but not to what was asked."""

    request_id: str
    journal: SessionJournal


class Upstream(Protocol):
    """One vendor. Messages, pictures and frames arrive resolved: `Media`, never `MediaRef`.

    Every method raises GatewayError only. Networks, statuses and vendor codes become
    errors whose `fault` says who is to blame, by the vendor's own table.
    """

    name: str
    kinds: frozenset[Kind]
    draws_in_chat: bool  # whether its chat models make pictures when asked to
    checks_credentials: bool  # whether an answer proves that a caller's own one is good

    def takes(self, credential: str) -> bool:
        """Whether a caller's own credential has this vendor's form."""
        ...

    def kind_of(self, model: str) -> Kind:
        """What a vendor's own model id makes."""
        ...

    def takes_shape(self, model: str) -> bool:
        """Whether an image model understands a shape that the caller has not asked for."""
        ...

    def pictures(self, model: str, kind: Kind) -> frozenset[str]:
        """The types of pictures that may be sent to a model; others are converted before."""
        ...

    def dropped(
        self, request: ChatRequest | ImageRequest | VideoRequest, account: Account | None = None
    ) -> Iterable[str]:
        """Names of the given parameters that this vendor has no place for.

        Of a picture or film, whose references need not be resolved, its `OPTIONS`. Where
        accounts are at servers that differ, `account` tells which one is meant.
        """
        ...

    def chat(self, request: ChatRequest, account: Account, context: CallContext) -> Events: ...

    def image(self, request: ImageRequest, account: Account, context: CallContext) -> Events:
        """Yield MediaReady for each picture as it is ready, then Usage and Finish."""
        ...

    def submit_video(self, request: VideoRequest, account: Account, context: CallContext) -> str:
        """Start a task and return its id. `error.sent` tells whether it may have started."""
        ...

    def check_video(self, task_id: str, account: Account) -> VideoTask:
        """Raises JobFailed or ContentFiltered when the vendor gave the task up."""
        ...

    def cancel_video(self, task_id: str, account: Account) -> None:
        """Ask the vendor to stop; raises Conflict when it can no longer be stopped."""
        ...

    def release_video(self, task_id: str, account: Account) -> None:
        """The video is kept: let the vendor forget it, where it would keep it for long."""
        ...

    def plan_chat(self, request: ChatRequest, account: Account) -> list[VendorCall]:
        """The vendor requests that `chat` would send, secrets and media redacted."""
        ...

    def plan_image(self, request: ImageRequest, account: Account) -> list[VendorCall]: ...

    def plan_video(self, request: VideoRequest, account: Account) -> list[VendorCall]: ...

    def sweep_sessions(self, account: Account, label: str) -> int:
        """Delete the vendor's sessions that carry `label`; returns how many there were."""
        ...

    def session_labels(self, account: Account, prefix: str) -> Iterable[str]:
        """The labels with this beginning that the vendor's sessions carry."""
        ...


OPTIONS = {  # of pictures and films: what a vendor may lack, by the caller's name for it
    "seed": "seed",
    "watermark": "watermark",
    "output_format": "output_format",
    "quality": "quality",
    "background": "background",
    "generate_audio": "audio",
}


def unused(request: ImageRequest | VideoRequest, taken: Container[str]) -> list[str]:
    """The options that were given and are not among those `taken`."""
    return [
        name
        for name, field in OPTIONS.items()
        if getattr(request, field, None) is not None and name not in taken
    ]
