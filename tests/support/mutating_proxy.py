"""A proxy before the simulators that changes one response as a mutation says."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from tests.support.mutations import Mutation, Reply

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"}


@dataclass
class Plan:
    """A mutation of the first response to a request that contains `step`, or matches it."""

    step: str | re.Pattern[str]
    mutation: Mutation | None
    replies: list[Reply] = field(default_factory=list)
    applied: bool = False

    def concerns(self, line: str) -> bool:
        """Tell if the plan is for a request of this method and path."""
        return self.step in line if isinstance(self.step, str) else bool(self.step.search(line))


class MutatingProxy:
    """Plans are chosen by a mark in the credential; the plan of "" is everybody's."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.url = ""
        self.plans: dict[str, Plan] = {}
        self._lock = Lock()

    @classmethod
    @contextmanager
    def started(cls, target: str) -> Iterator[MutatingProxy]:
        proxy = cls(target)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                with suppress(OSError):
                    proxy.answer(self)

            do_POST = do_DELETE = do_PATCH = do_PUT = do_HEAD = do_GET

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Forward a request, and send its response as it is or changed."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        reply = self._forward(handler, body)
        plan = self._plan(handler)
        if plan is not None and plan.concerns(f"{handler.command} {handler.path}"):
            with self._lock:
                first = not plan.replies
                plan.replies.append(reply)
            if first and plan.mutation is not None:
                reply = plan.mutation.apply(reply)
                plan.applied = True
        _send(handler, reply)

    def _plan(self, handler: BaseHTTPRequestHandler) -> Plan | None:
        credential = handler.headers.get("Authorization", "") + handler.headers.get(
            "x-goog-api-key", ""
        )
        for mark, plan in list(self.plans.items()):
            if mark and mark in credential:
                return plan
        return self.plans.get("")

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> Reply:
        connection = http.client.HTTPConnection(self.target.hostname or "", self.target.port or 80)
        try:
            headers: dict[str, Any] = dict(handler.headers.items())
            connection.request(handler.command, handler.path, body or None, headers)
            got = connection.getresponse()
            kept = tuple((k, v) for k, v in got.getheaders() if k.lower() not in _HOP)
            return Reply(got.status, kept, got.read())
        finally:
            connection.close()


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    head = [f"HTTP/1.1 {reply.status} Whatever"]
    head += [f"{name}: {value}" for name, value in reply.headers]
    body = reply.body
    if reply.framing == "bytes":
        head.append("Transfer-Encoding: chunked")
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    elif reply.framing == "close":
        head.append("Connection: close")
        handler.close_connection = True
    elif reply.framing == "short":
        head.append(f"Content-Length: {len(body) + 10}")
        handler.close_connection = True
    elif handler.command != "HEAD" and reply.status not in (204, 304):
        head.append(f"Content-Length: {len(body)}")
    handler.wfile.write("\r\n".join((*head, "", "")).encode("latin-1") + body)


Recorder = Callable[[str], Plan]
