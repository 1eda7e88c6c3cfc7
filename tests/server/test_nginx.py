"""deploy/nginx.conf in front of a real gunicorn, as Debian's nginx runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server.serving import Answer, Client, Cut, Server, serving, until
from tests.support.process import ROOT, free_port, running

MAIN = """
{user}
pid {directory}/nginx.pid;
worker_shutdown_timeout 1s;
error_log {directory}/nginx-error.log;
events {{}}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/gateway.conf;
}}
"""


@dataclass
class Edge:
    port: int
    server: Server
    log: Path

    def client(self) -> Client:
        return Client(self.port)

    def get(self, target: str, *lines: str) -> Answer:
        with self.client() as client:
            return client.get(target, *lines).answer()


def replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"deploy/nginx.conf has no {old!r}"
    return text.replace(old, new)


@contextmanager
def started(directory: Path) -> Iterator[Edge]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    assert nginx, "nginx is not installed: apt-get install nginx-light"
    with serving(directory) as server:
        port = free_port()
        conf = (ROOT / "deploy/nginx.conf").read_text()
        conf = replaced(conf, "listen 80;", f"listen 127.0.0.1:{port};")
        conf = replaced(conf, "127.0.0.1:8000", f"127.0.0.1:{server.port}")
        conf = replaced(conf, "/var/log/nginx/gateway.log", str(directory / "access.log"))
        (directory / "gateway.conf").write_text(conf)
        # As root nginx would become nobody, who may not write where tests do.
        user = "" if os.geteuid() else "user root;"
        (directory / "nginx.conf").write_text(MAIN.format(directory=directory, user=user))
        command = [nginx, "-p", str(directory), "-c", str(directory / "nginx.conf")]
        command += ["-g", "daemon off;"]
        log = directory / "nginx.out"
        with running(command, env={}, cwd=directory, log=log) as process:
            edge = Edge(port, server, directory / "access.log")

            def answers() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return edge.get("/plain").status == 200
                except OSError:
                    return False

            until(answers)
            yield edge


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    with started(tmp_path_factory.mktemp("nginx")) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(edge):
    edge.server.forget()


def code(answer: Answer) -> str:
    """The code of an error in the shape of the API."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["code"])


def test_stream_passes_event_by_event(edge):
    with edge.client() as client:
        client.get("/stream?n=3&every=0.5").head()
        events = [client.read_until(b"\n\n") for _ in range(3)]
        assert all(event.count(b"data:") == 1 for event in events)
        assert "stream complete" not in edge.server.notes()
        assert client.read_until(b"0\r\n\r\n")


def test_heartbeats_pass_through_an_early_response(edge):
    with edge.client() as client:
        assert client.get("/heartbeat?wait=1.5").head()[0] == 200
        chunks = list(iter(client.chunk, b""))
    assert chunks[0] == b" "
    assert json.loads(b"".join(chunks)) == {"started": True}


@pytest.mark.parametrize("target", ["/crash?late=1", "/heartbeat?wait=1&then=raise"])
def test_answer_that_breaks_off_breaks_off_for_the_client_too(edge, target):
    with edge.client() as client, pytest.raises(Cut):
        client.get(target).answer()


def test_client_that_leaves_ends_the_request_behind_nginx(edge):
    with edge.client() as client:
        client.get("/wait")
        edge.server.noted("waiting")
    edge.server.noted("ended by ClientGone")


def test_body_over_the_limit_is_refused_in_the_shape_of_the_api(edge):
    with edge.client() as client:
        client.get("/echo", f"Content-Length: {111 << 20}", method="POST")
        answer = client.answer()
    assert (answer.status, code(answer)) == (413, "request_too_large")


def test_large_body_under_the_limit_passes(edge):
    with edge.client() as client:
        client.post("/echo", bytes(20 << 20))
        assert client.answer().json() == {"bytes": 20 << 20}


@pytest.mark.parametrize(
    ("request_bytes", "status", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_request"),
        (b"nonsense here\r\n\r\n", 400, "invalid_request"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            501,
            "unsupported_transfer_coding",
        ),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "invalid_request"),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"x" * 20000 + b"\r\n\r\n",
            400,
            "invalid_request",
        ),
    ],
)
def test_request_nginx_cannot_read_is_refused_in_the_shape_of_the_api(
    edge, request_bytes, status, expected
):
    with edge.client() as client:
        answer = client.send(request_bytes).answer()
    assert (answer.status, code(answer)) == (status, expected)


def test_errors_of_the_gateway_pass_untouched(edge):
    answer = edge.get("/crash")
    assert (answer.status, code(answer)) == (500, "internal_error")
    assert edge.get("/heartbeat?then=error").json() == {"error": {}}


def test_address_of_the_client_cannot_be_made_up(edge):
    spoofed = ["X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 8.8.8.8", "Forwarded: for=7.7.7.7"]
    environ = edge.get(
        "/environ", *spoofed, "X-Forwarded-Host: evil", "X-Forwarded-Proto: https", "X_A: 1"
    ).json()
    assert environ["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "http"
    assert not {"HTTP_FORWARDED", "HTTP_X_FORWARDED_HOST", "HTTP_X_A"} & set(environ)


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 129, False)]
)
def test_request_id_is_the_clients_if_it_is_sane(edge, sent, kept):
    environ = edge.get("/environ", f"X-Request-Id: {sent}").json()
    assert (environ["HTTP_X_REQUEST_ID"] == sent) is kept
    assert environ["HTTP_X_REQUEST_ID"]


def test_host_is_passed_on_as_the_client_named_it(edge):
    with edge.client() as client:
        client.send(b"GET /environ HTTP/1.1\r\nHost: example.com:8080\r\n\r\n")
        assert client.answer().json()["HTTP_HOST"] == "example.com:8080"
        client.send(b"GET /environ HTTP/1.0\r\n\r\n")
        assert client.answer().json()["HTTP_HOST"]


def test_log_has_no_query(edge):
    edge.get("/plain?sig=secret")
    until(lambda: "/plain" in edge.log.read_text())
    assert "secret" not in edge.log.read_text()


def test_connections_to_the_gateway_are_reused(edge):
    ports = {edge.get("/environ").json()["REMOTE_PORT"] for _ in range(5)}
    assert len(ports) < 5


def test_reload_ends_streams_when_their_time_is_over_and_refuses_nothing(edge):
    with edge.client() as client:
        client.get("/stream?n=1000&every=0.1").head()
        assert client.chunk()
        os.kill(int((edge.log.parent / "nginx.pid").read_text()), signal.SIGHUP)
        for _ in range(20):
            assert edge.get("/plain").status == 200
        with pytest.raises(Cut):
            list(iter(client.chunk, b""))
    edge.server.noted("stream cleaned up")


def test_gateway_that_is_down_is_an_error_in_the_shape_of_the_api(tmp_path):
    with started(tmp_path) as edge:
        edge.server.process.terminate()
        edge.server.process.wait(20)
        answer = edge.get("/plain")
    assert (answer.status, code(answer)) == (502, "gateway_unreachable")


def test_configuration_has_no_errors_in_the_eyes_of_nginx(edge):
    directory = edge.log.parent
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    command = [str(nginx), "-t", "-p", str(directory), "-c", str(directory / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "warn" not in done.stderr
    assert done.returncode == 0, done.stderr
