"""GET /media/{id}.{ext}: stored images and videos, authorised by their signature."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import dump_options_header

from gateway.api.context import RequestContext, current
from gateway.api.http.described import BYTES, described
from gateway.api.http.errors import error_response
from gateway.api.http.responses import json_response
from gateway.domain.errors import NotFound, RangeNotSatisfiable
from gateway.domain.media import StoredMedia
from gateway.services.media.media import MediaService

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
    """The bytes, or a redirect to the store that serves them; one range at most.

    `private`: for the caller of this request only, so that no cache may keep them.
    """
    content = _Content(context.services.media, stored)
    response = Response(content, direct_passthrough=True)
    response.headers.update(_headers(stored, filename or f"{stored.id[:16]}.{stored.extension}"))
    if private:
        response.headers["Cache-Control"] = "no-store"
    # Units other than bytes are ignored, and so are ranges of HEAD.
    in_bytes = request.headers.get("Range", "").partition("=")[0].strip().lower() == "bytes"
    try:
        response.make_conditional(
            request,
            accept_ranges=in_bytes and request.method == "GET",
            complete_length=stored.size,
        )
    except RequestedRangeNotSatisfiable:
        return _unsatisfiable(context, stored)
    if response.status_code == 304:
        return response
    if request.method == "HEAD":
        response.content_length = stored.size
        return response
    if location := context.services.media.presigned(stored):
        redirection = redirect(location, 302)
        redirection.headers["Cache-Control"] = "no-store"
        return redirection
    if response.status_code == 200:
        response.content_length = stored.size
    content.open(response.content_range.start or 0)  # a missing file is still an honest error
    return response


class _Content:
    """Stored bytes as the seekable iterable from which Werkzeug takes a range."""

    def __init__(self, media: MediaService, stored: StoredMedia) -> None:
        self._media = media
        self._stored = stored
        self._opened = ExitStack()
        self._pieces: Iterator[bytes] = iter(())
        self._offset = 0

    def open(self, offset: int) -> None:
        self._offset = offset
        self._pieces = self._opened.enter_context(self._media.open(self._stored, offset))

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int) -> None:
        assert offset == self._offset, "opened elsewhere"

    def tell(self) -> int:
        return self._offset

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self._opened.close()


def _unsatisfiable(context: RequestContext, stored: StoredMedia) -> Response:
    response = error_response(
        context, RangeNotSatisfiable(f"Ask for one range within the {stored.size} bytes.")
    )
    response.headers["Content-Range"] = f"bytes */{stored.size}"
    return response


def _headers(stored: StoredMedia, filename: str) -> dict[str, str]:
    named = {"filename": filename}
    if not filename.isascii():
        named = {"filename*": f"UTF-8''{quote(filename, safe='')}"}
    return {
        "Content-Type": stored.mime_type,
        "Content-Disposition": dump_options_header(stored.disposition, named),
        "ETag": f'"{stored.id}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={_MONTH_S}, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
