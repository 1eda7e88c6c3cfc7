"""Files from outside: what arrives, what is followed, what is too large, broken or slow."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from gateway.domain.errors import (
    InvalidImageUrl,
    RequestTooLarge,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamTimeout,
)
from gateway.domain.version import VERSION
from gateway.net.fetch.fetcher import Fetcher
from tests.net.fetching import LIMIT, fetch, names, open_fetcher, outcome
from tests.net.servers import CHUNKED, answering, running, saying


def test_file_arrives_with_what_its_server_says_of_it():
    seen = []

    def script(peer):
        seen.append(peer.request())
        peer.answer(b"x" * 100_000, "Content-Type: Image/PNG; charset=x", "Set-Cookie: a=b")

    with (
        running(script) as server,
        open_fetcher().open(
            f"{server.url}/a b/\u00e9%20c.png?q=\u00fc|#part", limit=LIMIT
        ) as fetched,
    ):
        assert fetched.mime_type == "image/png"
        assert fetched.size == 100_000
        assert b"".join(fetched.chunks()) == b"x" * 100_000
    assert seen[0].line == "GET /a%20b/%C3%A9%20c.png?q=%C3%BC%7C HTTP/1.1"
    assert seen[0].headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept-encoding": "identity",
        "user-agent": f"Gateway/{VERSION}",
        "accept": "*/*",
    }


def test_international_name_is_resolved_in_its_ascii_form():
    resolver = names(**{"xn--bcher-kva_test": ["127.0.0.1"]})
    fetcher = Fetcher(allow_private="on", resolver=resolver)
    with running(answering(b"ok")) as server:
        assert fetch(fetcher, f"http://B\u00fccher.test:{server.port}/") == b"ok"
    assert resolver.asked == ["xn--bcher-kva.test"]


def test_server_that_says_nothing_of_its_file_is_taken_at_that():
    with (
        running(saying(b"HTTP/1.1 200 OK\r\n\r\nfile")) as server,
        open_fetcher().open(server.url, limit=LIMIT) as fetched,
    ):
        assert (fetched.mime_type, fetched.size) == ("", None)
        assert b"".join(fetched.chunks()) == b"file"


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
def test_redirects_are_followed(status):
    def script(peer):
        request = peer.request()
        if request.path == "/end?x":
            peer.answer(b"here")
        else:
            peer.answer(b"", "Location: ../end?x#y", status=status)

    with running(script) as server:
        assert fetch(open_fetcher(), f"{server.url}/a/b") == b"here"
        assert server.connections == 2


def test_three_redirects_are_followed_and_no_more():
    with running(answering(b"", "Location: /loop", status="302 Found")) as server:
        with pytest.raises(InvalidImageUrl):
            fetch(open_fetcher(), server.url)
        assert server.connections == 4
        with pytest.raises(InvalidImageUrl):
            fetch(open_fetcher(), server.url, accept_redirects=0)
        assert server.connections == 5


def test_redirect_from_https_to_http_is_refused(authority):
    resolver = names(pictures_test=["127.0.0.1"])
    fetcher = Fetcher(allow_private="on", resolver=resolver, ca_file=authority.file)
    with running(answering()) as plain:
        back = answering(b"", f"Location: {plain.url}", status="302 Found")
        with running(back, tls=authority.server("pictures.test")) as secure:
            with pytest.raises(InvalidImageUrl):
                fetch(fetcher, f"https://pictures.test:{secure.port}/")
            assert secure.connections == 1
        assert plain.connections == 0


def test_headers_go_to_their_own_origin_only():
    seen = []

    def elsewhere(peer):
        seen.append(("elsewhere", peer.request().headers.get("authorization")))
        peer.answer(b"", f"Location: {first.url}/end", status="302 Found")

    def script(peer):
        request = peer.request()
        seen.append((request.path, request.headers.get("authorization")))
        place = {"/": "/same", "/same": other.url}.get(request.path)
        if place:
            peer.answer(b"", f"Location: {place}", status="302 Found")
        else:
            peer.answer(b"file")

    with running(script) as first, running(elsewhere) as other:
        assert fetch(open_fetcher(), first.url, headers={"Authorization": "secret"}) == b"file"
    assert seen == [("/", "secret"), ("/same", "secret"), ("elsewhere", None), ("/end", None)]


def test_environment_and_netrc_do_not_reach_the_servers(monkeypatch, tmp_path):
    seen = []

    def script(peer):
        seen.append(peer.request().headers)
        peer.answer(b"ok")

    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with running(answering()) as proxy, running(script) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert fetch(open_fetcher(), server.url) == b"ok"
        assert proxy.connections == 0
    assert "authorization" not in seen[0]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n" + b"x" * 1_000_001,
        CHUNKED + b"f4241\r\n" + b"x" * 1_000_001 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_001,
    ],
)
def test_file_beyond_the_limit_is_too_large(data):
    with running(saying(data)) as server:
        with pytest.raises(RequestTooLarge):
            fetch(open_fetcher(), server.url)
        with pytest.raises(UpstreamInvalidResponse) as caught:
            fetch(open_fetcher(), server.url, vendor=True)
        assert caught.value.sent
        assert fetch(open_fetcher(), server.url, limit=1_000_001) == b"x" * 1_000_001


def test_endless_file_is_cut_off_at_the_limit():
    sent = []
    over = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        try:
            while True:
                peer.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
                sent.append(10_000)
        except OSError:
            over.set()

    with running(script) as server:
        with pytest.raises(RequestTooLarge):
            fetch(open_fetcher(), server.url)
        assert over.wait(20)
    assert sum(sent) < 30_000_000


@pytest.mark.parametrize(
    "status",
    ["204 No Content", "206 Partial", "300 Choices", "304 Same", "401 No", "404 No", "500 Oops"],
)
def test_answer_that_is_not_the_file_is_refused(status):
    with running(answering(b"<html>", status=status)) as server:
        with pytest.raises(InvalidImageUrl, match=status[:3]):
            fetch(open_fetcher(), server.url)
        with pytest.raises(UpstreamError) as caught:
            fetch(open_fetcher(), server.url, vendor=True)
        assert caught.value.sent


FAULTS = [
    (b"", UpstreamDisconnected),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", UpstreamInvalidResponse),
    (CHUNKED + b"9\r\nshort", UpstreamDisconnected),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nzip", UpstreamInvalidResponse),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: br, gzip\r\n\r\nzip", UpstreamInvalidResponse),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nfile", UpstreamInvalidResponse),
    (b"220 smtp ready\r\n", UpstreamInvalidResponse),
    (b"HTTP/1.1 302 Found\r\nLocation: http://\xff/\r\n\r\n", UpstreamInvalidResponse),
    (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", UpstreamInvalidResponse),
    (b"HTTP/1.1 302 Found\r\nLocation: /\tx\r\n\r\n", UpstreamInvalidResponse),
    (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", UpstreamError),
]


@pytest.mark.parametrize(("data", "kind"), FAULTS)
def test_broken_answers_are_refused(data, kind):
    with running(saying(data)) as server:
        assert type(outcome(open_fetcher(), server.url)) is InvalidImageUrl
        with pytest.raises(kind) as caught:
            fetch(open_fetcher(), server.url, vendor=True)
        assert caught.value.sent


def test_slow_file_ends_with_the_total_time():
    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        while not peer.client_left(0.05):
            peer.send(b"1\r\nx\r\n")

    with running(script) as server:
        for vendor, kind in ((False, InvalidImageUrl), (True, UpstreamTimeout)):
            begun = time.monotonic()
            with pytest.raises(kind):
                fetch(open_fetcher(total_s=0.4), server.url, vendor=vendor)
            assert time.monotonic() - begun < 15
        with pytest.raises(InvalidImageUrl):
            fetch(open_fetcher(), server.url, total_s=0.3)


def test_all_redirects_together_have_one_total_time():
    def script(peer):
        peer.request()
        if not peer.client_left(0.3):
            peer.answer(b"", "Location: /again", status="302 Found")

    with running(script) as server:
        begun = time.monotonic()
        with pytest.raises(InvalidImageUrl):
            fetch(open_fetcher(total_s=0.5), server.url, accept_redirects=1000)
        assert time.monotonic() - begun < 15
        assert server.connections <= 2


def test_silent_server_ends_with_the_time_to_the_first_byte():
    def script(peer):
        peer.client_left()

    with running(script) as server, pytest.raises(InvalidImageUrl):
        fetch(open_fetcher(first_byte_s=0.3), server.url)


def test_slow_resolver_does_not_hold_its_caller():
    over = threading.Event()

    def resolver(*_, **__):
        over.wait(30)
        return []

    fetcher = Fetcher(resolver=resolver, connect_s=0.3)
    begun = time.monotonic()
    try:
        with pytest.raises(InvalidImageUrl):
            fetch(fetcher, "http://slow.test/")
        assert time.monotonic() - begun < 15
    finally:
        over.set()


def test_caller_cannot_tell_why_an_address_was_not_reached():
    with socket.socket() as unused, running(lambda peer: peer.client_left()) as silent:
        unused.bind(("127.0.0.1", 0))
        nobody = unused.getsockname()[1]
        strict = Fetcher(resolver=names(inside_test=["10.0.0.1"]))
        lenient = open_fetcher(first_byte_s=0.2)
        results = [
            outcome(strict, "http://inside.test/"),
            outcome(strict, "http://unknown.test/"),
            outcome(strict, "http://[::1]/"),
            outcome(strict, "nonsense"),
            outcome(lenient, f"http://127.0.0.1:{nobody}/"),
            outcome(lenient, silent.url),
        ]
    assert {type(result) for result in results} == {InvalidImageUrl}
    assert len({result.message for result in results}) == 1


def test_next_address_is_tried_when_one_does_not_answer():
    with socket.socket() as unused, running(answering(b"ok")) as server:
        unused.bind(("127.0.0.2", 0))
        resolver = names(two_test=["127.0.0.2", "127.0.0.1"])
        fetcher = Fetcher(allow_private="on", resolver=resolver)
        assert fetch(fetcher, f"http://two.test:{server.port}/") == b"ok"


def test_abandoned_file_closes_its_connection_at_once():
    left = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"1\r\nx\r\n")
        if peer.client_left():
            left.set()

    with running(script) as server:
        with open_fetcher().open(server.url, limit=LIMIT):
            pass
        assert left.wait(20)
