"""`python -m gateway.simulators`: all vendors on one real socket."""

from __future__ import annotations

from gevent import monkey

# Nothing here speaks TLS, and the package around may have imported `ssl` already.
monkey.patch_all(ssl=False)

import argparse  # noqa: E402  the standard library is imported patched
import os  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

from gevent import pywsgi, spawn  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402

from gateway.simulators.app import create_app  # noqa: E402

_BACKLOG = 8192


class _Handler(pywsgi.WSGIHandler):  # type: ignore[misc]
    """Shows the app its client's socket, and writes no log."""

    def get_environ(self) -> dict[str, Any]:
        """Add the socket, with which a stream notices that its client left."""
        environ: dict[str, Any] = super().get_environ()
        environ["simulators.socket"] = self.socket
        self.requests = getattr(self, "requests", 0) + 1
        environ["simulators.requests"] = self.requests
        return environ

    def handle(self) -> None:
        """Serve one connection; small frames leave at once."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle()


def main() -> None:
    """Serve until a signal, or until standard input ends."""
    args = _arguments()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = pywsgi.WSGIServer(
        (args.host, args.port),
        create_app(),
        log=None,
        handler_class=_Handler,
        backlog=_BACKLOG,
    )
    try:
        server.start()
    except OSError as err:
        sys.exit(f"--port {args.port}: {os.strerror(err.errno or 0)}")
    if args.until_eof:
        # A parent that drains still has sessions to delete when the signal arrives.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        spawn(_stop_at_end_of_input, server)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"simulators on http://{args.host}:{server.server_port}", flush=True)
    try:
        server.serve_forever(stop_timeout=0)
    except KeyboardInterrupt:
        server.stop(timeout=0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.simulators", description=__doc__)
    parser.add_argument("--port", type=_port, required=True, help="0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--until-eof", action="store_true", help="ignore signals, exit when standard input ends"
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError("a port is a number below 65536")
    return int(text)


def _stop_at_end_of_input(server: pywsgi.WSGIServer) -> None:
    with FileObject(sys.stdin.buffer, "rb", close=False) as source:
        while source.read(4096):
            pass
    server.stop(timeout=0)


if __name__ == "__main__":
    main()
