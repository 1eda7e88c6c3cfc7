"""Reading JSON objects the way strict vendors do: every type and range is checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Literal

Problem = Literal["missing", "invalid", "unknown"]
Refuse = Callable[[Problem, str, str], Exception]
"""Factory of a vendor's error from the problem, the path of the field and the reason."""


class Fields:
    """One JSON object. A field that is null counts as absent."""

    def __init__(self, data: object, refuse: Refuse, path: str = "") -> None:
        if not isinstance(data, dict):
            raise refuse("invalid", path, "must be an object")
        self.data: dict[str, object] = data
        self.path = path
        self._refuse = refuse

    def __contains__(self, name: str) -> bool:
        return self.data.get(name) is not None

    def at(self, name: str) -> str:
        """Return the path of a field from the root of the body."""
        return f"{self.path}.{name}" if self.path else name

    def invalid(self, name: str, reason: str) -> Exception:
        """Return the vendor's error for a value that is not accepted."""
        return self._refuse("invalid", self.at(name), reason)

    def require(self, name: str) -> object:
        """Return a value that must be there."""
        value = self.data.get(name)
        if value is None or value == "":
            raise self._refuse("missing", self.at(name), "is required")
        return value

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Refuse the first field that the vendor does not know."""
        for name in self.data:
            if name not in known:
                raise self._refuse("unknown", self.at(name), "is not a known parameter")

    def text(self, name: str, *, most: int | None = None) -> str | None:
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.invalid(name, "must be a string")
        if most is not None and len(value) > most:
            raise self.invalid(name, f"must have at most {most} characters")
        return value

    def required_text(self, name: str) -> str:
        self.require(name)
        return self.text(name) or ""

    def choice(self, name: str, options: Collection[str]) -> str | None:
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or value not in options:
            raise self.invalid(name, f"must be one of {', '.join(options)}")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.data.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.invalid(name, "must be a boolean")
        return value

    def integer(self, name: str, least: int, most: int) -> int | None:
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.invalid(name, "must be an integer")
        if not least <= value <= most:
            raise self.invalid(name, f"must be between {least} and {most}")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self.data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.invalid(name, "must be a number")
        if not least <= value <= most:
            raise self.invalid(name, f"must be between {least} and {most}")
        return value

    def items(self, name: str) -> list[object]:
        value = self.data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.invalid(name, "must be an array")
        return value

    def inner(self, name: str) -> Fields | None:
        value = self.data.get(name)
        return None if value is None else Fields(value, self._refuse, self.at(name))

    def required_inner(self, name: str) -> Fields:
        return Fields(self.require(name), self._refuse, self.at(name))

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects of an array, each with its own path, as `messages[0]`."""
        for index, item in enumerate(self.items(name)):
            yield Fields(item, self._refuse, f"{self.at(name)}[{index}]")

    def strings(self, name: str, *, most: int) -> tuple[str, ...]:
        """Return a string, or an array of at most so many strings."""
        value = self.data.get(name)
        if isinstance(value, str):
            return (value,)
        found = tuple(item for item in self.items(name) if isinstance(item, str))
        if len(found) != len(self.items(name)):
            raise self.invalid(name, "must be a string or an array of strings")
        if len(found) > most:
            raise self.invalid(name, f"must have at most {most} entries")
        return found
