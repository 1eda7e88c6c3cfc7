"""Answers of vendors: whole, in pieces, cut short, and those that break HTTP."""

from __future__ import annotations

import threading
import zlib

import pytest

from gateway.domain.errors import (
    UpstreamDisconnected,
    UpstreamInvalidResponse,
)
from tests.net.calls import collect, get, post
from tests.net.servers import CHUNKED, Peer, answering, chunk, running, saying


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

    shorter = leave is Peer.close and b"Content-Length" in data
    with running(script) as server:
        with pytest.raises(UpstreamInvalidResponse if shorter else UpstreamDisconnected) as caught:
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


def compressed(coding: str, body: bytes) -> bytes:
    wbits = {"gzip": 31, "deflate": 15, "raw": -15}[coding]
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw"])
def test_compressed_answer_is_read_though_identity_was_asked_for(http, coding):
    body = compressed(coding, b'{"a": "' + b"b" * 100_000 + b'"}')
    label = "deflate" if coding == "raw" else coding
    with (
        running(answering(body, f"Content-Encoding: {label}")) as server,
        http.send("GET", server.url, headers={}) as answer,
    ):
        assert answer.json() == {"a": "b" * 100_000}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_compressed_answer_that_is_cut_or_unknown_is_invalid(http, coding):
    body = compressed("gzip" if coding == "br" else coding, b"text" * 1000)
    body = body if coding == "br" else body[:-6]
    with (
        running(answering(body, f"Content-Encoding: {coding}")) as server,
        pytest.raises(UpstreamInvalidResponse),
    ):
        get(http, server.url)


def test_compressed_answer_is_bounded_by_its_decompressed_size(http):
    body = compressed("gzip", bytes(50_000_000))
    with (
        running(answering(body, "Content-Encoding: gzip")) as server,
        http.send("GET", server.url, headers={}) as answer,
        pytest.raises(UpstreamInvalidResponse, match="longer"),
    ):
        answer.read(1_000_000)


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b' \xef\xbb\xbf{"a": 1}'[1:], "json"),
        (b"\n [1]", "json"),
        (b"data: {}\n\n", "events"),
        (b": comment\n\n", "events"),
        (b"error: {}\n\n", "events"),
        (b"<!DOCTYPE html>", "markup"),
        (b"error code: 1010", "other"),
        (b"", "other"),
    ],
)
def test_content_is_told_by_its_first_bytes_and_read_whole(http, body, content):
    with (
        running(answering(body, "Content-Type: text/plain")) as server,
        http.send("GET", server.url, headers={}) as answer,
    ):
        assert answer.content() == content
        assert answer.read() == body


@pytest.mark.parametrize("body", [b"<html></html>", b'{"a":', b"", b"nan", b"{\xff}"])
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
        assert left.wait(20)


def test_chunks_that_have_arrived_come_out_in_few_pieces(http):
    whole = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"".join(chunk(b"%04d" % n) for n in range(200)) + b"0\r\n\r\n")
        whole.set()
        peer.client_left()

    with running(script) as server, http.send("POST", server.url, headers={}) as answer:
        assert whole.wait(20)
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
            assert taken.acquire(timeout=20), "the piece before was held back"
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
        assert taken.wait(20)
        peer.send(b"67890\r\n0\r\n\r\n")

    with running(script) as server, http.send("POST", server.url, headers={}) as answer:
        pieces = answer.chunks()
        assert next(pieces) == b"12345"
        taken.set()
        assert b"".join(answer.chunks()) == b"67890"
