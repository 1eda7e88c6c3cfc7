"""Reading of TOML tables; a mistake is one line that names the setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_MOST = 1_000_000  # weight of an account, calls at it
_MOST_MONEY = 1_000_000_000


class SettingsError(Exception):
    """One line that names the setting and says what is wrong with it."""


def tables(document: Mapping[str, Any], name: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """The tables of an array of tables, each with where it stands."""
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(table, Mapping) for table in found):
        raise SettingsError(f"{name}: each needs a table of its own, under [[{name}]]")
    return [(f"{name}[{number}]", table) for number, table in enumerate(found, 1)]


def subtables(document: Mapping[str, Any], name: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """The tables inside a table, by their names."""
    found = document.get(name, {})
    if not isinstance(found, Mapping) or not all(isinstance(t, Mapping) for t in found.values()):
        raise SettingsError(f"{name}: each needs a table of its own, under [{name}.NAME]")
    return found.items()


def only(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    if unknown := set(table) - set(known):
        raise SettingsError(f"{where}: unknown field {sorted(unknown)[0]!r}")


def checked(read: Callable[[str], str], text: object, where: str) -> str:
    try:
        if not isinstance(text, str):
            raise ValueError("must be a text")
        return read(text)
    except ValueError as exc:
        raise SettingsError(f"{where}: {exc}") from None


def optional(
    table: Mapping[str, Any], field: str, read: Callable[[str], str], where: str
) -> str | None:
    return checked(read, table[field], f"{where}: {field}") if field in table else None


def count(table: Mapping[str, Any], field: str, where: str) -> int | None:
    value = table.get(field)
    if value is not None and (type(value) is not int or not 1 <= value <= _MOST):
        raise SettingsError(f"{where}: {field} must be a whole number from 1 to {_MOST}")
    return value


def amount(table: Mapping[str, Any], field: str, where: str) -> float:
    """A sum of money, or a rate."""
    value = table[field]
    if type(value) not in (int, float) or not 0 <= value <= _MOST_MONEY:
        raise SettingsError(f"{where}: {field} must be a number from 0 to {_MOST_MONEY}")
    return float(value)


def flag(table: Mapping[str, Any], name: str, where: str, *, default: bool = True) -> bool:
    value = table.get(name, default)
    if not isinstance(value, bool):
        raise SettingsError(f"{where}: {name} must be true or false")
    return value


def names(table: Mapping[str, Any], where: str) -> frozenset[str]:
    names = table.get("models", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SettingsError(f"{where}: models must be a list of names")
    return frozenset(names)
