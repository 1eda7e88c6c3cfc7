"""Clients whose bytes are always there already, so that reading them never waits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.serving import report

_CHUNKED = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_LONG_HEAD = b"GET /plain HTTP/1.1\r\nHost: t\r\n" + b"".join(
    b"X-%d: %s\r\n" % (number, b"x" * 8100) for number in range(98)
)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (_CHUNKED + b"1\r\nx\r\n" * 80_000 + _END, 200),
        (_CHUNKED + b"1;a=b\r\nx\r\n" * 60_000 + _END, 200),
        (_CHUNKED + b"0\r\n" + b"X: y\r\n" * 100_000 + b"\r\n", 400),
        (_LONG_HEAD + b"\r\n", 200),
        (_LONG_HEAD + b"a:b\r\n" * 10_000, 431),
    ],
    ids=["one byte a chunk", "extensions", "trailers", "long head", "endless head"],
)
def test_work_that_many_small_parts_make_lets_others_have_their_turns(
    server, request_bytes, status, request
):
    name = "id=" + request.node.callspec.id.replace(" ", "-")
    assert server.get(f"/watch?{name}").status == 200

    def ask(_: int) -> int:
        with server.client() as client:
            return client.send(request_bytes).answer().status

    with ThreadPoolExecutor(4) as clients:
        answers = set(clients.map(ask, range(4)))
    assert answers <= {status, 408}  # heads have one second here, which may be short
    watched = server.get(f"/watched?{name}").json()
    report(f"others waited {watched['worst_s'] * 1e3:.1f} ms at most, of {watched['turns']} turns")
    assert watched["worst_s"] < 0.2


def test_a_body_whose_framing_outweighs_it_is_refused(server):
    with server.client() as client:
        client.send(_CHUNKED + (b"1;" + b"a" * 4000 + b"\r\nx\r\n") * 50)
        answer = client.answer()
        assert (answer.status, answer.json()["code"]) == (400, "incomplete_body")


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"0005;a\r\nhello\r\n000\r\n\r\n", 5),
        (b'5 ; a = b;c="d;\\""\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n', 5),
        (b"1388\r\n" + bytes(5000) + b"\r\n" + b"a\r\n0123456789\r\n" * 3 + _END, 5030),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_chunked_body_is_the_same_however_it_is_cut_up(server, sent, body, step):
    if step == 1 and len(sent) > 1000:
        step = 3
    with server.client() as client:
        client.send(_CHUNKED)
        for at in range(0, len(sent), step):
            client.send(sent[at : at + step])
        assert client.answer().json() == {"bytes": body}
        assert client.get("/plain").answer().status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"5\nhello\r\n",
        b"5 \r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"5_0\r\nhello\r\n",
        b"\r\nhello\r\n",
        b";a\r\nhello\r\n",
        b"5;\r\nhello\r\n",
        b"5;a b\r\nhello\r\n",
        b'5;a="b\r\nhello\r\n',
        b"5;a\nb\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5\r\nhello\n\n",
        b"5\r\nhello!\r\n",
        b"0\r\nHost: a\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nno field\r\n\r\n",
        b"0\r\nX: y\n\r\n\r\n",
        b"0" * 20_000,
    ],
)
def test_a_chunked_body_that_could_be_read_in_two_ways_is_refused(server, sent):
    with server.client() as client:
        client.send(_CHUNKED + sent + b"\r\n" + _END)
        client.get("/plain")
        answer = client.answer()
        assert (answer.status, answer.json()["code"]) == (400, "incomplete_body")
        assert client.closed()
