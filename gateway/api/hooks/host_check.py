"""By which names the gateway may be called once it has a public address.

Pages of others can point a name of theirs at this machine and have a browser ask it as if
it were theirs. Addresses, and names that nobody can register, cannot be used for that.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from flask import Flask, request

from gateway.domain.errors import InvalidRequest

# RFC 6761, 6762 and 8375; the last is ICANN's for private use.
_PRIVATE = (".localhost", ".test", ".local", ".home.arpa", ".internal")


def register(app: Flask, public_url: str | None) -> None:
    if public_url is None:
        return
    public = urlsplit(public_url).hostname or ""

    @app.before_request
    def check() -> None:
        host = request.environ.get("HTTP_HOST")
        if host is not None and not _is_ours(host, public):
            raise InvalidRequest(
                f"This gateway has another name; its address is {public_url}.", code="invalid_host"
            )


@lru_cache(maxsize=256)
def _is_ours(host: str, public: str) -> bool:
    name = host.lower()
    if name.startswith("["):
        return _is_address(name[1:].partition("]")[0])
    name = name.partition(":")[0].removesuffix(".")
    if "." not in name:
        return name != ""
    return name == public or name.endswith(_PRIVATE) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
