"""Gemini Enterprise: where requests go, questions, sessions and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.accounts import Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountQuotaExhausted,
    AccountRejected,
    Forbidden,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    ModelNotFound,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
)
from gateway.domain.requests import Message, Text, ToolCall
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.upstreams.registry import VENDORS
from tests.support.simulators import ENGINE
from tests.upstreams.conftest import Canned, Vendor, a_jpeg, a_png, an_mp4, ask, text_of
from tests.upstreams.enterprise_support import (
    ACCOUNT,
    DONE,
    SESSION,
    chat_of,
    replies,
    user,
)


def assistant(text: str, **fields: Any) -> Message:
    return Message("assistant", (Text(text),), **fields)


def question_of(vendor: Vendor, *messages: Message) -> dict[str, Any]:
    """The body of the question that a conversation becomes."""
    return vendor.upstream.plan_chat(chat_of(*messages), ACCOUNT)[-2].body


# Where it goes, and as whom.


@pytest.mark.parametrize(
    ("credential", "taken"),
    [
        ("ya29.a0AfB_token", True),
        ("eyJhbGciOi.J9.x", True),
        ("3dee725a-75ad-42e0-9a69-c4f514ea2e21", True),
        ("AIzaSy-1", False),
        ("sk-1", False),
        ('{"type": "service_account"}', False),
    ],
)
def test_callers_bring_opaque_tokens_and_no_keys(http, credential: str, taken: bool) -> None:
    spec = VENDORS["gemini-enterprise"]
    open_ = spec.load()
    assert open_(spec, http, Fetcher(), engine=ENGINE).takes(credential) is taken
    assert not open_(spec, http, Fetcher()).takes(credential)


def test_key_file_of_a_caller_is_no_more_than_a_token(
    scripted_enterprise, canned, simulators
) -> None:
    key = simulators.service_account("someone@example.com").replace("\n", "")
    key = json.dumps({**json.loads(key), "token_uri": f"{canned.url}/token"})
    canned.say({"error": {"code": 401, "message": "no"}}, status=401)
    account = replace(ACCOUNT, secret=Secret(key), own=True)
    with pytest.raises(InvalidApiKey):
        scripted_enterprise.chat(chat_of(user("Hello")), account)
    assert b"grant_type" not in canned.bodies[0]


@pytest.mark.parametrize(
    ("location", "host"),
    [("global", ""), ("us", "us-"), ("eu", "eu-")],
)
def test_host_follows_from_the_location_of_the_engine(location: str, host: str) -> None:
    http = Http()
    spec = VENDORS["gemini-enterprise"]
    upstream = spec.load()(spec, http, Fetcher(), engine=ENGINE.replace("global", location))
    calls = upstream.plan_chat(chat_of(user("Hello")), replace(ACCOUNT, engine=None))
    http.close()
    assert calls[0].url.startswith(
        f"https://{host}discoveryengine.googleapis.com/v1alpha/projects/"
    )


def test_tokens_of_users_name_the_project_to_charge(enterprise: Vendor) -> None:
    request = chat_of(user("Hello"))
    by_user = enterprise.upstream.plan_chat(request, ACCOUNT)[0].headers
    by_service = enterprise.upstream.plan_chat(request, enterprise.account())[0].headers
    assert by_user["X-Goog-User-Project"] == "test"
    assert "X-Goog-User-Project" not in by_service
    assert by_user["Authorization"] == "***"


@pytest.mark.parametrize("engine", [None, "", "app", f"{ENGINE}/sessions/1"])
def test_account_without_an_engine_is_put_aside(enterprise: Vendor, engine: str | None) -> None:
    with pytest.raises(AccountRejected, match="engine"):
        enterprise.chat(chat_of(user("Hello")), replace(ACCOUNT, engine=engine))


def test_token_of_the_caller_is_used_as_it_is(enterprise: Vendor) -> None:
    account = replace(ACCOUNT, secret=Secret("ya29.of-a-caller"), own=True)
    assert text_of(enterprise.chat(chat_of(user("Hello")), account))


def test_callers_refused_token_is_the_callers_401(enterprise: Vendor) -> None:
    account = replace(ACCOUNT, secret=Secret("ya29.expired-of-a-caller"), own=True)
    with pytest.raises(InvalidApiKey):
        enterprise.chat(chat_of(user("Hello")), account)


# Questions.


def test_what_a_single_user_says_is_sent_as_it_is(enterprise: Vendor) -> None:
    body = question_of(enterprise, user("  Draw a fox.\n", "Now!"))
    assert body["query"] == {"text": "  Draw a fox.\n\nNow!"}
    assert body["assistSkippingMode"] == "REQUEST_ASSIST"
    assert body["toolsSpec"] == {
        "imageGenerationSpec": {},
        "videoGenerationSpec": {},
        "webGroundingSpec": {},
    }
    assert "fileIds" not in body
    assert "generationSpec" not in body


def test_instructions_come_first(enterprise: Vendor) -> None:
    body = question_of(enterprise, Message("system", (Text("Be brief."),)), user("Hello"))
    assert body["query"]["text"] == "Be brief.\n\nHello"


def test_turns_are_told_apart_with_what_they_brought(enterprise: Vendor) -> None:
    cat = a_png(10, 10, filename="cat.png")
    messages = (
        Message("system", (Text("Be brief."),)),
        user("What is this?", cat),
        assistant("A cat.", tool_calls=(ToolCall("c1", "weather", '{"city":"Oslo"}'),)),
        Message("tool", (Text("7 degrees"),), tool_call_id="c1"),
        user(a_png(20, 20, filename="dir/cat.png"), "And these?", cat, a_jpeg()),
    )
    *uploads, question, _ = enterprise.upstream.plan_chat(chat_of(*messages), ACCOUNT)[1:]
    assert question.body["query"]["text"] == (
        "Be brief.\n\n"
        "User: What is this?\n[attachment 1: cat.png]\n\n"
        'Assistant: A cat.\n[called weather with {"city":"Oslo"}]\n\n'
        "Tool: 7 degrees\n\n"
        "User: [attachment 2: 2-cat.png]\nAnd these?\n[attachment 1: cat.png]\n"
        "[attachment 3: attachment-3.jpg]"
    )
    assert [call.body["fileName"] for call in uploads] == [
        "cat.png",
        "2-cat.png",
        "attachment-3.jpg",
    ]
    assert question.body["fileIds"] == ["<file 1>", "<file 2>", "<file 3>"]


def test_repeated_attachment_is_uploaded_once(enterprise: Vendor) -> None:
    account = enterprise.account()
    picture = a_png(30, 20)
    messages = (user("One", picture), assistant("Yes."), user("Two", picture, an_mp4()))
    text = text_of(enterprise.chat(chat_of(*messages), account))
    assert text.count("30x20") == 1
    assert "video/mp4" in text
    operations = enterprise.simulators.operations(account.name)
    assert operations["gemini_enterprise.addContextFile"] == 2
    assert operations["gemini_enterprise.sessions.create"] == 1


def test_model_is_named_unless_it_is_the_engines_own(enterprise: Vendor) -> None:
    request = replace(chat_of(user("Hello")), model="gemini-2.5-pro")
    call = enterprise.upstream.plan_chat(request, ACCOUNT)[-2]
    assert call.body["generationSpec"] == {"modelId": "gemini-2.5-pro"}


def test_everything_but_searching_is_dropped(enterprise: Vendor) -> None:
    request = ask(enterprise, temperature=1, tools=[], web_search_options={})
    assert set(enterprise.upstream.dropped(request)) == {"temperature", "tools"}


# Sessions.


def test_session_is_created_with_its_label_and_deleted(enterprise: Vendor) -> None:
    calls = enterprise.upstream.plan_chat(chat_of(user("Hello")), ACCOUNT)
    assert [call.method for call in calls] == ["POST", "POST", "DELETE"]
    assert calls[0].body == {"displayName": "<label>", "labels": ["<label>"]}
    kept = enterprise.upstream.plan_chat(chat_of(user("Hello"), auto_delete=False), ACCOUNT)
    assert [call.method for call in kept] == ["POST", "POST"]


def test_sessions_that_were_kept_are_found_by_their_label(enterprise: Vendor) -> None:
    account = enterprise.account()
    for _ in range(2):
        assert text_of(enterprise.chat(chat_of(user("Hello"), auto_delete=False), account))
    assert enterprise.upstream.sweep_sessions(account, "gateway:other") == 0
    assert enterprise.upstream.sweep_sessions(account, "gateway:test") == 2
    assert enterprise.upstream.sweep_sessions(account, "gateway:test") == 0


def test_sweep_reads_all_pages_and_trusts_no_filter(scripted_enterprise, canned) -> None:
    mine = {"name": SESSION, "labels": ["gateway:test"]}
    canned.say({"sessions": [{"name": f"{ENGINE}/sessions/2"}], "nextPageToken": "2"})
    canned.say({"sessions": [mine, {"name": f"{ENGINE}/sessions/3", "labels": ["other"]}]})
    canned.say({})
    assert scripted_enterprise.upstream.sweep_sessions(ACCOUNT, "gateway:test") == 1
    assert not canned.answers


@pytest.mark.parametrize("statuses", [[404], [500, 503, 200], [500, 404]])
def test_deletion_is_tried_again(scripted_enterprise, canned, statuses: list[int]) -> None:
    canned.say({"name": SESSION})
    canned.say([replies({"text": "Hi"}), DONE])
    for status in statuses:
        canned.say({}, status=status)
    assert text_of(scripted_enterprise.chat(chat_of(user("Hello")), ACCOUNT)) == "Hi"
    assert not canned.answers


@pytest.mark.parametrize(("status", "tries"), [(403, 1), (500, 3)])
def test_deletion_that_fails_is_reported(
    scripted_enterprise, canned, status: int, tries: int
) -> None:
    canned.say({"name": SESSION})
    canned.say([replies({"text": "Hi"}), DONE])
    for _ in range(tries):
        canned.say({}, status=status)
    with pytest.raises(GatewayError):
        scripted_enterprise.chat(chat_of(user("Hello")), ACCOUNT)
    assert not canned.answers


def test_session_without_a_name_is_an_error(scripted_enterprise: Vendor, canned: Canned) -> None:
    canned.say({"displayName": "x"})
    with pytest.raises(UpstreamInvalidResponse) as caught:
        scripted_enterprise.chat(chat_of(user("Hello")), ACCOUNT)
    assert caught.value.sent


def test_refused_attachment_still_deletes_the_session(scripted_enterprise, canned: Canned) -> None:
    canned.say({"name": SESSION})
    canned.say({"error": {"code": 400, "message": "Unsupported file type"}}, status=400)
    canned.say({})
    with pytest.raises(InvalidRequest, match="Unsupported file type"):
        scripted_enterprise.chat(chat_of(user("Hello", a_png())), ACCOUNT)
    assert not canned.answers


# Refusals.


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (400, "Invalid value", InvalidRequest),
        (400, "Unknown model ID gemini-9 is not supported", ModelNotFound),
        (401, "Expected OAuth 2 access token", AccountRejected),
        (403, "Permission denied on resource", AccountRejected),
        (404, "Engine does not exist", AccountRejected),
        (429, "Quota exceeded, limit: 0", AccountQuotaExhausted),
        (429, "Resource has been exhausted", AccountExhausted),
        (500, "Internal error", UpstreamError),
        (503, "Unavailable", UpstreamOverloaded),
    ],
)
def test_refusals_are_told_apart(
    scripted_enterprise, canned, code: int, message: str, error
) -> None:
    canned.say({"name": SESSION})
    canned.say([{"error": {"code": code, "message": message}}], status=code)
    canned.say({})
    with pytest.raises(GatewayError) as caught:
        scripted_enterprise.chat(chat_of(user("Hello")), ACCOUNT)
    assert type(caught.value) is error
    assert caught.value.sent == (code >= 500)
    assert not canned.answers


def test_refused_plan_of_a_caller_is_the_callers_403(scripted_enterprise, canned) -> None:
    canned.say({"error": {"code": 403, "message": "Permission denied"}}, status=403)
    with pytest.raises(Forbidden):
        scripted_enterprise.chat(chat_of(user("Hello")), replace(ACCOUNT, own=True))
