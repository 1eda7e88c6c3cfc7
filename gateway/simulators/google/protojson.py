"""Requests in proto JSON, read and refused the way Google's front ends do it.

Every field may be written in lowerCamelCase or snake_case, `null` means
absent, one object may stand for a list of one, bytes are base64 of either
alphabet, and what does not fit is refused with the path and the reason of each
fault. https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

_UPPER = re.compile(r"(?<=[a-z0-9])([A-Z])")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without fields; `name` is how faults call its type."""

    name: str


STRING = Scalar("TYPE_STRING")
BOOL = Scalar("TYPE_BOOL")
BYTES = Scalar("TYPE_BYTES")
INT32 = Scalar("TYPE_INT32")
INT64 = Scalar("TYPE_INT64")
FLOAT = Scalar("TYPE_FLOAT")
VALUE = Scalar("google.protobuf.Value")
STRUCT = Scalar("google.protobuf.Struct")


@dataclass(frozen=True, slots=True)
class Enum:
    """One of some names."""

    name: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Many:
    """A repeated field."""

    of: Kind


@dataclass(frozen=True, slots=True)
class Map:
    """A map with strings as keys."""

    of: Kind


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """An object with named fields, of which those in `one_of` exclude each other."""

    name: str
    fields: Mapping[str, Kind]
    one_of: frozenset[str] = frozenset()


Kind = Scalar | Enum | Many | Map | Message


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake in the payload, with its field (snake_case path, empty for the root)."""

    field: str
    description: str
    unknown: bool = False


class InvalidPayload(ValueError):
    """The payload does not fit its message."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(fault.description for fault in faults))
        self.faults = faults


def read(message: Message, payload: object) -> dict[str, Any]:
    """Return the payload with its fields in lowerCamelCase, numbers and bytes decoded.

    Raises InvalidPayload with everything that does not fit.
    """
    reader = _Reader()
    if not isinstance(payload, dict):
        raise InvalidPayload([Fault("", "Invalid JSON payload received. Root must be an object.")])
    result = reader.message(message, payload, "")
    if reader.faults:
        raise InvalidPayload(reader.faults)
    return result


def snake(name: str) -> str:
    """Return a lowerCamelCase name in snake_case."""
    return _UPPER.sub(r"_\1", name).lower()


@dataclass(slots=True)
class _Reader:
    faults: list[Fault] = field(default_factory=list)

    def message(self, message: Message, payload: dict[str, Any], path: str) -> dict[str, Any]:
        names = _spellings(message)
        result: dict[str, Any] = {}
        for given, value in payload.items():
            name, spelt = names.get(given, ("", ""))
            if not name:
                self._unknown(given, path)
            elif value is not None:
                self._exclude(message, name, result, path)
                inner = f"{path}.{spelt}" if path else spelt
                result[name] = self.value(message.fields[name], value, inner)
        return result

    def value(self, kind: Kind, value: object, path: str) -> Any:
        match kind:
            case Many(of):
                items = value if isinstance(value, list) else [value]
                return [self.value(of, item, f"{path}[{at}]") for at, item in enumerate(items)]
            case Map(of):
                if not isinstance(value, dict):
                    return self._wrong(path, "Map", value)
                return {key: self.value(of, item, path) for key, item in value.items()}
            case Message():
                if isinstance(value, dict):
                    return self.message(kind, value, path)
                if isinstance(value, list):
                    return self._not_repeating(path)
                return self._wrong(path, f"type.googleapis.com/{kind.name}", value)
            case Enum(name, values):
                if isinstance(value, str) and value in values:
                    return value
                if isinstance(value, int) and 0 <= value < len(values):
                    return values[value]
                return self._wrong(path, f"type.googleapis.com/{name}", value)
            case Scalar():
                return self._scalar(kind, value, path)

    def _scalar(self, kind: Scalar, value: object, path: str) -> Any:
        if isinstance(value, list) and kind is not VALUE:
            return self._not_repeating(path)
        if kind is BYTES and isinstance(value, str):
            return self._bytes(value, path)
        if kind in (INT32, INT64):
            value = _integer(value)
        if kind is FLOAT:
            value = _number(value)
        if kind is VALUE or isinstance(value, _TYPES[kind]):
            return value
        return self._wrong(path, kind.name, value)

    def _bytes(self, text: str, path: str) -> bytes:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (binascii.Error, ValueError):
            shown = json.dumps(text[:_SHOWN])
            self._fault(
                path,
                f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for {shown}",
            )
            return b""

    def _exclude(self, message: Message, name: str, result: dict[str, Any], path: str) -> None:
        if name not in message.one_of:
            return
        before = next((other for other in result if other in message.one_of), None)
        if before is not None:
            self._fault(
                path,
                f"Invalid value at '{path}' (oneof), oneof field '{before}' is already set. "
                f"Cannot set '{name}'",
            )

    def _unknown(self, name: str, path: str) -> None:
        where = f" at '{path}'" if path else ""
        self.faults.append(
            Fault(
                path,
                "Invalid JSON payload received. "
                f"Unknown name {json.dumps(name)}{where}: Cannot find field.",
                unknown=True,
            )
        )

    def _not_repeating(self, path: str) -> None:
        parent, _, name = path.rpartition(".")
        where = f" at '{parent}'" if parent else ""
        self._fault(
            parent,
            f'Invalid JSON payload received. Unknown name "{name}"{where}: '
            "Proto field is not repeating, cannot start list.",
        )

    def _wrong(self, path: str, kind: str, value: object) -> None:
        shown = json.dumps(value, ensure_ascii=False, default=str)[:_SHOWN]
        self._fault(path, f"Invalid value at '{path}' ({kind}), {shown}")

    def _fault(self, path: str, description: str) -> None:
        self.faults.append(Fault(path, description))


@cache
def _spellings(message: Message) -> Mapping[str, tuple[str, str]]:
    """Map both spellings of each field to its name and to its name in snake_case."""
    spellings = {}
    for name in message.fields:
        spellings[name] = spellings[snake(name)] = (name, snake(name))
    return spellings


_TYPES: Mapping[Scalar, type | tuple[type, ...]] = {
    STRING: str,
    BOOL: bool,
    BYTES: bytes,
    INT32: int,
    INT64: int,
    FLOAT: float,
    STRUCT: dict,
}


def _integer(value: object) -> object:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value, re.ASCII):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> object:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII):
        return float(value)
    return float(value) if isinstance(value, int) else value
