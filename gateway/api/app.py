"""Flask without what no request here uses: sessions, subdomains, async views.

And with answers that end properly: Werkzeug leaves an iterable that it passes through
unopened, so that neither `close` nor `call_on_close` would be heard of again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeGuard

from flask import Flask, Request, Response
from flask.ctx import RequestContext
from flask.sessions import SessionInterface, SessionMixin
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter, Rule

from gateway.api.context import State
from gateway.api.http.multipart import FormParser


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


class _Context(RequestContext):
    """Knows the addresses that are one word for word without matching them."""

    app: App

    def match_request(self) -> None:
        environ, request = self.request.environ, self.request
        rule = self.app.literal_rules.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if rule is None:
            super().match_request()
        else:
            request.url_rule, request.view_args = rule, {}


class _Request(Request):
    form_data_parser_class = FormParser


class App(Flask):
    """Flask with hooks of the app alone: no signals, and no hooks of blueprints."""

    request_class = _Request
    response_class = Answer
    app_ctx_globals_class = State  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__("gateway", static_folder=None)
        self.session_interface = NoSessions()
        self.url_map.strict_slashes = False
        self.url_map.merge_slashes = False  # `tidy` has done it, without a redirect

    def wsgi_app(self, environ: Any, start_response: Any) -> Any:
        environ["PATH_INFO"] = tidy(environ["PATH_INFO"])
        return super().wsgi_app(environ, start_response)

    @cached_property
    def literal_rules(self) -> dict[tuple[str, str], Rule]:
        """By method and path; all routes must have been added when it is first asked for."""
        rules = [rule for rule in self.url_map.iter_rules() if not rule.arguments]
        return {(method, rule.rule): rule for rule in rules for method in rule.methods or ()}

    def request_context(self, environ: Any) -> RequestContext:
        return _Context(self, environ)

    def full_dispatch_request(self) -> Response:
        answer: Any
        try:
            answer = self.preprocess_request()
            if answer is None:
                answer = self.dispatch_request()
        except Exception as err:  # noqa: BLE001  # Flask's own boundary: see `api.errors`
            answer = self.handle_user_exception(err)
        if type(answer) is not Answer:
            answer = self.make_response(answer)
        return self.process_response(answer)

    def preprocess_request(self) -> ResponseReturnValue | None:
        for hook in self.before_request_funcs[None]:
            answer = hook()
            if answer is not None:
                return answer  # type: ignore[return-value]  # async hooks there are none
        return None

    def process_response(self, response: Response) -> Response:
        for hook in reversed(self.after_request_funcs[None]):
            response = hook(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        for hook in reversed(self.teardown_request_funcs[None]):
            hook(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        for hook in reversed(self.teardown_appcontext_funcs):
            hook(exc)

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
