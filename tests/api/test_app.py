"""What the gateway's Flask does differently."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path

import pytest
from werkzeug.test import create_environ

import gateway
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


PRIVATE = re.compile(
    r"_cv_\w+|_request_ctx|full_dispatch_request|def (?:pre)?process_re|def dispatch_request"
    r"|flask\.(?:ctx|globals)|werkzeug\._|\._on_close|do_teardown|_get_current_object"
)


def test_no_module_uses_what_flask_and_werkzeug_keep_to_themselves():
    root = Path(gateway.__file__).parent
    users = {
        f"{path.relative_to(root)}: {match[0]}"
        for path in root.rglob("*.py")
        for match in PRIVATE.finditer(path.read_text("utf-8"))
    }
    assert not users


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"temperature": "0.7"}, {"temperature": 0.7}),
        ({"max_tokens": "100"}, {"max_tokens": 100}),
        ({"logprobs": "true"}, {"logprobs": True}),
        ({"store": "False"}, {"store": False}),
        ({"n": 2.0}, {"n": 2}),
    ],
    ids=str,
)
def test_numbers_and_booleans_are_read_from_text(given, read):
    document = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert ChatRequestSchema().read(document | given).params == read


NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "tool",
    [
        NOW,
        {"type": "function", "name": "now", "parameters": {"type": "object"}},
        {"name": "now", "input_schema": {"type": "object"}},
        {"type": "custom", "name": "now", "input_schema": {"type": "object"}},
    ],
    ids=str,
)
def test_tools_are_read_in_the_shapes_of_other_apis(tool):
    document = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
    assert ChatRequestSchema().read(document).params["tools"] == [NOW]


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ("any", "required"),
        ({"type": "tool", "name": "now"}, {"type": "function", "function": {"name": "now"}}),
        ({"type": "function", "name": "now"}, {"type": "function", "function": {"name": "now"}}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"name": "now"}]},
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "now"}}],
                },
            },
        ),
    ],
    ids=str,
)
def test_a_choice_of_tools_keeps_its_meaning_in_any_shape(choice, read):
    messages = [{"role": "user", "content": "hi"}]
    document = {"model": "m", "messages": messages, "tools": [NOW], "tool_choice": choice}
    assert ChatRequestSchema().read(document).params["tool_choice"] == read
