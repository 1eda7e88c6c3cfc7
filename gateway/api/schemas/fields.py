"""Request schemas, and marshmallow's fields as clients of OpenAI-compatible servers need them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing, validate

from gateway.api.schemas import parts
from gateway.api.schemas.members import Members, check
from gateway.domain.errors import InvalidRequest
from gateway.domain.image_sizes import MOST_REFERENCES
from gateway.domain.media import MediaRef

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TRUE, _FALSE = (True, "true", "True", "1"), (False, "false", "False", "0")
_MOST_NAMED = 20
_MOST_OBJECTS = 1000
_INT64 = (-(2**63), 2**63 - 1)


class RequestSchema(Schema):
    """Null counts as not given; unknown fields are dropped: clients send more than is used.

    So does an empty string where there is a choice or a default: UIs send those.
    """

    class Meta:
        unknown = EXCLUDE

    def build(self, data: dict[str, Any]) -> Any:
        """The request that the fields describe together; may raise ValidationError."""
        raise NotImplementedError

    def read(self, document: Mapping[str, Any]) -> Any:
        """The request that `document` describes. Raises ValidationError by field."""
        try:
            return self.build(self.loaded(document))
        except ValidationError as err:
            raise ValidationError(err.normalized_messages()) from None  # type: ignore[no-untyped-call]

    def loaded(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Do the work of marshmallow's `load`, which takes 44 µs more for options not used here."""
        loaded: dict[str, Any] = {}
        problems: dict[str, Any] = {}
        for key, name, field, has_default, ignores_empty in self._compiled:
            value = document.get(key)
            try:
                if value is not None and not (ignores_empty and value == ""):
                    value = field._deserialize(value, key, document)
                    for validator in () if value is missing else field.validators:
                        validator(value)
                elif has_default:
                    value = field.deserialize(missing)
                else:
                    continue
            except ValidationError as err:
                problems[key] = err.messages
                continue
            if value is not missing:
                loaded[name] = value
        if problems:
            raise ValidationError(problems)
        return loaded

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
    def _compiled(self) -> list[tuple[str, str, fields.Field[Any], bool, bool]]:
        """Key, name, field, and the treatment of a missing and of an empty value."""
        compiled = []
        for name, field in self.fields.items():
            optional = field.load_default is not missing
            ignores_empty = optional or isinstance(field, Choice)
            has_default = field.required or optional
            compiled.append((field.data_key or name, name, field, has_default, ignores_empty))
        return compiled

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(key for key, *_ in self._compiled)


class WholeNumber(fields.Integer):
    """An integer of 64 bits, also as text or as a float without a fraction."""

    def __init__(self, low: int = _INT64[0], high: int = _INT64[1], **kw: Any) -> None:
        super().__init__(validate=validate.Range(low, high), **kw)

    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and not value.is_integer():
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Count(WholeNumber):
    """A number, or true for as many as the default says; false for none."""

    def __init__(self, low: int, high: int, *, default: int) -> None:
        super().__init__(low, high, metadata={"type": ["integer", "boolean"]})
        self._default = default

    def _validated(self, value: Any) -> Any:
        if value is True:
            return self._default
        return super()._validated(value)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> Any:
        if value is False:
            return missing
        return super()._deserialize(value, attr, data, **kw)


class Number(fields.Float):
    """A finite number, also as text."""

    def __init__(self, low: float | None = None, high: float | None = None, **kw: Any) -> None:
        bounded = low is not None or high is not None
        super().__init__(validate=validate.Range(low, high) if bounded else None, **kw)


class Seconds(Number):
    """A duration, as a number or as text: OpenAI's clients send "8", others "8s"."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(low, high, metadata={"type": ["number", "string"]})

    def _validated(self, value: Any) -> float:
        return super()._validated(value.removesuffix("s") if isinstance(value, str) else value)


class Flag(fields.Boolean):
    def __init__(self, **kw: Any) -> None:
        super().__init__(truthy=_TRUE, falsy=_FALSE, **kw)


class String(fields.String):
    def __init__(self, longest: int = 100_000, **kw: Any) -> None:
        super().__init__(validate=validate.Length(max=longest), **kw)


class Choice(fields.String):
    """One of some words, in any case."""

    def __init__(self, *choices: str, **kw: Any) -> None:
        super().__init__(validate=validate.OneOf(choices), **kw)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kw)
        return text.strip().lower() if text else text


class Object(fields.Dict):
    """An object, whose `members` have the types that they name."""

    def __init__(self, members: Members | None = None, **kw: Any) -> None:
        super().__init__(**kw)
        self._members: Members = members or {}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        check(value, self._members, attr)
        return value


class Objects(fields.List[dict[str, Any]]):
    def __init__(self, members: Members, **kw: Any) -> None:
        super().__init__(fields.Dict(), **kw)
        self._members = members

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> list[Any]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValidationError("Must be a list of objects.")
        if len(value) > _MOST_OBJECTS:
            raise InvalidRequest(
                f"{attr} must not hold more than {_MOST_OBJECTS} objects.",
                param=attr,
                code=f"too_many_{attr}",
            )
        for position, item in enumerate(value):
            check(item, self._members, f"{attr}[{position}]")
        return value


class Strings(fields.List[str]):
    """A list of strings, or one string for a list of one."""

    def __init__(self, **kw: Any) -> None:
        super().__init__(fields.String(), metadata={"type": ["array", "string"]}, **kw)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> Any:
        return super()._deserialize([value] if isinstance(value, str) else value, attr, data, **kw)


class Images(fields.Raw):
    """One image or a list of them: URL, data URL, bare base64, {"url"} or {"file_id"}."""

    def __init__(self, most: int = MOST_REFERENCES, **kw: Any) -> None:
        several = {"type": "array", "maxItems": most}
        shapes = [{"type": "string"}, {"type": "object"}, several]
        super().__init__(metadata={"oneOf": shapes}, **kw)
        self._most = most

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **_: Any
    ) -> tuple[MediaRef, ...]:
        path = attr or "image"
        if not isinstance(value, list):
            return (_image(value, path),)
        if len(value) > self._most:
            raise ValidationError(f"Must not hold more than {self._most} images.")
        return tuple([_image(item, f"{path}[{i}]") for i, item in enumerate(value)])


def _image(value: object, path: str) -> MediaRef:
    if isinstance(value, MediaRef):  # uploaded with a form
        return value
    if isinstance(value, dict) and "image_url" in value:
        return parts.media_ref(value["image_url"], "image", f"{path}.image_url")
    return parts.media_ref(value, "image", path)
