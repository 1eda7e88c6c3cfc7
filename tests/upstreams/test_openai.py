"""OpenAI's protocol: what is sent, and what the adapter is for."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event
from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    InvalidRequest,
    UpstreamError,
)
from gateway.domain.requests import ChatRequest, Message, Text, ToolCall
from gateway.upstreams.registry import VENDORS
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

BASE_URL = VENDORS["openai"].base_url

ACCOUNT = Account("sk-1", "openai", Secret("sk-secret-of-the-account"))


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


REFUSALS = [
    {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]},
    {"error": {"message": "Extra inputs are not permitted", "type": "invalid_request_error"}},
    {"error": {"message": "Unknown parameter: 'stream_options'.", "param": "stream_options"}},
    b"Extra inputs are not permitted",
]
DELTA = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("refusal", REFUSALS, ids=["loc", "words", "name", "text"])
def test_a_server_that_refuses_stream_options_is_not_sent_them_again(
    imitator: Vendor, canned: Canned, refusal: Any
) -> None:
    canned.say(refusal, 422)
    for _ in range(2):
        canned.stream(DELTA, END, "[DONE]")
        events = imitator.chat(ask(imitator, stream=True), ACCOUNT)
        assert text_of(events) == "hi"
    sent = ["stream_options" in json.loads(body) for body in canned.bodies]
    assert sent == [True, False, False]


def test_streams_that_are_refused_at_once_are_both_sent_again(
    imitator: Vendor, canned: Canned
) -> None:
    both_asked, one_answered = Barrier(2, timeout=10), Event()

    class Meeting(list[bytes]):
        """Bodies as they arrive; the second is not answered before the first stream begins."""

        def append(self, body: bytes) -> None:
            super().append(body)
            if "stream_options" in json.loads(body) and both_asked.wait():
                one_answered.wait(10)

    canned.bodies = Meeting()
    for _ in range(2):
        canned.say(REFUSALS[0], 422)
        canned.stream(DELTA, END, "[DONE]")

    def text() -> str:
        found = text_of(imitator.chat(ask(imitator, stream=True), ACCOUNT))
        one_answered.set()
        return found

    with ThreadPoolExecutor(2) as threads:
        assert [future.result() for future in [threads.submit(text) for _ in range(2)]] == [
            "hi"
        ] * 2


def test_another_refusal_of_a_stream_is_told_and_not_repeated(
    imitator: Vendor, canned: Canned
) -> None:
    canned.say({"error": {"message": "temperature must be below 2", "code": "bad"}}, 400)
    with pytest.raises(InvalidRequest):
        imitator.chat(ask(imitator, stream=True), ACCOUNT)
    assert len(canned.bodies) == 1


def test_a_refusal_that_has_another_cause_is_the_one_that_is_told(
    imitator: Vendor, canned: Canned
) -> None:
    canned.say({"error": {"message": "Extra inputs are not permitted"}}, 422)
    canned.say({"error": {"message": "Extra inputs are not permitted: verbosity"}}, 422)
    with pytest.raises(InvalidRequest, match="verbosity"):
        imitator.chat(ask(imitator, stream=True, verbosity="low"), ACCOUNT)
    canned.stream(DELTA, END, "[DONE]")
    imitator.chat(ask(imitator, stream=True), ACCOUNT)
    assert "stream_options" in json.loads(canned.bodies[-1])


def test_an_account_may_say_that_its_server_takes_no_stream_options(
    imitator: Vendor, canned: Canned
) -> None:
    canned.stream(DELTA, END, "[DONE]")
    imitator.chat(ask(imitator, stream=True), replace(ACCOUNT, stream_options=False))
    assert "stream_options" not in json.loads(canned.bodies[0])


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
    assert batches[-1][-1].reason == "length"


@pytest.mark.parametrize("default", [BASE_URL, "http://vllm.example/v1"])
@pytest.mark.parametrize(
    ("url", "dropped"), [("https://api.openai.com/v1/", ["top_k"]), ("http://vllm.example/v1", [])]
)
def test_what_is_spared_depends_on_the_server_of_the_account(
    open_vendor, default: str, url: str, dropped: list[str]
) -> None:
    vendor = open_vendor("openai", base_url=default)
    account = replace(ACCOUNT, base_url=url)
    request = ask(vendor, top_k=5, temperature=1)
    assert list(vendor.upstream.dropped(request, account)) == dropped
    [call] = vendor.upstream.plan_chat(request, account)
    assert ("top_k" in call.body) is not bool(dropped)


def test_a_failure_names_the_server_of_the_account(open_vendor, canned) -> None:
    vendor = open_vendor("openai", base_url=BASE_URL)
    canned.say({"error": {"message": "no"}}, status=500)
    with pytest.raises(UpstreamError, match=r"^The OpenAI-compatible server"):
        vendor.chat(ask(vendor), replace(ACCOUNT, base_url=canned.url))


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


# What it is for.


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
