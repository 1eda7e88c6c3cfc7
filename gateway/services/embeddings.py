"""Embeddings: resolve the model and the attachments, and ask an account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gateway.domain.accounts import Account, Caller
from gateway.domain.embeddings import EmbeddingInput, EmbeddingRequest, Embeddings
from gateway.domain.errors import InvalidRequest, UpstreamInvalidResponse
from gateway.domain.events import Usage
from gateway.domain.requests import ChatRequest, Message, Text, VendorCall
from gateway.services.media.attachments import adapted
from gateway.services.media.media import MediaService
from gateway.services.money.budgets import Budgets
from gateway.services.money.prices import PriceTable
from gateway.services.routing.catalog import Catalog, Model, Route
from gateway.services.routing.dispatch import Dispatcher, Trace
from gateway.upstreams.base import embedding_upstream


class EmbeddingService:
    def __init__(
        self,
        catalog: Catalog,
        dispatcher: Dispatcher,
        media: MediaService,
        budgets: Budgets,
        prices: PriceTable,
    ) -> None:
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._media = media
        self._budgets = budgets
        self._prices = prices

    def embed(self, request: EmbeddingRequest, caller: Caller, trace: Trace) -> Embeddings:
        model = self._model(request, caller)
        with self._resolved(request, caller) as resolved:

            def call(route: Route, account: Account) -> Embeddings:
                upstream = embedding_upstream(route.upstream)
                wanted = _adapted(request, resolved, route)
                found = upstream.embed(wanted, account, trace.request_id)
                trace.served_model = found.model or wanted.model
                trace.vendor_model = wanted.model
                if len({len(vector) for vector in found.vectors}) > 1:
                    message = "The vendor sent embeddings of different lengths"
                    raise UpstreamInvalidResponse(message, sent=True)
                return found

            with self._budgets.reserved(caller, trace, model.routes, request):
                found = self._dispatcher.once(model, "embedding", caller, trace, call)
                trace.usage = usage = Usage(prompt_tokens=found.tokens)
                models = (trace.served_model or "", trace.vendor_model)
                self._prices.price(usage, trace.upstream or "", models)
        return found

    def plan(self, request: EmbeddingRequest, caller: Caller, trace: Trace) -> list[VendorCall]:
        """The vendor requests that `embed` would send; nothing is sent."""
        model = self._model(request, caller)
        with self._resolved(request, caller) as resolved:

            def call(route: Route, account: Account) -> list[VendorCall]:
                upstream = embedding_upstream(route.upstream)
                trace.cost_range = self._prices.range([route], request)
                return upstream.plan_embedding(_adapted(request, resolved, route), account)

            return self._dispatcher.plan(model, "embedding", caller, trace, call)

    def _model(self, request: EmbeddingRequest, caller: Caller) -> Model:
        model = self._catalog.find(request.model, caller)
        if model.kind != "embedding":
            raise InvalidRequest(
                f"{request.model[:256]!r} is no model of embeddings.", param="model"
            )
        return model

    @contextmanager
    def _resolved(self, request: EmbeddingRequest, caller: Caller) -> Iterator[ChatRequest]:
        """The inputs with their media fetched, as turns of a chat: those are what is resolved."""
        turns = tuple(Message("user", _parts(given)) for given in request.inputs)
        with self._media.resolved(ChatRequest(request.model, turns), caller) as resolved:
            yield resolved


def _adapted(request: EmbeddingRequest, resolved: ChatRequest, route: Route) -> EmbeddingRequest:
    """The request as a vendor takes it: its own model, media of types that it reads."""
    if not any(_parts(given) for given in request.inputs):
        return replace(request, model=route.model)
    turns = adapted(resolved, route).messages
    inputs: tuple[EmbeddingInput, ...] = tuple(
        turn.parts if _parts(given) else given
        for given, turn in zip(request.inputs, turns, strict=True)
    )
    return replace(request, model=route.model, inputs=inputs)


def _parts(given: EmbeddingInput) -> tuple[Text, ...]:
    """The parts of an input that has them; none of a text or of tokens."""
    if isinstance(given, str) or not given or isinstance(given[0], int):
        return ()
    return given  # type: ignore[return-value]
