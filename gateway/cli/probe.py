"""One small call to one account, past the pool: what it answers changes nothing."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import click

from gateway.bootstrap import open_catalog, vendors
from gateway.config.settings import Settings
from gateway.domain.accounts import Account
from gateway.domain.errors import GatewayError
from gateway.domain.events import TextDelta
from gateway.domain.requests import ChatRequest, Message, Text
from gateway.services.pool.pool import Pool
from gateway.services.routing.catalog import Catalog
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.engine import Database
from gateway.storage.db.installation import installation_id
from gateway.storage.db.processes import Processes
from gateway.upstreams.base import CallContext, chat_upstream

_TOKENS = 16
_REQUEST_ID = "accounts-test"


def ask(
    settings: Settings, database: Database, pool: Pool, account: Account, model: str | None
) -> dict[str, Any]:
    """Send one call; returns the model, the milliseconds, the text or the error."""
    catalog = open_catalog(settings, vendors(settings))
    model = model or _model_for(catalog, account)
    request = ChatRequest(
        model=model,
        messages=(Message("user", (Text("Say hello."),)),),
        params={"max_tokens": _TOKENS},
    )
    sessions = Sessions(
        Processes(database), catalog.upstream, installation=installation_id(database)
    )
    context = CallContext(_REQUEST_ID, sessions)
    upstream = catalog.upstream(account.upstream)
    outcome: dict[str, Any] = {"account": account.name, "model": model, "ms": 0}
    began = time.monotonic()
    try:
        with closing(chat_upstream(upstream).chat(request, account, context)) as batches:
            said = [e.text for batch in batches for e in batch if isinstance(e, TextDelta)]
        outcome |= {"text": "".join(said)[:60], "error": None}
    except GatewayError as err:
        outcome |= {"text": None, "error": f"{err.code}: {err.message}"}
    outcome["ms"] = round((time.monotonic() - began) * 1000)
    return outcome


def _model_for(catalog: Catalog, account: Account) -> str:
    for model in catalog:
        for route in model.routes:
            allowed = not account.models or {model.name, route.model} & account.models
            if route.upstream.name == account.upstream and model.kind == "chat" and allowed:
                return route.model
    raise click.ClickException(
        f"No chat model is configured that {account.name} may serve; name one with --model."
    )
