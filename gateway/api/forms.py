"""Multipart forms as OpenAI's SDKs send them, with their files spooled to disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.datastructures import FileStorage, MultiDict

from gateway.api.auth import caller
from gateway.api.state import services
from gateway.api.wire import BodyReader, check_length
from gateway.domain.errors import InvalidRequest, UnsupportedContentType
from gateway.services.uploads import keep

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Form:
    """Text fields by name (`image[]` counts as `image`), and the files beside them."""

    values: dict[str, Any]
    files: MultiDict[str, FileStorage]


def read_form() -> Form:
    """Raises UnsupportedContentType, RequestTooLarge and InvalidRequest (cut short)."""
    if request.mimetype != "multipart/form-data":
        raise UnsupportedContentType("The body must be multipart/form-data.")
    if "boundary" not in request.mimetype_params:
        raise InvalidRequest("The form's Content-Type names no boundary.", code="invalid_form")
    limit, length = check_length()
    request.environ["wsgi.input"] = BodyReader(request.environ["wsgi.input"], limit, length)
    # Parts without a name, which a form may have, mean nothing.
    values = {name.removesuffix("[]"): text for name, text in request.form.items() if name}
    return Form(values, request.files)


def pictures_in(form: Form, *fields: str) -> dict[str, Any]:
    """The form's values with references to the uploaded pictures of `fields` among them."""
    values = dict(form.values)
    for name, upload in form.files.items(multi=True):
        field = (name or "").removesuffix("[]")
        if field in fields:
            picture = keep(services().media, pieces(upload), caller().owner, field)
            given = values.get(field, [])
            values[field] = [*([given] if isinstance(given, str) else given), picture]
    return values


def pieces(upload: FileStorage) -> Iterator[bytes]:
    while piece := upload.stream.read(_PIECE):
        yield piece
