"""What the gateway's Flask does differently."""

from __future__ import annotations

import gc
import weakref

import pytest
from werkzeug.test import create_environ

from gateway.api.app import ApiResponse, App
from gateway.api.schemas.chat import ChatRequestSchema


def answer_of(response, *, read=None, method="GET"):
    app, responses = App(), [response]
    del response
    app.add_url_rule("/", view_func=responses.pop)
    seen = {}

    def start_response(status, headers, exc_info=None):
        seen.update(status=status, headers=headers)

    body = app(create_environ("/", method=method), start_response)
    pieces = [piece for piece, _ in zip(body, range(read or 10), strict=False)]
    body.close()
    return seen["status"], dict(seen["headers"]), b"".join(pieces)


@pytest.mark.parametrize("read", [1, 10])
def test_streams_that_pass_through_are_closed_read_or_not(read):
    heard = []

    def pieces():
        try:
            yield from (b"a", b"b", b"c")
        finally:
            heard.append("closed")

    response = ApiResponse(pieces())
    response.call_on_close(lambda: heard.append("called"))
    answer_of(response, read=read)
    assert heard == ["closed", "called"]


def answered():
    """A reference to an answer that was sent, and closed with what looks at it."""
    response = ApiResponse(b"large")
    response.call_on_close(lambda: None)
    reference = weakref.ref(response)
    answer_of(response)
    return reference


def test_answers_are_gone_when_they_have_ended():
    gc.disable()  # the garbage collector comes late, and bodies have megabytes
    try:
        assert answered()() is None
    finally:
        gc.enable()


def test_answers_of_one_piece_have_their_length():
    status, headers, body = answer_of(ApiResponse("é", content_type="text/plain"))
    assert (status, headers["Content-Length"], body) == ("200 OK", "2", "é".encode())


def test_answers_to_head_have_the_length_without_the_body():
    _, headers, body = answer_of(ApiResponse(b"abc"), method="HEAD")
    assert (headers["Content-Length"], body) == ("3", b"")


def test_answers_without_a_body_have_no_length():
    status, headers, body = answer_of(ApiResponse(status=204))
    assert status == "204 NO CONTENT"
    assert "Content-Length" not in headers
    assert body == b""


def without_nulls(document):
    return {key: value for key, value in document.items() if value is not None}


def test_schemas_read_a_document_as_marshmallow_does():
    document = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "top_p": None,
        "user": {},
        "unknown": {"a": 1},
        "stream_options": {"include_usage": True},
    }
    schema = ChatRequestSchema()
    assert schema.loaded(document) == schema.load(without_nulls(document))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"messages": []},
        {"temperature": 9, "model": 1, "messages": "x", "n": 0},
        {"temperature": 9, "model": None, "messages": [{"role": "user", "content": "hi"}]},
    ],
)
def test_schemas_report_what_marshmallow_reports(document):
    schema = ChatRequestSchema()

    def problems(load, document):
        with pytest.raises(Exception) as caught:  # noqa: PT011  # whichever it is
            load(document)
        return str(caught.value)

    assert problems(schema.loaded, document) == problems(schema.load, without_nulls(document))
