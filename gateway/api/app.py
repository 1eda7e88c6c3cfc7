"""Flask with the gateway's own request and response classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import Flask, Request, Response
from werkzeug.datastructures import Headers

from gateway.api.http.multipart import FormParser

_SLASHES = re.compile("/{2,}")


class ApiResponse(Response):
    """A response that is sent once, so that its headers need no copy to be completed."""

    fixed_headers: Sequence[tuple[str, str]] = ()
    """Headers known to be valid; they are sent after the others."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        status, headers = self.status_code, self.headers
        if not 200 <= status < 300 or status == 204 or "Location" in headers:
            return super().get_wsgi_headers(environ)
        if self.is_sequence and "Content-Length" not in headers:
            headers["Content-Length"] = str(sum(map(len, self.iter_encoded())))
        return headers

    def get_wsgi_response(self, environ: Any) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        body, status, headers = super().get_wsgi_response(environ)
        return body, status, [*headers, *self.fixed_headers]


class ApiRequest(Request):
    form_data_parser_class = FormParser


class App(Flask):
    """Flask for synchronous views. Its routes depend on the method and the path alone."""

    request_class = ApiRequest
    response_class = ApiResponse

    def __init__(self) -> None:
        super().__init__("gateway", static_folder=None)
        self.json.sort_keys = False  # type: ignore[attr-defined]
        self.url_map.strict_slashes = False
        self.url_map.merge_slashes = False  # `normalized_path` has done it, without a redirect
        self.wsgi_app = _with_normalized_path(self.wsgi_app)  # type: ignore[method-assign]

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def normalized_path(path: str) -> str:
    """`/v1//models` and `/v1/v1/models`, as careless base URLs make them, are `/v1/models`."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    while path.startswith("/v1/v1/"):
        path = path[3:]
    return path


def _with_normalized_path(app: Any) -> Any:
    def normalizing(environ: Any, start_response: Any) -> Iterable[bytes]:
        environ["PATH_INFO"] = normalized_path(environ["PATH_INFO"])
        return app(environ, start_response)  # type: ignore[no-any-return]

    return normalizing
