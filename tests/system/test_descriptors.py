"""A gateway that may open few files: callers wait, and no vendor is blamed."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

FILES = 256
IDLE = 150


def test_callers_fit_into_the_file_descriptors_that_there_are(gateway_factory):
    limit = ("prlimit", f"--nofile={FILES}:{FILES}")
    body = {"model": "doubao", "messages": [{"role": "user", "content": "hi"}]}
    with gateway_factory.started(before=limit, workers=1) as gateway, ExitStack() as idle:
        assert f"{FILES} file descriptors leave room for" in gateway.log.read_text()
        port = int(gateway.url.rpartition(":")[2])
        for _ in range(IDLE):
            sock = idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with ThreadPoolExecutor(20) as threads:
            asked = [threads.submit(gateway.post, "/v1/chat/completions", body) for _ in range(100)]
            statuses = [future.result().status_code for future in asked]
        assert set(statuses) == {200}
        assert gateway.get("/ready").status_code == 200
        log = gateway.log.read_text()
        assert "Too many open files" not in log
        assert "account_" not in log
