"""Multipart forms as OpenAI's SDKs send them, with their files spooled to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.datastructures import FileStorage, MultiDict

from gateway.api.context import RequestContext
from gateway.api.http.body import BodyReader, load
from gateway.api.schemas.fields import RequestSchema
from gateway.domain.errors import InvalidRequest, StorageUnavailable, UnsupportedContentType
from gateway.domain.media import MediaRef
from gateway.services.media.uploads import keep

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Form:
    """Text fields by name (`image[]` counts as `image`), and the files beside them."""

    values: dict[str, Any]
    files: MultiDict[str, FileStorage]


def read_form(context: RequestContext) -> Form:
    """Raises UnsupportedContentType, RequestTooLarge, InvalidRequest (malformed or cut short)
    and StorageUnavailable.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedContentType("The body must be multipart/form-data.")
    if not request.mimetype_params.get("boundary"):
        raise InvalidRequest("The form's Content-Type names no boundary.", code="invalid_form")
    request.environ["wsgi.input"] = BodyReader(context)
    try:
        fields, files = request.form, request.files
    except OSError as err:  # only of the disk: what befalls the connection has classes of its own
        raise StorageUnavailable("There is no room for what is uploaded.") from err
    # Parts without a name, which a form may have, mean nothing.
    return Form({name.removesuffix("[]"): text for name, text in fields.items() if name}, files)


def load_form(
    context: RequestContext, schema: RequestSchema, *fields: str
) -> tuple[Any, dict[str, Any]]:
    """The request that a form describes, and its values; files of `fields` are references.

    Nothing is stored of a form that is refused.
    """
    form = read_form(context)
    load(context, schema, _with_images(form, fields, lambda _, field: MediaRef("image", field)))
    media, caller = context.services.media, context.caller
    values = _with_images(
        form, fields, lambda upload, field: keep(media, pieces(upload), caller, field)
    )
    return load(context, schema, values), values


def _with_images(
    form: Form, fields: Sequence[str], reference: Callable[[FileStorage, str], MediaRef]
) -> dict[str, Any]:
    values = dict(form.values)
    for name, upload in form.files.items(multi=True):
        field = (name or "").removesuffix("[]")
        if field in fields:
            given = values.get(field, [])
            given = [given] if isinstance(given, str) else given
            values[field] = [*given, reference(upload, field)]
    return values


def pieces(upload: FileStorage) -> Iterator[bytes]:
    while piece := upload.stream.read(_PIECE_BYTES):
        yield piece
