"""Media and earlier jobs that a video is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from marshmallow import ValidationError, fields

from gateway.api.schemas.parts import media_ref
from gateway.api.schemas.values import not_empty
from gateway.domain.errors import InvalidRequest
from gateway.domain.media import MediaKind
from gateway.domain.requests import EarlierJob, Reference, ReferenceRole

_MOST_REFERENCES = 32
_KINDS: Mapping[str, MediaKind] = {"image": "image", "video": "video", "audio": "audio"}
_ROLES: Mapping[str, ReferenceRole] = {
    "first_frame": "first_frame",
    "last_frame": "last_frame",
    "reference": "reference",
    "reference_image": "reference",
    "reference_video": "reference",
    "reference_audio": "reference",
    "edit": "edit",
    "extend": "extend",
}
_LINK = {"oneOf": [{"type": "string"}, {"type": "object"}]}
_LINK_MEMBERS = ("image_url", "video_url", "audio_url")


class Frame(fields.Raw):
    """One image of a video: a link as in `Images`."""

    def __init__(self, role: Literal["first_frame", "last_frame"]) -> None:
        super().__init__(metadata=_LINK)
        self._role: ReferenceRole = role

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> Reference:
        return Reference(self._role, media_ref(_link(value), "image", attr))


class References(fields.Raw):
    """`[{"type", "url" | "file_id", "role"}]`, or links of images alone."""

    def __init__(self) -> None:
        super().__init__(metadata={"type": "array", "maxItems": _MOST_REFERENCES})

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> tuple[Reference, ...]:
        if not isinstance(value, list):
            raise ValidationError("Not a valid list.")
        if len(value) > _MOST_REFERENCES:
            raise ValidationError(f"Must not hold more than {_MOST_REFERENCES} references.")
        return tuple([_reference(item, f"{attr}[{i}]") for i, item in enumerate(value)])


class Earlier(fields.Raw):
    """The id of a job or video of the caller's own, or a link to a video."""

    def __init__(self, use: Literal["edit_of", "extend_of", "final_of"]) -> None:
        super().__init__(metadata=_LINK)
        self._use = use

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> EarlierJob | Reference:
        link = value.get("id", value) if isinstance(value, dict) else value
        if isinstance(link, str) and not link.startswith(("http://", "https://", "data:")):
            return EarlierJob(self._use, not_empty(link, attr), attr)
        if self._use == "final_of":
            raise ValidationError("Must be the id of a draft.")
        role: ReferenceRole = "edit" if self._use == "edit_of" else "extend"
        return Reference(role, media_ref(_link(link), "video", attr))


def _reference(value: object, path: str) -> Reference:
    if isinstance(value, str):
        return Reference("reference", media_ref(value, "image", path))
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be a string or an object.", param=path)
    kind = str(value.get("type") or "image").removesuffix("_url")
    role = value.get("role") or "reference"
    if kind not in _KINDS:
        raise InvalidRequest(f"{path}.type must be image, video or audio.", param=f"{path}.type")
    if role not in _ROLES:
        names = ", ".join(_ROLES)
        raise InvalidRequest(f"{path}.role must be one of {names}.", param=f"{path}.role")
    return Reference(_ROLES[cast(str, role)], media_ref(_link(value), _KINDS[kind], path))


def _link(value: object) -> object:
    """The link in an object with OpenAI's members, for `media_ref`; other values unchanged."""
    if isinstance(value, dict):
        for name in _LINK_MEMBERS:
            if value.get(name) is not None:
                return value[name]
    return value
