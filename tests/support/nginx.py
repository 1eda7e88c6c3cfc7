"""nginx before a gateway: as this project configures it, or as it is without a thought."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server.serving import until
from tests.support.process import ROOT, free_port, running

_MAIN = """
{user}
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
worker_rlimit_nofile 10000;
events {{ worker_connections 4000; }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {site}
}}
"""
# What nginx does by itself: HTTP/1.0 and a connection per request before 1.29.7, then
# HTTP/1.1 and kept connections.
_OLD_DEFAULTS = "proxy_http_version 1.0;"
_NEW_DEFAULTS = 'proxy_http_version 1.1; proxy_set_header Connection "";'
_PLAIN = """
    access_log off;
    upstream gateway {{ server 127.0.0.1:{target}; {keepalive} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://gateway; {defaults} }}
    }}
"""
SITES = ("old-defaults", "new-defaults", "shipped")


@contextmanager
def nginx(site: str, target: int, directory: Path, *, second: int | None = None) -> Iterator[str]:
    """One of `SITES` before the gateway at port `target`; yields its address.

    The shipped one can have a `second` machine, as its comment shows.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert program, "nginx is missing; on Debian: apt-get install nginx"
    port = free_port()
    text = _MAIN.format(
        directory=directory,
        # As root nginx would become nobody, who may not write where tests do.
        user="" if os.geteuid() else "user root;",
        site=_site(site, target, port, directory, second),
    )
    (directory / "nginx.conf").write_text(text)
    command = [program, "-p", str(directory), "-c", str(directory / "nginx.conf")]
    log = directory / "nginx.out"
    with running([*command, "-g", "daemon off;"], env={}, cwd=directory, log=log) as process:

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listens)
        yield f"http://127.0.0.1:{port}"


def _site(site: str, target: int, port: int, directory: Path, second: int | None) -> str:
    if site == "shipped":
        text = (ROOT / "deploy/nginx.conf").read_text()
        if second is not None:
            commented = "# server 10.0.0.2:8000 max_fails=0;"
            assert commented in text
            text = text.replace(commented, f"server 127.0.0.1:{second} max_fails=0;")
        for old, new in (
            ("listen 80;", f"listen 127.0.0.1:{port};"),
            ("127.0.0.1:8000", f"127.0.0.1:{target}"),
            ("/var/log/nginx/gateway.log", str(directory / "access.log")),
        ):
            assert old in text, f"deploy/nginx.conf has no {old!r}"
            text = text.replace(old, new)
        return text
    old = site == "old-defaults"
    return _PLAIN.format(
        target=target,
        port=port,
        keepalive="" if old else "keepalive 32;",
        defaults=_OLD_DEFAULTS if old else _NEW_DEFAULTS,
    )
