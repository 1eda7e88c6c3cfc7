"""The Gemini API: what is sent, what comes back, and whose fault a refusal is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
import requests

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    AccountSpent,
    Conflict,
    ContentFiltered,
    ContextLengthExceeded,
    GatewayError,
    InvalidRequest,
    JobFailed,
    ModelNotFound,
    NotFound,
    RequestTooLarge,
    UnsupportedMediaType,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
)
from gateway.domain.events import (
    Event,
    Finish,
    MediaReady,
    Progress,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from gateway.domain.requests import (
    ChatRequest,
    ImageRequest,
    Message,
    Text,
    ToolCall,
    VideoRequest,
)
from tests.support.media import png
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

ACCOUNT = Account("gemini-1", "gemini", Secret("AIza-secret-of-the-account"))
SIGNING = "gemini-3-flash-preview"
STAND_IN = "skip_thought_signature_validator"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city", "parameters": CITY},
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": CITY}}
STOP = {"finishReason": "STOP"}


@pytest.fixture
def gemini(open_vendor: Callable[..., Vendor]) -> Vendor:
    return open_vendor("gemini")


@pytest.fixture
def scripted(open_vendor: Callable[..., Vendor], canned: Canned) -> Vendor:
    return open_vendor("gemini", base_url=canned.url)


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(p) if isinstance(p, str) else p for p in parts))


def body_of(vendor: Vendor, request: ChatRequest) -> dict[str, Any]:
    """The body that the request would be sent with."""
    return vendor.upstream.plan_chat(request, ACCOUNT)[-1].body


def candidate(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **fields}]}


def with_model(request: ChatRequest, model: str) -> ChatRequest:
    return replace(request, model=model)


def events_of(vendor: Vendor, request: ChatRequest, account: Account = ACCOUNT) -> list[Event]:
    return list(chain(*vendor.chat(request, account)))


# Where it goes, and as whom.


@pytest.mark.parametrize(
    ("credential", "taken"),
    [
        ("AIzaSyA-1234567890", True),
        ("AQ.Ab8RN6K_token", True),
        ("ya29.a0AfB_token", True),
        ("3f0c8a52-7d1e-4b6a-9c2f-5e8d7a1b4c60", True),
        ("0123456789abcdef", True),
        ("ark-123", False),
        ("sk-proj-123", False),
        ("eyJhbGciOi.J9.x", False),
        ("two words", False),
        ("", False),
    ],
)
def test_own_credentials_are_told_by_their_form(gemini, credential: str, taken: bool) -> None:
    assert gemini.upstream.takes(credential) is taken


@pytest.mark.parametrize(
    ("credential", "header"),
    [("AIzaSy-1", "x-goog-api-key"), ("AQ.1", "x-goog-api-key"), ("ya29.1", "Authorization")],
)
def test_keys_and_tokens_have_headers_of_their_own(gemini, credential: str, header: str) -> None:
    account = replace(ACCOUNT, secret=Secret(credential))
    [call] = gemini.upstream.plan_chat(ask(gemini), account)
    assert call.headers[header] == "***"
    assert len(call.headers) == 2
    assert text_of(gemini.chat(ask(gemini), account))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("gemini-3-pro-preview", "chat"),
        ("gemini-3.1-flash-image", "image"),
        ("gemini-omni-1.2-flash", "video"),
        ("veo-3.1-generate-001", "video"),
    ],
)
def test_models_are_told_by_their_names(gemini: Vendor, model: str, kind: str) -> None:
    assert gemini.upstream.kind_of(model) == kind


def test_base_url_may_name_the_version(simulators, gemini: Vendor) -> None:
    account = replace(gemini.account(), base_url=f"{simulators.url}/gemini/v1beta/")
    assert text_of(gemini.chat(ask(gemini), account))


def test_model_cannot_lead_out_of_its_path(gemini: Vendor) -> None:
    [call] = gemini.upstream.plan_chat(with_model(ask(gemini), "../files?x=/y"), ACCOUNT)
    assert "/models/..%2Ffiles%3Fx%3D%2Fy:streamGenerateContent?alt=sse" in call.url


def test_vendor_has_no_sessions_to_sweep(gemini: Vendor) -> None:
    assert gemini.upstream.sweep_sessions(ACCOUNT, "gateway") == 0


# Conversations.


def test_instructions_go_where_gemini_wants_them(gemini: Vendor) -> None:
    messages = (
        Message("system", (Text("Be brief."),)),
        user("Hello"),
        Message("assistant", (Text("Hi."),)),
        Message("system", (Text("Be kind."), a_png())),
        user("How are you?"),
    )
    request = ChatRequest(gemini.model(), messages)
    body = body_of(gemini, request)
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}, {"text": "Be kind."}]
    assert [turn["role"] for turn in body["contents"]] == ["user", "model", "user", "user"]
    assert "64x48" in text_of(gemini.chat(request, gemini.account()))


def test_instructions_alone_are_asked(gemini: Vendor) -> None:
    request = ChatRequest(gemini.model(), (Message("system", (Text("Say hello."),)),))
    assert "Say hello." in text_of(gemini.chat(request, gemini.account()))


def test_empty_texts_are_left_out(gemini: Vendor) -> None:
    messages = (user("Hello", ""), Message("assistant", (Text(""),)), user("", "Again"))
    turns = body_of(gemini, ChatRequest(gemini.model(), messages))["contents"]
    assert turns == [
        {"role": "user", "parts": [{"text": "Hello"}]},
        {"role": "user", "parts": [{"text": "Again"}]},
    ]


def test_frames_of_a_film_can_be_chosen(gemini: Vendor) -> None:
    request = ChatRequest(gemini.model(), (user(replace(an_mp4(), fps=2.0), "Watch"),))
    part = body_of(gemini, request)["contents"][0]["parts"][0]
    assert part["videoMetadata"] == {"fps": 2.0}
    assert "video/mp4" in text_of(gemini.chat(request, gemini.account()))


def calls_of(events: list[Event]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(e.id or "", e.name or "", e.arguments, e.signature)
        for e in events
        if isinstance(e, ToolCallDelta)
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "lost"])
def test_tools_are_called_and_answered(gemini: Vendor, stream: bool, keep: bool) -> None:
    account = gemini.account()
    question = user("Ask weather and clock about Oslo")
    request = ChatRequest(SIGNING, (question,), {"tools": [WEATHER, CLOCK]}, stream=stream)
    events = events_of(gemini, request, account)
    calls = calls_of(events)
    assert [call.name for call in calls] == ["weather", "clock"]
    assert [e.index for e in events if isinstance(e, ToolCallDelta)] == [0, 1]
    assert json.loads(calls[0].arguments) == {"city": "Oslo"}
    assert events[-1] == Finish("tool_calls")
    assert calls[0].signature
    if not keep:
        calls = tuple(replace(call, signature=None) for call in calls)

    answered = (
        question,
        Message("assistant", tool_calls=calls),
        Message("tool", (Text('{"degrees": 7}'),), tool_call_id=calls[0].id),
        Message("tool", (Text("noon"),), tool_call_id=calls[1].id),
    )
    batches = gemini.chat(replace(request, messages=answered), account)
    assert text_of(batches)
    assert batches[-1][-1] == Finish("stop")


def test_results_of_tools_name_their_call(gemini: Vendor) -> None:
    messages = (
        user("Hello"),
        Message("assistant", (Text("Let me see."),)),
        Message("assistant", tool_calls=(ToolCall("c1", "weather", '{"city":"Oslo"}'),)),
        Message("tool", (Text("[1, 2]"), a_png()), tool_call_id="c1"),
    )
    contents = body_of(gemini, ChatRequest(SIGNING, messages))["contents"]
    assert [turn["role"] for turn in contents] == ["user", "model", "user"]
    assert contents[1]["parts"] == [
        {"text": "Let me see."},
        {
            "functionCall": {"id": "c1", "name": "weather", "args": {"city": "Oslo"}},
            "thoughtSignature": STAND_IN,
        },
    ]
    result, picture = contents[2]["parts"]
    assert result["functionResponse"] == {
        "id": "c1",
        "name": "weather",
        "response": {"result": [1, 2]},
    }
    assert picture["inlineData"]["mimeType"] == "image/png"


def test_damaged_arguments_of_a_past_call_are_still_told(gemini: Vendor) -> None:
    call = ToolCall("c1", "weather", '{"city": "Os')
    messages = (user("Hello"), Message("assistant", tool_calls=(call,)))
    part = body_of(gemini, ChatRequest("gemini-2.5-pro", messages))["contents"][1]["parts"][0]
    assert part["functionCall"]["args"] == {"arguments": '{"city": "Os'}
    assert "thoughtSignature" not in part


# Parameters.


@pytest.mark.parametrize(
    ("params", "config"),
    [
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 3}, dict(temperature=0.5, topP=0.9, topK=3)),
        ({"max_tokens": 5, "max_completion_tokens": 7}, dict(maxOutputTokens=7)),
        ({"max_tokens": 5}, dict(maxOutputTokens=5)),
        ({"n": 2, "seed": 2**31 + 5}, dict(candidateCount=2, seed=5)),
        ({"presence_penalty": 0, "frequency_penalty": 0.5}, dict(frequencyPenalty=0.5)),
        ({"stop": list("abcdefg")}, dict(stopSequences=list("abcde"))),
        ({"modalities": ["text"]}, dict(responseModalities=["TEXT"])),
        (
            {"image_config": {"aspect_ratio": "16:9", "image_size": "2K"}},
            dict(imageConfig={"aspectRatio": "16:9", "imageSize": "2K"}),
        ),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, dict(responseMimeType="application/json")),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": CITY}}},
            dict(responseMimeType="application/json", responseJsonSchema=CITY),
        ),
    ],
)
def test_parameters_become_generation_config(gemini, params, config) -> None:
    body = body_of(gemini, ask(gemini, **params))
    del body["generationConfig"]["thinkingConfig"]
    assert body["generationConfig"] == config


@pytest.mark.parametrize(
    ("model", "params", "config"),
    [
        ("gemini-3.8-flash", {}, {}),
        ("gemini-3.8-flash", {"reasoning_effort": "none"}, {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.8-flash", {"reasoning_effort": "medium"}, {"thinkingLevel": "MEDIUM"}),
        ("gemini-3-pro-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "HIGH"}),
        ("gemini-3.1-pro-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "MEDIUM"}),
        ("gemini-3.1-pro-preview", {"reasoning_effort": "minimal"}, {"thinkingLevel": "LOW"}),
        ("gemini-flash-latest", {"reasoning_effort": "xhigh"}, {"thinkingLevel": "HIGH"}),
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"thinkingBudget": 1024}),
        ("gemini-2.5-flash", {"reasoning_effort": "high"}, {"thinkingBudget": 24576}),
        ("gemini-2.5-pro", {"reasoning_effort": "none"}, {"thinkingBudget": 128}),
        (
            "gemini-2.5-pro",
            {"thinking": {"type": "enabled", "budget_tokens": 900}},
            {"thinkingBudget": 900},
        ),
    ],
)
def test_effort_is_told_in_the_words_of_the_family(gemini, model: str, params, config) -> None:
    body = body_of(gemini, with_model(ask(gemini, **params), model))
    assert body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, **config}
    assert text_of(gemini.chat(with_model(ask(gemini, **params), model), gemini.account()))


@pytest.mark.parametrize("params", [{"thinking": {"type": "disabled"}}, {"enable_thinking": False}])
def test_thinking_can_be_turned_off_where_gemini_can(gemini: Vendor, params) -> None:
    events = events_of(gemini, ask(gemini, **params), gemini.account())
    assert not [event for event in events if isinstance(event, ReasoningDelta)]


@pytest.mark.parametrize("model", ["gemma-4-31b", "gemini-2.0-flash", "gemini-3-pro-image"])
def test_models_that_are_not_asked_to_think_are_left_alone(gemini: Vendor, model: str) -> None:
    assert "generationConfig" not in body_of(gemini, with_model(ask(gemini), model))


@pytest.mark.parametrize("stream", [True, False])
def test_thoughts_come_as_reasoning(gemini: Vendor, stream: bool) -> None:
    events = events_of(gemini, ask(gemini, stream=stream), gemini.account())
    assert isinstance(events[0], ReasoningDelta)
    usage = next(event for event in events if isinstance(event, Usage))
    assert 0 < usage.reasoning_tokens < usage.completion_tokens


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "clock"}},
            {"mode": "ANY", "allowedFunctionNames": ["clock"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [CLOCK]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["clock"]},
        ),
    ],
)
def test_choice_of_tools_is_a_mode(gemini: Vendor, choice, config) -> None:
    request = ask(gemini, tools=[WEATHER, CLOCK], tool_choice=choice)
    body = body_of(gemini, request)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    assert body["tools"][0]["functionDeclarations"][0] == {
        "name": "weather",
        "description": "Of a city",
        "parametersJsonSchema": CITY,
    }
    events = events_of(gemini, request, gemini.account())
    called = [event.name for event in events if isinstance(event, ToolCallDelta)]
    assert bool(called) == (config["mode"] == "ANY")


def test_tools_that_gemini_does_not_have_are_refused(gemini: Vendor) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body_of(gemini, ask(gemini, tools=[WEATHER, {"type": "custom"}]))
    assert caught.value.param == "tools[1]"


def test_search_and_tiers_are_asked_for(gemini: Vendor) -> None:
    body = body_of(gemini, ask(gemini, web_search_options={}, service_tier="flex"))
    assert body["tools"] == [{"googleSearch": {}}]
    assert body["serviceTier"] == "flex"
    assert "serviceTier" not in body_of(gemini, ask(gemini, service_tier="auto"))


def test_what_gemini_lacks_is_named(gemini: Vendor) -> None:
    request = ask(
        gemini,
        temperature=1,
        logprobs=True,
        logit_bias={"1": 2},
        stop=list("abcdef"),
        tools=[WEATHER],
        web_search_options={},
    )
    assert set(gemini.upstream.dropped(request)) == {
        "logprobs",
        "logit_bias",
        "stop",
        "web_search_options",
    }


def test_several_answers_are_told_apart(gemini: Vendor) -> None:
    events = events_of(gemini, ask(gemini, n=2), gemini.account())
    texts = [
        "".join(e.text for e in events if isinstance(e, TextDelta) and e.choice == c)
        for c in (0, 1)
    ]
    assert texts[0] == texts[1] != ""
    assert events[-2:] == [Finish("stop", 0), Finish("stop", 1)]


# Large attachments.


def large_png() -> Any:
    return media(png(70, 50) + bytes(15_500_000), "image/png")


@pytest.mark.parametrize("stream", [True, False])
def test_large_attachment_is_uploaded_once_and_deleted(gemini: Vendor, stream: bool) -> None:
    account = gemini.account()
    picture = large_png()
    messages = (user(picture, "One"), Message("assistant", (Text("Yes."),)), user("Two", picture))
    batches = gemini.chat(ChatRequest(gemini.model(), messages, stream=stream), account)
    assert text_of(batches).count("70x50") == 2
    operations = gemini.simulators.operations(account.name)
    assert sum(n for name, n in operations.items() if name.endswith("files.delete")) == 1
    ledger = gemini.simulators.ledger(requests_too=False)
    assert not [name for name in ledger["files"]["names"] if account.name in name]


def test_leaving_deletes_what_was_uploaded(gemini: Vendor) -> None:
    account = gemini.account("endless-slow20")
    request = ChatRequest(gemini.model(), (user(large_png(), "Look"),), stream=True)
    batches = gemini.upstream.chat(request, account, CONTEXT)
    next(batches)
    batches.close()
    assert any(name.endswith("files.delete") for name in gemini.simulators.operations(account.name))


def test_upload_is_planned_with_a_stand_in_for_its_address(gemini: Vendor) -> None:
    request = ChatRequest(gemini.model(), (user(large_png(), "Look"),))
    upload, call = gemini.upstream.plan_chat(request, ACCOUNT)
    assert upload.url.endswith("/upload/v1beta/files")
    assert upload.headers["X-Goog-Upload-Command"] == "start"
    assert call.body["contents"][0]["parts"][0]["fileData"]["fileUri"] == "<file 1>"


def test_file_is_waited_for_until_it_is_processed(scripted: Vendor, canned: Canned) -> None:
    file = {"name": "files/abc", "uri": "https://vendor.example/files/abc", "state": "PROCESSING"}
    canned.say({}, X_Goog_Upload_URL=f"{canned.url}/upload")
    canned.say({"file": file})
    canned.say(file)
    canned.say({**file, "state": "ACTIVE"})
    canned.stream(candidate({"text": "Seen"}, **STOP))
    canned.say({})
    request = ChatRequest(scripted.model(), (user(large_png(), "Look"),), stream=True)
    assert text_of(scripted.chat(request, ACCOUNT)) == "Seen"
    assert b'"fileUri":"https://vendor.example/files/abc"' in canned.bodies[4]
    assert not canned.answers


def test_file_that_gemini_cannot_read_is_the_callers_fault(scripted, canned: Canned) -> None:
    file = {"name": "files/abc", "uri": "u", "state": "FAILED", "error": {"message": "no film"}}
    canned.say({}, X_Goog_Upload_URL=f"{canned.url}/upload")
    canned.say({"file": file})
    canned.say({})
    request = ChatRequest(scripted.model(), (user(large_png(), "Look"),), stream=True)
    with pytest.raises(UnsupportedMediaType, match="no film"):
        scripted.chat(request, ACCOUNT)
    assert not canned.answers


# Answers.


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((name, "content_filter") for name in ("SAFETY", "RECITATION", "SPII", "BLOCKLIST")),
        ("OTHER", "stop"),
    ],
)
def test_finish_reasons_are_mapped(scripted, canned, reason: str, finish: str) -> None:
    canned.stream(candidate({"text": "a"}), candidate(finishReason=reason))
    assert events_of(scripted, ask(scripted))[-1] == Finish(finish)  # type: ignore[arg-type]


def test_answer_that_gemini_gave_up_is_an_error(scripted: Vendor, canned: Canned) -> None:
    canned.stream({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]})
    with pytest.raises(UpstreamInvalidResponse, match="MALFORMED_FUNCTION_CALL"):
        scripted.chat(ask(scripted), ACCOUNT)


def test_choice_that_is_left_unfinished_is_an_error(scripted: Vendor, canned: Canned) -> None:
    canned.stream(candidate({"text": "a"}, index=1), candidate({"text": "b"}, **STOP))
    with pytest.raises(UpstreamDisconnected):
        scripted.chat(ask(scripted), ACCOUNT)


def test_tokens_are_counted_as_billed(scripted: Vendor, canned: Canned) -> None:
    counts = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 3,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7,
        "cachedContentTokenCount": 2,
    }
    canned.stream(
        {**candidate({"text": "a"}), "usageMetadata": {"promptTokenCount": 1}},
        {**candidate(**STOP), "usageMetadata": counts},
    )
    usage = Usage(13, 12, reasoning_tokens=7, cached_tokens=2)
    assert events_of(scripted, ask(scripted))[-2:] == [usage, Finish("stop")]


def test_calls_without_an_id_get_one(scripted: Vendor, canned: Canned) -> None:
    call = {"functionCall": {"name": "weather"}, "thoughtSignature": "c2ln"}
    canned.say(candidate(call, **STOP))
    [event, finish] = events_of(scripted, ask(scripted, stream=False))
    assert isinstance(event, ToolCallDelta)
    assert event.id
    assert event.id.startswith("call_")
    assert (event.arguments, event.signature) == ("{}", "c2ln")
    assert finish == Finish("tool_calls")


def test_pictures_are_handed_on_but_not_sketches(scripted: Vendor, canned: Canned) -> None:
    inline = {"mimeType": "image/png", "data": base64.b64encode(png()).decode()}
    canned.stream(
        candidate({"inlineData": inline, "thought": True}, {"inlineData": inline}, **STOP)
    )
    [picture, _] = events_of(scripted, ask(scripted))
    assert isinstance(picture, MediaReady)
    with picture.source.open() as chunks:
        assert b"".join(chunks) == png()


@pytest.mark.parametrize("frame", ["[1]", '{"candidates": 5}', '{"candidates": [{"content": 7}]}'])
def test_nonsense_is_refused_unread(scripted: Vendor, canned: Canned, frame: str) -> None:
    canned.stream(frame)
    with pytest.raises(UpstreamInvalidResponse):
        scripted.chat(ask(scripted), ACCOUNT)


def test_error_between_the_events_is_the_answer(gemini: Vendor) -> None:
    arrived: list[list[Event]] = []
    with (
        pytest.raises(UpstreamError) as caught,
        closing(gemini.upstream.chat(ask(gemini), gemini.account("failed"), CONTEXT)) as batches,
    ):
        arrived.extend(batches)
    assert text_of(arrived)
    assert not isinstance(caught.value, UpstreamDisconnected)
    assert caught.value.sent


@pytest.mark.parametrize("wrapped", [True, False])
def test_late_error_keeps_its_kind(scripted: Vendor, canned: Canned, wrapped: bool) -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    text = json.dumps([error] if wrapped else error, indent=2)
    frame = json.dumps(candidate({"text": "a"}))
    canned.answers.append(
        (200, {"Content-Type": "text/event-stream"}, f"data: {frame}\n\n{text}\n".encode())
    )
    with pytest.raises(UpstreamOverloaded) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert caught.value.sent


# Refusals.


def refusal(code: int, message: str, status: str = "", *details: Any) -> dict[str, Any]:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": error}


def quota(quota_id: str) -> dict[str, Any]:
    return {"violations": [{"quotaId": quota_id, "quotaMetric": "m"}]}


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (refusal(400, "Invalid value at 'x'", "INVALID_ARGUMENT"), InvalidRequest),
        (
            refusal(400, "API key not valid.", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}),
            AccountRejected,
        ),
        (refusal(400, "API key expired. Please renew the API key."), AccountRejected),
        (
            refusal(
                400,
                "User location is not supported for the API use.",
                "FAILED_PRECONDITION",
            ),
            AccountRejected,
        ),
        (refusal(400, "The file is not ready.", "FAILED_PRECONDITION"), InvalidRequest),
        (
            refusal(400, "The input token count (9) exceeds the maximum number of tokens allowed"),
            ContextLengthExceeded,
        ),
        (refusal(400, "Request payload size exceeds the limit: 1 bytes."), RequestTooLarge),
        (refusal(401, "Expected OAuth 2 access token", "UNAUTHENTICATED"), AccountRejected),
        (refusal(403, "Your key was reported as leaked.", "PERMISSION_DENIED"), AccountRejected),
        (refusal(404, "models/x is not found for API version v1beta"), ModelNotFound),
        (refusal(429, "Resource has been exhausted", "RESOURCE_EXHAUSTED"), AccountExhausted),
        (refusal(429, "q", "", quota("RequestsPerMinutePerProject"), RETRY), AccountExhausted),
        (
            refusal(429, "q", "", quota("RequestsPerMinute"), quota("RequestsPerDay-FreeTier")),
            AccountSpent,
        ),
        (refusal(429, "Quota exceeded for metric: m, limit: 0, model: x"), AccountSpent),
        (refusal(499, "Cancelled", "CANCELLED"), UpstreamError),
        (refusal(500, "The model is overloaded.", "INTERNAL"), UpstreamOverloaded),
        (refusal(503, "Unavailable", "UNAVAILABLE"), UpstreamOverloaded),
        ({"error": {"code": "authentication", "message": "no"}}, AccountRejected),
    ],
    ids=lambda value: "" if isinstance(value, type) else str(value["error"]["message"])[:40],
)
@pytest.mark.parametrize("wrapped", [True, False], ids=["array", "object"])
def test_refusals_are_told_apart(scripted, canned, body, error, wrapped: bool) -> None:
    code = body["error"]["code"]
    canned.say([body] if wrapped else body, status=code if isinstance(code, int) else 400)
    with pytest.raises(GatewayError) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert type(caught.value) is error
    assert caught.value.sent == (isinstance(code, int) and code >= 500)


@pytest.mark.parametrize(
    ("body", "wait"),
    [
        (refusal(429, "Please retry in 5.5s.", "", RETRY), 22),
        (refusal(429, "Please retry in 5.5s."), 5.5),
        (refusal(429, "Please retry in 250ms."), 0.25),
        (refusal(429, "slow down", "", {"retryDelay": "86400s"}), 3600),
        (refusal(429, "slow down", "", {"retryDelay": "-3s"}), None),
    ],
)
def test_wait_is_what_the_vendor_asks_for(scripted, canned, body, wait: float | None) -> None:
    canned.say(body, status=429)
    with pytest.raises(AccountExhausted) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert caught.value.retry_after == wait


def test_spent_account_rests_until_the_vendors_midnight(gemini: Vendor) -> None:
    with pytest.raises(AccountSpent) as caught:
        gemini.chat(ask(gemini), gemini.account("daily"))
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 86400


def test_page_of_a_proxy_is_nobodys_refusal(scripted: Vendor, canned: Canned) -> None:
    canned.say(b"<html>not here</html>", status=404)
    with pytest.raises(UpstreamInvalidResponse) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert not caught.value.sent
    assert "html" not in caught.value.message


@pytest.mark.parametrize("stream", [True, False])
def test_blocked_prompt_says_why(scripted: Vendor, canned: Canned, stream: bool) -> None:
    feedback = {"promptFeedback": {"blockReason": "JAILBREAK"}}
    canned.stream(feedback) if stream else canned.say(feedback)
    with pytest.raises(ContentFiltered, match="JAILBREAK"):
        scripted.chat(ask(scripted, stream=stream), ACCOUNT)


# Pictures.


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({}, None),
        ({"size": "auto"}, None),
        ({"ratio": "21:9"}, {"aspectRatio": "21:9"}),
        ({"size": "2k", "ratio": "4:3"}, {"imageSize": "2K", "aspectRatio": "4:3"}),
        ({"size": "1024x1024", "ratio": "4:3"}, {"imageSize": "1K", "aspectRatio": "1:1"}),
        ({"size": "1536x1024"}, {"imageSize": "1K", "aspectRatio": "3:2"}),
        ({"size": "2560x1440"}, {"imageSize": "2K", "aspectRatio": "16:9"}),
        ({"size": "2160x3840"}, {"imageSize": "2K", "aspectRatio": "9:16"}),
        ({"size": "4096x4096"}, {"imageSize": "4K", "aspectRatio": "1:1"}),
        ({"ratio": "8:1"}, {"aspectRatio": "8:1"}),
    ],
)
def test_shape_of_a_picture_is_the_nearest_there_is(gemini, fields, shape) -> None:
    request = ImageRequest(gemini.model("image"), "a fox", **fields)
    [call] = gemini.upstream.plan_image(request, ACCOUNT)
    assert call.body["generationConfig"].get("imageConfig") == shape
    assert drawn(gemini, request)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"ratio": "7:5"}, "ratio"), ({"size": "8K"}, "size"), ({"mask": a_png()}, "mask")],
)
def test_wishes_that_gemini_cannot_fulfil_are_named(gemini, fields, param: str) -> None:
    request = ImageRequest(gemini.model("image"), "a fox", **fields)
    with pytest.raises(InvalidRequest) as caught:
        gemini.upstream.plan_image(request, ACCOUNT)
    assert caught.value.param == param


def test_long_pictures_are_for_models_that_make_them(gemini: Vendor) -> None:
    with pytest.raises(InvalidRequest, match="21:9"):
        gemini.upstream.plan_image(ImageRequest("gemini-3-pro-image", "a", ratio="8:1"), ACCOUNT)


def drawn(vendor: Vendor, request: ImageRequest, account: Account | None = None) -> list[Event]:
    account = account or vendor.account()
    with closing(vendor.upstream.image(request, account, CONTEXT)) as batches:
        return list(chain(*batches))


def test_several_pictures_are_several_calls(gemini: Vendor) -> None:
    account = gemini.account()
    request = ImageRequest(gemini.model("image"), "a fox", images=(a_jpeg(),), n=3, seed=4)
    events = drawn(gemini, request, account)
    assert len([event for event in events if isinstance(event, MediaReady)]) == 3
    usage, finish = events[-2:]
    assert isinstance(usage, Usage)
    assert usage.images == 3
    assert finish == Finish("stop")
    assert gemini.simulators.calls(account.name) == 3
    assert len(gemini.upstream.plan_image(request, account)) == 3


def test_picture_that_a_policy_keeps_back_is_the_contents_fault(gemini: Vendor) -> None:
    request = ImageRequest(gemini.model("image"), "a fox")
    with pytest.raises(ContentFiltered, match="IMAGE_SAFETY"):
        drawn(gemini, request, gemini.account("filtered"))


def test_answer_without_a_picture_is_an_error(gemini: Vendor) -> None:
    request = ImageRequest(gemini.model("image"), "a fox")
    with pytest.raises(UpstreamInvalidResponse, match="NO_IMAGE"):
        drawn(gemini, request, gemini.account("failed"))


def test_pictures_made_before_a_failure_are_kept(scripted: Vendor, canned: Canned) -> None:
    inline = {"mimeType": "image/png", "data": base64.b64encode(png()).decode()}
    canned.say(candidate({"inlineData": inline}, **STOP))
    canned.say(refusal(429, "slow down"), status=429)
    request = ImageRequest(scripted.model("image"), "a fox", n=3)
    picture, note, usage, finish = drawn(scripted, request, ACCOUNT)
    assert isinstance(picture, MediaReady)
    assert isinstance(note, Progress)
    assert "rate limit" in note.note
    assert usage == Usage(images=1)
    assert finish == Finish("stop")


# Films.


def planned_film(vendor: Vendor, **fields: Any) -> dict[str, Any]:
    request = VideoRequest(vendor.model("video"), "waves", **fields)
    return vendor.upstream.plan_video(request, ACCOUNT)[0].body


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, {}),
        ({"ratio": "9:16", "duration": 8}, {"aspect_ratio": "9:16", "duration": "8s"}),
        ({"resolution": "1080P"}, {"resolution": "1080p"}),
        ({"size": "720x1280"}, {"aspect_ratio": "9:16", "resolution": "720p"}),
        ({"size": "3840x2160"}, {"aspect_ratio": "16:9", "resolution": "4k"}),
        ({"size": "1024x1792"}, {"aspect_ratio": "9:16", "resolution": "1080p"}),
    ],
)
def test_film_is_asked_for_in_the_background(gemini: Vendor, fields, wanted) -> None:
    body = planned_film(gemini, **fields)
    assert body["response_format"] == {"type": "video", "delivery": "uri", **wanted}
    assert body["background"] is body["store"] is True
    account = gemini.account()
    request = VideoRequest(gemini.model("video"), "waves", **fields)
    task_id = gemini.upstream.submit_video(request, account, CONTEXT)
    assert gemini.upstream.check_video(task_id, account).running


def test_first_frame_goes_with_the_prompt(gemini: Vendor) -> None:
    body = planned_film(gemini, images=(a_png(400, 300),), seed=5)
    assert [part["type"] for part in body["input"]] == ["image", "text"]
    assert body["generation_config"] == {"video_config": {"task": "image_to_video"}, "seed": 5}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"ratio": "1:1"}, "ratio"),
        ({"resolution": "480p"}, "resolution"),
        ({"duration": 2}, "duration"),
        ({"duration": 16}, "duration"),
        ({"images": (a_png(), a_jpeg())}, "image[1]"),
    ],
)
def test_films_that_gemini_cannot_make_are_refused(gemini, fields, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        planned_film(gemini, **fields)
    assert caught.value.param == param


def test_older_model_makes_shorter_films(gemini: Vendor) -> None:
    request = VideoRequest("gemini-omni-1.1-flash", "waves", duration=12)
    with pytest.raises(InvalidRequest, match="3 to 10"):
        gemini.upstream.plan_video(request, ACCOUNT)


def begun(vendor: Vendor, words: str) -> tuple[str, Account]:
    account = vendor.account(words)
    request = VideoRequest(vendor.model("video"), "waves", duration=3, resolution="360p")
    return vendor.upstream.submit_video(request, account, CONTEXT), account


def operations(vendor: Vendor, account: Account) -> dict[str, int]:
    return vendor.simulators.operations(account.name)


def test_film_is_deleted_at_the_vendor_once_it_was_read(gemini: Vendor) -> None:
    task_id, account = begun(gemini, "video0")
    video = gemini.upstream.check_video(task_id, account).video
    assert video is not None
    with video.open() as chunks:
        next(iter(chunks))
    assert "gemini.interactions.delete" not in operations(gemini, account)
    task = gemini.upstream.check_video(task_id, account)
    assert task.video is not None
    with task.video.open() as chunks:
        assert b"".join(chunks)[4:8] == b"ftyp"
    assert task.completion_tokens > 0
    assert operations(gemini, account)["gemini.interactions.delete"] == 1
    with pytest.raises(JobFailed):
        gemini.upstream.check_video(task_id, account)


def test_film_whose_storage_failed_stays_at_the_vendor(gemini: Vendor) -> None:
    task_id, account = begun(gemini, "video0")
    video = gemini.upstream.check_video(task_id, account).video
    assert video is not None

    def store() -> None:
        with video.open() as chunks:
            assert b"".join(chunks)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk"):
        store()
    assert gemini.upstream.check_video(task_id, account).video is not None


def test_film_that_runs_can_be_cancelled(gemini: Vendor) -> None:
    task_id, account = begun(gemini, "video60")
    gemini.upstream.cancel_video(task_id, account)
    assert operations(gemini, account)["gemini.interactions.delete"] == 1
    with pytest.raises(NotFound):
        gemini.upstream.cancel_video(task_id, account)


def test_film_that_is_made_cannot_be_cancelled(gemini: Vendor) -> None:
    task_id, account = begun(gemini, "video0")
    with pytest.raises(Conflict):
        gemini.upstream.cancel_video(task_id, account)


@pytest.mark.parametrize("word", ["blocked", "filtered"])
def test_film_that_a_policy_keeps_back_is_the_contents_fault(gemini: Vendor, word: str) -> None:
    task_id, account = begun(gemini, f"video0-{word}")
    with pytest.raises(ContentFiltered):
        gemini.upstream.check_video(task_id, account)


@pytest.mark.parametrize("model", ["gemini-omni-9-flash", "veo-3.1-generate-preview"])
def test_unknown_model_makes_no_films(gemini: Vendor, model: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        gemini.upstream.submit_video(VideoRequest(model, "waves"), gemini.account(), CONTEXT)
    assert not caught.value.sent


def made(uri: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "video", "mime_type": "video/mp4", "uri": uri}]
    steps = [{"type": "thought"}, {"type": "model_output", "content": content}]
    return {"id": "v1_1", "status": "completed", "steps": steps, **fields}


def test_film_in_a_file_is_read_with_the_key(gemini: Vendor) -> None:
    account = gemini.account("video0")
    interaction = requests.post(
        f"{gemini.simulators.url}/gemini/v1beta/interactions",
        headers={"x-goog-api-key": account.secret.reveal()},
        json={
            "model": gemini.model("video"),
            "input": "waves",
            "response_format": {"type": "video", "delivery": "uri", "resolution": "360p"},
        },
        timeout=10,
    ).json()
    task_id = interaction["id"]
    gemini.simulators.until(lambda _: not gemini.upstream.check_video(task_id, account).running)
    source = gemini.upstream.check_video(task_id, account).video
    assert source is not None
    with source.open() as chunks:
        assert b"".join(chunks)[4:8] == b"ftyp"
    assert account.secret.reveal() not in repr(source)


def test_film_may_still_be_on_its_way_into_a_file(scripted: Vendor, canned: Canned) -> None:
    uri = "https://generativelanguage.googleapis.com/v1beta/files/abc-1:download?alt=media"
    file = {"name": "files/abc-1", "uri": "https://vendor.example/files/abc-1"}
    canned.say(made(uri))
    canned.say({**file, "state": "PROCESSING"})
    task = scripted.upstream.check_video("v1_1", ACCOUNT)
    assert task.running
    assert task.percent == 99

    canned.say(made(uri))
    canned.say({**file, "state": "ACTIVE"})
    task = scripted.upstream.check_video("v1_1", ACCOUNT)
    assert task.video is not None
    assert task.video.url == f"{canned.url}/v1beta/files/abc-1:download?alt=media"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (
            refusal(403, "You do not have permission to access the File abc or it may not exist."),
            403,
        ),
        ({"name": "files/abc", "uri": "u", "state": "FAILED"}, 200),
    ],
)
def test_film_that_was_lost_is_a_failed_job(scripted, canned, answer, status: int) -> None:
    canned.say(made("https://vendor.example/v1beta/files/abc:download?alt=media"))
    canned.say(answer, status=status)
    with pytest.raises(JobFailed):
        scripted.upstream.check_video("v1_1", ACCOUNT)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "completed", "steps": []},
        {"status": "incomplete", "steps": []},
        {"status": "cancelled"},
        {"status": "failed", "errors": [{"code": "api_error", "message": "no AIza-secret-1"}]},
    ],
)
def test_interaction_without_a_film_is_a_failed_job(scripted, canned, answer) -> None:
    canned.say(answer)
    with pytest.raises(JobFailed) as caught:
        scripted.upstream.check_video("v1_1", ACCOUNT)
    assert "AIza" not in caught.value.message


@pytest.mark.parametrize("answer", [[], {"status": "completed", "steps": 5}])
def test_word_on_a_film_that_makes_no_sense_is_refused(scripted, canned, answer) -> None:
    canned.say(answer)
    with pytest.raises(UpstreamInvalidResponse):
        scripted.upstream.check_video("v1_1", ACCOUNT)


def test_film_without_an_id_may_be_on_its_way(scripted: Vendor, canned: Canned) -> None:
    canned.say({"status": "in_progress"})
    with pytest.raises(UpstreamInvalidResponse) as caught:
        scripted.upstream.submit_video(VideoRequest("gemini-omni-1.2-flash", "a"), ACCOUNT, CONTEXT)
    assert caught.value.sent
