"""Usage and cost by key, team, model, account and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Literal, get_args

from gateway.domain.money import units
from gateway.services.access.keys import KeyRing
from gateway.storage.records.usage import Group, UsageRow, UsageStore

ReportGroup = Literal["hour", "day", "key", "team", "model", "upstream", "account"]
GROUPS: tuple[ReportGroup, ...] = get_args(ReportGroup)
NO_TEAM = "(no team)"
_COUNTERS = [f.name for f in fields(UsageRow)][5:]


class UsageReports:
    def __init__(self, usage: UsageStore, keys: KeyRing, currency: str) -> None:
        self._usage = usage
        self._keys = keys
        self.currency = currency

    def report(
        self,
        *,
        since: float,
        until: float,
        group_by: Sequence[ReportGroup] = (),
        key: str | None = None,
    ) -> list[dict[str, Any]]:
        """Sums over the hours in [since, until), of one key or all; `cost` is in `currency`.

        Teams are those that keys belong to now.
        """
        stored: list[Group] = ["key" if name == "team" else name for name in group_by]
        found = self._usage.report(
            since=since, until=until, group_by=list(dict.fromkeys(stored)), key=key
        )
        if "team" in group_by and "key" not in group_by:
            found = self._by_team(found)
        return [self._row(row, group_by) for row in found]

    def _by_team(self, found: Sequence[UsageRow]) -> list[UsageRow]:
        """The rows with the name of the team as the key, added up."""
        sums: dict[tuple[Any, ...], UsageRow] = {}
        for row in found:
            row = replace(row, key=self._team(row.key))
            place = (row.hour, row.key, row.model, row.upstream, row.account)
            if (other := sums.get(place)) is not None:
                added = {n: getattr(row, n) + getattr(other, n) for n in _COUNTERS}
                row = replace(row, **added)
            sums[place] = row
        return list(sums.values())

    def _team(self, key: str) -> str:
        return self._keys.team_of(key) or NO_TEAM

    def _row(self, row: UsageRow, group_by: Sequence[ReportGroup]) -> dict[str, Any]:
        values = asdict(row)
        grouped: dict[str, Any] = {}
        for name in group_by:
            if name == "team":
                grouped["team"] = self._team(row.key) if "key" in group_by else row.key
            elif name in ("hour", "day"):
                grouped[f"{name}_at"] = row.hour
            else:
                grouped[name] = values[name]
        counts = {name: values[name] for name in _COUNTERS}
        return grouped | counts | {"cost": units(row.cost)}
