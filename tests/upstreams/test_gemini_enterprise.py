"""Gemini Enterprise: sessions, questions, answers and tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import chain
from threading import Barrier
from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    AccountSpent,
    ContentFiltered,
    Fault,
    Forbidden,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    ModelNotFound,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
    UpstreamUnreachable,
)
from gateway.domain.events import (
    Event,
    Finish,
    MediaReady,
    ReasoningDelta,
    TextDelta,
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
from gateway.net.fetch import Fetcher
from gateway.net.http import Http
from gateway.upstreams.gemini_enterprise import BASE_URL, GeminiEnterprise
from gateway.upstreams.gemini_enterprise.tokens import Tokens
from gateway.upstreams.gemini_enterprise.usage import Estimate
from tests.support.simulators import ENGINE, Simulators
from tests.upstreams.conftest import (
    CONTEXT,
    Canned,
    Vendor,
    a_jpeg,
    a_png,
    an_mp4,
    ask,
    text_of,
)

ACCOUNT = Account("ge-1", "gemini-enterprise", Secret("ya29.secret-of-the-account"), engine=ENGINE)
SESSION = f"{ENGINE}/sessions/1"
DONE = {"answer": {"state": "SUCCEEDED", "replies": [{"groundedContent": {}}]}}


@pytest.fixture
def enterprise(open_vendor: Callable[..., Vendor]) -> Vendor:
    return open_vendor("gemini-enterprise")


@pytest.fixture
def scripted(open_vendor: Callable[..., Vendor], canned: Canned) -> Vendor:
    return open_vendor("gemini-enterprise", base_url=canned.url)


@pytest.fixture
def http():
    client = Http()
    yield client
    client.close()


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(p) if isinstance(p, str) else p for p in parts))


def assistant(text: str, **fields: Any) -> Message:
    return Message("assistant", (Text(text),), **fields)


def chat_of(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("gemini-enterprise", messages, **fields)


def question_of(vendor: Vendor, *messages: Message) -> dict[str, Any]:
    """The body of the question that a conversation becomes."""
    return vendor.upstream.plan_chat(chat_of(*messages), ACCOUNT)[-2].body


def events_of(vendor: Vendor, request: ChatRequest, account: Account) -> list[Event]:
    return list(chain(*vendor.chat(request, account)))


def replies(*contents: dict[str, Any], **answer: Any) -> dict[str, Any]:
    """One element of an answer."""
    shown = [{"groundedContent": {"content": content}} for content in contents]
    return {"answer": {"state": "IN_PROGRESS", "replies": shown, **answer}}


def answered(vendor: Vendor, canned: Canned, *elements: Any) -> list[Event]:
    """The events of an answer with these elements."""
    canned.say({"name": SESSION})
    canned.say(list(elements))
    canned.say({})
    try:
        return events_of(vendor, chat_of(user("Hello")), ACCOUNT)
    finally:
        assert not canned.answers, "the session was not deleted"


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
    assert GeminiEnterprise(http, fetcher=Fetcher(), engine=ENGINE).takes(credential) is taken
    assert not GeminiEnterprise(http, fetcher=Fetcher()).takes(credential)


def test_key_file_of_a_caller_is_no_more_than_a_token(scripted, canned, simulators) -> None:
    key = simulators.service_account("someone@example.com").replace("\n", "")
    key = json.dumps({**json.loads(key), "token_uri": f"{canned.url}/token"})
    canned.say({"error": {"code": 401, "message": "no"}}, status=401)
    account = replace(ACCOUNT, secret=Secret(key), own=True)
    with pytest.raises(InvalidApiKey):
        scripted.chat(chat_of(user("Hello")), account)
    assert b"grant_type" not in canned.bodies[0]


@pytest.mark.parametrize(
    ("location", "host"),
    [("global", ""), ("us", "us-"), ("eu", "eu-")],
)
def test_host_follows_from_the_location_of_the_engine(location: str, host: str) -> None:
    http = Http()
    upstream = GeminiEnterprise(http, fetcher=Fetcher(), engine=ENGINE.replace("global", location))
    calls = upstream.plan_chat(chat_of(user("Hello")), replace(ACCOUNT, engine=None))
    http.close()
    assert BASE_URL == "https://discoveryengine.googleapis.com"
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


def test_sweep_reads_all_pages_and_trusts_no_filter(scripted: Vendor, canned: Canned) -> None:
    mine = {"name": SESSION, "labels": ["gateway:test"]}
    canned.say({"sessions": [{"name": f"{ENGINE}/sessions/2"}], "nextPageToken": "2"})
    canned.say({"sessions": [mine, {"name": f"{ENGINE}/sessions/3", "labels": ["other"]}]})
    canned.say({})
    assert scripted.upstream.sweep_sessions(ACCOUNT, "gateway:test") == 1
    assert not canned.answers


@pytest.mark.parametrize("statuses", [[404], [500, 503, 200], [500, 404]])
def test_deletion_is_tried_again(scripted: Vendor, canned: Canned, statuses: list[int]) -> None:
    canned.say({"name": SESSION})
    canned.say([replies({"text": "Hi"}), DONE])
    for status in statuses:
        canned.say({}, status=status)
    assert text_of(scripted.chat(chat_of(user("Hello")), ACCOUNT)) == "Hi"
    assert not canned.answers


@pytest.mark.parametrize(("status", "tries"), [(403, 1), (500, 3)])
def test_deletion_that_fails_is_reported(scripted, canned, status: int, tries: int) -> None:
    canned.say({"name": SESSION})
    canned.say([replies({"text": "Hi"}), DONE])
    for _ in range(tries):
        canned.say({}, status=status)
    with pytest.raises(UpstreamError):
        scripted.chat(chat_of(user("Hello")), ACCOUNT)
    assert not canned.answers


def test_session_without_a_name_is_an_error(scripted: Vendor, canned: Canned) -> None:
    canned.say({"displayName": "x"})
    with pytest.raises(UpstreamInvalidResponse) as caught:
        scripted.chat(chat_of(user("Hello")), ACCOUNT)
    assert caught.value.sent


def test_refused_attachment_still_deletes_the_session(scripted, canned: Canned) -> None:
    canned.say({"name": SESSION})
    canned.say({"error": {"code": 400, "message": "Unsupported file type"}}, status=400)
    canned.say({})
    with pytest.raises(InvalidRequest, match="Unsupported file type"):
        scripted.chat(chat_of(user("Hello", a_png())), ACCOUNT)
    assert not canned.answers


# Answers.


def test_thoughts_texts_and_the_rest_are_told_apart(scripted: Vendor, canned: Canned) -> None:
    suggestions = {"mimeType": "application/json+suggestions", "data": "W10="}
    events = answered(
        scripted,
        canned,
        replies({"text": "Hm.", "thought": True}),
        replies({}, {"text": "Hel"}, {"role": "model"}),
        replies({"text": "lo"}),
        replies({"inlineData": suggestions}),
        {"assistToken": "t"},
        DONE,
    )
    assert events[:3] == [ReasoningDelta("Hm."), TextDelta("Hel"), TextDelta("lo")]
    assert events[3:] == [Usage(1, 2, estimated=True), Finish("stop")]


def test_tokens_are_estimated_by_script() -> None:
    latin, chinese = Estimate(), Estimate()
    latin.add("abcd" * 25)
    chinese.add("中文" * 15)
    assert (latin.tokens, chinese.tokens) == (25, 20)


@pytest.mark.parametrize("fields", [{"state": "FAILED"}, {"state": "CANCELLED"}])
def test_answer_that_was_given_up_is_an_error(scripted, canned, fields) -> None:
    with pytest.raises(UpstreamError) as caught:
        answered(scripted, canned, replies({"text": "Hel"}), {"answer": fields})
    assert caught.value.fault is Fault.VENDOR
    assert caught.value.sent


def test_error_after_a_failure_is_the_better_word(scripted: Vendor, canned: Canned) -> None:
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow down"}}
    with pytest.raises(AccountExhausted) as caught:
        answered(scripted, canned, {"answer": {"state": "FAILED"}}, error)
    assert caught.value.sent


def test_failure_within_an_answer_is_the_vendors(enterprise: Vendor) -> None:
    arrived: list[list[Event]] = []
    with (
        pytest.raises(UpstreamError) as caught,
        closing(
            enterprise.upstream.chat(ask(enterprise), enterprise.account("failed"), CONTEXT)
        ) as batches,
    ):
        arrived.extend(batches)
    assert text_of(arrived)
    assert caught.value.fault is Fault.VENDOR


def test_question_that_is_skipped_is_the_callers(scripted: Vendor, canned: Canned) -> None:
    reasons = ["NON_ASSIST_SEEKING_QUERY_IGNORED"]
    with pytest.raises(InvalidRequest, match=reasons[0]):
        answered(
            scripted, canned, {"answer": {"state": "SKIPPED", "assistSkippedReasons": reasons}}
        )


POLICY = {
    "state": "SKIPPED",
    "assistSkippedReasons": ["CUSTOMER_POLICY_VIOLATION"],
    "customerPolicyEnforcementResult": {"verdict": "BLOCK", "violationSource": "ATTACHMENT"},
}


def test_question_against_a_policy_is_refused(scripted: Vendor, canned: Canned) -> None:
    with pytest.raises(ContentFiltered, match="attachment"):
        answered(scripted, canned, {"answer": POLICY})


def test_answer_that_a_policy_cuts_short_ends_filtered(scripted: Vendor, canned: Canned) -> None:
    events = answered(scripted, canned, replies({"text": "Hello there"}), {"answer": POLICY})
    assert events[0] == TextDelta("Hello there")
    assert events[-1] == Finish("content_filter")


def test_answer_that_never_succeeds_was_broken_off(scripted: Vendor, canned: Canned) -> None:
    with pytest.raises(UpstreamDisconnected):
        answered(scripted, canned, replies({"text": "Hel"}))


@pytest.mark.parametrize("element", [7, {"answer": 7}, replies({"file": {"fileId": "1"}})])
def test_nonsense_is_refused_unread(scripted: Vendor, canned: Canned, element: Any) -> None:
    with pytest.raises(UpstreamInvalidResponse):
        answered(scripted, canned, element)


# Pictures and films.


def kinds_of(batches: Iterable[list[Event]]) -> list[tuple[str, bytes]]:
    """What was made, with the first bytes of each."""
    found = []
    for event in chain.from_iterable(batches):
        if isinstance(event, MediaReady):
            with event.source.open() as chunks:
                found.append((event.kind, b"".join(chunks)[:8]))
    return found


@pytest.mark.parametrize(
    ("wish", "kind", "start"),
    [("Draw a picture of a fox", "image", b"\x89PNG"), ("Make a video of waves", "video", b"")],
)
def test_assistant_draws_and_films_within_a_chat(enterprise, wish, kind, start) -> None:
    account = enterprise.account()
    before = enterprise.simulators.ledger(requests_too=False)["violations"]
    with closing(enterprise.upstream.chat(chat_of(user(wish)), account, CONTEXT)) as batches:
        [(made, head)] = kinds_of(batches)
    assert made == kind
    assert head.startswith(start)
    if kind == "video":
        assert head[4:8] == b"ftyp"
    assert enterprise.simulators.ledger(requests_too=False)["violations"] == before


def drawn(vendor: Vendor, request: ImageRequest, account: Account) -> list[Event]:
    with closing(vendor.upstream.image(request, account, CONTEXT)) as batches:
        return list(chain(*batches))


def test_wishes_for_a_picture_go_into_the_words(enterprise: Vendor) -> None:
    request = ImageRequest("gemini-enterprise", "a fox", ratio="16:9", size="2K", n=2)
    question = enterprise.upstream.plan_image(request, ACCOUNT)[-2].body
    assert question["query"]["text"] == (
        "Draw 2 different pictures: a fox\nAspect ratio: 16:9\nSize: 2K"
    )
    assert question["toolsSpec"] == {"imageGenerationSpec": {}}


def test_picture_comes_without_small_talk(enterprise: Vendor) -> None:
    request = ImageRequest("gemini-enterprise", "a fox", images=(a_png(),))
    events = drawn(enterprise, request, enterprise.account())
    assert [type(event) for event in events] == [MediaReady, Usage, Finish]
    assert isinstance(events[1], Usage)
    assert events[1].images == 1


def test_answer_without_a_picture_is_an_error(scripted: Vendor, canned: Canned) -> None:
    canned.say({"name": SESSION})
    canned.say([replies({"text": "I would rather not."}), DONE])
    canned.say({})
    with pytest.raises(UpstreamInvalidResponse, match="no picture"):
        drawn(scripted, ImageRequest("gemini-enterprise", "a fox"), ACCOUNT)


def test_masks_are_refused(enterprise: Vendor) -> None:
    with pytest.raises(InvalidRequest) as caught:
        drawn(enterprise, ImageRequest("gemini-enterprise", "a fox", mask=a_png()), ACCOUNT)
    assert caught.value.param == "mask"


def test_films_are_asked_for_on_the_chat_endpoint(enterprise: Vendor) -> None:
    upstream = enterprise.upstream
    request = VideoRequest("gemini-enterprise", "waves")
    for attempt in (
        lambda: upstream.submit_video(request, ACCOUNT, CONTEXT),
        lambda: upstream.check_video("1", ACCOUNT),
        lambda: upstream.cancel_video("1", ACCOUNT),
        lambda: upstream.plan_video(request, ACCOUNT),
    ):
        with pytest.raises(InvalidRequest, match="chat endpoint") as caught:
            attempt()
        assert not caught.value.sent


# Refusals.


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (400, "Invalid value", InvalidRequest),
        (400, "Unknown model ID gemini-9 is not supported", ModelNotFound),
        (401, "Expected OAuth 2 access token", AccountRejected),
        (403, "Permission denied on resource", AccountRejected),
        (404, "Engine does not exist", AccountRejected),
        (429, "Quota exceeded, limit: 0", AccountSpent),
        (429, "Resource has been exhausted", AccountExhausted),
        (500, "Internal error", UpstreamError),
        (503, "Unavailable", UpstreamOverloaded),
    ],
)
def test_refusals_are_told_apart(scripted, canned, code: int, message: str, error) -> None:
    canned.say({"name": SESSION})
    canned.say([{"error": {"code": code, "message": message}}], status=code)
    canned.say({})
    with pytest.raises(GatewayError) as caught:
        scripted.chat(chat_of(user("Hello")), ACCOUNT)
    assert type(caught.value) is error
    assert caught.value.sent == (code >= 500)
    assert not canned.answers


def test_refused_plan_of_a_caller_is_the_callers_403(scripted: Vendor, canned: Canned) -> None:
    canned.say({"error": {"code": 403, "message": "Permission denied"}}, status=403)
    with pytest.raises(Forbidden):
        scripted.chat(chat_of(user("Hello")), replace(ACCOUNT, own=True))


# Tokens.


def service(simulators: Simulators, account: Account, **options: int) -> Account:
    """The account with tokens that last as long as `expires_in` says."""
    return replace(account, secret=Secret(simulators.service_account(account.name, **options)))


def fetched(simulators: Simulators, account: Account) -> int:
    return simulators.operations(account.name).get("oauth2.token", 0)


def at_once(tokens: Tokens, account: Account, callers: int = 100) -> list[str]:
    """The tokens, or the names of errors, that many callers get at the same time."""
    together = Barrier(callers)

    def call(_: int) -> str:
        together.wait(10)
        try:
            return tokens.bearer(account)
        except GatewayError as error:
            return f"{type(error).__name__}, sent: {error.sent}"

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(call, range(callers)))


def test_callers_that_find_no_token_share_one_request(enterprise, simulators, http) -> None:
    account = enterprise.account()
    assert len(set(at_once(Tokens(http), account))) == 1
    assert fetched(simulators, account) == 1


def test_callers_that_find_an_expired_token_share_one_request(enterprise, simulators, http) -> None:
    account = enterprise.account()
    now = 0.0
    tokens = Tokens(http, clock=lambda: now)
    first = tokens.bearer(account)
    now = 3700.0
    [second] = set(at_once(tokens, account))
    assert second != first
    assert fetched(simulators, account) == 2


def test_token_that_cannot_be_renewed_is_used_to_its_end(enterprise, canned, http) -> None:
    key = json.loads(enterprise.simulators.service_account("someone@example.com"))
    key["token_uri"] = f"{canned.url}/token"
    account = replace(ACCOUNT, secret=Secret(json.dumps(key)))
    now = 0.0
    tokens = Tokens(http, clock=lambda: now)
    canned.say({"access_token": "ya29.first", "expires_in": 3600})
    canned.say({"error": "internal_failure"}, status=500)
    canned.say({"error": "internal_failure"}, status=500)
    assert tokens.bearer(account) == "ya29.first"
    now = 3500.0
    assert tokens.bearer(account) == "ya29.first"
    now = 3601.0
    with pytest.raises(UpstreamOverloaded):
        tokens.bearer(account)


def test_failed_request_fails_for_all_that_waited(enterprise, simulators, http) -> None:
    account = enterprise.account("denied")
    assert set(at_once(Tokens(http), account)) == {"AccountRejected, sent: False"}
    assert fetched(simulators, account) < 10


def test_token_is_used_until_minutes_before_its_end(enterprise, simulators, http) -> None:
    lasting = service(simulators, enterprise.account(), expires_in=300)
    ending = service(simulators, enterprise.account(), expires_in=200)
    tokens = Tokens(http)
    for account in (lasting, ending):
        assert tokens.bearer(account)
        assert tokens.bearer(account)
    assert fetched(simulators, lasting) == 1
    assert fetched(simulators, ending) == 2


def test_token_that_the_vendor_refuses_is_not_used_again(
    scripted: Vendor, canned: Canned, simulators: Simulators
) -> None:
    account = scripted.account()
    for _ in range(2):
        canned.say({"error": {"code": 401, "message": "expired"}}, status=401)
        with pytest.raises(AccountRejected):
            scripted.chat(chat_of(user("Hello")), account)
    assert fetched(simulators, account) == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("wrong", AccountRejected),
        ("broken", UpstreamOverloaded),
        ("overloaded", UpstreamOverloaded),
    ],
)
def test_refused_service_account_was_sent_nothing(enterprise, words: str, error) -> None:
    with pytest.raises(error) as caught:
        enterprise.chat(chat_of(user("Hello")), enterprise.account(words))
    assert type(caught.value) is error
    assert not caught.value.sent


@pytest.mark.parametrize(
    "damage",
    [
        lambda key: "{",
        lambda key: "{}",
        lambda key: json.dumps({**key, "private_key": "no key"}),
        lambda key: json.dumps({**key, "client_email": None, "private_key": None}),
    ],
)
def test_malformed_key_is_the_accounts_fault(enterprise, simulators, http, damage) -> None:
    key = json.loads(simulators.service_account("someone@example.com"))
    account = replace(ACCOUNT, secret=Secret(damage(key)))
    with pytest.raises(AccountRejected, match="malformed"):
        Tokens(http).bearer(account)


def test_token_service_that_is_away_was_sent_nothing(simulators: Simulators, http: Http) -> None:
    key = json.loads(simulators.service_account("someone@example.com"))
    key["token_uri"] = "http://127.0.0.1:1/token"
    with pytest.raises(UpstreamUnreachable) as caught:
        Tokens(http).bearer(replace(ACCOUNT, secret=Secret(json.dumps(key))))
    assert not caught.value.sent


@pytest.mark.parametrize("grant", [{}, [], {"access_token": "ya29.1", "expires_in": "soon"}])
def test_grant_without_a_token_is_refused(simulators, canned, http, grant) -> None:
    key = json.loads(simulators.service_account("someone@example.com"))
    key["token_uri"] = f"{canned.url}/token"
    canned.say(grant)
    with pytest.raises(UpstreamInvalidResponse):
        Tokens(http).bearer(replace(ACCOUNT, secret=Secret(json.dumps(key))))
