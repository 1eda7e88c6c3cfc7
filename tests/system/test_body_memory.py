"""The memory of request bodies is bounded, and comes back when an upload is cut."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from tests.server.serving import report, until

MIB = 1 << 20
SIZE = 99 * MIB


def sending(gateway, size: int, *, of: int = SIZE) -> socket.socket:
    """A connection that has sent `size` bytes of a body of text, `of` announced."""
    parts = urlsplit(gateway.url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=60)
    sock.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer any-text-will-do\r\nContent-Length: %d\r\n\r\n"
        % of
        + b'{"model": "doubao", "messages": [{"role": "user", "content": "'
    )
    for _ in range(size // MIB):
        sock.sendall(b"x" * MIB)
    return sock


def memory(gateway) -> int:
    return sum(worker.memory_info().rss for worker in gateway.workers())


def test_uploads_that_are_cut_or_never_end_hold_no_memory(gateway_factory, soak):
    count = 40 if soak else 4
    with gateway_factory.started(workers=1) as gateway, ExitStack() as open_for_now:
        assert gateway.chat().status_code == 200
        before = memory(gateway)
        for _ in range(count):
            sending(gateway, 98 * MIB).close()
        for _ in range(count):
            open_for_now.enter_context(sending(gateway, 98 * MIB))
        until(lambda: memory(gateway) - before < 50 * MIB)
        time.sleep(1)
        grown = memory(gateway) - before
        report(f"{2 * count} uploads of 98 MB, cut or unfinished: +{grown / MIB:.0f} MB")
        assert grown < 50 * MIB
        assert gateway.chat().status_code == 200


def test_text_beyond_what_a_prompt_can_need_is_refused(gateway):
    answer = gateway.chat("x" * (17 * MIB))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
