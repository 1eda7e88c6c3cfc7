"""Accounts as operators manage them, by command, over HTTP and in the console."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from gateway.config.settings import Settings, account_from
from gateway.config.tables import SettingsError
from gateway.config.toml import parse_limits
from gateway.domain.accounts import Account
from gateway.domain.errors import Conflict, GatewayError, InvalidRequest, NotFound
from gateway.domain.events import TextDelta
from gateway.domain.requests import ChatRequest, Message, Text
from gateway.services.pool.pool import Pool
from gateway.services.pool.views import AccountView
from gateway.services.routing.catalog import Catalog
from gateway.storage.rate_counters import RateCounters
from gateway.storage.records.accounts import AccountRecord, AccountStore
from gateway.storage.records.accounts import AccountStatus as AccountStatus
from gateway.storage.records.audit import AuditLog
from gateway.storage.records.slots import SlotStore
from gateway.upstreams.base import CallContext, SessionJournal, chat_upstream
from gateway.upstreams.registry import VENDORS

_TEST_TOKENS = 16
_CHANGEABLE = ("weight", "max_in_flight", "limits", "models", "base_url", "engine")

Row = dict[str, Any]


class AccountAdmin:
    """Lists and changes accounts; every change is in the audit log, under its actor's name."""

    vendors: Sequence[str] = tuple(VENDORS)

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        accounts: AccountStore,
        slots: SlotStore,
        counters: RateCounters,
        audit: AuditLog,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._configured = {account.name for account in settings.accounts}
        self._pool = pool
        self._accounts = accounts
        self._slots = slots
        self._counters = counters
        self._audit = audit
        self._clock = clock

    def rows(self) -> list[Row]:
        """All accounts with state, reason and time of return; also those that are locked."""
        self._pool.reload()
        views = self._pool.snapshot()
        records = {record.name: record for record in self._accounts.list()}
        capped = [view.name for view in views if view.max_in_flight is not None]
        in_flight = self._slots.in_flight(capped)
        now = self._clock()
        rows = [self._row(view, records.get(view.name), in_flight, now) for view in views]
        locked = sorted(name for name in records if self._pool.is_locked(name))
        return rows + [_locked_row(records[name]) for name in locked]

    def get(self, name: str) -> Row:
        """Raises NotFound."""
        for row in self.rows():
            if row["name"] == name:
                return row
        raise NotFound(f"There is no account called {name!r}.", param="name")

    def account(self, name: str) -> Account:
        """The account itself. Raises NotFound."""
        self._pool.reload()
        account = self._pool.get(name)
        if account is None:
            raise NotFound(f"There is no account called {name!r}.", param="name")
        return account

    def add(self, account: Account, *, actor: str) -> Row:
        """Raises Conflict."""
        if account.name in self._configured:
            raise Conflict(f"The settings have an account {account.name!r}.", param="name")
        self._accounts.add(account)
        self._audit.add(actor, "account.add", account.name, upstream=account.upstream)
        return self.get(account.name)

    def change(self, name: str, table: Mapping[str, Any], *, actor: str) -> Row:
        """Change fields of an account that the settings do not have."""
        if name in self._configured:
            raise Conflict(f"{name!r} is in the settings: change it there and restart.")
        record = self._accounts.get(name)
        if record is None:
            raise NotFound(f"There is no account called {name!r}.", param="name")
        if unknown := set(table) - set(_CHANGEABLE):
            field = sorted(unknown)[0]
            raise InvalidRequest(
                f"{field!r} cannot be changed; {', '.join(_CHANGEABLE)} can.", param=field
            )
        now = {f: getattr(record, f) for f in _CHANGEABLE}
        now |= {"limits": dict(record.limits), "models": sorted(record.models), **table}
        given = {field: value for field, value in now.items() if value is not None}
        secret = self._accounts.unlock(record).secret.reveal()
        account = self.described(
            given | {"name": name, "upstream": record.upstream, "credential": secret}
        )
        self._accounts.change(account)
        self._audit.add(actor, "account.change", name, **dict(table))
        return self.get(name)

    def set_status(self, name: str, status: AccountStatus, *, actor: str) -> Row:
        if name in self._configured:
            self._accounts.switch(name, status)
        elif not self._accounts.set_status(name, status):
            raise NotFound(f"There is no account called {name!r}.", param="name")
        self._audit.add(actor, f"account.{status}", name)
        return self.get(name)

    def reset(self, name: str, *, actor: str) -> Row:
        """End an account's cooldown, ejection and blocked models."""
        self._pool.reset(self.account(name).name)
        self._audit.add(actor, "account.reset", name)
        return self.get(name)

    def remove(self, name: str, *, actor: str) -> None:
        if name in self._configured:
            raise Conflict(f"{name!r} is in the settings: take it out there and restart.")
        if not self._accounts.remove(name):
            raise NotFound(f"There is no account called {name!r}.", param="name")
        self._audit.add(actor, "account.remove", name)
        self._pool.reload()

    def described(self, table: Mapping[str, Any]) -> Account:
        """The account with the fields of gateway.toml. Raises InvalidRequest."""
        credential = table.get("credential")
        if isinstance(credential, str) and credential.startswith(("env:", "file:")):
            # They are read on the server, whose files and variables are nobody's business here.
            raise InvalidRequest("Give the credential itself.", param="credential")
        try:
            return account_from(table, self._settings)
        except SettingsError as err:
            text = str(err).partition(": ")[2] or str(err)
            raise InvalidRequest(text, param=_field_of(text)) from None

    def _row(
        self,
        view: AccountView,
        record: AccountRecord | None,
        in_flight: Mapping[str, int],
        now: float,
    ) -> Row:
        return {
            "name": view.name,
            "upstream": view.upstream,
            "state": view.state,
            "reason": view.reason or None,
            "returns_at": round(now + view.returns_in_s, 1) if view.returns_in_s > 0 else None,
            "in_flight": in_flight.get(view.name, view.in_flight),
            "max_in_flight": view.max_in_flight,
            "weight": view.weight,
            "models": sorted(view.models),
            "limits": dict(view.limits),
            "used": {kind: self._used(view.name, kind, text) for kind, text in view.limits.items()},
            "limited_for_s": {name: round(left_s) for name, left_s in view.limited.items()},
            "ends_with": record.last_four if record else None,
            "from": "settings" if view.configured else "command",
        }

    def _used(self, name: str, kind: str, limit: str) -> int:
        status = self._counters.status(parse_limits(limit), "account", name, kind)
        return status.limit - status.remaining


class AccountTest:
    """One small call to one account, past the pool: what it answers changes nothing."""

    def __init__(self, catalog: Catalog, sessions: SessionJournal) -> None:
        self._catalog = catalog
        self._sessions = sessions

    def ask(self, account: Account, model: str | None = None) -> Row:
        """Send one call; returns the model, the milliseconds, the text or the error."""
        model = model or self._model_for(account)
        request = ChatRequest(
            model=model,
            messages=(Message("user", (Text("Say hello."),)),),
            params={"max_tokens": _TEST_TOKENS},
        )
        context = CallContext("accounts-test", self._sessions)
        upstream = self._catalog.upstream(account.upstream)
        outcome: Row = {"account": account.name, "model": model, "ms": 0}
        began = time.monotonic()
        try:
            with closing(chat_upstream(upstream).chat(request, account, context)) as batches:
                said = [e.text for batch in batches for e in batch if isinstance(e, TextDelta)]
            outcome |= {"text": "".join(said)[:60], "error": None}
        except GatewayError as err:
            outcome |= {"text": None, "error": f"{err.code}: {err.message}"}
        outcome["ms"] = round((time.monotonic() - began) * 1000)
        return outcome

    def _model_for(self, account: Account) -> str:
        for model in self._catalog:
            for route in model.routes:
                allowed = not account.models or {model.name, route.model} & account.models
                if route.upstream.name == account.upstream and model.kind == "chat" and allowed:
                    return route.model
        raise InvalidRequest(
            f"No chat model is configured that {account.name} may serve; name one.", param="model"
        )


def _field_of(text: str) -> str | None:
    """The field that a message of the settings begins with."""
    with suppress(IndexError):
        words = text.replace(":", " ").replace("(", " ").split()
        return next((w for w in words if w in _FIELDS), None)
    return None


_FIELDS = frozenset({"name", "upstream", "credential", *_CHANGEABLE})


def _locked_row(record: AccountRecord) -> Row:
    """Row of an account that no key of GATEWAY_SECRET_KEY opens, so that no pool has it."""
    return {
        "name": record.name,
        "upstream": record.upstream,
        "state": "locked",
        "reason": "encrypted with another secret key",
        "returns_at": None,
        "in_flight": 0,
        "max_in_flight": record.max_in_flight,
        "weight": record.weight,
        "models": sorted(record.models),
        "limits": dict(record.limits),
        "used": {},
        "limited_for_s": {},
        "ends_with": record.last_four,
        "from": "command",
    }
