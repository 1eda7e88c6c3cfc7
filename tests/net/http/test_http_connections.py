"""Connections to vendors: kept, replaced, shared, closed when nobody reads on."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager

import pytest

from gateway.domain.errors import (
    UpstreamDisconnected,
)
from gateway.net.http.client import Http
from tests.net.calls import get, post
from tests.net.servers import CHUNKED, Peer, chunk, running


def test_complete_answers_keep_the_connection(http):
    bodies = [b'{"n": 1}', b"", b"x" * 300_000]

    def script(peer):
        for body in bodies:
            peer.request()
            peer.answer(body)
        peer.request()
        peer.send(CHUNKED + chunk(b"ab") + b"0\r\nX-Trailer: 1\r\n\r\n")
        peer.request()
        peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        peer.request()
        peer.answer(b"unread, but here")
        peer.request()
        peer.answer(b"last")

    with running(script) as server:
        for body in bodies:
            assert post(http, server.url) == (200, body)
        assert post(http, server.url) == (200, b"ab")
        for status in (204, 200):
            with http.send("DELETE", server.url, headers={}) as answer:
                assert answer.status == status
        assert post(http, server.url) == (200, b"last")
        assert server.connections == 1


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than was announced",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\nok",
        CHUNKED + chunk(b"ok") + b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake",
    ],
)
def test_connection_that_cannot_serve_again_is_not_kept(http, data):
    def script(peer):
        peer.request()
        peer.send(data)
        peer.client_left()

    with running(script) as server:
        for _ in range(2):
            assert post(http, server.url) == (200, b"ok")
        assert server.connections == 2


def test_connection_closed_while_idle_is_replaced_without_a_trace(http):
    closed = threading.Event()
    count = []

    def script(peer):
        count.append(peer.request())
        peer.answer()
        peer.close()
        closed.set()

    with running(script) as server:
        for _ in range(3):
            closed.clear()
            assert post(http, server.url) == (200, b"{}")
            assert closed.wait(20)
        assert len(count) == server.connections == 3


def once_then_gone(count):
    """A server that answers once per connection and takes the second request to the grave."""

    def script(peer):
        count.append(peer.request())
        peer.answer()
        count.append(peer.request())

    return script


def test_kept_connection_that_dies_under_a_get_is_replaced(http):
    count = []
    with running(once_then_gone(count)) as server:
        for _ in range(2):
            assert get(http, server.url) == b"{}"
        assert server.connections == 2
        assert len(count) == 3


def test_kept_connection_that_dies_under_a_post_is_an_error_and_no_second_post(http):
    count = []
    with running(once_then_gone(count)) as server:
        assert post(http, server.url) == (200, b"{}")
        with pytest.raises(UpstreamDisconnected) as caught:
            post(http, server.url)
        assert caught.value.sent
        assert len(count) == 2
        assert server.connections == 1


@pytest.mark.parametrize("leave", [Peer.close, Peer.reset])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_vendor_that_leaves_without_an_answer_is_an_error(http, leave, method):
    def script(peer):
        peer.request()
        leave(peer)

    with running(script) as server:
        with (
            pytest.raises(UpstreamDisconnected) as caught,
            http.send(method, server.url, headers={}),
        ):
            pass
        assert caught.value.sent
        assert server.connections == 1


@contextmanager
def expecting_departure():
    """A server whose stream never ends, and whether its client has left."""
    left = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + chunk(b"x"))
        if peer.client_left():
            left.set()

    with running(script) as server:
        yield server, left


def test_abandoned_answer_closes_its_connection_at_once(http):
    with expecting_departure() as (server, left):
        with http.send("GET", server.url, headers={}):
            pass
        assert left.wait(20)


def test_error_of_the_caller_closes_the_connection_and_passes_through(http):
    with expecting_departure() as (server, left):
        with pytest.raises(KeyError), http.send("GET", server.url, headers={}):
            raise KeyError
        assert left.wait(20)


def test_closed_generator_closes_the_connection(http):
    def stream(url):
        with http.send("GET", url, headers={}) as answer:
            yield from answer.chunks()

    with expecting_departure() as (server, left):
        pieces = stream(server.url)
        assert next(pieces) == b"x"
        pieces.close()
        assert left.wait(20)


def test_answer_cannot_be_read_after_its_block(http):
    with expecting_departure() as (server, _):
        with http.send("GET", server.url, headers={}) as answer:
            pass
        with pytest.raises(UpstreamDisconnected):
            answer.read()


def test_many_threads_share_one_client(http):
    wrong = []

    def script(peer):
        while True:
            peer.answer(peer.request().body)

    def work(number):
        for turn in range(20):
            body = b"%d-%d" % (number, turn)
            if post(http, server.url, body) != (200, body):
                wrong.append(body)

    with running(script) as server:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert server.connections <= 20


def test_no_more_connections_are_kept_than_the_pool_holds():
    left = threading.Semaphore(0)
    together = threading.Barrier(4)

    def script(peer):
        peer.request()
        together.wait(20)
        peer.answer()
        if peer.client_left():
            left.release()

    client = Http(pool_size=1)
    with running(script) as server:
        threads = [threading.Thread(target=post, args=(client, server.url)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(3):
            assert left.acquire(timeout=20)
        assert not left.acquire(timeout=0.2)
        client.close()
        assert left.acquire(timeout=20)


def test_client_that_is_forgotten_closes_its_connections():
    left = threading.Event()

    def script(peer):
        peer.request()
        peer.answer()
        if peer.client_left():
            left.set()

    client = Http()
    with running(script) as server:
        assert post(client, server.url) == (200, b"{}")
        del client
        gc.collect()
        assert left.wait(20)
