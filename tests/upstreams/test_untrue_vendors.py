"""Answers that are not by the book, as public reports tell of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountRejected,
    AnswerFailed,
    ContentFiltered,
    ContextLengthExceeded,
    Fault,
    GatewayError,
    InvalidRequest,
    RequestBlocked,
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.events import (
    Annotations,
    Finish,
    Logprobs,
    MediaReady,
    ReasoningDelta,
    ToolCallDelta,
    Usage,
    VendorFields,
)
from gateway.domain.requests import (
    ChatRequest,
    ImageRequest,
    Message,
    ReasoningBlock,
    Text,
    ToolCall,
)
from tests.support.media import png
from tests.upstreams.conftest import CONTEXT, Canned, Vendor, ask, flat, text_of

KEY = "a-key-of-no-known-form/1"
ACCOUNT = Account("pooled", "openai", Secret(KEY))
PAGE = b"<!DOCTYPE html><html><head><title>Attention Required!</title></head></html>"
NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def whole(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def answer(vendor: Vendor, **options: Any) -> list[Any]:
    return flat(vendor.chat(ask(vendor, **options), ACCOUNT))


def only(events: list[Any], kind: type) -> Any:
    [found] = [event for event in events if isinstance(event, kind)]
    return found


def planned(vendor: Vendor, *messages: Message, **params: Any) -> dict[str, Any]:
    request = ChatRequest(vendor.model(), messages, params)  # type: ignore[arg-type]
    return vendor.upstream.plan_chat(request, ACCOUNT)[-1].body


@pytest.fixture(params=["openai", "ark", "gemini"])
def scripted(request, open_vendor, canned: Canned) -> Vendor:
    return open_vendor(request.param, base_url=canned.url)


# What stands before a vendor says nothing about an account.


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 451])
@pytest.mark.parametrize(
    ("body", "label"), [(PAGE, "text/html"), (b"error code: 1010", "text/plain"), (b"", "x/y")]
)
def test_refusal_without_the_vendors_envelope_is_about_the_request(
    scripted, canned, status: int, body: bytes, label: str
) -> None:
    canned.say(body, status=status, Content_Type=label)
    with pytest.raises(RequestBlocked) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert caught.value.fault is Fault.CALLER
    assert "html" not in caught.value.message


@pytest.mark.parametrize("status", [401, 403, 429])
def test_json_of_a_content_network_is_about_the_request(scripted, canned, status: int) -> None:
    body = {
        "type": "https://developers.cloudflare.com/support/",
        "title": f"Error {status}",
        "status": status,
        "detail": "The site owner has blocked access.",
        "cloudflare_error": True,
    }
    canned.say(body, status=status, Content_Type="application/problem+json")
    with pytest.raises(RequestBlocked, match=r"blocked access|no reason given"):
        scripted.chat(ask(scripted), ACCOUNT)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"message": "Forbidden"}, RequestBlocked),
        ({"detail": "Request blocked by policy 17"}, RequestBlocked),
        ({"detail": "Authorization failed"}, AccountRejected),
        ({"message": "Invalid API key"}, AccountRejected),
    ],
)
def test_bare_403_is_the_vendors_where_it_speaks_of_keys(imitator, canned, body, kind) -> None:
    canned.say(body, status=403)
    with pytest.raises(kind):
        imitator.chat(ask(imitator), ACCOUNT)


def test_page_with_a_5xx_is_the_vendors_fault(scripted, canned) -> None:
    canned.say(PAGE, status=503, Content_Type="text/html")
    with pytest.raises(UpstreamError) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert caught.value.fault is Fault.VENDOR


@pytest.mark.parametrize(
    "body",
    [
        [{"error": {"code": 400, "message": "%s", "status": "INVALID_ARGUMENT"}}],
        {"errors": [{"message": "%s"}]},
        {"error": "%s"},
        {"detail": "%s"},
        {"error": {"error": {"message": "%s"}}},
        b"%s",
    ],
)
def test_reason_is_found_in_every_dress_of_an_error(imitator, canned, body: Any) -> None:
    words = "The input token count exceeds the maximum number of tokens allowed 1048576."
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    canned.say(text.replace(b"%s", words.encode()), status=400)
    with pytest.raises(ContextLengthExceeded, match="maximum number of tokens"):
        imitator.chat(ask(imitator), ACCOUNT)


@pytest.mark.parametrize("place", ["message", "code", "type", "param"])
@pytest.mark.parametrize(
    "written",
    [
        KEY,
        KEY.upper(),
        KEY.replace("/", "%2F"),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(b"Bearer " + KEY.encode() + b"\n").decode(),
    ],
)
def test_credential_is_shown_in_no_field_of_an_error(
    imitator, canned, place: str, written: str
) -> None:
    canned.say({"error": {place: f"x {written}"}}, status=400, X_Request_Id=written)
    with pytest.raises(InvalidRequest) as caught:
        imitator.chat(ask(imitator), ACCOUNT)
    shown = f"{caught.value.message} {caught.value.param} {caught.value.code}"
    assert written[4:-4] not in shown


# Ends.


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("end_turn", "stop"),
        ("STOP", "stop"),
        ("tool_use", "tool_calls"),
        ("SAFETY", "content_filter"),
    ],
)
def test_reason_in_another_spelling_is_understood(
    imitator, canned, reason: str, finish: str, stream: bool
) -> None:
    if stream:
        canned.stream(chunk(content="a"), chunk(reason), "[DONE]")
    else:
        canned.say(whole(reason, content="a"))
    assert only(answer(imitator, stream=stream), Finish).reason == finish


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reason", ["abort", "of_tomorrow"])
def test_unknown_reason_is_an_error_that_names_it(
    imitator, canned, reason: str, stream: bool
) -> None:
    if stream:
        canned.stream(chunk(content="half a sen"), chunk(reason), "[DONE]")
    else:
        canned.say(whole(reason, content="half a sen"))
    with pytest.raises(AnswerFailed, match=reason) as caught:
        answer(imitator, stream=stream)
    assert caught.value.fault is Fault.CONTENT


@pytest.mark.parametrize(
    "line",
    [
        'error: {"code":500,"message":"failed to decode","type":"server_error"}',
        'event: error\ndata: {"code":500,"message":"failed to decode"}',
        'data: {"error":{"code":500,"message":"failed to decode"}}',
        'data: {"choices":[{"index":0,"error":{"code":500,"message":"failed to decode"}}]}',
    ],
)
def test_error_before_done_is_seen(imitator, canned, line: str) -> None:
    body = f'data: {{"choices":[{{"delta":{{"content":"a"}}}}]}}\n\n{line}\n\ndata: [DONE]\n\n'
    canned.answers.append((200, {"Content-Type": "text/event-stream"}, body.encode()))
    with pytest.raises(UpstreamError):
        answer(imitator)


def test_error_line_at_the_beginning_has_its_own_meaning(imitator, canned) -> None:
    error = '{"code":400,"message":"the request exceeds the available context size (4096 tokens)"}'
    body = f"error: {error}\n\ndata: [DONE]\n\n".encode()
    canned.answers.append((200, {"Content-Type": "text/event-stream"}, body))
    with pytest.raises(ContextLengthExceeded):
        answer(imitator)


def test_closing_summary_is_no_more_text(imitator, canned) -> None:
    call = {"id": "c", "index": 0, "function": {"name": "now", "arguments": '{"a":1}'}}
    summary = whole("tool_calls", content="Hello there", tool_calls=[call])
    summary["usage"] = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    canned.stream(
        chunk(content="Hello "),
        chunk(content="there"),
        chunk(tool_calls=[call]),
        chunk("tool_calls"),
        summary,
        "[DONE]",
    )
    events = answer(imitator)
    assert text_of([events]) == "Hello there"
    assert only(events, ToolCallDelta).arguments == '{"a":1}'
    assert only(events, Usage).prompt_tokens == 3


# Reading.


def test_closing_message_adds_what_had_not_come(imitator, canned) -> None:
    call = {"id": "c", "function": {"name": "now", "arguments": "{}"}}
    canned.stream(
        chunk(role="assistant", content=""),
        chunk(content="Hello "),
        chunk(content="there"),
        whole("tool_calls", content="Hello there", tool_calls=[call], reasoning_content="Hm"),
        "[DONE]",
    )
    events = answer(imitator)
    assert text_of([events]) == "Hello there"
    assert only(events, ToolCallDelta).name == "now"
    assert only(events, ReasoningDelta).text == "Hm"


def test_message_after_the_role_alone_is_the_answer(imitator, canned) -> None:
    canned.stream(chunk(role="assistant", content=""), whole(content="Hello"), "[DONE]")
    assert text_of([answer(imitator)]) == "Hello"


def test_halves_of_an_emoji_are_joined_over_chunks(imitator, canned) -> None:
    canned.stream(
        r'{"choices":[{"delta":{"content":"ok \ud83d"}}]}',
        r'{"choices":[{"delta":{"content":"\ude00 done"},"finish_reason":"stop"}]}',
        "[DONE]",
    )
    assert text_of([answer(imitator)]) == "ok 😀 done"


def test_minus_infinity_among_logprobs_is_openais_floor(imitator, canned) -> None:
    canned.say(
        b'{"choices":[{"message":{"content":"No"},"finish_reason":"stop","logprobs":{"content":'
        b'[{"token":"No","logprob":-0.1,"top_logprobs":[{"token":"#","logprob":-Infinity}]}]}}]}'
    )
    [token] = only(answer(imitator, stream=False), Logprobs).tokens
    assert token["top_logprobs"][0]["logprob"] == -9999.0


@pytest.mark.parametrize("stream", [True, False])
def test_first_bytes_tell_a_stream_whatever_its_label(imitator, canned, stream: bool) -> None:
    canned.stream(chunk(content="a"), chunk("stop", content="b"), "[DONE]")
    canned.answers[0][1]["Content-Type"] = "text/plain; charset=utf-8"
    assert text_of([answer(imitator, stream=stream)]) == "ab"


def test_reasoning_counted_beside_the_completion_is_part_of_it(imitator, canned) -> None:
    body = whole(content="a")
    body["usage"] = {
        "prompt_tokens": "10120",
        "completion_tokens": 1499.0,
        "total_tokens": 14428,
        "completion_tokens_details": {"reasoning_tokens": 2809},
    }
    canned.say(body)
    assert only(answer(imitator, stream=False), Usage) == Usage(10120, 4308, 2809)


def test_usage_within_a_choice_is_found(imitator, canned) -> None:
    last = chunk("stop")
    last["choices"][0]["usage"] = {"prompt_tokens": 7, "completion_tokens": 2}
    canned.stream(chunk(content="a"), last, "[DONE]")
    assert only(answer(imitator), Usage) == Usage(7, 2)


@pytest.mark.parametrize(
    "choice",
    [
        {"index": "one", "delta": {"content": "a"}},
        {"index": -1, "delta": {"content": "a"}},
        {"index": 128, "delta": {"content": "a"}},
        {"delta": {"reasoning_content": {"a": 1}}},
        {"delta": {"refusal": True}},
        {"delta": {"content": 5}},
        {"delta": {"tool_calls": [{"id": 5, "function": {"name": "f"}}]}},
        {"delta": {"tool_calls": [{"id": "c", "function": {"name": {}}}]}},
        {"delta": {"content": "a"}, "logprobs": {"content": 5}},
        {"delta": {"content": "a"}, "logprobs": {"content": [{"token": 5}]}},
        {"delta": {"content": "a"}, "finish_reason": ["stop"]},
        5,
    ],
)
def test_wrong_type_is_an_answer_that_cannot_be_read(imitator, canned, choice: Any) -> None:
    canned.stream({"choices": [choice]}, chunk("stop"), "[DONE]")
    with pytest.raises(UpstreamInvalidResponse):
        answer(imitator)


@pytest.mark.parametrize(
    "candidate",
    [
        {"content": {"parts": [{"text": ["a"]}]}},
        {"content": {"parts": [{"functionCall": {"name": 5}}]}},
        {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": 5}}]}},
        {"content": {"parts": [{"text": "a"}]}, "finishReason": {"a": 1}},
        {"content": {"parts": 5}},
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_wrong_type_of_gemini_is_an_answer_that_cannot_be_read(
    scripted_gemini, canned, candidate: Any, stream: bool
) -> None:
    body = {"candidates": [candidate]}
    canned.stream(body) if stream else canned.say(body)
    with pytest.raises(UpstreamInvalidResponse):
        answer(scripted_gemini, stream=stream)


def test_a_candidate_that_stands_alone_needs_no_index(scripted_gemini, canned) -> None:
    candidate = {"index": "one", "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}
    canned.say({"candidates": [candidate]})
    assert text_of([answer(scripted_gemini, stream=False)]) == "a"
    canned.say({"candidates": [candidate, candidate | {"index": "two"}]})
    with pytest.raises(UpstreamInvalidResponse):
        answer(scripted_gemini, stream=False)


def test_one_choice_that_stands_alone_is_a_list_of_one(imitator, canned) -> None:
    canned.say({"choices": whole(content="a")["choices"][0]})
    assert text_of([answer(imitator, stream=False)]) == "a"


def test_call_without_arguments_has_an_empty_object(imitator, canned) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": ""}}
    canned.say(whole("tool_calls", tool_calls=[call]))
    events = answer(imitator, stream=False)
    pieces = [event.arguments for event in events if isinstance(event, ToolCallDelta)]
    assert "".join(pieces) == "{}"


# Round trips.


def test_reasoning_and_unknown_members_return_to_the_server_that_gave_them(
    imitator, canned
) -> None:
    details = [{"type": "reasoning.encrypted", "data": "abc"}]
    canned.say(
        whole("stop", content="a", reasoning_content="let me see", reasoning_details=details)
    )
    events = answer(imitator, stream=False)
    assert only(events, VendorFields).fields == {"reasoning_details": details}
    turn = Message(
        "assistant",
        tool_calls=(ToolCall("call_1", "now", "", signature="REAL=="),),
        reasoning=(ReasoningBlock("let me see"),),
        vendor_fields={"reasoning_details": details},
    )
    result = Message("tool", (Text("12"),), tool_call_id="call_1")
    sent = planned(imitator, Message("user", (Text("Time?"),)), turn, result)["messages"][1]
    assert sent["reasoning_content"] == "let me see"
    assert sent["reasoning_details"] == details
    assert sent["tool_calls"][0]["function"]["arguments"] == "{}"
    extra = sent["tool_calls"][0]["extra_content"]
    assert extra == {"google": {"thought_signature": "REAL=="}}


def test_signatures_of_gemini_return_on_calls_text_and_thoughts(scripted_gemini, canned) -> None:
    parts = [
        {"text": "Hm", "thought": True, "thoughtSignature": "T=="},
        {"text": "Let me look.", "thoughtSignature": "X=="},
        {"functionCall": {"id": "c", "name": "now", "args": {}}, "thoughtSignature": "C=="},
    ]
    body = {"content": {"parts": parts}, "finishReason": "STOP"}
    canned.say({"candidates": [body], "modelVersion": "gemini-9"})
    events = answer(scripted_gemini, stream=False)
    assert [event.signature for event in events[:3]] == ["T==", "X==", "C=="]
    turn = Message(
        "assistant",
        (Text("Let me look.", "X=="),),
        tool_calls=(ToolCall("c", "now", "{}", "C=="),),
        reasoning=(ReasoningBlock("Hm", "T=="),),
    )
    sent = planned(scripted_gemini, Message("user", (Text("Time?"),)), turn)["contents"][1]
    assert sent["parts"] == parts


def test_grounding_becomes_annotations_in_characters(scripted_gemini, canned) -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 9}, "groundingChunkIndices": [0]}
        ],
    }
    canned.say(
        {
            "candidates": {
                "content": {"parts": {"text": "日本語 is a language"}},
                "groundingMetadata": grounding,
                "finishReason": "STOP",
            }
        }
    )
    [item] = only(answer(scripted_gemini, stream=False), Annotations).items
    assert item == {
        "type": "url_citation",
        "url_citation": {
            "url": "https://a.example",
            "title": "A",
            "start_index": 0,
            "end_index": 3,
        },
    }


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("none", {"mode": "NONE"}),
        ({"type": "none"}, {"mode": "NONE"}),
        ({"type": "auto"}, {"mode": "AUTO"}),
        ({"type": "any"}, {"mode": "ANY"}),
        ({"type": "tool", "name": "now"}, {"mode": "ANY", "allowedFunctionNames": ["now"]}),
        ({"type": "function", "name": "now"}, {"mode": "ANY", "allowedFunctionNames": ["now"]}),
    ],
)
def test_tool_choice_of_another_dialect_is_never_inverted(gemini, choice: Any, config: Any) -> None:
    user = Message("user", (Text("Hi"),))
    flat_tool = {"type": "function", "name": "now", "parameters": {"type": "object"}}
    for tool in (NOW, flat_tool):
        body = planned(gemini, user, tools=[tool], tool_choice=choice)
        assert body["toolConfig"]["functionCallingConfig"] == config


def test_tool_choice_without_a_name_is_refused_by_its_path(gemini) -> None:
    choice = {"type": "function", "function": {"x": 1}}
    with pytest.raises(InvalidRequest) as caught:
        planned(gemini, Message("user", (Text("Hi"),)), tools=[NOW], tool_choice=choice)
    assert caught.value.param == "tool_choice.function.name"


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ("3.10", {"result": "3.10"}),
        ("true", {"result": "true"}),
        ('"a"', {"result": '"a"'}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"result": [1]}),
    ],
)
def test_result_of_a_tool_stays_the_text_it_is(gemini, text: str, response: Any) -> None:
    turn = Message("assistant", tool_calls=(ToolCall("", "now", "{}"),))
    result = Message("tool", (Text(text),), tool_call_id="")
    body = planned(gemini, Message("user", (Text("Hi"),)), turn, result)
    call = body["contents"][1]["parts"][0]["functionCall"]
    told = body["contents"][2]["parts"][0]["functionResponse"]
    assert told == {"id": call["id"], "name": "now", "response": response}
    assert call["id"]


def test_tool_whose_name_gemini_refuses_is_renamed_and_named_back(scripted_gemini, canned) -> None:
    tool = {"type": "function", "function": {"name": "1c_reload"}}
    user = Message("user", (Text("Hi"),))
    declared = planned(scripted_gemini, user, tools=[tool])["tools"][0]["functionDeclarations"]
    assert declared == [{"name": "_1c_reload"}]
    part = {"functionCall": {"name": "_1c_reload", "args": {}}}
    canned.say({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]})
    call = only(answer(scripted_gemini, stream=False, tools=[tool]), ToolCallDelta)
    assert call.name == "1c_reload"


# Paid work.


def made(vendor: Vendor) -> list[Any]:
    request = ImageRequest(vendor.model("image"), "a fox")
    return flat(vendor.upstream.image(request, ACCOUNT, CONTEXT))


@pytest.mark.parametrize("wrap", [list, lambda entries: entries[0]])
def test_image_in_odd_base64_is_kept(imitator, canned, wrap: Any) -> None:
    image = png(40, 30)
    text = base64.urlsafe_b64encode(image).decode().rstrip("=")
    canned.say({"data": wrap([{"b64_json": text}])})
    source = only(made(imitator), MediaReady).source
    with source.open() as pieces:
        assert b"".join(pieces) == image


def test_models_words_for_making_no_image_reach_the_caller(scripted_gemini, canned) -> None:
    words = "I can't draw a real person in that situation."
    body = {"content": {"parts": [{"text": words}]}, "finishReason": "STOP"}
    canned.say({"candidates": [body]})
    with pytest.raises(ContentFiltered, match="real person") as caught:
        made(scripted_gemini)
    assert caught.value.status == 400


def test_usage_of_images_is_the_vendors(imitator, canned) -> None:
    usage = {
        "input_tokens": 50,
        "output_tokens": 100,
        "total_tokens": 150,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    }
    canned.say({"data": [{"b64_json": base64.b64encode(png()).decode()}], "usage": usage})
    counted = only(made(imitator), Usage)
    assert (counted.prompt_tokens, counted.image_input_tokens) == (50, 40)


def test_no_error_of_a_caller_makes_an_account_suspect(imitator, canned) -> None:
    canned.say({"error": {"code": "content_policy_violation", "message": "no"}}, status=400)
    with pytest.raises(GatewayError) as caught:
        answer(imitator)
    assert caught.value.fault is Fault.CONTENT


# Rules of models.


def asked_of(gemini: Vendor, model: str, *, role: str = "user", **params: Any) -> ChatRequest:
    return ChatRequest(model, (Message(role, (Text("Hi"),)),), params)  # type: ignore[arg-type]


def test_parameters_that_a_model_ignores_or_refuses_are_left_out_and_named(gemini) -> None:
    params = {"temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.3, "frequency_penalty": 0}
    request = asked_of(gemini, "gemini-4-argon", n=2, max_tokens=9, **params)
    [call] = gemini.upstream.plan_chat(request, ACCOUNT)
    config = call.body["generationConfig"]
    assert config.keys() == {"maxOutputTokens", "thinkingConfig"}
    dropped = set(gemini.upstream.dropped(request))
    assert dropped == {"temperature", "top_p", "presence_penalty", "n"}


@pytest.mark.parametrize(
    ("model", "effort", "level"),
    [
        ("gemini-4-argon", "minimal", "low"),
        ("gemini-4-argon", "none", "low"),
        ("gemini-4-argon", "xhigh", "high"),
        ("gemini-4-neon", "xhigh", "xhigh"),
        ("gemini-3.8-flash", "minimal", "low"),
        ("gemini-3.6-flash", "minimal", "minimal"),
    ],
)
def test_reasoning_level_is_one_that_the_model_has(
    gemini, model: str, effort: str, level: str
) -> None:
    request = asked_of(gemini, model, reasoning_effort=effort)
    [call] = gemini.upstream.plan_chat(request, ACCOUNT)
    assert call.body["generationConfig"]["thinkingConfig"]["thinkingLevel"] == level.upper()
    changed = [] if level == effort else [f"reasoning_effort={level}"]
    assert list(gemini.upstream.changed(request)) == changed


def test_turn_of_the_assistant_at_the_end_is_refused_where_a_model_cannot_go_on(gemini) -> None:
    with pytest.raises(InvalidRequest) as caught:
        gemini.upstream.plan_chat(asked_of(gemini, "gemini-4-argon", role="assistant"), ACCOUNT)
    assert caught.value.param == "messages[0].role"


def test_seedream_without_a_row_gets_what_was_asked_for(ark) -> None:
    wanted = {"size": "1K", "output_format": "webp", "background": "transparent"}
    request = ImageRequest("seedream-9-9-300101", "a fox", **wanted)
    [call] = ark.upstream.plan_image(request, ACCOUNT)
    assert call.body.items() >= wanted.items()
    assert list(ark.upstream.dropped(request)) == list(ark.upstream.changed(request)) == []
    assert ark.upstream.facts(request.model) is None


def test_seedream_5_5_takes_its_own_tiers_and_formats(ark) -> None:
    wanted = {"size": "1K", "output_format": "png", "background": "transparent"}
    request = ImageRequest("seedream-5-5-261028", "a fox", **wanted)
    [call] = ark.upstream.plan_image(request, ACCOUNT)
    assert call.body.items() >= wanted.items()


def test_tier_that_a_model_has_not_is_the_nearest_and_named(ark) -> None:
    request = ImageRequest("doubao-seedream-4-5-251128", "a fox", size="1K")
    [call] = ark.upstream.plan_image(request, ACCOUNT)
    assert call.body["size"] == "2K"
    assert list(ark.upstream.changed(request)) == ["size=2K"]
