"""Fetching from a network whose names and connections are known."""

from __future__ import annotations

import socket
import sys

from gateway.domain.errors import (
    GatewayError,
)
from gateway.net.fetch.fetcher import Fetcher

LIMIT = 1_000_000


class Watch:
    """Every connection that this process tries to make, by way of an audit hook."""

    def __init__(self):
        self.ports = None
        sys.addaudithook(self._hook)

    def __enter__(self):
        self.ports = []
        return self.ports

    def __exit__(self, *_):
        self.ports = None

    def _hook(self, event, args):
        if event == "socket.connect" and self.ports is not None:
            self.ports.append(args[1][1])


WATCH = Watch()


def names(**hosts):
    """A resolver that knows these names (dots as underscores) and numbers in any spelling."""
    table = {name.replace("_", "."): addresses for name, addresses in hosts.items()}
    asked = []

    def resolver(host, port, **options):
        asked.append(host)
        if host not in table:
            # Without a network: what is no number has no address.
            return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **options)
        addresses = table[host]
        if callable(addresses):
            addresses = addresses()
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    resolver.asked = asked
    return resolver


def fetch(fetcher, url, *, limit=LIMIT, **options):
    with fetcher.open(url, limit=limit, **options) as fetched:
        return b"".join(fetched.chunks())


def outcome(fetcher, url, **options):
    try:
        return fetch(fetcher, url, **options)
    except GatewayError as err:
        return err


def open_fetcher(**options):
    return Fetcher(allow_private="on", resolver=names(), **options)
