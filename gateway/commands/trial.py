"""One small call to one account, past the pool: what it answers changes nothing."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import click
from limits.strategies import RateLimiter

from gateway.assembly import build
from gateway.domain.accounts import Account
from gateway.domain.errors import GatewayError
from gateway.domain.events import TextDelta
from gateway.domain.requests import ChatRequest, Message, Text
from gateway.services import Services
from gateway.settings import Settings
from gateway.upstreams.base import CallContext

_TOKENS = 16
_REQUEST_ID = "accounts-test"


def ask(
    settings: Settings, account: Account, model: str | None, rates: RateLimiter
) -> dict[str, Any]:
    """What came of it: the model, the milliseconds, the text or the error."""
    services = build(settings, rates)
    model = model or _model_for(services, account)
    request = ChatRequest(
        model=model,
        messages=(Message("user", (Text("Say hello."),)),),
        params={"max_tokens": _TOKENS},
    )
    context = CallContext(_REQUEST_ID, services.sessions)
    upstream = services.catalog.upstream(account.upstream)
    outcome: dict[str, Any] = {"account": account.name, "model": model, "ms": 0}
    began = time.monotonic()
    try:
        with closing(upstream.chat(request, account, context)) as batches:
            said = [e.text for batch in batches for e in batch if isinstance(e, TextDelta)]
        outcome |= {"text": "".join(said)[:60], "error": None}
    except GatewayError as err:
        outcome |= {"text": None, "error": f"{err.code}: {err.message}"}
    finally:
        services.database.close()
    outcome["ms"] = round((time.monotonic() - began) * 1000)
    return outcome


def _model_for(services: Services, account: Account) -> str:
    for model in services.catalog:
        for route in model.routes:
            allowed = not account.models or {model.name, route.model} & account.models
            if route.upstream.name == account.upstream and model.kind == "chat" and allowed:
                return route.model
    raise click.ClickException(
        f"No chat model is configured that {account.name} may serve; name one with --model."
    )
