from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest

from tests.server.serving import Cut, report, until


def test_small_answer_leaves_in_one_piece(server):
    with server.client() as client:
        piece = client.get("/plain").receive()
        head, _, body = piece.partition(b"\r\n\r\n")
        assert f"content-length: {len(body)}" in head.decode().lower()
        assert json.loads(body)


def test_connection_is_kept_or_closed_as_the_client_asks(server):
    with server.client() as client:
        assert "connection" not in client.get("/plain").answer().headers
        assert client.get("/plain", "Connection: close").answer().headers["connection"] == "close"
        assert client.closed()
    with server.client() as client:
        kept = client.get("/plain", "Connection: keep-alive", version="1.0").answer()
        assert kept.headers["connection"] == "keep-alive"
        assert client.get("/plain", version="1.0").answer().headers["connection"] == "close"
        assert client.closed()


def test_stream_for_http_1_0_ends_with_the_connection(server):
    answer = server.get("/stream?n=3&every=0.01", version="1.0")
    assert "transfer-encoding" not in answer.headers
    assert answer.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\ndata: [DONE]\n\n"


def test_stream_arrives_event_by_event(server):
    with server.client() as client:
        client.get("/stream?n=3&every=0.1").head()
        assert client.chunk() == b"data: 0\n\n"
        assert client.chunk() == b"data: 1\n\n"
        assert b"".join(iter(client.chunk, b"")) == b"data: 2\n\ndata: [DONE]\n\n"
        assert client.get("/plain").answer().status == 200


@pytest.mark.parametrize("name", ["X-A\r\nX-B", "X A", "", "X-Ä"])
def test_header_name_that_would_break_the_head_is_refused(server, name):
    answer = server.get(f"/headers?value=x&name={quote(name)}")
    assert answer.status in ((200,) if not name else (500,))
    assert "x-b" not in answer.headers


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nX-B: c", "a\rb", "a\0b", "\u20ac"])
def test_header_value_that_would_break_the_head_is_refused(server, value):
    answer = server.get(f"/headers?value={quote(value)}")
    assert answer.status == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "x-b" not in answer.headers


def test_header_value_may_be_latin_1(server):
    assert server.get(f"/headers?value={quote('café')}").headers["x-a"] == "café"


def test_hop_by_hop_headers_are_the_servers_own(server):
    answer = server.get("/headers?name=Transfer-Encoding&value=gzip")
    assert "transfer-encoding" not in answer.headers
    assert server.get("/headers?name=Connection&value=close").headers["connection"] == "close"


@pytest.mark.parametrize("status", ["204", "304"])
def test_status_without_body_has_none(server, status):
    with server.client() as client:
        answer = client.get(f"/status?status={status}").answer()
        assert answer.status == int(status)
        assert not {"content-length", "transfer-encoding"} & set(answer.headers)
        assert client.get("/plain").answer().status == 200


def test_head_request_gets_the_head_alone(server):
    with server.client() as client:
        answer = client.get("/length?announced=5&written=5", method="HEAD").answer("HEAD")
        assert answer.headers["content-length"] == "5"
        assert client.get("/plain").answer().status == 200


def test_no_more_is_sent_than_was_announced(server):
    with server.client() as client:
        assert client.get("/length?announced=3&written=9").answer().body == b"xxx"
        assert client.get("/plain").answer().status == 200


def test_answer_shorter_than_announced_is_cut_off(server):
    with server.client() as client, pytest.raises(Cut):
        client.get("/length?announced=9&written=3").answer()


def test_crash_is_an_error_envelope_and_one_trace(serve):
    with serve() as server:
        answer = server.get("/crash?key=in-the-query")
        assert answer.status == 500
        assert answer.json()["error"]["code"] == "internal_error"
        assert answer.headers["x-request-id"]
        with server.client() as client, pytest.raises(Cut):
            client.get("/crash?late=1").answer()
        assert server.log().count("Traceback") == 2
        assert "in-the-query" not in server.log()


def test_busy_client_leaves_the_others_their_turn(server):
    with server.client() as busy, server.client() as other:
        other.get("/count").answer()
        busy.send(b"GET /count?spin=0.002 HTTP/1.1\r\nHost: test\r\n\r\n" * 200)
        turn = other.get("/count").answer().json()
        assert turn < [busy.answer().json() for _ in range(200)][-1]


def test_file_is_sent_whole(server, tmp_path):
    content = bytes(range(256)) * 20000
    path = tmp_path / "file"
    path.write_bytes(content)
    assert server.get(f"/file?path={path}").body == content


def test_large_answer_arrives_whole(server):
    assert server.get("/big?mb=30").body == bytes(30 << 20)
    server.noted("big complete")


def test_reader_that_stalls_is_cut_off_and_cleaned_up_after(server, soak):
    count = 200 if soak else 20
    (worker,) = server.workers()
    before = worker.memory_info().rss
    readers = [server.client(receive_buffer=4096).get("/big?mb=50") for _ in range(count)]
    for reader in readers:
        reader.read_until(b"\r\n\r\n")
    grown = worker.memory_info().rss - before
    server.noted("big closed", times=count, within_s=60)
    assert "big complete" not in server.notes()
    for reader in readers:
        with reader, pytest.raises(Cut):
            reader.read_to_end()
    assert "Traceback" not in server.log()
    report(f"{count} stalled readers: {grown / 1e6:.1f} MB")
    assert grown < 50e6


def test_reader_that_is_slow_but_alive_gets_everything(server):
    with server.client(receive_buffer=65536) as reader:
        _, headers = reader.get("/big?mb=4").head()
        left = int(headers["content-length"]) - len(reader.received)
        began = time.monotonic()
        while left:
            left -= len(reader.sock.recv(min(left, 1 << 18)))
            if time.monotonic() - began < 2.5:  # longer than a stall may last
                time.sleep(0.25)
    server.noted("big complete")


def test_loop_lag_shows_a_blocked_loop(server):
    server.get("/spin?s=1")
    assert until(lambda: server.get("/lag").json()["lag"]) > 0.5
