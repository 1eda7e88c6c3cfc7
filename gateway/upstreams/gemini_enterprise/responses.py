"""An assistant's response stream, as events.

https://docs.cloud.google.com/gemini/enterprise/docs/reference/rest/v1alpha/projects.locations.collections.engines.assistants/streamAssist
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    ContentFiltered,
    GatewayError,
    InvalidRequest,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.events import (
    Annotations,
    Event,
    Finish,
    FinishReason,
    MediaReady,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from gateway.domain.media import MediaSource
from gateway.domain.token_estimate import Estimate
from gateway.net.codecs import json_stream as jsonstream
from gateway.upstreams.errors import redact
from gateway.upstreams.gemini_enterprise.citations import reply_citations
from gateway.upstreams.gemini_enterprise.engine import TABLE, VENDOR
from gateway.upstreams.google.errors import embedded_error, status_in
from gateway.upstreams.media_sources import InlineSource
from gateway.upstreams.openai.envelope import checked_text, listed, single

_LONGEST_QUOTE = 300  # characters of the model's own words in an error
_BROKEN_OFF = f"{VENDOR} broke its answer off"
_POLICY = "CUSTOMER_POLICY_VIOLATION"


class Decoder:
    """Reads the answer of one request, one element of its array after the other.

    `source` makes the source of a generated file from its id and type.
    """

    __slots__ = (
        "_account",
        "_citations",
        "_failure",
        "_files",
        "_finish",
        "_images",
        "_prompt",
        "_said",
        "_source",
        "_text",
        "_videos",
    )

    def __init__(
        self, account: Account, prompt: str, source: Callable[[str, str], MediaSource]
    ) -> None:
        self._account = account
        self._source = source
        self._prompt = Estimate()
        self._prompt.add(prompt)
        self._said = Estimate()
        self._text = ""
        self._citations: list[dict[str, Any]] = []
        self._files: set[str] = set()  # ids of those that were handed on
        self._images = 0
        self._videos = 0
        self._finish: FinishReason | None = None
        self._failure: GatewayError | None = None

    def batches(self, chunks: Iterable[bytes]) -> Iterator[list[Event]]:
        """The events of elements as they arrive. Raises what an error among them stands for."""
        over = False

        def watched() -> Iterator[bytes]:
            nonlocal over
            yield from chunks
            over = True

        begun = False
        try:
            for elements in jsonstream.elements(watched()):
                begun = True
                yield from self._batch(elements)
        except UpstreamInvalidResponse:
            if over and begun:  # an array without its end
                raise UpstreamDisconnected(_BROKEN_OFF, sent=True) from None
            raise

    def _batch(self, elements: Iterable[Any]) -> Iterator[list[Event]]:
        """The events of elements that came together, also when an error is among them."""
        events: list[Event] = []
        try:
            for element in elements:
                events += self._events(element)
        except GatewayError:
            if events:
                yield events
            raise
        if events:
            yield events

    def _events(self, element: Any) -> list[Event]:
        try:
            return list(self._read(element))
        except (AttributeError, KeyError, TypeError):
            raise UpstreamInvalidResponse(f"{VENDOR} sent nonsense", sent=True) from None

    def _read(self, element: Mapping[str, Any]) -> Iterator[Event]:
        if status := status_in(element):
            raise embedded_error(status, vendor=VENDOR, account=self._account, table=TABLE)
        answer = single(element.get("answer"))
        if not answer:
            return
        for reply in listed(answer.get("replies")):
            grounded = single(reply.get("groundedContent")) or {}
            before = self._text
            if content := single(grounded.get("content")):
                yield from self._content(content)
            if grounding := grounded.get("textGroundingMetadata"):
                said = self._text[len(before) :]
                self._citations += reply_citations(grounding, said, before)
        state = answer.get("state")
        if state == "SUCCEEDED":
            self._finish = "stop"
        elif state not in (None, "IN_PROGRESS", "STATE_UNSPECIFIED"):
            self._failure = _failure(answer, state)  # an element with a better word may follow

    def _content(self, content: Mapping[str, Any]) -> Iterator[Event]:
        if text := content.get("text"):
            self._said.add(checked_text(text))
            if content.get("thought"):
                yield ReasoningDelta(text)
            else:
                self._text += text
                yield TextDelta(text)
        if file := single(content.get("file")):
            mime_type, file_id = _mime_type(file), checked_text(file["fileId"])
            if file_id not in self._files:
                self._files.add(file_id)
                yield from self._media(mime_type, self._source(file_id, mime_type))
        if inline := single(content.get("inlineData")):
            mime_type = _mime_type(inline)
            yield from self._media(mime_type, InlineSource(checked_text(inline["data"]), mime_type))

    def _media(self, mime_type: str, source: MediaSource) -> Iterator[Event]:
        """MediaReady, but not for the rest: suggestions of what to ask next come as files too."""
        if mime_type.startswith("image/"):
            self._images += 1
            yield MediaReady("image", source)
        elif mime_type.startswith("video/"):
            self._videos += 1
            yield MediaReady("video", source)
        elif mime_type.startswith("audio/"):
            yield MediaReady("audio", source)

    def end_with_picture(self) -> list[Event]:
        """Do as `end`, and raise if the answer has no image."""
        events = self.end()
        if not self._images:
            if words := redact(self._text, self._account.secret.reveal()):
                quote = words[:_LONGEST_QUOTE]
                raise ContentFiltered(f"{VENDOR} made no image and said: {quote}", sent=True)
            raise UpstreamInvalidResponse(f"{VENDOR} made no image", sent=True)
        return events

    def end(self) -> list[Event]:
        """Usage and Finish, once everything was read.

        Raises what kept the answer from being complete; one that a policy cut short
        after it had begun ends with content_filter instead.
        """
        if self._failure is not None:
            begun = self._said.tokens or self._images or self._videos
            if not (begun and isinstance(self._failure, ContentFiltered)):
                raise self._failure
            self._finish = "content_filter"
        if self._finish is None:
            raise UpstreamDisconnected(_BROKEN_OFF, sent=True)
        usage = Usage(
            prompt_tokens=self._prompt.tokens,
            completion_tokens=self._said.tokens,
            images=self._images,
            videos=self._videos,
            estimated=True,
        )
        cited: list[Event] = [Annotations(self._citations)] if self._citations else []
        return [*cited, usage, Finish(self._finish)]


def _mime_type(file: Mapping[str, Any]) -> str:
    """The type of a file; one of no type that can be read is taken for an image."""
    mime_type = file.get("mimeType")
    return mime_type if isinstance(mime_type, str) and "/" in mime_type else "image/png"


def _failure(answer: Mapping[str, Any], state: str) -> GatewayError:
    """Why an answer ended with another state than SUCCEEDED."""
    reasons = [str(reason) for reason in answer.get("assistSkippedReasons") or ()]
    policy = answer.get("customerPolicyEnforcementResult") or {}
    if policy.get("verdict") == "BLOCK" or _POLICY in reasons:
        what = str(policy.get("violationSource") or "prompt").lower()
        return ContentFiltered(f"{VENDOR} blocked the {what} by the customer's policy", sent=True)
    state = str(state)[:64]
    if state == "SKIPPED":
        why = ", ".join(reasons) or "no reason given"
        return InvalidRequest(f"{VENDOR} does not answer this ({why})", sent=True)
    return UpstreamError(f"{VENDOR} gave up its answer ({state.lower()})", sent=True)
