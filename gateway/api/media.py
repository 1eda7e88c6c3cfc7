"""GET /media/{id}.{ext}: stored pictures and videos, authorised by their signature."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from gateway.api.answers import signer
from gateway.api.auth import caller
from gateway.api.errors import error_response
from gateway.api.state import services
from gateway.api.wire import json_response
from gateway.domain.errors import NotFound, RangeNotSatisfiable
from gateway.domain.media import StoredMedia
from gateway.stores.media_store import inline

bp = Blueprint("media", __name__)
_MONTH_S = 30 * 86400


@bp.get("/media/<name>")
def serve(name: str) -> ResponseReturnValue:
    media_id, dot, extension = name.partition(".")
    if not dot:
        raise NotFound("There is no such media.")
    args = request.args
    stored = services().media.verify(media_id, extension, args.get("exp", ""), args.get("sig", ""))
    return send(stored)


@bp.get("/v1/media/<media_id>")
def renew(media_id: str) -> ResponseReturnValue:
    """A fresh URL for media of the caller's own."""
    stored = services().media.owned(media_id.partition(".")[0], caller())
    return json_response(
        {
            "id": stored.id,
            "object": "media",
            "url": signer()(stored),
            "mime_type": stored.mime_type,
            "bytes": stored.size,
            "width": stored.width,
            "height": stored.height,
        }
    )


def send(stored: StoredMedia) -> ResponseReturnValue:
    """The bytes, or a redirect to where the store serves them; one range at most."""
    media = services().media
    if location := media.presigned(stored):
        response = redirect(location, 302)
        response.headers["Cache-Control"] = "no-store"
        return response
    headers = _headers(stored)
    if request.if_none_match.contains(stored.id):
        return Response(status=304, headers=headers)
    start, end, status = 0, stored.size, 200
    if "Range" in request.headers and request.if_range.etag in (None, stored.id):
        ranges = request.range
        span = ranges.range_for_length(stored.size) if ranges and len(ranges.ranges) == 1 else None
        if span is None:
            return _unsatisfiable(stored)
        (start, end), status = span, 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status=status, headers=headers)
    pieces = _pieces(media.open(stored, start, end))
    first = next(pieces, b"")  # a missing file is still an honest error here
    response = Response(
        chain((first,), pieces), status=status, headers=headers, direct_passthrough=True
    )
    response.call_on_close(pieces.close)
    return response


def _unsatisfiable(stored: StoredMedia) -> Response:
    response = error_response(
        RangeNotSatisfiable(f"Ask for one range within the {stored.size} bytes.")
    )
    response.headers["Content-Range"] = f"bytes */{stored.size}"
    return response


def _pieces(opened: AbstractContextManager[Any]) -> Generator[bytes, None, None]:
    with opened as chunks:
        yield from chunks


def _headers(stored: StoredMedia) -> dict[str, str]:
    kind = "inline" if inline(stored.mime_type) else "attachment"
    return {
        "Content-Type": stored.mime_type,
        "Content-Disposition": f'{kind}; filename="{stored.id[:16]}.{stored.extension}"',
        "ETag": f'"{stored.id}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={_MONTH_S}, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
