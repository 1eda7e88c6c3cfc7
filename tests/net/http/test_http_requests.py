"""What crosses the wire to a vendor, and what is never let onto it."""

from __future__ import annotations

import socket
import threading

import pytest
import requests

from gateway.domain.errors import (
    GatewayError,
    InvalidRequest,
)
from gateway.domain.version import VERSION
from gateway.formats.blobs import BytesBlob
from gateway.net.http.adapter import HttpAdapter
from tests.net.calls import get, post
from tests.net.servers import answering, running


def test_request_and_answer_cross_the_wire_unchanged(http):
    seen = []

    def script(peer):
        seen.append(peer.request())
        peer.answer(b'{"a": [1]}', "Content-Type: application/json", "X-Twice: 1", "x-twice: 2")

    headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}
    with running(script) as server:
        url = server.url + "/v1/chat?alt=sse#part"
        with http.send("POST", url, headers=headers, body=b'{"b":2}') as answer:
            assert answer.status == 200
            assert answer.headers.get("CONTENT-type") == "application/json"
            assert answer.headers["X-Twice"] == "1, 2"
            assert answer.headers.get("absent") is None
            assert answer.json() == {"a": [1]}
    (request,) = seen
    assert request.line == "POST /v1/chat?alt=sse HTTP/1.1"
    assert request.body == b'{"b":2}'
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept-encoding": "identity",
        "user-agent": f"Gateway/{VERSION}",
        "accept": "application/json, text/event-stream, */*;q=0.1",
        "authorization": "Bearer k",
        "content-type": "application/json",
        "content-length": "7",
    }


def test_query_without_a_path_keeps_the_request_well_formed(http):
    seen = []

    def script(peer):
        seen.append(peer.request().line)
        peer.answer()

    with running(script) as server, http.send("GET", server.url + "?a=b", headers={}) as answer:
        assert answer.read() == b"{}"
    assert seen == ["GET /?a=b HTTP/1.1"]


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_address_of_version_6_stands_in_brackets(http):
    seen = []

    def script(peer):
        seen.append(peer.request().headers["host"])
        peer.answer()

    with running(script, host="::1") as server:
        assert get(http, server.url) == b"{}"
    assert seen == [f"[::1]:{server.port}"]


def test_large_and_streamed_bodies_arrive_whole(http):
    sizes = []

    def script(peer):
        while True:
            sizes.append(len(peer.request().body))
            peer.answer()

    big = b"x" * 3_000_000
    with running(script) as server:
        for body in (b"", big, BytesBlob(big), BytesBlob(b"")):
            assert post(http, server.url, body) == (200, b"{}")
    assert sizes == [0, len(big), len(big), 0]
    assert server.connections == 1


def test_body_of_another_size_than_announced_is_never_sent_as_complete(http):
    class Wrong:
        def __init__(self, size):
            self.size = size

        def chunks(self):
            yield b"12345"

    with running(answering()) as server:
        for size in (4, 6):
            with pytest.raises(GatewayError) as caught:
                post(http, server.url, Wrong(size))
            assert caught.value.status == 500
            assert not caught.value.sent


def test_failure_while_the_body_is_read_closes_the_connection(http):
    class Failing:
        size = 10

        def chunks(self):
            yield b"12345"
            raise RuntimeError("no more")

    left = threading.Event()

    def script(peer):
        peer.head()
        assert peer.client_left()
        left.set()

    with running(script) as server:
        with pytest.raises(RuntimeError):
            post(http, server.url, Failing())
        assert left.wait(20)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"X-A": "1\r\nX-B: 2"}),
        ("GET", "/", {"X-A": "1\nX-B: 2"}),
        ("GET", "/", {"X-A": "1\0"}),
        ("GET", "/", {"X-A": "snow \u2603"}),
        ("GET", "/", {"X-A\r\nX-B": "1"}),
        ("GET", "/", {"X A": "1"}),
        ("GET", "/", {"X-A:": "1"}),
        ("GET", "/", {"": "1"}),
        ("GET /x HTTP/1.1\r\nX: 1", "/", {}),
        ("get", "/", {}),
        ("GET", "/ HTTP/1.1\r\nX-B: 2", {}),
        ("GET", "/a b", {}),
        ("GET", "/\u00e9", {}),
    ],
)
def test_nothing_can_be_smuggled_into_a_request(http, method, path, headers):
    with running(answering()) as server:
        with pytest.raises(InvalidRequest), http.send(method, server.url + path, headers=headers):
            pass
        assert server.connections == 0


def test_headers_of_the_connection_are_left_out(http):
    headers = {"Content-Length": "5", "transfer-encoding": "chunked", "Host": "elsewhere"}
    with running(answering()) as server, http.send("GET", server.url, headers=headers) as answer:
        assert answer.read() == b"{}"


def test_a_session_of_requests_works_over_the_adapter():
    def script(peer):
        request = peer.request()
        peer.answer(request.body + request.headers["x-a"].encode())

    with running(script) as server, requests.Session() as session:
        session.mount("http://", HttpAdapter(pool_size=1))
        response = session.post(server.url, data=b"body ", headers={"X-A": "header"})
        assert (response.status_code, response.content) == (200, b"body header")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://localhost/",
        "localhost",
        "",
        "http://",
        "http:///path",
        "http://user:secret@localhost/",
        "http://local host/",
        "http://localhost\\@elsewhere/",
        "http://localhost:port/",
        "http://localhost:99999/",
        "http://localhost:0/",
        "http://b\u00fccher.example/",
    ],
)
def test_url_that_is_no_plain_one_is_refused(http, url):
    with pytest.raises(InvalidRequest), http.send("GET", url, headers={}):
        pass


def test_environment_and_netrc_do_not_reach_vendors(monkeypatch, tmp_path, http):
    seen = []

    def script(peer):
        seen.append(peer.request())
        peer.answer(b"{}", "Set-Cookie: a=b")
        seen.append(peer.request())
        peer.answer()

    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with running(answering()) as proxy, running(script) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for _ in range(2):
            assert post(http, server.url) == (200, b"{}")
        assert proxy.connections == 0
    for request in seen:
        assert not {"authorization", "cookie"} & set(request.headers)


def test_redirects_are_answers_like_any_other(http):
    with running(answering(b"", "Location: /other", status="302 Found")) as server:
        assert post(http, server.url) == (302, b"")
