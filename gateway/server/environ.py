"""The WSGI environ of a request."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Protocol

from gunicorn.http.errors import InvalidHeader
from gunicorn.http.message import Request
from gunicorn.http.wsgi import base_environ
from gunicorn.util import unquote_to_wsgi_str

Environ = dict[str, Any]

# A name or an address, and a port. RFC 3986 has more signs, which no name here can need.
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_BLOCK_BYTES = 256 * 1024


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class FileWrapper:
    """Iterates over a file in blocks large enough for a fast reader.

    Not sendfile: every block passes through the response, which counts it, frames it
    and gives a stalled reader up.
    """

    def __init__(self, file: _Readable, _block_bytes: int = _BLOCK_BYTES) -> None:
        self._file = file
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        block = self._file.read(_BLOCK_BYTES)
        if not block:
            raise StopIteration
        return block


def common(cfg: Any, server: Any) -> Environ:
    """Environ entries that are the same for every request of one listener.

    `server` is what the listener's `getsockname()` returns: a string for a Unix socket.
    """
    name, port = server[:2] if isinstance(server, tuple) else ("localhost", 80)
    return {
        **base_environ(cfg),
        "wsgi.multithread": True,
        "wsgi.file_wrapper": FileWrapper,
        "SCRIPT_NAME": "",
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
    }


def build(base: Environ, request: Request, address: Any) -> Environ:
    """The environ but for `wsgi.input` and what the worker adds.

    Raises InvalidHeader when the Host header is malformed, or missing in HTTP/1.1.
    """
    environ = base.copy()
    environ["REQUEST_METHOD"] = request.method
    environ["QUERY_STRING"] = request.query
    environ["RAW_URI"] = request.uri
    environ["PATH_INFO"] = unquote_to_wsgi_str(request.path)
    environ["SERVER_PROTOCOL"] = f"HTTP/1.{request.version[1]}"
    environ["wsgi.url_scheme"] = request.scheme
    if isinstance(address, tuple):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = address[0], str(address[1])
    else:
        environ["REMOTE_ADDR"] = ""
    for name, value in request.headers:
        key = _key(name)
        # Fields that come twice are one list, as RFC 9110, 5.3 has it.
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    host = environ.get("HTTP_HOST")
    if host is None:
        if request.version >= (1, 1):
            raise InvalidHeader("HOST", req=request)
    elif not _HOST.fullmatch(host):
        raise InvalidHeader("HOST", req=request)
    return environ


@lru_cache(maxsize=512)
def _key(name: str) -> str:
    if name in ("CONTENT-TYPE", "CONTENT-LENGTH"):
        return name.replace("-", "_")
    return "HTTP_" + name.replace("-", "_")
