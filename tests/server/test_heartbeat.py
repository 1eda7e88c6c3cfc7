from __future__ import annotations

import pytest

from tests.server.serving import Cut


def test_quick_answer_under_a_heartbeat_is_as_without(server):
    answer = server.get("/heartbeat")
    assert answer.json() == {"started": False}
    assert "content-length" in answer.headers


def test_slow_json_answer_is_preceded_by_white_space(server):
    with server.client() as client:
        status, headers = client.get("/heartbeat?wait=2&id=abc").head()
        assert status == 200
        assert headers["x-request-id"] == "abc"
        assert headers["content-type"] == "application/json"
        assert headers["transfer-encoding"] == "chunked"
        chunks = list(iter(client.chunk, b""))
        assert chunks[-1] == b'{"started": true}'
        assert set(chunks[:-1]) == {b" "}
        assert 2 <= len(chunks[:-1]) <= 4
        assert client.get("/plain").answer().status == 200
    server.noted("heartbeat started=True broken=False")


def test_silence_before_and_within_a_stream_is_filled_with_comments(server):
    with server.client() as client:
        client.get("/heartbeat?kind=sse&wait=1&then=halves&pause=1").head()
        chunks = list(iter(client.chunk, b""))
    assert chunks[0] == b": waiting\n\n"
    start, middle, end = (chunks.index(part) for part in (b"data: a", b"b\n\n", b"data: c\n\n"))
    assert middle == start + 1, "nothing may come between the halves of an event"
    assert set(chunks[middle + 1 : end]) == {b": waiting\n\n"}


def test_head_of_the_app_goes_first_when_it_is_known(server):
    with server.client() as client:
        status, headers = client.get("/heartbeat?kind=sse&then=late&wait=1").head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        body = b"".join(iter(client.chunk, b""))
    assert body.endswith(b"data: first\n\n")


@pytest.mark.parametrize("then", ["error", "raise"])
def test_failure_after_the_early_response_began_breaks_the_answer_off(server, then):
    with server.client() as client, pytest.raises(Cut):
        client.get(f"/heartbeat?wait=1&then={then}").answer()
    server.noted("heartbeat started=True broken=True")


def test_failure_before_the_early_response_began_keeps_its_status(server):
    assert server.get("/heartbeat?then=error").status == 502
    assert server.get("/heartbeat?then=raise").status == 500
    server.noted("heartbeat started=False broken=False", times=2)


def test_json_for_http_1_0_has_no_heartbeat(server):
    answer = server.get("/heartbeat?wait=1", version="1.0")
    assert answer.json() == {"started": False}
    assert "armed False" in server.notes()


def test_stream_for_http_1_0_has_heartbeats_and_ends_with_the_connection(server):
    answer = server.get("/heartbeat?kind=sse&wait=1&then=late", version="1.0")
    assert answer.headers["connection"] == "close"
    assert "transfer-encoding" not in answer.headers
    assert answer.body.startswith(b": waiting\n\n")
    assert answer.body.endswith(b"data: first\n\n")


def test_broken_stream_for_http_1_0_is_reset(server):
    with server.client() as client, pytest.raises(Cut):
        client.get("/heartbeat?kind=sse&wait=1&then=raise", version="1.0").answer()


def test_head_request_has_no_heartbeat(server):
    assert server.get("/heartbeat?wait=1", method="HEAD").status == 200
    assert "armed False" in server.notes()


def test_client_that_leaves_between_heartbeats_is_noticed(server):
    with server.client() as client:
        client.get("/heartbeat?wait=30")
        client.read_until(b"1\r\n \r\n")
    server.noted("heartbeat started=True broken=True")


def test_heartbeats_do_not_wait_for_a_reader_that_stalls(server):
    with server.client(receive_buffer=4096) as stalled, server.client() as other:
        stalled.get("/big?mb=50")
        assert other.get("/heartbeat?wait=1.2").answer().json() == {"started": True}
