"""The Gemini API: where requests go, conversations, and large attachments."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.domain.accounts import Secret
from gateway.domain.errors import UnsupportedMediaType, UpstreamInvalidResponse, UpstreamTimeout
from gateway.domain.events import Event, ToolCallDelta
from gateway.domain.requests import ChatRequest, Message, Text, ToolCall
from tests.upstreams.conftest import CONTEXT, Canned, Vendor, a_png, an_mp4, ask, text_of
from tests.upstreams.gemini_support import (
    ACCOUNT,
    CLOCK,
    STOP,
    WEATHER,
    body_of,
    candidate,
    events_of,
    large_png,
    user,
    with_model,
)

SIGNING = "gemini-3-flash-preview"
STAND_IN = "skip_thought_signature_validator"


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
    assert events[-1].reason == "tool_calls"
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
    assert batches[-1][-1].reason == "stop"


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


def test_result_belongs_to_the_latest_call_of_its_id(gemini: Vendor) -> None:
    turns: list[Message] = []
    for name in ("weather", "clock"):
        turns += [
            user("And now?"),
            Message("assistant", tool_calls=(ToolCall("call_0", name, "{}"),)),
            Message("tool", (Text("so"),), tool_call_id="call_0"),
        ]
    request = ChatRequest(gemini.model(), tuple(turns), {"tools": [WEATHER, CLOCK]})
    parts = [turn["parts"][0] for turn in body_of(gemini, request)["contents"]]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    assert [result["name"] for result in results] == ["weather", "clock"]
    assert text_of(gemini.chat(request, gemini.account()))


def test_damaged_arguments_of_a_past_call_are_still_told(gemini: Vendor) -> None:
    call = ToolCall("c1", "weather", '{"city": "Os')
    messages = (user("Hello"), Message("assistant", tool_calls=(call,)))
    part = body_of(gemini, ChatRequest("gemini-2.5-pro", messages))["contents"][1]["parts"][0]
    assert part["functionCall"]["args"] == {"arguments": '{"city": "Os'}
    assert "thoughtSignature" not in part


def test_tools_may_tell_no_more_structure_together_than_a_body_may_have(gemini: Vendor) -> None:
    large = "[" + ",".join(["[]"] * 60_000) + "]"
    texts = ("[1]", large, large, '{"a": 1}', "[" * 240 + "]" * 240)
    calls = tuple(ToolCall(f"c{n}", "look", text) for n, text in enumerate(texts))
    results = (Message("tool", (Text(text),), tool_call_id="c0") for text in texts)
    messages = (user("Hello"), Message("assistant", tool_calls=calls), *results)
    _, asked, told = body_of(gemini, ChatRequest("gemini-2.5-pro", messages))["contents"]
    args = [part["functionCall"]["args"] for part in asked["parts"]]
    wanted = [[1], [[]] * 60_000, large, {"a": 1}, texts[-1]]
    assert [arg.get("arguments", arg) for arg in args] == wanted
    responses = [part["functionResponse"]["response"] for part in told["parts"]]
    wanted[1] = large
    assert [found.get("result", found) for found in responses] == wanted


# Large attachments.


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


def test_file_is_waited_for_until_it_is_processed(scripted_gemini: Vendor, canned: Canned) -> None:
    file = {"name": "files/abc", "uri": "https://vendor.example/files/abc", "state": "PROCESSING"}
    canned.say({}, X_Goog_Upload_URL=f"{canned.url}/upload")
    canned.say({"file": file})
    canned.say(file)
    canned.say({**file, "state": "ACTIVE"})
    canned.stream(candidate({"text": "Seen"}, **STOP))
    canned.say({})
    request = ChatRequest(scripted_gemini.model(), (user(large_png(), "Look"),), stream=True)
    assert text_of(scripted_gemini.chat(request, ACCOUNT)) == "Seen"
    assert b'"fileUri":"https://vendor.example/files/abc"' in canned.bodies[4]
    assert not canned.answers


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:22/",
        "//elsewhere/x",
        "https://{}/x",
    ],
)
def test_a_file_is_uploaded_to_gemini_and_nowhere_else(scripted_gemini, canned, address) -> None:
    canned.say({}, X_Goog_Upload_URL=address.format(canned.url.removeprefix("http://")))
    request = ChatRequest(scripted_gemini.model(), (user(large_png(), "Look"),), stream=True)
    with pytest.raises(UpstreamInvalidResponse, match="another host"):
        scripted_gemini.chat(request, ACCOUNT)
    assert len(canned.bodies) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "patient"), [("gemini-3.5-flash", False), ("gemini-4-argon", True)]
)
def test_a_model_that_thinks_for_long_has_the_time_for_it(
    open_vendor, model: str, patient: bool, stream: bool
) -> None:
    gemini = open_vendor("gemini", brief=True)
    request = replace(ask(gemini, stream=stream), model=model)
    account = gemini.account("slow3500" if stream else "long4")
    if patient:
        assert text_of(gemini.chat(request, account))
    else:
        with pytest.raises(UpstreamTimeout):
            gemini.chat(request, account)


def test_file_that_gemini_cannot_read_is_the_callers_fault(scripted_gemini, canned: Canned) -> None:
    file = {"name": "files/abc", "uri": "u", "state": "FAILED", "error": {"message": "no film"}}
    canned.say({}, X_Goog_Upload_URL=f"{canned.url}/upload")
    canned.say({"file": file})
    canned.say({})
    request = ChatRequest(scripted_gemini.model(), (user(large_png(), "Look"),), stream=True)
    with pytest.raises(UnsupportedMediaType, match="no film"):
        scripted_gemini.chat(request, ACCOUNT)
    assert not canned.answers
