"""Chat: resolve the model and the attachments, lease an account, keep what was generated."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.domain.accounts import Account, Caller
from gateway.domain.errors import (
    InvalidRequest,
    NotFound,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamTimeout,
)
from gateway.domain.events import (
    Event,
    Events,
    MediaReady,
    MediaStored,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from gateway.domain.media import MediaSource, StoredMedia
from gateway.domain.requests import (
    ChatRequest,
    ImageRequest,
    VendorCall,
    VideoRequest,
)
from gateway.domain.token_estimate import Estimate
from gateway.services.chat.demands import able_routes, conversation_of, essential_params
from gateway.services.chat.prompts import MediaKind, media_request, unused_params
from gateway.services.media.attachments import adapted
from gateway.services.media.media import MediaService
from gateway.services.money.budgets import Budgets
from gateway.services.money.prices import PriceTable
from gateway.services.routing.catalog import Catalog, Model, Route
from gateway.services.routing.dispatch import Dispatcher, Trace
from gateway.upstreams.base import CallContext, SessionJournal, chat_upstream

if TYPE_CHECKING:
    from gateway.services.jobs.generation import GenerationService

_LATE_PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # between attempts to read what a vendor made


class ChatService:
    def __init__(
        self,
        catalog: Catalog,
        dispatcher: Dispatcher,
        media: MediaService,
        generation: GenerationService,
        sessions: SessionJournal,
        budgets: Budgets,
        prices: PriceTable,
        *,
        affinity: bool = True,
    ) -> None:
        """`affinity`: calls of one conversation prefer one account."""
        self._catalog = catalog
        self._affinity = affinity
        self._dispatcher = dispatcher
        self._media = media
        self._generation = generation
        self._sessions = sessions
        self._budgets = budgets
        self._prices = prices

    def stream(self, request: ChatRequest, caller: Caller, trace: Trace) -> Events:
        """Yield the answer's batches; the account is held until the generator is closed.

        An image or video model is served here too: the last user turn is its prompt, with
        the images of that turn as references.
        """
        model = self._catalog.find(request.model, caller)
        if model.kind != "chat":
            return self._generation.stream(_media_request(request, model, trace), caller, trace)
        return self._answer(request, self._able(model, request, caller), caller, trace)

    def plan(self, request: ChatRequest, caller: Caller, trace: Trace) -> list[VendorCall]:
        """The vendor requests that `stream` would send; nothing is sent."""
        model = self._catalog.find(request.model, caller)
        if model.kind != "chat":
            return self._generation.plan(_media_request(request, model, trace), caller, trace)
        model = self._able(model, request, caller)
        with self._media.resolved(request, caller) as resolved:

            def call(route: Route, account: Account) -> list[VendorCall]:
                wanted = adapted(resolved.for_upstream(route.upstream.name), route)
                trace.adapted_for(route.upstream, wanted, account)
                trace.cost_range = self._prices.range([route], resolved)
                return chat_upstream(route.upstream).plan_chat(wanted, account)

            return self._dispatcher.plan(
                model, "chat", caller, trace, call, conversation=self._conversation(request)
            )

    def _able(self, model: Model, request: ChatRequest, caller: Caller) -> Model:
        """The model with those of the caller's routes that take what the answer is about."""
        essential = essential_params(request)
        if not essential:
            return model
        routes = self._dispatcher.routes(model, caller)
        return replace(model, routes=able_routes(routes, request, essential))

    def _conversation(self, request: ChatRequest) -> str:
        return conversation_of(request) if self._affinity else ""

    def _answer(self, request: ChatRequest, model: Model, caller: Caller, trace: Trace) -> Events:
        with self._media.resolved(request, caller) as resolved:
            context = CallContext(trace.request_id, self._sessions, trace.served)

            def call(route: Route, account: Account) -> Events:
                wanted = adapted(resolved.for_upstream(route.upstream.name), route)
                trace.adapted_for(route.upstream, wanted, account)
                return chat_upstream(route.upstream).chat(wanted, account, context)

            batches = self._dispatcher.stream(
                model, "chat", caller, trace, call, conversation=self._conversation(request)
            )
            said = Estimate()
            with self._budgets.reserved(caller, trace, model.routes, resolved):
                try:
                    yield from self._kept(batches, caller, trace, said)
                    if trace.usage is None:  # the vendor does not count
                        yield [self._set_usage(trace, _estimated(resolved, said))]
                finally:
                    if trace.usage is None and said.tokens:  # broken off before the vendor's count
                        self._set_usage(trace, _estimated(resolved, said))

    def _kept(self, batches: Events, caller: Caller, trace: Trace, said: Estimate) -> Events:
        """Pass batches on, with generated media moved into the store as they appear."""
        with closing(batches):
            for batch in batches:
                for position, event in enumerate(batch):
                    kind = type(event)
                    if kind is MediaReady:
                        batch[position] = _stored(event, self._media, caller, trace)
                    elif kind is Usage:
                        self._set_usage(trace, event)  # type: ignore[arg-type]
                    elif kind is TextDelta or kind is ReasoningDelta:
                        said.add(event.text)  # type: ignore[union-attr]
                yield batch

    def _set_usage(self, trace: Trace, usage: Usage) -> Usage:
        usage.images = usage.images or trace.images
        models = (trace.served_model or "", trace.vendor_model)
        self._prices.price(usage, trace.upstream or "", models)
        trace.usage = usage
        return usage


def _media_request(request: ChatRequest, model: Model, trace: Trace) -> ImageRequest | VideoRequest:
    if model.kind == "embedding":
        raise InvalidRequest(
            f"{model.name[:256]!r} makes embeddings; use POST /v1/embeddings.", param="model"
        )
    kind: MediaKind = "image" if model.kind == "image" else "video"
    trace.unknown = (*trace.unknown, *unused_params(request, kind))
    return media_request(request, kind)


def _estimated(request: ChatRequest, said: Estimate) -> Usage:
    asked = Estimate()
    for message in request.messages:
        asked.add(message.text)
    return Usage(prompt_tokens=asked.tokens, completion_tokens=said.tokens, estimated=True)


def _stored(event: Event, media: MediaService, caller: Caller, trace: Trace) -> MediaStored:
    assert isinstance(event, MediaReady)
    cover = _archived(event.cover, media, caller) if event.cover else None
    stored = _archived(event.source, media, caller)
    if event.kind == "image":
        trace.images += 1
    elif event.kind == "video":
        trace.videos += 1
    return MediaStored(event.kind, stored, cover)


def _archived(source: MediaSource, media: MediaService, caller: Caller) -> StoredMedia:
    """The stored copy of what a vendor made, whose own storage may be some seconds late."""
    for pause_s in _LATE_PAUSES_S:
        try:
            return media.archive(source, caller.owner)
        except (UpstreamInvalidResponse, UpstreamTimeout):
            raise
        except (UpstreamError, NotFound):
            time.sleep(pause_s)
    return media.archive(source, caller.owner)
