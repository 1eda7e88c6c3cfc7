"""Flask without what no request here uses: sessions, subdomains, async views.

And with answers that end properly: Werkzeug leaves an iterable that it passes through
unopened, so that neither `close` nor `call_on_close` would be heard of again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeGuard

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter


class NoSessions(SessionInterface):
    """Nobody logs in here. One empty session serves every request."""

    def __init__(self) -> None:
        self._none = self.make_null_session(Flask("sessions", static_folder=None))

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        return self._none


class Answer(Response):
    """An answer that is sent once, so that its headers need no copy to be completed."""

    extra: Sequence[tuple[str, str]] = ()
    """Headers that are known to be sound; they are sent after the others."""

    def close(self) -> None:
        """Let go of what was to be called: it often holds on to the answer, and to its request."""
        super().close()
        self._on_close.clear()

    def get_wsgi_headers(self, environ: Any) -> Headers:
        status, headers = self.status_code, self.headers
        if not 200 <= status < 300 or status == 204 or "Location" in headers:
            return super().get_wsgi_headers(environ)
        if self.is_sequence and "Content-Length" not in headers:
            headers.add("Content-Length", str(sum(map(len, self.iter_encoded()))))
        return headers

    def get_wsgi_response(self, environ: Any) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        body, status, headers = super().get_wsgi_response(environ)
        return body, status, [*headers, *self.extra]

    def get_app_iter(self, environ: Any) -> Iterable[bytes]:
        pieces = self.response
        if environ["REQUEST_METHOD"] != "HEAD" and _is_bytes(pieces):
            return _Body(pieces, self)
        body = super().get_app_iter(environ)
        return _Body(body, self) if body is pieces else body


def _is_bytes(pieces: Any) -> TypeGuard[list[bytes]]:
    """Whether it is one piece that needs no encoding any more."""
    return type(pieces) is list and len(pieces) == 1 and type(pieces[0]) is bytes


class _Body:
    """What an answer passes on, with the answer's end. Costs nothing per piece."""

    def __init__(self, pieces: Iterable[bytes], answer: Answer) -> None:
        self._pieces = pieces
        self.close = answer.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


_SLASHES = re.compile("/{2,}")


def tidy(path: str) -> str:
    """`/v1//models` and `/v1/v1/models`, as careless base URLs make them, are `/v1/models`."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    while path.startswith("/v1/v1/"):
        path = path[3:]
    return path


class App(Flask):
    response_class = Answer

    def __init__(self) -> None:
        super().__init__("gateway", static_folder=None)
        self.session_interface = NoSessions()
        self.url_map.strict_slashes = False
        self.url_map.merge_slashes = False  # `tidy` has done it, without a redirect

    def wsgi_app(self, environ: Any, start_response: Any) -> Any:
        environ["PATH_INFO"] = tidy(environ["PATH_INFO"])
        return super().wsgi_app(environ, start_response)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes depend on the path and the method alone; the worker has looked at the host."""
        if request is None:
            return None
        environ = request.environ
        return MapAdapter(
            self.url_map,
            server_name=environ["SERVER_NAME"],
            script_name="/",
            subdomain="",
            url_scheme=environ["wsgi.url_scheme"],
            path_info=request.path,
            default_method=environ["REQUEST_METHOD"],
            query_args=environ.get("QUERY_STRING", ""),
        )

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func
