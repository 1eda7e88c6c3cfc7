"""GET /media/{id}.{ext}: stored images and videos, authorised by their signature."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.http import dump_options_header

from gateway.api.context import RequestContext, current
from gateway.api.http.described import BYTES, described
from gateway.api.http.errors import error_response
from gateway.api.http.responses import json_response
from gateway.domain.errors import NotFound, RangeNotSatisfiable
from gateway.domain.media import StoredMedia

bp = Blueprint("media", __name__)
_REQUIRED = {"type": "string", "x-required": True}
_MONTH_S = 30 * 86400
# A browser that opens a video by itself makes a page around it, which loads it from here.
_POLICY = "default-src 'none'; sandbox; media-src 'self'"


@bp.get("/media/<name>")
@described(query={"exp": _REQUIRED, "sig": _REQUIRED}, answers=(BYTES,))
def serve(name: str) -> ResponseReturnValue:
    """Send a stored image or video, authorised by its signature."""
    context = current()
    media_id, dot, extension = name.partition(".")
    if not dot:
        raise NotFound("There is no such media.")
    args = request.args
    stored = context.services.media.verify(
        media_id, extension, args.get("exp", ""), args.get("sig", "")
    )
    return send(context, stored)


@bp.get("/v1/media/<media_id>")
def renew(media_id: str) -> ResponseReturnValue:
    """Make a fresh link to an image or video of yours."""
    context = current()
    stored = context.services.media.owned(media_id.partition(".")[0], context.caller)
    return json_response(
        {
            "id": stored.id,
            "object": "media",
            "url": context.sign(stored),
            "mime_type": stored.mime_type,
            "bytes": stored.size,
            "width": stored.width,
            "height": stored.height,
        }
    )


def send(
    context: RequestContext,
    stored: StoredMedia,
    *,
    private: bool = False,
    filename: str | None = None,
) -> ResponseReturnValue:
    """The bytes, or a redirect to where the store serves them; one range at most.

    `private`: for the caller of this request only, so that no cache may keep them.
    """
    media = context.services.media
    headers = _headers(stored, filename or f"{stored.id[:16]}.{stored.extension}")
    if private:
        headers["Cache-Control"] = "no-store"
    if request.if_none_match.contains_weak(stored.id):
        return Response(status=304, headers=headers)
    headers["Content-Length"] = str(stored.size)
    if request.method == "HEAD":
        return Response(headers=headers)
    if location := media.presigned(stored):
        response = redirect(location, 302)
        response.headers["Cache-Control"] = "no-store"
        return response
    start, end, status = 0, stored.size, 200
    if _part_wanted(stored):
        span = _span(stored)
        if span is None:
            return _unsatisfiable(context, stored)
        (start, end), status = span, 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
        headers["Content-Length"] = str(end - start)
    pieces = _pieces(media.open(stored, start, end))
    first = next(pieces, b"")  # a missing file is still an honest error here
    response = Response(chain((first,), pieces), status=status, headers=headers)
    response.call_on_close(pieces.close)
    return response


def _part_wanted(stored: StoredMedia) -> bool:
    """Whether a range is asked for, of the version that this is; other units are ignored."""
    unit = request.headers.get("Range", "").partition("=")[0].strip().lower()
    return unit == "bytes" and request.headers.get("If-Range", _etag(stored)) == _etag(stored)


def _span(stored: StoredMedia) -> tuple[int, int] | None:
    """The one range, its end exclusive; None when it is outside or not one."""
    ranges = request.range.ranges if request.range else []
    if len(ranges) != 1:
        return None
    start, end = ranges[0]
    if start < 0:  # the last so many bytes
        start = max(stored.size + start, 0)
    end = stored.size if end is None else min(end, stored.size)
    return (start, end) if start < end else None


def _etag(stored: StoredMedia) -> str:
    return f'"{stored.id}"'


def _unsatisfiable(context: RequestContext, stored: StoredMedia) -> Response:
    response = error_response(
        context, RangeNotSatisfiable(f"Ask for one range within the {stored.size} bytes.")
    )
    response.headers["Content-Range"] = f"bytes */{stored.size}"
    return response


def _pieces(opened: AbstractContextManager[Any]) -> Generator[bytes, None, None]:
    with opened as chunks:
        yield from chunks


def _headers(stored: StoredMedia, filename: str) -> dict[str, str]:
    named = {"filename": filename}
    if not filename.isascii():
        named = {"filename*": f"UTF-8''{quote(filename, safe='')}"}
    return {
        "Content-Type": stored.mime_type,
        "Content-Disposition": dump_options_header(stored.disposition, named),
        "ETag": _etag(stored),
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={_MONTH_S}, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
