"""Keys and teams as operators manage them, by command, over HTTP and in the console."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from gateway.config.settings import Settings
from gateway.domain.accounts import GatewayKey, Secret
from gateway.domain.errors import Conflict, NotFound
from gateway.domain.money import Budget, units
from gateway.services.access.keys import KeyRing
from gateway.services.money.budgets import Budgets
from gateway.storage.records.api_keys import KeyRecord, KeyStore
from gateway.storage.records.audit import AuditLog, RecentRequestStore

Row = dict[str, Any]


class KeyAdmin:
    """Lists and changes keys and teams; every change is in the audit log."""

    def __init__(
        self,
        settings: Settings,
        keys: KeyStore,
        ring: KeyRing,
        budgets: Budgets,
        requests: RecentRequestStore,
        audit: AuditLog,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._configured = {key.name: key for key in settings.keys}
        self._teams = settings.money.teams
        self._keys = keys
        self._ring = ring
        self._budgets = budgets
        self._requests = requests
        self._audit = audit
        self._clock = clock

    def rows(self) -> list[Row]:
        """All keys, valid and not."""
        stored = self._keys.list()
        names = [*self._configured, *(record.name for record in stored)]
        used = self._requests.last_used([f"key:{name}" for name in names])
        rows = [self._row(key, origin="settings") for key in self._configured.values()]
        rows += [self._stored_row(record) for record in stored]
        return [row | {"last_used_at": used.get(f"key:{row['name']}")} for row in rows]

    def get(self, name: str) -> Row:
        """Raises NotFound."""
        for row in self.rows():
            if row["name"] == name:
                return row
        raise NotFound(f"There is no key called {name!r}.", param="name")

    def create(self, name: str, *, actor: str, **fields: Any) -> tuple[Row, Secret]:
        """Make a key; its secret is to be shown this once. Raises Conflict."""
        if name in self._configured:
            raise Conflict(f"The settings have a key called {name!r}.", param="name")
        record, secret = self._keys.create(name, **fields)
        self._audit.add(actor, "key.create", name, **_shown(record))
        return self._stored_row(record) | {"last_used_at": None}, secret

    def change(self, name: str, *, actor: str, **fields: Any) -> Row:
        self._not_configured(name)
        record = self._keys.change(name, **fields)
        if record is None:
            raise NotFound(f"There is no valid key called {name!r}.", param="name")
        self._audit.add(actor, "key.change", name, **_shown(record))
        return self.get(name)

    def revoke(self, name: str, *, actor: str) -> None:
        self._not_configured(name)
        if not self._keys.revoke(name):
            raise NotFound(f"There is no valid key called {name!r}.", param="name")
        self._audit.add(actor, "key.revoke", name)

    def teams(self) -> list[Row]:
        """Teams that have a budget or a key, by name."""
        known = self._keys.teams() | dict(self._teams)
        members: dict[str, list[str]] = {name: [] for name in known}
        for row in self.rows():
            if row["team"] and row["state"] == "valid":
                members.setdefault(row["team"], []).append(row["name"])
        return [
            {
                "name": name,
                "budget": budget_row(known.get(name, Budget())),
                "spent": self._spent(f"team:{name}"),
                "keys": keys,
                "from": "settings" if name in self._teams else "command",
            }
            for name, keys in sorted(members.items())
        ]

    def set_team(self, name: str, budget: Budget, *, actor: str) -> Row:
        if name in self._teams:
            raise Conflict(f"{name!r} is in the settings: change it there and restart.")
        self._keys.set_team(name, budget)
        self._audit.add(actor, "team.set", name, budget=budget_row(budget))
        return next(row for row in self.teams() if row["name"] == name)

    def _not_configured(self, name: str) -> None:
        if name in self._configured:
            raise Conflict(f"{name!r} is in the settings: change it there and restart.")

    def _stored_row(self, record: KeyRecord) -> Row:
        key = GatewayKey(
            name=record.name,
            digest="",
            limits=record.limits,
            models=frozenset(record.models),
            expires_at=record.expires_at,
            team=record.team,
            budget=Budget(record.budget_day, record.budget_month),
            max_in_flight=record.max_in_flight,
            keep_prompts=record.keep_prompts,
        )
        row = self._row(key, origin="command")
        if record.revoked_at:
            row["state"] = "revoked"
        return row | {"ends_with": record.last_four, "created_at": record.created_at}

    def _row(self, key: GatewayKey, *, origin: str) -> Row:
        expired = key.expires_at is not None and key.expires_at <= self._clock()
        return {
            "name": key.name,
            "state": "expired" if expired else "valid",
            "ends_with": None,
            "team": key.team,
            "limits": key.limits,
            "models": sorted(key.models),
            "budget": budget_row(key.budget),
            "spent": self._spent(f"key:{key.name}"),
            "max_in_flight": key.max_in_flight,
            "keep_prompts": key.keep_prompts,
            "admin": key.admin,
            "created_at": None,
            "expires": key.expires_at,
            "from": origin,
        }

    def _spent(self, budget: str) -> Mapping[str, float]:
        return {
            span: units(found.spent + found.reserved)
            for span, found in self._budgets.now(budget).items()
        }


def budget_row(budget: Budget) -> dict[str, float]:
    """The budgets that there are, in units of the currency."""
    found = {"day": budget.day, "month": budget.month}
    return {span: units(limit) for span, limit in found.items() if limit is not None}


def _shown(record: KeyRecord) -> Row:
    return {
        "team": record.team,
        "limits": record.limits,
        "models": list(record.models),
        "budget": budget_row(Budget(record.budget_day, record.budget_month)),
        "max_in_flight": record.max_in_flight,
        "expires": record.expires_at,
        "keep_prompts": record.keep_prompts,
    }
