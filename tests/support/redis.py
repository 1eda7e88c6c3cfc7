"""A real Redis on a port of its own."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.process import clean_env, free_port, running

PASSWORD = "redis-password"


class RedisServer:
    def __init__(self, directory: Path, password: str, certificate: Path | None) -> None:
        self.port = free_port()
        scheme = "rediss" if certificate else "redis"
        self.url = f"{scheme}://:{password}@127.0.0.1:{self.port}/0"
        self._certificate = certificate
        self._password = password
        self._directory = directory
        self._stack = ExitStack()

    @classmethod
    @contextmanager
    def started(
        cls, directory: Path, *, password: str = PASSWORD, certificate: Path | None = None
    ) -> Iterator[RedisServer]:
        """With a file of a certificate and its key it speaks TLS and nothing else."""
        server = cls(directory, password, certificate)
        server.start()
        try:
            yield server
        finally:
            server.thaw()
            server.kill()

    def start(self) -> None:
        port = ["--port", str(self.port)]
        if self._certificate:
            file = str(self._certificate)
            port = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            port += ["--tls-cert-file", file, "--tls-key-file", file]
        command = [
            *(str(shutil.which("redis-server")), *port),
            *("--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            *("--requirepass", self._password),
        ]
        log = self._directory / "redis.log"
        self._process = self._stack.enter_context(
            running(command, env=clean_env({}), cwd=self._directory, log=log)
        )
        deadline = time.monotonic() + 20
        while self.ask("PING") != "+PONG":
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)

    def ask(self, command: str) -> str:
        """The first line of Redis' answer; nothing when there is none."""
        try:
            with self._connected() as link:
                link.sendall(f"AUTH {self._password}\r\n{command}\r\n".encode())
                with link.makefile() as answer:
                    answer.readline()
                    return answer.readline().strip()
        except OSError:
            return ""

    def _connected(self) -> socket.socket:
        link = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        if self._certificate is None:
            return link
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(link)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stack.close()
