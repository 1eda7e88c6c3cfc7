"""Answers in OpenAI's protocol, as OpenAI gives them and as its imitators do."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountQuotaExhausted,
    ContentFiltered,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.events import (
    Event,
    Finish,
    MediaReady,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from gateway.domain.requests import ChatRequest, Message, Text
from tests.upstreams.conftest import (
    CONTEXT,
    Canned,
    Vendor,
    ask,
    flat,
)

ACCOUNT = Account("sk-1", "openai", Secret("sk-secret-of-the-account"))
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def delta(_index: int = 0, _finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": _index, "delta": fields, "finish_reason": _finish}]}


# What comes back.


def test_thoughts_come_before_the_text(openai: Vendor) -> None:
    for stream in (True, False):
        request = ChatRequest("sim-reason", (Message("user", (Text("Hi"),)),), stream=stream)
        events = flat(openai.chat(request, openai.account()))
        kinds = [type(event) for event in events if isinstance(event, TextDelta | ReasoningDelta)]
        assert kinds == sorted(kinds, key=lambda kind: kind is TextDelta)
        assert ReasoningDelta in kinds


@pytest.mark.parametrize("stream", [True, False])
def test_every_choice_has_its_text_and_its_finish(openai: Vendor, stream: bool) -> None:
    events = flat(openai.chat(ask(openai, n=3, stream=stream), openai.account()))
    texts = {event.choice for event in events if isinstance(event, TextDelta)}
    assert texts == {0, 1, 2}
    assert [event.choice for event in events if isinstance(event, Finish)] == [0, 1, 2]


@pytest.mark.parametrize("stream", [True, False])
def test_tool_call_comes_with_index_id_and_name(openai: Vendor, stream: bool) -> None:
    request = ask(openai, stream=stream, tools=[WEATHER], tool_choice="required")
    events = flat(openai.chat(request, openai.account()))
    first, *rest = [event for event in events if isinstance(event, ToolCallDelta)]
    assert (first.index, first.name) == (0, "weather")
    assert first.id
    assert all(piece.id is None and piece.name is None for piece in rest)
    json.loads(first.arguments + "".join(piece.arguments for piece in rest))
    assert events[-1].reason == "tool_calls"


def piece(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    call: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    return call | {k: v for k, v in (("index", index), ("id", id)) if v is not None}


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(1, "a", "f", ""), piece(1, None, None, "{}"), piece(2, "b", "g", "[]")],
        [piece(0, "a", "f", "{}"), piece(0, "b", "g", "[]")],
        [piece(None, "a", "f", "{"), piece(None, None, None, "}"), piece(None, "b", "g", "[]")],
        [piece(0, "a", "f", "{"), piece(0, "a", "f", "}"), piece(1, "b", "g", "[]")],
        [
            piece(0, "a", "", ""),
            piece(0, "", "f", "{"),
            piece(0, "", "", "}"),
            piece(1, "b", "g", []),
        ],
        [piece(None, "a", "f", {}), piece(None, "b", "g", [])],
        [piece(0, "a", None, "{"), piece(1, "b", "g", "[]"), piece(0, None, "f", "}")],
    ],
    ids=[
        "counted from one",
        "always index zero",
        "no index",
        "id and name repeated",
        "name late, empty strings",
        "arguments as objects",
        "arguments before the name",
    ],
)
def test_sloppy_tool_calls_are_put_right(imitator, canned, pieces: list[dict[str, Any]]) -> None:
    canned.stream(*(delta(tool_calls=[one]) for one in pieces), delta(_finish="stop"), "[DONE]")
    events = flat(imitator.chat(ask(imitator), ACCOUNT))
    calls: dict[int, list[Any]] = {}
    for event in events[:-1]:
        assert isinstance(event, ToolCallDelta)
        if event.index not in calls:
            calls[event.index] = [event.id, event.name, ""]
        else:
            assert event.id is event.name is None
        calls[event.index][2] += event.arguments
    named = {name: (id, arguments) for id, name, arguments in calls.values()}
    assert sorted(calls) == [0, 1]
    assert named["f"][1] in ("{}", "")
    assert named["f"][0] == "a"
    assert named["g"][0] == "b"
    assert events[-1] == Finish("tool_calls")


def test_tool_calls_without_ids_get_some(imitator: Vendor, canned: Canned) -> None:
    canned.stream(
        delta(tool_calls=[piece(None, None, "f", "{}"), piece(None, None, "g", "{}")]),
        delta(_finish="tool_calls"),
        "[DONE]",
    )
    first, second, finish = flat(imitator.chat(ask(imitator), ACCOUNT))
    assert first.id.startswith("call_")
    assert first.id != second.id
    assert (first.index, second.index) == (0, 1)
    assert finish == Finish("tool_calls")


def test_tool_calls_of_a_whole_answer_are_put_right_too(imitator, canned) -> None:
    calls = [piece(None, "same", "f", {"a": 1}), piece(None, "same", "f", None)]
    message = {"content": None, "tool_calls": calls}
    canned.say({"choices": [{"message": message, "finish_reason": None}]})
    [batch] = imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert batch == [
        ToolCallDelta(0, '{"a":1}', "same", "f"),
        ToolCallDelta(1, "", "same", "f"),
        ToolCallDelta(1, "{}"),
        Finish("tool_calls"),
    ]


def test_whole_answer_is_one_batch(imitator: Vendor, canned: Canned) -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    message = {"role": "assistant", "content": "Hi", "reasoning": "Hm"}
    canned.say({"choices": [{"message": message, "finish_reason": "length"}], "usage": usage})
    assert imitator.chat(ask(imitator, stream=False), ACCOUNT) == [
        [ReasoningDelta("Hm"), TextDelta("Hi"), Usage(9, 12, 3, 4), Finish("length")]
    ]


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({"reasoning": "Hm"}, ReasoningDelta("Hm")),
        ({"reasoning_content": "Hm", "reasoning": "Hm"}, ReasoningDelta("Hm")),
        ({"refusal": "I will not."}, TextDelta("I will not.")),
        ({"content": [{"type": "text", "text": "Hi"}]}, TextDelta("Hi")),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]},
            ReasoningDelta("Hm"),
        ),
        ({"role": "assistant", "content": "Hi", "tool_calls": None}, TextDelta("Hi")),
    ],
)
def test_dialects_of_the_delta_are_understood(imitator, canned, fields: Any, event: Event) -> None:
    canned.stream(delta(**fields), delta(_finish="stop"), "[DONE]")
    assert flat(imitator.chat(ask(imitator), ACCOUNT)) == [event, Finish("stop")]


def test_pictures_drawn_in_a_chat_are_handed_on(openai: Vendor) -> None:
    for stream in (True, False):
        request = ask(openai, stream=stream)
        events = flat(openai.chat(request, openai.account("image2")))
        ready = [event for event in events if isinstance(event, MediaReady)]
        assert len(ready) == 2
        with ready[0].source.open() as chunks:
            assert b"".join(chunks).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("max_tokens", "length"),
        ("sensitive", "content_filter"),
        ("function_call", "tool_calls"),
    ],
)
def test_finish_reasons_are_mapped(imitator, canned, reason: str, finish: str) -> None:
    canned.stream(delta(content="a"), delta(_finish=reason), "[DONE]")
    assert imitator.chat(ask(imitator), ACCOUNT)[-1][-1] == Finish(finish)  # type: ignore[arg-type]


def test_last_usage_counts_and_comes_before_the_finish(imitator, canned) -> None:
    first = delta(content="a") | {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    last = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    canned.stream(first, delta(_finish="stop"), last, "[DONE]")
    assert flat(imitator.chat(ask(imitator), ACCOUNT)) == [
        TextDelta("a"),
        Usage(1, 2),
        Finish("stop"),
    ]


@pytest.mark.parametrize(
    "usage",
    [
        [1],
        "many",
        {"prompt_tokens": None, "completion_tokens_details": 5},
        {"prompt_tokens": 2**63, "completion_tokens": -1},
        {"prompt_tokens": True, "completion_tokens": 2**53},
    ],
    ids=str,
)
def test_usage_that_makes_no_sense_spoils_nothing(imitator, canned, usage: Any) -> None:
    canned.say({"choices": [{"message": {"content": "Hi"}}], "usage": usage})
    [batch] = imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert [event for event in batch if event != Usage()] == [TextDelta("Hi"), Finish("stop")]


# When an answer is complete, and when it is not.


def test_finish_reason_without_done_completes_an_answer(imitator, canned) -> None:
    canned.stream(delta(content="a"), delta(_finish="stop"))
    assert imitator.chat(ask(imitator), ACCOUNT)[-1] == [Finish("stop")]


def test_done_without_finish_reason_completes_an_answer(imitator, canned) -> None:
    canned.stream(delta(content="a"), "[DONE]")
    assert flat(imitator.chat(ask(imitator), ACCOUNT)) == [TextDelta("a"), Finish("stop")]


def test_connection_that_breaks_after_done_spoils_nothing(imitator, canned) -> None:
    canned.stream(delta(content="a"), delta(_finish="stop"), "[DONE]")
    canned.answers[0][1]["Content-Length"] = "9999"
    assert flat(imitator.chat(ask(imitator), ACCOUNT)) == [TextDelta("a"), Finish("stop")]


def test_stream_in_which_a_choice_never_finishes_is_an_error(imitator, canned) -> None:
    canned.stream(delta(content="a"), delta(1, content="b"), delta(0, "stop"))
    with pytest.raises(UpstreamDisconnected):
        imitator.chat(ask(imitator), ACCOUNT)


@pytest.mark.parametrize(
    "payloads", [(), ("[DONE]",), ("[1]", "[DONE]"), ("null",), ('{"choices":[1]}',)]
)
def test_stream_of_nothing_is_refused(imitator, canned, payloads: tuple[str, ...]) -> None:
    canned.stream(*payloads)
    with pytest.raises(UpstreamInvalidResponse):
        imitator.chat(ask(imitator), ACCOUNT)


def test_whole_answer_to_a_streamed_question_is_taken(imitator, canned) -> None:
    canned.say({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert imitator.chat(ask(imitator), ACCOUNT) == [[TextDelta("Hi"), Finish("stop")]]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"text"', b"{}", b'{"choices":[]}', b'{"choices":[1]}']
)
def test_whole_answer_of_nothing_is_refused(imitator, canned, body: bytes) -> None:
    canned.say(body)
    with pytest.raises(UpstreamInvalidResponse):
        imitator.chat(ask(imitator, stream=False), ACCOUNT)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "slow down", "code": "rate_limit_exceeded"}, AccountExhausted),
        ({"message": "Provider returned error", "code": 502}, UpstreamError),
        ({"message": "Too many", "code": 429}, AccountExhausted),
        ({"message": "flagged", "code": "content_filter"}, ContentFiltered),
        ("out of memory", UpstreamError),
        ("The model ran out of memory", UpstreamError),
    ],
)
def test_error_amid_a_stream_is_raised(imitator, canned, error: Any, kind: Any) -> None:
    canned.stream(delta(content="a"), {"error": error})
    with pytest.raises(kind) as caught:
        imitator.chat(ask(imitator), ACCOUNT)
    assert type(caught.value) is kind
    assert caught.value.sent


@pytest.mark.parametrize(
    "last",
    [
        {"error": {"message": "no", "code": "server_error"}},
        delta(_finish="error"),
        {"choices": 5},
        "{",
        "1, 2",
        "null",
    ],
    ids=str,
)
def test_text_that_comes_together_with_a_failure_is_handed_on(imitator, canned, last: Any) -> None:
    canned.stream(delta(content="a"), delta(content="b"), last)
    arrived: list[list[Event]] = []
    with (
        pytest.raises(UpstreamError) as caught,
        closing(imitator.upstream.chat(ask(imitator), ACCOUNT, CONTEXT)) as batches,
    ):
        arrived.extend(batches)
    assert flat(arrived) == [TextDelta("a"), TextDelta("b")]
    assert caught.value.sent


def test_finish_reason_error_is_an_error(imitator, canned) -> None:
    canned.stream(delta(content="a"), delta(_finish="error"), "[DONE]")
    with pytest.raises(UpstreamError):
        imitator.chat(ask(imitator), ACCOUNT)


def test_error_under_status_200_is_raised(imitator, canned) -> None:
    canned.say({"error": {"message": "quota", "type": "insufficient_quota", "code": None}})
    with pytest.raises(AccountQuotaExhausted):
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
