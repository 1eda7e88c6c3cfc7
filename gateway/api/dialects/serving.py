"""A chat request of any dialect, served in that dialect's forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response

from gateway.api.context import services, trace
from gateway.api.dialects.base import Dialect
from gateway.api.dialects.stream import StreamWriter, frames
from gateway.api.hooks.auth import caller
from gateway.api.hooks.response_headers import dry_run, error_frames, wants_plan
from gateway.api.http.body import json_response
from gateway.api.http.heartbeat import event_stream, hold, name_job
from gateway.api.http.idempotency import once
from gateway.domain.events import Events
from gateway.domain.requests import ChatRequest
from gateway.services.routing.dispatch import Trace

Whole = Callable[[Events], Mapping[str, Any]]


def serve(
    chat: ChatRequest,
    document: Mapping[str, Any],
    dialect: Dialect,
    *,
    whole: Whole,
    writer: Callable[[], StreamWriter],
) -> Response:
    """Answer `chat`: with the object that `whole` makes, or the frames that `writer` makes."""
    if wants_plan():
        return dry_run(services().chat.plan(chat, caller(), trace()))
    return once(
        document, lambda job_id: _answer(chat, job_id, dialect, whole, writer), stream=chat.stream
    )


def _answer(
    chat: ChatRequest,
    job_id: str | None,
    dialect: Dialect,
    whole: Whole,
    writer: Callable[[], StreamWriter],
) -> Response:
    found = services()

    def batches() -> Events:
        if job_id is not None:
            return found.generation.follow(job_id, caller(), trace())
        return found.chat.stream(chat, caller(), trace())

    def body() -> Mapping[str, Any]:
        begun = batches()
        name_job(stream=False)
        return whole(begun)

    if not chat.stream:
        return json_response(hold(body))
    failed = error_frames(trace(), dialect)
    return event_stream(
        lambda: frames(batches(), writer(), failed), failed, heartbeat=dialect.heartbeat
    )


def vendor_of(found: Trace) -> Callable[[], str]:
    """The upstream that is answering, asked while it does."""
    return lambda: found.upstream or ""
