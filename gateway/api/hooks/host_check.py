"""Check of the host that a request names, once the gateway has a public address.

Other people's pages can point a name of theirs at this machine and have a browser ask it
(DNS rebinding). Addresses, and names that nobody can register, cannot be used for that.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from gateway.api.context import RequestContext
from gateway.domain.errors import InvalidRequest

# RFC 6761, 6762 and 8375; the last is ICANN's for private use.
_PRIVATE = (".localhost", ".test", ".local", ".home.arpa", ".internal")


class HostCheck:
    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._public_host = urlsplit(public_url).hostname or ""

    def __call__(self, context: RequestContext) -> None:
        """Raises InvalidRequest for a host that is not the gateway's."""
        host = context.environ.get("HTTP_HOST")
        if host is not None and not _is_allowed(host, self._public_host):
            raise InvalidRequest(
                f"This gateway has another name; its address is {self._public_url}.",
                code="invalid_host",
            )


@lru_cache(maxsize=256)
def _is_allowed(host: str, public_host: str) -> bool:
    name = host.lower()
    if name.startswith("["):
        return _is_address(name[1:].partition("]")[0])
    name = name.partition(":")[0].removesuffix(".")
    if "." not in name:
        return name != ""
    return name == public_host or name.endswith(_PRIVATE) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
