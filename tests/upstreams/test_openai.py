"""OpenAI's protocol as OpenAI speaks it, and as its imitators do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    AccountSpent,
    Conflict,
    ContentFiltered,
    ContextLengthExceeded,
    Fault,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    RequestTooLarge,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
    UpstreamTimeout,
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
from gateway.domain.requests import ChatRequest, ImageRequest, Message, Text, ToolCall, VideoRequest
from gateway.upstreams.openai import BASE_URL
from tests.support.media import data_url, png
from tests.upstreams.conftest import (
    CONTEXT,
    Canned,
    Vendor,
    a_jpeg,
    a_png,
    an_mp4,
    ask,
    media,
    text_of,
)

ACCOUNT = Account("sk-1", "openai", Secret("sk-secret-of-the-account"))
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.fixture
def openai(open_vendor: Callable[..., Vendor]) -> Vendor:
    return open_vendor("openai")


@pytest.fixture
def imitator(open_vendor: Callable[..., Vendor], canned: Canned) -> Vendor:
    return open_vendor("openai", base_url=canned.url)


def delta(_index: int = 0, _finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": _index, "delta": fields, "finish_reason": _finish}]}


def flat(batches: list[list[Event]]) -> list[Event]:
    return [event for batch in batches for event in batch]


# What is sent.


def test_stream_asks_for_its_usage_and_a_whole_answer_for_no_stream(openai: Vendor) -> None:
    account = openai.account()
    openai.chat(ask(openai, stream=True), account)
    openai.chat(ask(openai, stream=False), account)
    streamed, whole = (request["body"] for request in openai.seen(account))
    assert streamed["stream"] is True
    assert streamed["stream_options"] == {"include_usage": True}
    assert "stream" not in whole
    assert "stream_options" not in whole


def test_request_id_goes_along(openai: Vendor) -> None:
    account = openai.account()
    openai.chat(ask(openai), account)
    assert openai.seen(account)[0]["headers"]["x-client-request-id"] == CONTEXT.request_id


def test_parameters_pass_under_their_own_names(openai: Vendor) -> None:
    params = {"temperature": 0.3, "top_k": 5, "seed": 7, "user": "u", "verbosity": "low"}
    request = ask(openai, **params)
    [call] = openai.upstream.plan_chat(request, ACCOUNT)
    assert params.items() <= call.body.items()
    assert list(openai.upstream.dropped(request)) == []


def test_the_older_of_two_token_limits_is_dropped(openai: Vendor) -> None:
    request = ask(openai, max_tokens=5, max_completion_tokens=6)
    assert list(openai.upstream.dropped(request)) == ["max_tokens"]
    account = openai.account()
    batches = openai.chat(request, account)
    assert batches[-1][-1] == Finish("length")


def test_openai_itself_is_spared_what_only_its_imitators_know(open_vendor) -> None:
    genuine = open_vendor("openai", base_url=BASE_URL)
    request = ask(genuine, top_k=5, enable_thinking=True, temperature=1)
    assert list(genuine.upstream.dropped(request)) == ["enable_thinking", "top_k"]
    [call] = genuine.upstream.plan_chat(request, ACCOUNT)
    assert "top_k" not in call.body
    assert call.url == "https://api.openai.com/v1/chat/completions"
    assert call.headers["Authorization"] == "***"


def test_accounts_own_base_url_wins(openai: Vendor) -> None:
    account = Account("a", "openai", Secret("k"), base_url="https://elsewhere.example/v1/")
    [call] = openai.upstream.plan_chat(ask(openai), account)
    assert call.url == "https://elsewhere.example/v1/chat/completions"


def test_conversation_with_tools_is_written_as_openai_reads_it(openai: Vendor) -> None:
    messages = (
        Message("system", (Text("Be"), Text("brief"))),
        Message("user", (Text("Weather?"),), name="ann"),
        Message("assistant", (), tool_calls=(ToolCall("c1", "weather", '{"in":"Rome"}'),)),
        Message("tool", (Text("sunny"),), tool_call_id="c1"),
        Message("user", (Text("And "), Text("tomorrow?"))),
    )
    [call] = openai.upstream.plan_chat(ChatRequest("m", messages), ACCOUNT)
    function = {"name": "weather", "arguments": '{"in":"Rome"}'}
    assert call.body["messages"] == [
        {"role": "system", "content": "Be\nbrief"},
        {"role": "user", "name": "ann", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "tomorrow?"}],
        },
    ]


def test_attachments_of_other_turns_move_to_the_next_user_turn(openai: Vendor) -> None:
    call_ = ToolCall("c1", "draw", "{}")
    messages = (
        Message("assistant", (), tool_calls=(call_, ToolCall("c2", "draw", "{}"))),
        Message("tool", (a_png(),), tool_call_id="c1"),
        Message("tool", (Text("done"), a_jpeg()), tool_call_id="c2"),
        Message("assistant", (Text("Here."), a_png())),
        Message("user", (Text("Which is better?"),)),
        Message("assistant", (a_png(),)),
    )
    [call] = openai.upstream.plan_chat(ChatRequest("m", messages), ACCOUNT)
    written = call.body["messages"]
    assert [message["role"] for message in written] == [
        "assistant",
        "tool",
        "tool",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert [part["type"] for part in written[3]["content"]] == ["image_url", "image_url"]
    assert [part["type"] for part in written[5]["content"]] == ["image_url", "text"]
    assert [part["type"] for part in written[7]["content"]] == ["image_url"]


def test_every_kind_of_attachment_has_its_part(openai: Vendor) -> None:
    parts = (
        a_png(detail="low"),
        an_mp4(),
        media(b"RIFF0000WAVEfmt ", "audio/x-wav"),
        media(b"ID3", "audio/mpeg"),
        media(b"%PDF-1.7", "application/pdf", filename="a.pdf"),
        media(b"GIF89a", "image/gif"),
        media(b"....ftypmp42", "video/mp4", fps=2.0),
    )
    [call] = openai.upstream.plan_chat(ChatRequest("m", (Message("user", parts),)), ACCOUNT)
    picture, video, wav, mp3, pdf, gif, slow = call.body["messages"][0]["content"]
    assert picture["image_url"]["detail"] == "low"
    assert video["type"] == "video_url"
    assert wav["input_audio"]["format"] == "wav"
    assert mp3["input_audio"]["format"] == "mp3"
    assert pdf["file"]["filename"] == "a.pdf"
    assert gif["type"] == "image_url"
    assert slow["video_url"]["fps"] == 2.0


def test_attachments_arrive_as_they_were(openai: Vendor) -> None:
    parts = (Text("Look"), a_png(33, 22), an_mp4())
    text = text_of(
        openai.chat(ChatRequest("sim-chat", (Message("user", parts),)), openai.account())
    )
    assert "image/png 33x22" in text
    assert "video/mp4" in text


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
    assert events[-1] == Finish("tool_calls")


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
    "usage", [[1], "many", {"prompt_tokens": None, "completion_tokens_details": 5}], ids=str
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


def test_finish_reason_error_is_an_error(imitator, canned) -> None:
    canned.stream(delta(content="a"), delta(_finish="error"), "[DONE]")
    with pytest.raises(UpstreamError):
        imitator.chat(ask(imitator), ACCOUNT)


def test_error_under_status_200_is_raised(imitator, canned) -> None:
    canned.say({"error": {"message": "quota", "type": "insufficient_quota", "code": None}})
    with pytest.raises(AccountSpent):
        imitator.chat(ask(imitator, stream=False), ACCOUNT)


# Blame, row by row.


def error(message: str = "no", code: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, **more}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("bad temperature"), InvalidRequest),
        (400, error(code="context_length_exceeded"), ContextLengthExceeded),
        (400, error("This model's maximum context length is 8192 tokens"), ContextLengthExceeded),
        (400, error(code="content_filter"), ContentFiltered),
        (400, error(code="content_policy_violation"), ContentFiltered),
        (400, error(code="moderation_blocked"), ContentFiltered),
        (400, error("rejected by our safety system"), ContentFiltered),
        (400, error(code="billing_hard_limit_reached"), AccountSpent),
        (400, error("API key not valid. Please pass a valid key."), AccountRejected),
        (400, error("Model Not Exist"), ModelNotFound),
        (401, error(code="invalid_api_key"), AccountRejected),
        (402, error("Insufficient Balance"), AccountSpent),
        (403, error(code="unsupported_country_region_territory"), AccountRejected),
        (403, error("The input was flagged by moderation"), ContentFiltered),
        (403, error("Project has no access", code="model_not_found"), ModelNotFound),
        (404, error("The model `x` does not exist", code="model_not_found"), ModelNotFound),
        (404, {"error": "model 'x' not found"}, ModelNotFound),
        (404, {"detail": "Not Found"}, UpstreamError),
        (404, b"<html>404</html>", UpstreamError),
        (409, error(), Conflict),
        (413, error(), RequestTooLarge),
        (422, {"detail": [{"loc": ["body"]}]}, InvalidRequest),
        (429, error(code="rate_limit_exceeded"), AccountExhausted),
        (429, error(code="insufficient_quota"), AccountSpent),
        (429, error("Limit 200 on requests per day (RPD)"), AccountSpent),
        (429, error("The engine is currently overloaded"), UpstreamOverloaded),
        (408, error(), UpstreamTimeout),
        (500, error("we erred"), UpstreamError),
        (500, error("The server is overloaded"), UpstreamOverloaded),
        (502, b"<html>bad gateway</html>", UpstreamError),
        (503, b"", UpstreamOverloaded),
        (504, b"", UpstreamTimeout),
        (529, error(), UpstreamOverloaded),
        (302, b"", UpstreamError),
    ],
)
def test_vendor_error_becomes_the_gateways(imitator, canned, status, body, kind) -> None:
    canned.say(body, status)
    with pytest.raises(GatewayError) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert type(caught.value) is kind
    assert caught.value.sent == (status < 400 or status == 408 or status >= 500)


def test_callers_fault_is_told_in_the_vendors_words(imitator, canned) -> None:
    body = error("temperature must be below 2", param="temperature")
    canned.say(body, 400, x_request_id="req_123")
    with pytest.raises(InvalidRequest) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert "temperature must be below 2" in caught.value.message
    assert "req_123" in caught.value.message
    assert caught.value.param == "temperature"
    assert caught.value.fault is Fault.CALLER


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 503])
def test_other_faults_are_told_in_general_words(imitator, canned, status: int) -> None:
    canned.say(error("the organisation org-x of ann@example.com"), status)
    with pytest.raises(GatewayError) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert "ann" not in caught.value.message


@pytest.mark.parametrize(
    "secret",
    [
        "sk-secret-of-the-account",
        "sk-proj-Abc123_x",
        "ark-11111111-2222-3333-4444-555555555555-abcde",
        "AIzaSyA0123456789",
        "AQ.Ab8RN6Lxyz",
        "ya29.a0AfB_x-y",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s-g",
        "11111111-2222-3333-4444-555555555555",
        "Bearer abcdefgh",
        "gw-abcdefgh",
    ],
)
def test_credentials_in_a_vendors_words_are_struck_out(imitator, canned, secret: str) -> None:
    canned.say(error(f"bad value near '{secret}' in https://x.example/p?key=12&a=b"), 400)
    with pytest.raises(InvalidRequest) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert secret.removeprefix("Bearer ") not in caught.value.message
    assert "https://x.example/p" in caught.value.message
    assert "key=12" not in caught.value.message


def test_endless_words_are_cut(imitator, canned) -> None:
    canned.say(error("long " * 10_000), 400)
    with pytest.raises(InvalidRequest) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "20"}, 20),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after": "99999"}, 3600),
        ({"retry_after_ms": "300", "retry_after": "20"}, 0.3),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "0"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37"}, None),
        ({}, None),
    ],
)
def test_wait_that_the_vendor_asks_for_is_kept(imitator, canned, headers, seconds) -> None:
    canned.say(error(), 429, **headers)
    with pytest.raises(AccountExhausted) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert caught.value.retry_after == seconds


def test_wait_until_a_date_is_kept(imitator, canned) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    canned.say(error(), 429, retry_after=soon)
    with pytest.raises(AccountExhausted) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert 50 < caught.value.retry_after <= 100


def test_unknown_model_is_not_found(openai: Vendor) -> None:
    request = ChatRequest("unknown-model", (Message("user", (Text("Hi"),)),))
    with pytest.raises(ModelNotFound):
        openai.chat(request, openai.account())


# Pictures.


def images(vendor: Vendor, request: ImageRequest, account: Account) -> list[Event]:
    return flat(list(vendor.upstream.image(request, account, CONTEXT)))


def test_several_pictures_come_in_one_answer_with_their_bill(openai: Vendor) -> None:
    events = images(openai, ImageRequest("gpt-image-2", "a fox", n=3), openai.account())
    usage = events[-2]
    assert isinstance(usage, Usage)
    assert usage.images == 3
    assert usage.completion_tokens > 0
    assert [type(event) for event in events[:3]] == [MediaReady] * 3


def test_picture_by_link_is_fetched(openai: Vendor) -> None:
    ready = images(openai, ImageRequest("sim-image", "a fox"), openai.account())[0]
    assert isinstance(ready, MediaReady)
    assert ready.source.url
    with ready.source.open() as chunks:
        assert b"".join(chunks).startswith(b"\x89PNG")


def test_link_that_is_gone_is_the_vendors_fault(openai: Vendor) -> None:
    ready = images(openai, ImageRequest("sim-image", "a fox"), openai.account("gone"))[0]
    assert isinstance(ready, MediaReady)
    with pytest.raises(UpstreamError), ready.source.open() as chunks:
        b"".join(chunks)


def test_references_make_it_an_edit(openai: Vendor) -> None:
    account = openai.account()
    request = ImageRequest("gpt-image-2", "blue", images=(a_png(), a_jpeg()), mask=a_png(), n=2)
    events = images(openai, request, account)
    assert sum(isinstance(event, MediaReady) for event in events) == 2
    [seen] = openai.seen(account)
    assert seen["operation"] == "openai.images.edits"
    assert (seen["body"]["prompt"], str(seen["body"]["n"])) == ("blue", "2")
    [plan] = openai.upstream.plan_image(request, account)
    assert [file["name"] for file in plan.body["files"]] == ["image[]", "image[]", "mask"]


@pytest.mark.parametrize(
    ("model", "wanted", "size"),
    [
        ("gpt-image-2", {"size": "1024*1024"}, "1024x1024"),
        ("gpt-image-2", {"size": "auto"}, None),
        ("gpt-image-2", {}, None),
        ("gpt-image-2", {"ratio": "16:9"}, "1280x720"),
        ("gpt-image-2", {"ratio": "16:9", "size": "4K"}, "3840x2160"),
        ("gpt-image-2", {"size": "2K"}, "2048x2048"),
        ("gpt-image-1", {"ratio": "16:9"}, "1536x1024"),
        ("gpt-image-1", {"ratio": "3:4"}, "1024x1536"),
        ("dall-e-3", {"ratio": "9:16"}, "1024x1792"),
        ("dall-e-2", {"ratio": "9:16", "size": "4K"}, "1024x1024"),
    ],
)
def test_size_is_one_that_the_model_makes(openai, model: str, wanted: Any, size: Any) -> None:
    [call] = openai.upstream.plan_image(ImageRequest(model, "a fox", **wanted), ACCOUNT)
    assert call.body.get("size") == size


@pytest.mark.parametrize(
    "body", [{}, {"data": []}, {"data": [{}]}, [], {"data": [{"url": "data:image/svg+xml,<svg/>"}]}]
)
def test_answer_without_a_picture_is_refused(imitator, canned, body: Any) -> None:
    canned.say(body)
    with pytest.raises(UpstreamInvalidResponse):
        images(imitator, ImageRequest("gpt-image-2", "a fox"), ACCOUNT)


def test_damaged_picture_is_noticed_when_it_is_read(imitator, canned) -> None:
    canned.say({"data": [{"b64_json": "AAAA*AAA"}]})
    ready = images(imitator, ImageRequest("gpt-image-2", "a fox"), ACCOUNT)[0]
    assert isinstance(ready, MediaReady)
    with pytest.raises(UpstreamInvalidResponse), ready.source.open() as chunks:
        b"".join(chunks)


def test_picture_in_wrapped_lines_or_a_data_url_is_read(imitator, canned) -> None:
    picture = png()
    url = data_url(picture)
    lines = "\n".join(url[22:][at : at + 76] for at in range(0, len(url), 76))
    canned.say({"data": [{"b64_json": lines}, {"url": url}], "output_format": "png"})
    for ready in images(imitator, ImageRequest("gpt-image-2", "a fox"), ACCOUNT)[:2]:
        assert isinstance(ready, MediaReady)
        assert ready.source.mime_type == "image/png"
        with ready.source.open() as chunks:
            assert b"".join(chunks) == picture


# What it is for.


def test_there_are_no_videos(openai: Vendor) -> None:
    request = VideoRequest("sora-2", "waves")
    for act in (
        lambda: openai.upstream.submit_video(request, ACCOUNT, CONTEXT),
        lambda: openai.upstream.plan_video(request, ACCOUNT),
        lambda: openai.upstream.check_video("id", ACCOUNT),
        lambda: openai.upstream.cancel_video("id", ACCOUNT),
    ):
        with pytest.raises(InvalidRequest):
            act()
    assert openai.upstream.sweep_sessions(ACCOUNT, "label") == 0


@pytest.mark.parametrize(
    ("credential", "taken"),
    [
        ("sk-proj-abc", True),
        ("anything", True),
        ("eyJhbGciOi.x.y", True),
        ("", False),
        ("ark-123", False),
        ("AIzaSyA", False),
        ("AQ.Ab8", False),
        ("ya29.a0", False),
        ("11111111-2222-3333-4444-555555555555", False),
    ],
)
def test_openai_leaves_the_credentials_of_other_vendors_to_them(
    open_vendor, credential: str, taken: bool
) -> None:
    assert open_vendor("openai", base_url=BASE_URL).upstream.takes(credential) is taken


def test_server_of_ones_own_takes_what_it_pleases(openai: Vendor) -> None:
    assert openai.upstream.takes("ark-123")
    assert not openai.upstream.takes("")


@pytest.mark.parametrize(
    ("model", "kind"),
    [("gpt-image-2", "image"), ("dall-e-3", "image"), ("gpt-5", "chat"), ("llama", "chat")],
)
def test_model_name_tells_what_it_makes(openai, model: str, kind: str) -> None:
    assert openai.upstream.kind_of(model) == kind
