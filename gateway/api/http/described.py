"""Words about endpoints for the OpenAPI document, written beside the views.

The summary is the first line of the view's docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from marshmallow import Schema

View = TypeVar("View", bound=Callable[..., Any])

JSON = "application/json"
EVENTS = "text/event-stream"
BYTES = "*/*"
ONCE = ("Idempotency-Key", "X-Gateway-Dry-Run")
ONCE_OR_LATER = (*ONCE, "Prefer")
FILE = {"type": "string", "format": "binary"}
FILES = {"oneOf": [FILE, {"type": "array", "items": FILE}]}
ORDER = {"type": "string", "enum": ["asc", "desc"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    body: Schema | None = None
    form: Mapping[str, Any] | None = None
    """Files and fields of a multipart form, beside those of `body`, as JSON Schemas."""
    required: Sequence[str] = ()
    """The members of `form` that must be there."""
    query: Mapping[str, Mapping[str, Any]]
    headers: Sequence[str] = ()
    answers: Sequence[str] = (JSON,)


descriptions: dict[Callable[..., Any], Description] = {}
_NOTHING = Description(query={})


def described(
    *,
    body: Schema | None = None,
    form: Mapping[str, Any] | None = None,
    required: Sequence[str] = (),
    query: Mapping[str, Mapping[str, Any]] | None = None,
    headers: Sequence[str] = (),
    answers: Sequence[str] = (JSON,),
) -> Callable[[View], View]:
    """Describe a view; one that takes and gives nothing but JSON of its path needs no words."""

    def describe(view: View) -> View:
        descriptions[view] = Description(
            body=body,
            form=form,
            required=required,
            query=query or {},
            headers=headers,
            answers=answers,
        )
        return view

    return describe


def description_of(view: Callable[..., Any]) -> Description:
    return descriptions.get(view, _NOTHING)


def page_query(maximum: int) -> dict[str, Mapping[str, Any]]:
    """Query parameters of a list."""
    limit = {"type": "integer", "minimum": 1, "maximum": maximum}
    return {"limit": limit, "order": ORDER, "after": {"type": "string"}}
