"""What the Gemini API answers, and whose fault a refusal is."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from typing import Any

import pytest

from gateway.domain.errors import (
    AccountExhausted,
    AccountQuotaExhausted,
    AccountRejected,
    AnswerFailed,
    ContentFiltered,
    ContextLengthExceeded,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    ModelQuotaExhausted,
    RequestBlocked,
    RequestTooLarge,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
)
from gateway.domain.events import Event, Finish, MediaReady, TextDelta, ToolCallDelta, Usage
from tests.support.media import png
from tests.upstreams.conftest import CONTEXT, Canned, Vendor, ask, text_of
from tests.upstreams.gemini_support import ACCOUNT, STOP, candidate, events_of, refusal

# Answers.


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((name, "content_filter") for name in ("SAFETY", "RECITATION", "SPII", "BLOCKLIST")),
        ("CONTINUATION", "length"),
    ],
)
def test_finish_reasons_are_mapped(scripted_gemini, canned, reason: str, finish: str) -> None:
    canned.stream(candidate({"text": "a"}), candidate(finishReason=reason))
    assert events_of(scripted_gemini, ask(scripted_gemini))[-1] == Finish(finish)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "parts"),
    [
        ("OTHER", []),
        ("OTHER", [{"text": "The first half of the ans"}]),
        ("OF_TOMORROW", [{"text": "The first half of the ans"}]),
        ("MALFORMED_FUNCTION_CALL", []),
        ("MALFORMED_FUNCTION_CALL", [{"text": "Let me look that up."}]),
        ("MALFORMED_FUNCTION_CALL", [{"functionCall": {"name": "f", "args": {}}}]),
        ("UNEXPECTED_TOOL_CALL", [{"text": "Let me look that up."}]),
        ("MALFORMED_RESPONSE", [{"text": "Let me"}]),
        ("TOO_MANY_TOOL_CALLS", [{"functionCall": {"name": "f", "args": {}}}]),
        ("MISSING_THOUGHT_SIGNATURE", [{"text": "Let me"}]),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_answer_that_gemini_gave_up_is_an_error(
    scripted_gemini, canned, reason: str, parts: list[Any], stream: bool
) -> None:
    if stream:
        canned.stream(candidate(*parts), {"candidates": [{"finishReason": reason}]})
    else:
        canned.say(candidate(*parts, finishReason=reason))
    with pytest.raises(AnswerFailed, match=reason) as caught:
        scripted_gemini.chat(ask(scripted_gemini, stream=stream), ACCOUNT)
    assert caught.value.sent


@pytest.mark.parametrize("part", [{"text": "a"}, {"text": "Hm.", "thought": True}])
def test_choice_that_is_left_unfinished_is_an_error(scripted_gemini, canned, part) -> None:
    canned.stream(candidate(part, index=1), candidate({"text": "b"}, **STOP))
    with pytest.raises(UpstreamDisconnected):
        scripted_gemini.chat(ask(scripted_gemini), ACCOUNT)


def test_tokens_are_counted_as_billed(scripted_gemini: Vendor, canned: Canned) -> None:
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
    assert events_of(scripted_gemini, ask(scripted_gemini))[-2:] == [usage, Finish("stop")]


@pytest.mark.parametrize("count", [2**63, -1, "many", None, [1]], ids=str)
def test_counts_that_make_no_sense_count_as_none(scripted_gemini, canned, count) -> None:
    counts = {"promptTokenCount": 10, "candidatesTokenCount": count, "thoughtsTokenCount": count}
    canned.stream({**candidate({"text": "a"}, **STOP), "usageMetadata": counts})
    usage = Usage(10, 0)
    assert events_of(scripted_gemini, ask(scripted_gemini))[-2:] == [usage, Finish("stop")]


def test_a_count_that_is_no_table_counts_as_none(scripted_gemini, canned) -> None:
    canned.stream({**candidate({"text": "a"}, **STOP), "usageMetadata": "many"})
    assert events_of(scripted_gemini, ask(scripted_gemini)) == [TextDelta("a"), Finish("stop")]


def test_calls_without_an_id_get_one(scripted_gemini: Vendor, canned: Canned) -> None:
    call = {"functionCall": {"name": "weather"}, "thoughtSignature": "c2ln"}
    canned.say(candidate(call, **STOP))
    [event, finish] = events_of(scripted_gemini, ask(scripted_gemini, stream=False))
    assert isinstance(event, ToolCallDelta)
    assert event.id
    assert event.id.startswith("call_")
    assert (event.arguments, event.signature) == ("{}", "c2ln")
    assert finish == Finish("tool_calls")


def test_pictures_are_handed_on_but_not_sketches(scripted_gemini: Vendor, canned: Canned) -> None:
    inline = {"mimeType": "image/png", "data": base64.b64encode(png()).decode()}
    canned.stream(
        candidate({"inlineData": inline, "thought": True}, {"inlineData": inline}, **STOP)
    )
    [picture, _] = events_of(scripted_gemini, ask(scripted_gemini))
    assert isinstance(picture, MediaReady)
    with picture.source.open() as chunks:
        assert b"".join(chunks) == png()


@pytest.mark.parametrize("frame", ["[1]", '{"candidates": 5}', '{"candidates": [{"content": 7}]}'])
def test_nonsense_is_refused_unread(scripted_gemini: Vendor, canned: Canned, frame: str) -> None:
    canned.stream(frame)
    with pytest.raises(UpstreamInvalidResponse):
        scripted_gemini.chat(ask(scripted_gemini), ACCOUNT)


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
def test_late_error_keeps_its_kind(scripted_gemini: Vendor, canned: Canned, wrapped: bool) -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    text = json.dumps([error] if wrapped else error, indent=2)
    frame = json.dumps(candidate({"text": "a"}))
    canned.answers.append(
        (200, {"Content-Type": "text/event-stream"}, f"data: {frame}\n\n{text}\n".encode())
    )
    with pytest.raises(UpstreamOverloaded) as caught:
        scripted_gemini.chat(ask(scripted_gemini), ACCOUNT)
    assert caught.value.sent


# Refusals.


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
            AccountQuotaExhausted,
        ),
        (
            refusal(429, "q", "", quota("RequestsPerDayPerProjectPerModel-FreeTier")),
            ModelQuotaExhausted,
        ),
        (
            refusal(429, "q", "", quota("TokensPerDayPerModel"), quota("RequestsPerMinute")),
            ModelQuotaExhausted,
        ),
        (
            refusal(429, "q", "", quota("TokensPerDayPerModel"), quota("RequestsPerDay")),
            AccountQuotaExhausted,
        ),
        (refusal(429, "Quota exceeded for metric: m, limit: 0, model: x"), ModelQuotaExhausted),
        (refusal(429, "Quota exceeded for metric: m, limit: 0"), AccountQuotaExhausted),
        (refusal(499, "Cancelled", "CANCELLED"), UpstreamError),
        (refusal(500, "The model is overloaded.", "INTERNAL"), UpstreamOverloaded),
        (refusal(503, "Unavailable", "UNAVAILABLE"), UpstreamOverloaded),
        ({"error": {"code": "authentication", "message": "no"}}, AccountRejected),
    ],
    ids=lambda value: "" if isinstance(value, type) else str(value["error"]["message"])[:40],
)
@pytest.mark.parametrize("wrapped", [True, False], ids=["array", "object"])
def test_refusals_are_told_apart(scripted_gemini, canned, body, error, wrapped: bool) -> None:
    code = body["error"]["code"]
    canned.say([body] if wrapped else body, status=code if isinstance(code, int) else 400)
    with pytest.raises(GatewayError) as caught:
        scripted_gemini.chat(ask(scripted_gemini), ACCOUNT)
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
def test_wait_is_what_the_vendor_asks_for(
    scripted_gemini, canned, body, wait: float | None
) -> None:
    canned.say(body, status=429)
    with pytest.raises(AccountExhausted) as caught:
        scripted_gemini.chat(ask(scripted_gemini), ACCOUNT)
    assert caught.value.retry_after == wait


def test_spent_account_rests_until_the_vendors_midnight(gemini: Vendor) -> None:
    with pytest.raises(AccountQuotaExhausted) as caught:
        gemini.chat(ask(gemini), gemini.account("daily"))
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 86400


def test_page_of_a_proxy_is_nobodys_refusal(scripted_gemini: Vendor, canned: Canned) -> None:
    canned.say(b"<html>not here</html>", status=404)
    with pytest.raises(RequestBlocked) as caught:
        scripted_gemini.chat(ask(scripted_gemini), ACCOUNT)
    assert not caught.value.sent
    assert "html" not in caught.value.message


@pytest.mark.parametrize("stream", [True, False])
def test_blocked_prompt_says_why(scripted_gemini: Vendor, canned: Canned, stream: bool) -> None:
    feedback = {"promptFeedback": {"blockReason": "JAILBREAK"}}
    canned.stream(feedback) if stream else canned.say(feedback)
    with pytest.raises(ContentFiltered, match="JAILBREAK"):
        scripted_gemini.chat(ask(scripted_gemini, stream=stream), ACCOUNT)
