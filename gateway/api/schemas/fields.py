"""Fields for what clients of OpenAI-compatible servers send."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from typing import Any, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing

from gateway.api.schemas import parts
from gateway.api.schemas.members import TOOL_CHOICE, Members, check
from gateway.domain.errors import InvalidRequest
from gateway.domain.image_sizes import MOST_REFERENCES
from gateway.domain.media import MediaRef

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_NAMED = 20
_MOST_OBJECTS = 1000
_BEYOND = 2**63


class RequestSchema(Schema):
    """Null counts as not given; unknown fields are dropped: clients send more than is used."""

    class Meta:
        unknown = EXCLUDE

    def build(self, data: dict[str, Any]) -> Any:
        """What the fields ask for together; may raise ValidationError."""
        raise NotImplementedError

    def read(self, document: Mapping[str, Any]) -> Any:
        """What `document` asks for. Raises ValidationError with messages by field."""
        try:
            return self.build(self.loaded(document))
        except ValidationError as err:
            raise ValidationError(err.normalized_messages()) from None  # type: ignore[no-untyped-call]

    def loaded(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """As marshmallow's `load`, which costs three times as much for options not used here."""
        found: dict[str, Any] = {}
        problems: dict[str, Any] = {}
        for key, name, field, speaks in self._walk:
            value = document.get(key)
            try:
                if value is not None:
                    value = field._deserialize(value, key, document)
                elif speaks:
                    value = field.deserialize(missing)
                else:
                    continue
            except ValidationError as err:
                problems[key] = err.messages
                continue
            if value is not missing:
                found[name] = value
        if problems:
            raise ValidationError(problems)
        return found

    def unknown_in(self, document: Mapping[str, Any]) -> list[str]:
        """Names of what is given and not used, as far as a header can hold them."""
        if self._keys.issuperset(document):
            return []
        unknown = (
            key
            for key, value in document.items()
            if value is not None and key not in self._keys and _NAME.fullmatch(key)
        )
        return list(islice(unknown, _MOST_NAMED))

    @cached_property
    def _walk(self) -> list[tuple[str, str, fields.Field[Any], bool]]:
        """Key, name and field, and whether it has something to say when it is not given."""
        return [
            (f.data_key or name, name, f, f.required or f.load_default is not missing)
            for name, f in self.fields.items()
        ]

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(key for key, *_ in self._walk)


class Described:
    """A field that can tell its limits in the words of JSON Schema."""

    def describe(self) -> dict[str, Any]:
        return {}


class Number(Described, fields.Field[float]):
    """A JSON number (not a string, not a boolean), optionally within [low, high]."""

    def __init__(
        self, low: float | None = None, high: float | None = None, *, whole: bool = False, **kw: Any
    ) -> None:
        super().__init__(**kw)
        self._low, self._high, self._whole = low, high, whole

    def describe(self) -> dict[str, Any]:
        limits = {"minimum": self._low, "maximum": self._high}
        found: dict[str, Any] = {k: v for k, v in limits.items() if v is not None}
        return found | ({"type": "integer"} if self._whole else {})

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> float:
        kind = type(value)
        if kind is float and self._whole and value == int(value):
            value, kind = int(value), int
        if kind is not int and (self._whole or kind is not float):
            raise ValidationError("must be a whole number" if self._whole else "must be a number")
        if kind is int and not -_BEYOND <= value < _BEYOND:
            raise ValidationError("must fit into 64 bits")
        low, high = self._low, self._high
        if (low is not None and value < low) or (high is not None and value > high):
            if high is None:
                raise ValidationError(f"must be at least {low:g}")
            raise ValidationError(f"must be between {low:.15g} and {high:.15g}")
        return value  # type: ignore[no-any-return]


class Duration(Number):
    """Seconds, as a number or as text: OpenAI's clients send "8"."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> float:
        if isinstance(value, str):
            try:
                value = float(value.removesuffix("s"))
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise ValidationError("must be a number of seconds")
        return super()._deserialize(value, attr, data, **kw)


class TextNumber(Number):
    """A number in a multipart form, where everything is text."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> float:
        if isinstance(value, str):
            try:
                value = int(value)
            except ValueError:
                raise ValidationError("must be a whole number") from None
        return super()._deserialize(value, attr, data, **kw)


class Flag(fields.Field[bool]):
    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        raise ValidationError("must be true or false")


class TextFlag(Flag):
    """A flag in a multipart form, where everything is text."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> bool:
        if isinstance(value, str):
            value = {"true": True, "1": True, "false": False, "0": False, "": False}.get(
                value.lower(), value
            )
        return super()._deserialize(value, attr, data, **kw)


class Object(fields.Field[Mapping[str, Any]]):
    def __init__(self, members: Members | None = None, **kw: Any) -> None:
        super().__init__(**kw)
        self._members: Members = members or {}

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        check(value, self._members, attr)
        return value


class Objects(fields.Field[list[Any]]):
    def __init__(self, members: Members, **kw: Any) -> None:
        super().__init__(**kw)
        self._members = members

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> list[Any]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValidationError("must be a list of objects")
        if len(value) > _MOST_OBJECTS:
            raise InvalidRequest(
                f"{attr} must not hold more than {_MOST_OBJECTS} objects.",
                param=attr,
                code=f"too_many_{attr}",
            )
        for position, item in enumerate(value):
            check(item, self._members, f"{attr}[{position}]")
        return value


class Word(Described, fields.Field[str]):
    """A string, optionally one of `among` in any case.

    Where there is a choice or a default an empty one counts as not given: UIs send those.
    """

    def __init__(self, *among: str, longest: int = 100_000, **kw: Any) -> None:
        super().__init__(**kw)
        self._among = frozenset(among)
        self._shown = ", ".join(among)
        self._longest = longest

    def describe(self) -> dict[str, Any]:
        if self._among:
            return {"enum": sorted(self._among)}
        found: dict[str, Any] = {"maxLength": self._longest}
        return found | ({"pattern": r"\S"} if self.required else {})

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        if not value and (self._among or self.load_default is not missing):
            return cast(str, self.load_default)
        if self._among:
            return self._choice(value)
        if len(value) > self._longest:
            raise ValidationError(f"must not be longer than {self._longest} characters")
        return value

    def _choice(self, text: str) -> str:
        for choice in (text, text.strip().lower()):
            if choice in self._among:
                return choice
        raise ValidationError(f"must be one of {self._shown}")


class Label(Word):
    """A string that names somebody; what some clients send instead is not used."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> str:
        if isinstance(value, dict):
            return cast(str, missing)
        return super()._deserialize(value, attr, data, **kw)


class StopField(fields.Field[list[str]]):
    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        raise ValidationError("must be a string or a list of strings")


class ToolChoice(fields.Field[Any]):
    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> Any:
        if isinstance(value, dict):
            check(value, TOOL_CHOICE, attr)
            return value
        if value in ("none", "auto", "required"):
            return value
        if value == "any":
            return "required"
        raise ValidationError("must be none, auto, required or an object that names a tool")


class MessagesField(fields.Field[tuple[Any, ...]]):
    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> tuple[Any, ...]:
        return parts.messages(value)


class ImagesField(Described, fields.Field[tuple[MediaRef, ...]]):
    """One picture or a list of them: URL, data URL, bare base64, {"url"} or {"file_id"}."""

    def __init__(self, most: int = MOST_REFERENCES, **kw: Any) -> None:
        super().__init__(**kw)
        self._most = most

    def describe(self) -> dict[str, Any]:
        several = {"type": "array", "maxItems": self._most}
        return {"oneOf": [{"type": "string"}, {"type": "object"}, several]}

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **_: Any
    ) -> tuple[MediaRef, ...]:
        path = attr or "image"
        if not isinstance(value, list):
            return (self._one(value, path),) if value != "" else ()
        if len(value) > self._most:
            raise ValidationError(f"must not hold more than {self._most} of them")
        return tuple([self._one(item, f"{path}[{i}]") for i, item in enumerate(value)])

    def _one(self, value: object, path: str) -> MediaRef:
        if isinstance(value, MediaRef):  # uploaded with a form
            return value
        if isinstance(value, dict) and "image_url" in value:
            return parts.media_ref(value["image_url"], "image", f"{path}.image_url")
        return parts.media_ref(value, "image", path)
