"""The request being answered, and what is known of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from flask import request

from gateway.domain.accounts import Caller, LimitStatus
from gateway.domain.errors import InvalidApiKey
from gateway.domain.media import StoredMedia
from gateway.services import Services
from gateway.services.routing.dispatch import Trace

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_NOBODY = Caller("")  # replaced by `hooks.auth` at every endpoint that is not public
_current: ContextVar[RequestContext] = ContextVar("gateway.request")


@dataclass(slots=True, eq=False)
class RequestContext:
    """Made by the hook before each request, and handed on from the view.

    `started_at` and `first_byte_at` are times of the monotonic clock.
    """

    services: Services
    environ: dict[str, Any]
    method: str
    path: str
    endpoint: str | None
    trace: Trace
    started_at: float = field(default_factory=time.monotonic)
    caller: Caller = _NOBODY
    refusal: InvalidApiKey | None = None  # raised after the limit on wrong keys is checked
    unknown_credential: bool = False  # one was sent that is no valid key of the gateway
    slot: str | None = None  # taken of the key's `max_in_flight`
    limit_status: LimitStatus | None = None
    first_byte_at: float | None = None
    sent: bool = False  # the response, up to its end
    has_response: bool = False  # whose end will be noticed
    has_idempotency_key: bool = False
    replayed: bool = False  # the response was made for an equal request
    may_be_paid: bool = False  # it may begin work that is paid for
    close_connection: bool = False

    @property
    def authenticated(self) -> bool:
        return self.caller is not _NOBODY

    @property
    def client_address(self) -> str:
        """Address of the client, according to the trusted proxies."""
        return self.environ.get("REMOTE_ADDR") or ""

    @property
    def is_dry_run(self) -> bool:
        return self.environ.get("HTTP_X_GATEWAY_DRY_RUN", "") in ("1", "true")

    @property
    def sign(self) -> Callable[[StoredMedia], str]:
        """Makes media URLs on the address that the caller used, unless one is configured."""
        sign, base = self.services.media.sign, self.base
        return lambda stored: sign(stored, base=base)

    @property
    def base(self) -> str:
        """The address of the gateway that the caller used."""
        environ = self.environ
        scheme = "https" if environ["wsgi.url_scheme"] == "https" else "http"  # a proxy's word
        host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        return f"{scheme}://{host}"


def begin(services: Services) -> RequestContext:
    """Make the present request's context, which `current` then returns."""
    asked = request
    environ = asked.environ
    sent_id = environ.get("HTTP_X_REQUEST_ID", "")
    request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else token_hex(16)
    context = RequestContext(
        services,
        environ,
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        endpoint=asked.endpoint,
        trace=Trace(request_id),
    )
    _current.set(context)
    return context


def current() -> RequestContext:
    return _current.get()
