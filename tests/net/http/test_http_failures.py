"""Vendors that refuse, cannot be reached or keep silent, and what is known to be sent."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from gateway.domain.errors import (
    UpstreamDisconnected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.domain.timeouts import Timeouts
from gateway.formats.blobs import BytesBlob
from gateway.net.http.connect import connect
from tests.net.calls import collect, post
from tests.net.servers import CHUNKED, Peer, chunk, running


def test_refusal_that_comes_while_the_body_is_on_its_way_is_heard(http):
    def script(peer):
        peer.head()
        peer.answer(b"too large", "Connection: close", status="413 Content Too Large")
        peer.sock.shutdown(socket.SHUT_WR)
        peer.client_left()

    with running(script) as server:
        assert post(http, server.url, BytesBlob(b"x" * 5_000_000)) == (413, b"too large")


def test_connection_that_breaks_while_the_body_is_on_its_way_counts_as_not_sent(http):
    def script(peer):
        peer.head()
        peer.reset()

    with running(script) as server:
        with pytest.raises(UpstreamDisconnected) as caught:
            post(http, server.url, b"x" * 50_000_000)
        assert not caught.value.sent
        assert server.connections == 1


def test_nobody_at_the_port_is_unreachable(http):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(UpstreamUnreachable) as caught:
            post(http, f"http://127.0.0.1:{port}/v1?key=canary")
    assert not caught.value.sent
    assert "127.0.0.1" in caught.value.message
    assert "canary" not in caught.value.message


def test_address_for_which_there_is_no_socket_gives_way_to_the_next():
    none = (99, ("nowhere",))
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = (socket.AF_INET, server.getsockname())
        connect("there", 80, [none, there], deadline=time.monotonic() + 20, tls=None).close()
    with pytest.raises(UpstreamUnreachable) as caught:
        connect("nowhere", 80, [none], deadline=time.monotonic() + 20, tls=None)
    assert not caught.value.sent


def test_name_that_does_not_resolve_is_unreachable(http):
    with pytest.raises(UpstreamUnreachable) as caught:
        post(http, f"http://{'a' * 70}.test/")
    assert not caught.value.sent


def test_silence_before_the_answer_is_a_timeout(http):
    with running(Peer.client_left) as server:
        begun = time.monotonic()
        with pytest.raises(UpstreamTimeout) as caught:
            post(http, server.url, timeouts=Timeouts(first_byte_s=0.3))
        assert caught.value.sent
        assert 0.3 <= time.monotonic() - begun < 15


def test_head_that_trickles_does_not_stretch_the_time_to_the_first_byte(http):
    def script(peer):
        peer.request()
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200:
            peer.send(bytes([byte]))
            if peer.client_left(0.05):
                return

    with running(script) as server:
        begun = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            post(http, server.url, timeouts=Timeouts(first_byte_s=0.4))
        assert time.monotonic() - begun < 15


def test_silence_amid_the_answer_is_a_timeout(http):
    def script(peer):
        peer.request()
        peer.send(CHUNKED + chunk(b"x"))
        peer.client_left()

    got = []
    with running(script) as server, pytest.raises(UpstreamTimeout) as caught:
        collect(http, server.url, got, timeouts=Timeouts(first_byte_s=10, idle_s=0.3))
    assert caught.value.sent
    assert got == [b"x"]


def test_stream_that_never_pauses_ends_with_the_total_time(http):
    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        while not peer.client_left(0.02):
            peer.send(chunk(b"x"))

    with running(script) as server:
        begun = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            post(http, server.url, timeouts=Timeouts(total_s=0.5))
        assert time.monotonic() - begun < 15


def test_vendor_that_does_not_take_the_request_is_a_timeout_and_nothing_was_sent(http):
    over = threading.Event()

    def script(peer):
        peer.head()
        over.wait(30)

    with running(script) as server:
        with pytest.raises(UpstreamTimeout) as caught:
            post(http, server.url, b"x" * 50_000_000, timeouts=Timeouts(idle_s=0.3))
        over.set()
    assert not caught.value.sent
