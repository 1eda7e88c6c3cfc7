from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.server.serving import report, until


def test_request_line_that_never_ends_is_answered_408_and_closed(server):
    with server.client() as client:
        client.send(b"GET /plain HTT")
        answer = client.answer()
        assert answer.status == 408
        assert answer.json()["error"]["code"] == "request_timeout"
        assert client.closed()


def test_headers_that_trickle_in_get_no_more_time(server):
    with server.client() as client:
        client.send(b"GET /plain HTTP/1.1\r\n")
        client.sock.settimeout(0.2)
        began = time.monotonic()
        while time.monotonic() - began < 10:
            client.send(b"X-A: 1\r\n")
            try:
                if client.receive().startswith(b"HTTP/1.1 408"):
                    return
            except TimeoutError:
                continue
        raise AssertionError("still open")


def test_connection_that_asks_nothing_is_closed(server):
    with server.client() as client:
        assert client.closed()


def test_connection_between_requests_may_idle_longer_than_headers_may_take(server):
    with server.client() as client:
        assert client.get("/plain").answer().status == 200
        time.sleep(1.4)  # the header time of this server is 1 s
        assert client.get("/plain").answer().status == 200
        assert client.closed()


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_body_that_does_not_come_is_408(server, framing):
    with server.client() as client:
        client.get("/echo", framing, method="POST").send(b"5\r\n{")
        answer = client.answer()
        assert (answer.status, answer.json()) == (408, {"code": "request_timeout", "again": "same"})
        assert answer.headers["connection"] == "close"
        assert client.closed()


def test_body_that_trickles_in_is_408(server):
    with server.client() as client:
        client.get("/echo", "Content-Length: 100000", method="POST")
        client.sock.settimeout(0.2)
        began = time.monotonic()
        while time.monotonic() - began < 10:
            client.send(b"x")
            try:
                assert client.receive().startswith(b"HTTP/1.1 408")
                return
            except TimeoutError:
                continue
        raise AssertionError("still open")


@pytest.mark.parametrize("framing", ["Content-Length: 6000000", "Transfer-Encoding: chunked"])
def test_body_that_stops_coming_after_a_fast_start_is_408(server, framing):
    with server.client() as client:
        client.get("/echo", framing, method="POST").send(b"5b8d80\r\n" + bytes(5_000_000))
        assert client.answer().status == 408
        assert client.closed()


def test_body_that_keeps_the_rate_may_take_longer(server):
    with server.client() as client:
        client.get("/echo", "Content-Length: 8000", method="POST")
        for _ in range(8):  # 2 s, where 1 s is allowed and 1 s more for each kilobyte
            client.send(bytes(1000))
            time.sleep(0.25)
        assert client.answer().json() == {"bytes": 8000}


@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        ("Content-Length: 100", b'{"a":1}'),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", b"ff\r\nhello"),
        ("Transfer-Encoding: chunked", b"no size\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", b"5\r\nhelloXX0\r\n\r\n"),
    ],
)
def test_body_that_is_not_whole_is_refused_however_often_it_is_read(server, framing, sent):
    with server.client() as client:
        client.get("/echo", framing, method="POST").send(sent)
        client.sock.shutdown(1)
        answer = client.answer()
        assert (answer.status, answer.json()) == (400, {"code": "incomplete_body", "again": "same"})


def test_body_cut_off_by_a_reset_ends_the_request(server):
    client = server.client().get("/echo", "Content-Length: 100", method="POST").send(b"x")
    time.sleep(0.1)
    client.reset()
    server.noted("body ClientGone")
    assert "Traceback" not in server.log()


def test_chunked_body_arrives_whole_and_the_connection_lives_on(server):
    with server.client() as client:
        client.get("/echo", "Transfer-Encoding: chunked", method="POST")
        client.send(b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n")
        assert client.answer().json() == {"bytes": 11}
        assert client.post("/echo", b"again").answer().json() == {"bytes": 5}
        assert client.post("/lines", b"a\nb\nc").answer().json() == ["a\n", "b\n", "c"]


def test_upload_is_not_asked_for_when_the_request_is_refused(server):
    expect = ("Content-Length: 1000000", "Expect: 100-continue")
    with server.client() as client:
        client.get("/refuse", *expect, method="POST")
        status, headers = client.head()
        assert (status, headers["connection"]) == (401, "close")
    with server.client() as client:
        client.get("/echo", *expect, method="POST")
        assert client.head()[0] == 100
        assert client.send(bytes(1000000)).answer().json() == {"bytes": 1000000}


def test_refusal_is_read_by_a_client_that_is_still_sending(server):
    with server.client() as client:
        client.get("/refuse", "Content-Length: 3000000", method="POST").send(bytes(3000000))
        assert client.answer().status == 401


def test_refusal_is_read_by_a_client_that_is_long_sending_before_it_reads(server):
    with server.client() as client:
        client.get("/refuse", "Content-Length: 3000000", method="POST")
        for _ in range(10):  # 2 s, where 1 s of silence is the end
            client.send(bytes(1000))
            time.sleep(0.2)
        assert client.answer().status == 401

        def given_up() -> bool:
            try:
                client.send(bytes(1000))
            except OSError:
                return True
            return False

        until(given_up)


def test_small_body_left_unread_costs_no_connection(server):
    with server.client() as client:
        assert client.post("/refuse", b"small").answer().status == 401
        assert client.get("/plain").answer().status == 200


@pytest.mark.parametrize(
    "start", [b"GET /plain HTTP/1.1\r\n", b"POST /echo HTTP/1.1\r\nHost: t\r\n"]
)
def test_slow_senders_do_not_hold_up_the_others(server, soak, start):
    def slowest_of(count: int) -> float:
        took = []
        for _ in range(count):
            began = time.monotonic()
            assert server.get("/plain").status == 200
            took.append(time.monotonic() - began)
        return sorted(took)[int(count * 0.99) - 1]

    count = 1000 if soak else 200
    alone_s = slowest_of(count)
    slow = [server.client().send(start) for _ in range(count)]
    among_s = slowest_of(count)
    for client in slow:
        client.sock.close()
    report(f"p99 alone {alone_s * 1e3:.1f} ms, among {count} slow senders {among_s * 1e3:.1f} ms")
    assert among_s < max(0.5, 5 * alone_s)


def test_idle_connections_give_way_to_those_that_ask_for_something(serve):
    options = ("--worker-connections", "20", "--keep-alive", "60")
    # Real times: under load a client may take a second from its connect to its request.
    with serve(*options, TEST_REAL_TIMES="1") as server, ExitStack() as idle:
        clients = []
        for _ in range(40):  # one after the other: who has asked nothing yet may be hung up on
            client = idle.enter_context(server.client())
            assert client.get("/plain").answer().status == 200
            clients.append(client)
        assert server.get("/plain").status == 200
        assert sum(client.closed() for client in clients[:10]) == 10


@pytest.mark.parametrize("kept_alive", [False, True], ids=["new", "kept-alive"])
def test_a_request_that_came_while_the_worker_stood_still_is_answered(server, kept_alive):
    with server.client() as client:
        if kept_alive:
            assert client.get("/plain").answer().status == 200
        workers = server.workers()
        for worker in workers:
            worker.suspend()
        try:
            client.get("/plain")
            time.sleep(2.6)  # more than the header time of this server, and its idle time
        finally:
            for worker in workers:
                worker.resume()
        assert client.answer().status == 200
