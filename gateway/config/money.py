"""Prices, budgets and teams of gateway.toml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date
from typing import Any

from gateway.config.tables import SettingsError, amount, only, subtables
from gateway.domain.money import Budget, Money, Price, nanos

_CURRENCY = "USD"
_NUMBERS = ("input", "cached_input", "output", "video_token")
_BY_SIZE = ("image", "video_second")


def money_of(document: Mapping[str, Any], built_in: Mapping[str, Any]) -> Money:
    """Raises SettingsError, also for a price whose currency has no rate."""
    table = document.get("budget", {})
    if not isinstance(table, Mapping):
        raise SettingsError("budget: must be a table")
    only(table, ("currency", "rates", "day", "month"), "budget")
    currency = table.get("currency", _CURRENCY)
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isupper():
        raise SettingsError("budget: currency must be three capital letters, such as USD")
    rates = _rates(built_in["rates"], "rates") if currency == _CURRENCY else {}
    rates = {**rates, **_rates(table.get("rates", {}), "budget: rates"), currency: 1.0}
    prices = tuple(_prices(document))
    for price in prices:
        if price.currency not in rates:
            where = f'prices."{price.pattern}"'
            raise SettingsError(f"{where}: budget.rates has no rate for {price.currency}")
    return Money(
        currency=currency,
        rates=rates,
        budget=_budget({k: v for k, v in table.items() if k in ("day", "month")}, "budget"),
        teams={name: _team(name, team) for name, team in subtables(document, "teams")},
        prices=prices,
        list_prices=tuple(price for price in _prices(built_in) if price.currency in rates),
    )


def budget_of(table: Mapping[str, Any], where: str) -> Budget:
    """The budget of a key or a team."""
    found = table.get("budget", {})
    if not isinstance(found, Mapping):
        raise SettingsError(f"{where}: budget must be a table such as {{ day = 5, month = 100 }}")
    return _budget(found, f"{where}: budget")


def _budget(table: Mapping[str, Any], where: str) -> Budget:
    only(table, ("day", "month"), where)
    given = {name: nanos(amount(table, name, where)) for name in table}
    return Budget(**given)


def _team(name: str, table: Mapping[str, Any]) -> Budget:
    where = f"teams.{name}"
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise SettingsError(f"{where}: a team needs a name of up to 64 characters")
    only(table, ("budget",), where)
    return budget_of(table, where)


def _rates(table: object, where: str) -> dict[str, float]:
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where}: must be a table such as {{ CNY = 0.14 }}")
    return {name: amount(table, name, where) for name in table}


def _prices(document: Mapping[str, Any]) -> Iterable[Price]:
    known = {f.name for f in fields(Price)} - {"pattern"}
    for pattern, table in subtables(document, "prices"):
        where = f'prices."{pattern}"'
        only(table, known, where)
        if not isinstance(table.get("currency"), str):
            raise SettingsError(f"{where}: currency is required, such as USD")
        checked = table.get("checked")
        if checked is not None and not isinstance(checked, date):
            raise SettingsError(f"{where}: checked must be a date")
        values: dict[str, Any] = {n: amount(table, n, where) for n in _NUMBERS if n in table}
        values |= {n: _by_size(table, n, where) for n in _BY_SIZE if n in table}
        if not values:
            raise SettingsError(f"{where}: names no price")
        yield Price(
            pattern=pattern,
            currency=table["currency"],
            source=str(table.get("source", "")),
            checked=checked,
            **values,
        )


def _by_size(table: Mapping[str, Any], name: str, where: str) -> float | dict[str, float]:
    value = table[name]
    if not isinstance(value, Mapping):
        return amount(table, name, where)
    if not value:
        raise SettingsError(f"{where}: {name} names no price")
    return {size: amount(value, size, f"{where}: {name}") for size in value}
