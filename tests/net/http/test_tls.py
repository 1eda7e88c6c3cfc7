"""Certificates are verified, for vendors and for URLs from outside, and TLS hides no delays."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from gateway.domain.errors import (
    InvalidImageUrl,
    UpstreamDisconnected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.domain.timeouts import Timeouts
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from tests.net.servers import Peer, answering, running

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def trusting(authority):
    """A client that trusts the tests' authority only."""
    client = Http(ca_file=authority.file)
    yield client
    client.close()


def get(client, url, **options):
    with client.send("GET", url, headers={}, **options) as answer:
        return answer.read()


def test_right_certificate_is_accepted_and_the_connection_kept(trusting, authority):
    with running(answering(b"y" * 200_000), tls=authority.server("localhost")) as server:
        for _ in range(3):
            assert get(trusting, server.secure_url) == b"y" * 200_000
        assert server.connections == 1


def test_address_in_the_certificate_is_accepted(trusting, authority):
    with running(answering(), tls=authority.server("127.0.0.1")) as server:
        assert get(trusting, f"https://127.0.0.1:{server.port}") == b"{}"


@pytest.mark.parametrize(
    ("name", "expired", "reason"),
    [
        ("elsewhere.test", False, "match"),
        ("127.0.0.1", False, "match"),
        ("localhost", True, "expired"),
    ],
)
def test_wrong_certificate_is_refused_before_anything_is_sent(
    trusting, authority, name, expired, reason
):
    with running(answering(), tls=authority.server(name, expired=expired)) as server:
        with pytest.raises(UpstreamUnreachable, match=reason) as caught:
            get(trusting, server.secure_url)
        assert not caught.value.sent
        assert not server.requests


def test_unknown_authority_is_refused(http, authority):
    context = authority.server("localhost")
    with running(answering(), tls=context) as server, pytest.raises(UpstreamUnreachable) as caught:
        get(http, server.secure_url)
    assert "certificate" in caught.value.message


def test_server_that_speaks_no_tls_is_unreachable(trusting):
    def script(peer):
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with running(script) as server, pytest.raises(UpstreamUnreachable, match="secure"):
        get(trusting, server.secure_url)


def test_handshake_that_never_ends_is_a_timeout_and_nothing_was_sent(trusting):
    def script(peer):
        peer.client_left()

    with running(script) as server:
        begun = time.monotonic()
        with pytest.raises(UpstreamTimeout) as caught:
            get(trusting, server.secure_url, timeouts=Timeouts(connect_s=0.3))
        assert not caught.value.sent
        assert time.monotonic() - begun < 15


def test_handshake_that_trickles_is_a_timeout_too(trusting):
    def script(peer):
        # A record of 16 KiB, whose bytes keep arriving.
        peer.send(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
        while not peer.client_left(0.05):
            peer.send(b"x")

    with running(script) as server:
        begun = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            get(trusting, server.secure_url, timeouts=Timeouts(connect_s=0.4))
        assert time.monotonic() - begun < 15


class Trickle:
    """Passes bytes between a client and a TLS server; from a moment on, slowly."""

    def __init__(self, port):
        self.slow = threading.Event()
        self._port = port

    def __call__(self, peer: Peer) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as far:
            threading.Thread(target=self._forward, args=(peer.sock, far), daemon=True).start()
            while data := far.recv(65536):
                if not self.slow.is_set():
                    peer.send(data)
                    continue
                for byte in data:
                    peer.send(bytes([byte]))
                    time.sleep(0.2)

    @staticmethod
    def _forward(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass


def test_record_that_trickles_does_not_stretch_the_silence(trusting, authority):
    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        slow.slow.set()
        peer.send(b"64\r\n" + b"x" * 100 + b"\r\n")
        peer.client_left()

    with running(script, tls=authority.server("localhost")) as server:
        slow = Trickle(server.port)
        with running(slow) as front:
            begun = time.monotonic()
            with pytest.raises(UpstreamTimeout):
                get(trusting, front.secure_url, timeouts=Timeouts(first_byte_s=0.5, idle_s=0.5))
            assert time.monotonic() - begun < 15


def test_records_that_have_arrived_come_out_in_few_pieces(trusting, authority):
    whole = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        for n in range(200):
            peer.send(b"4\r\n%04d\r\n" % n)
        peer.send(b"0\r\n\r\n")
        whole.set()
        peer.client_left()

    with (
        running(script, tls=authority.server("localhost")) as server,
        trusting.send("GET", server.secure_url, headers={}) as answer,
    ):
        assert whole.wait(20)
        pieces = list(answer.chunks())
    assert b"".join(pieces) == b"".join(b"%04d" % n for n in range(200))
    assert len(pieces) <= 4


def test_paced_records_come_out_one_by_one(trusting, authority):
    taken = threading.Semaphore(0)

    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        for n in range(10):
            peer.send(b"1\r\n%d\r\n" % n)
            assert taken.acquire(timeout=20), "the piece before was held back"
        peer.send(b"0\r\n\r\n")

    got = []
    with (
        running(script, tls=authority.server("localhost")) as server,
        trusting.send("GET", server.secure_url, headers={}) as answer,
    ):
        for piece in answer.chunks():
            got.append(piece)
            taken.release()
    assert got == [b"%d" % n for n in range(10)]


def test_large_body_and_dropped_connection_behave_as_without_tls(trusting, authority):
    sizes = []

    def script(peer):
        sizes.append(len(peer.request().body))
        peer.send(CHUNKED + b"5\r\n12345\r\n")

    with (
        running(script, tls=authority.server("localhost")) as server,
        trusting.send("POST", server.secure_url, headers={}, body=b"x" * 3_000_000) as answer,
        pytest.raises(UpstreamDisconnected),
    ):
        answer.read()
    assert sizes == [3_000_000]


def test_abandoned_answer_closes_its_connection_at_once(trusting, authority):
    left = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"1\r\nx\r\n")
        if peer.client_left():
            left.set()

    with running(script, tls=authority.server("localhost")) as server:
        with trusting.send("GET", server.secure_url, headers={}):
            pass
        assert left.wait(20)


def test_connection_closed_while_idle_is_replaced(trusting, authority):
    closed = threading.Event()

    def script(peer):
        peer.request()
        peer.answer()
        peer.close()
        closed.set()

    with running(script, tls=authority.server("localhost")) as server:
        for _ in range(3):
            closed.clear()
            assert get(trusting, server.secure_url) == b"{}"
            assert closed.wait(20)
        assert server.connections == 3


def fetcher_of(authority, name, **options):
    def resolver(host, port, **_):
        assert host == name
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    return Fetcher(allow_private=name, resolver=resolver, ca_file=authority.file, **options)


def test_fetched_host_must_prove_the_name_in_the_url(authority):
    names = []
    context = authority.server("pictures.test")
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    seen = []

    def script(peer):
        seen.append(peer.request())
        peer.answer(b"picture", "Content-Type: image/png")

    fetcher = fetcher_of(authority, "pictures.test")
    with (
        running(script, tls=context) as server,
        fetcher.open(f"https://Pictures.test:{server.port}/a", limit=100) as fetched,
    ):
        assert b"".join(fetched.chunks()) == b"picture"
    assert names == ["pictures.test"]
    assert seen[0].headers["host"] == f"pictures.test:{server.port}"


@pytest.mark.parametrize(("name", "expired"), [("elsewhere.test", False), ("pictures.test", True)])
def test_fetched_host_with_the_wrong_certificate_is_refused(authority, name, expired):
    fetcher = fetcher_of(authority, "pictures.test")
    with running(answering(), tls=authority.server(name, expired=expired)) as server:
        url = f"https://pictures.test:{server.port}/a"
        with pytest.raises(InvalidImageUrl), fetcher.open(url, limit=100):
            pass
        with (
            pytest.raises(UpstreamUnreachable) as caught,
            fetcher.open(url, limit=100, vendor=True),
        ):
            pass
        assert caught.value.sent
