"""Exchanges with vendors: requests, answers, kept connections, deadlines."""

from __future__ import annotations

import gc
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from gateway.domain.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamDisconnected,
    UpstreamInvalidResponse,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.net.blobs import BytesBlob
from gateway.net.http import Http, Timeouts
from tests.net.servers import Peer, answering, running, saying

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def post(http, url, body=b"{}", **options):
    """The status and the body of the answer to a small POST."""
    with http.send("POST", url, headers={"X-Test": "1"}, body=body, **options) as answer:
        return answer.status, answer.read()


def get(http, url, **options):
    with http.send("GET", url, headers={}, **options) as answer:
        return answer.read()


def collect(http, url, pieces, **options):
    """Add what arrives to `pieces`, also what arrives before an error."""
    with http.send("GET", url, headers={}, **options) as answer:
        for piece in answer.chunks():
            pieces.append(piece)


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
        assert left.wait(5)


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
        ("GET", "/", {"Content-Length": "5"}),
        ("GET", "/", {"transfer-encoding": "chunked"}),
        ("GET", "/", {"Host": "elsewhere"}),
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


def test_answer_that_lasts_until_the_connection_closes_is_read_to_its_end(http):
    with running(saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 200_000)) as server:
        assert post(http, server.url) == (200, b"y" * 200_000)


def test_interim_answers_are_passed_over(http):
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with running(saying(early + b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")) as server:
        assert post(http, server.url) == (201, b"ok")


def test_head_that_comes_byte_by_byte_is_read(http):
    def script(peer):
        peer.request()
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":
            peer.send(bytes([byte]))

    with running(script) as server:
        assert post(http, server.url) == (200, b"ok")


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
            assert closed.wait(5)
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


@pytest.mark.parametrize("leave", [Peer.close, Peer.reset])
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        CHUNKED,
        CHUNKED + b"5",
        CHUNKED + b"5\r\n123",
        CHUNKED + b"5\r\n12345",
        CHUNKED + b"5\r\n12345\r\n",
        CHUNKED + b"5\r\n12345\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP",
    ],
)
def test_answer_cut_short_is_never_taken_for_a_complete_one(http, data, leave):
    def script(peer):
        peer.request()
        peer.send(data)
        leave(peer)

    with running(script) as server:
        with pytest.raises(UpstreamDisconnected) as caught:
            post(http, server.url)
        assert caught.value.sent


def test_what_came_before_the_cut_is_handed_out_first(http):
    def script(peer):
        peer.request()
        peer.send(CHUNKED + chunk(b"first") + chunk(b"second"))

    got = []
    with running(script) as server, pytest.raises(UpstreamDisconnected):
        collect(http, server.url, got)
    assert b"".join(got) == b"firstsecond"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"<html>",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBroken\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName : value\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 201 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        CHUNKED + b"0x5\r\n12345\r\n",
        CHUNKED + b"+5\r\n12345\r\n",
        CHUNKED + b"-5\r\n12345\r\n",
        CHUNKED + b" 5\r\n12345\r\n",
        CHUNKED + b"5_0\r\n12345\r\n",
        CHUNKED + b"\r\n12345\r\n",
        CHUNKED + b"5\n12345\n",
        CHUNKED + b"5\r\n123456\r\n",
        CHUNKED + b"5\r\n12345\n0\r\n\r\n",
        CHUNKED + b"5\r\n12345\rX",
        CHUNKED + b"f" * 16 + b"\r\n",
        CHUNKED + b"5;" + b"x" * 5000,
        CHUNKED + b"0\r\n" + b"X: y\r\n" * 5000,
    ],
)
def test_answer_that_breaks_http_is_invalid(http, data):
    with running(saying(data)) as server:
        with pytest.raises(UpstreamInvalidResponse) as caught:
            post(http, server.url)
        assert caught.value.sent


@pytest.mark.parametrize("body", [b"<html></html>", b'{"a":', b"", b"NaN", b"\xff", b'"\\ud800"'])
def test_body_that_is_no_json_is_an_invalid_answer_and_not_quoted(http, body):
    with (
        running(answering(body)) as server,
        http.send("GET", server.url, headers={}) as answer,
        pytest.raises(UpstreamInvalidResponse) as caught,
    ):
        answer.json()
    assert caught.value.sent
    assert caught.value.__cause__ is None
    assert "html" not in str(caught.value)


def test_body_beyond_the_limit_is_refused_and_the_connection_closed(http):
    left = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        try:
            while True:
                peer.send(chunk(b"x" * 10_000))
        except OSError:
            left.set()

    with running(script) as server:
        with (
            http.send("GET", server.url, headers={}) as answer,
            pytest.raises(UpstreamInvalidResponse),
        ):
            answer.read(limit=100_000)
        assert left.wait(5)


def test_chunks_that_have_arrived_come_out_in_few_pieces(http):
    whole = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"".join(chunk(b"%04d" % n) for n in range(200)) + b"0\r\n\r\n")
        whole.set()
        peer.client_left()

    with running(script) as server, http.send("POST", server.url, headers={}) as answer:
        assert whole.wait(5)
        pieces = list(answer.chunks())
    assert b"".join(pieces) == b"".join(b"%04d" % n for n in range(200))
    assert len(pieces) <= 3


def test_paced_chunks_come_out_one_by_one_without_delay(http):
    taken = threading.Semaphore(0)

    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        for n in range(20):
            peer.send(chunk(b"%d" % n))
            assert taken.acquire(timeout=5), "the piece before was held back"
        peer.send(b"0\r\n\r\n")

    got = []
    with running(script) as server, http.send("POST", server.url, headers={}) as answer:
        for piece in answer.chunks():
            got.append(piece)
            taken.release()
    assert got == [b"%d" % n for n in range(20)]


def test_part_of_a_large_chunk_does_not_wait_for_the_rest(http):
    taken = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"a\r\n12345")
        assert taken.wait(5)
        peer.send(b"67890\r\n0\r\n\r\n")

    with running(script) as server, http.send("POST", server.url, headers={}) as answer:
        pieces = answer.chunks()
        assert next(pieces) == b"12345"
        taken.set()
        assert b"".join(answer.chunks()) == b"67890"


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
        assert left.wait(2)


def test_error_of_the_caller_closes_the_connection_and_passes_through(http):
    with expecting_departure() as (server, left):
        with pytest.raises(KeyError), http.send("GET", server.url, headers={}):
            raise KeyError
        assert left.wait(2)


def test_closed_generator_closes_the_connection(http):
    def stream(url):
        with http.send("GET", url, headers={}) as answer:
            yield from answer.chunks()

    with expecting_departure() as (server, left):
        pieces = stream(server.url)
        assert next(pieces) == b"x"
        pieces.close()
        assert left.wait(2)


def test_answer_cannot_be_read_after_its_block(http):
    with expecting_departure() as (server, _):
        with http.send("GET", server.url, headers={}) as answer:
            pass
        with pytest.raises(UpstreamDisconnected):
            answer.read()


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
        assert 0.3 <= time.monotonic() - begun < 5


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
        assert time.monotonic() - begun < 5


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
        assert time.monotonic() - begun < 5


def test_vendor_that_does_not_take_the_request_is_a_timeout_and_nothing_was_sent(http):
    over = threading.Event()

    def script(peer):
        peer.head()
        over.wait(10)

    with running(script) as server:
        with pytest.raises(UpstreamTimeout) as caught:
            post(http, server.url, b"x" * 50_000_000, timeouts=Timeouts(idle_s=0.3))
        over.set()
    assert not caught.value.sent


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
        together.wait(5)
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
            assert left.acquire(timeout=5)
        assert not left.acquire(timeout=0.2)
        client.close()
        assert left.acquire(timeout=5)


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
        assert left.wait(2)
