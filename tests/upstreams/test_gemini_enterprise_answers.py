"""What Gemini Enterprise answers, draws and films."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from itertools import chain
from typing import Any

import pytest

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AccountExhausted,
    ContentFiltered,
    Fault,
    InvalidRequest,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.events import (
    Annotations,
    Event,
    Finish,
    MediaReady,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from gateway.domain.requests import ImageRequest
from gateway.domain.token_estimate import Estimate
from tests.upstreams.conftest import CONTEXT, Canned, Vendor, a_png, ask, text_of
from tests.upstreams.enterprise_support import (
    ACCOUNT,
    DONE,
    SESSION,
    chat_of,
    events_of,
    replies,
    user,
)


def answered(vendor: Vendor, canned: Canned, *elements: Any) -> list[Event]:
    """The events of an answer with these elements."""
    canned.say({"name": SESSION})
    canned.say(list(elements))
    canned.say({})
    try:
        return events_of(vendor, chat_of(user("Hello")), ACCOUNT)
    finally:
        assert not canned.answers, "the session was not deleted"


# Answers.


def test_thoughts_texts_and_the_rest_are_told_apart(scripted_enterprise, canned) -> None:
    suggestions = {"mimeType": "application/json+suggestions", "data": "W10="}
    events = answered(
        scripted_enterprise,
        canned,
        replies({"text": "Hm.", "thought": True}),
        replies({}, {"text": "Hel"}, {"role": "model"}),
        replies({"text": "lo"}),
        replies({"inlineData": suggestions}),
        {"assistToken": "t"},
        DONE,
    )
    assert events[:3] == [ReasoningDelta("Hm."), TextDelta("Hel"), TextDelta("lo")]
    assert events[3:] == [Usage(2, 2, estimated=True), Finish("stop")]


@pytest.mark.parametrize("of_answer", [False, True], ids=["of the reply", "of the answer"])
def test_sources_of_a_grounded_reply_are_annotations(
    scripted_enterprise, canned, of_answer: bool
) -> None:
    start = len("Grüße. ".encode()) if of_answer else 0
    segments = [
        {"startIndex": start, "endIndex": start + len("Zürich".encode()), "referenceIndices": [0]},
        {"startIndex": start, "endIndex": start + len("Zürich is a city.".encode())},
    ]
    source = {"uri": "https://z.example/", "title": "Z"}
    grounded = {
        "content": {"text": "Zürich is a city."},
        "textGroundingMetadata": {
            "segments": segments,
            "references": [{"documentMetadata": source}, {"content": "no document"}],
        },
    }
    events = answered(
        scripted_enterprise,
        canned,
        replies({"text": "Grüße. "}),
        {"answer": {"replies": [{"groundedContent": grounded}]}},
        DONE,
    )
    [annotations] = [event for event in events if isinstance(event, Annotations)]
    [citation] = [item["url_citation"] for item in annotations.items]
    span = slice(citation["start_index"], citation["end_index"])
    assert (text_of([events])[span], citation["url"]) == ("Zürich", "https://z.example/")


def test_an_unknown_end_of_an_answer_is_an_error_that_names_it(scripted_enterprise, canned) -> None:
    paused = {"answer": {"state": "PAUSED", "replies": []}}
    with pytest.raises(UpstreamError, match="paused"):
        answered(scripted_enterprise, canned, replies({"text": "Hel"}), paused)


def test_tokens_are_estimated_by_script() -> None:
    latin, chinese = Estimate(), Estimate()
    latin.add("abcd" * 25)
    chinese.add("中文" * 15)
    assert (latin.tokens, chinese.tokens) == (25, 20)


@pytest.mark.parametrize("fields", [{"state": "FAILED"}, {"state": "CANCELLED"}])
def test_answer_that_was_given_up_is_an_error(scripted_enterprise, canned, fields) -> None:
    with pytest.raises(UpstreamError) as caught:
        answered(scripted_enterprise, canned, replies({"text": "Hel"}), {"answer": fields})
    assert caught.value.fault is Fault.VENDOR
    assert caught.value.sent


def test_error_after_a_failure_is_the_better_word(scripted_enterprise, canned) -> None:
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow down"}}
    with pytest.raises(AccountExhausted) as caught:
        answered(scripted_enterprise, canned, {"answer": {"state": "FAILED"}}, error)
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


def test_question_that_is_skipped_is_the_callers(scripted_enterprise, canned) -> None:
    skipped = {"state": "SKIPPED", "assistSkippedReasons": ["NON_ASSIST_SEEKING_QUERY_IGNORED"]}
    with pytest.raises(InvalidRequest, match="NON_ASSIST"):
        answered(scripted_enterprise, canned, {"answer": skipped})


POLICY = {
    "state": "SKIPPED",
    "assistSkippedReasons": ["CUSTOMER_POLICY_VIOLATION"],
    "customerPolicyEnforcementResult": {"verdict": "BLOCK", "violationSource": "ATTACHMENT"},
}


def test_question_against_a_policy_is_refused(scripted_enterprise: Vendor, canned: Canned) -> None:
    with pytest.raises(ContentFiltered, match="attachment"):
        answered(scripted_enterprise, canned, {"answer": POLICY})


def test_answer_that_a_policy_cuts_short_ends_filtered(scripted_enterprise, canned) -> None:
    events = answered(
        scripted_enterprise, canned, replies({"text": "Hello there"}), {"answer": POLICY}
    )
    assert events[0] == TextDelta("Hello there")
    assert events[-1] == Finish("content_filter")


def test_answer_that_never_succeeds_was_broken_off(scripted_enterprise, canned) -> None:
    with pytest.raises(UpstreamDisconnected):
        answered(scripted_enterprise, canned, replies({"text": "Hel"}))


@pytest.mark.parametrize(
    "element", [7, {"answer": 7}, replies({"file": {"mimeType": "image/png"}})]
)
def test_nonsense_is_refused_unread(scripted_enterprise, canned, element: Any) -> None:
    with pytest.raises(UpstreamInvalidResponse):
        answered(scripted_enterprise, canned, element)


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


@pytest.mark.parametrize(
    ("elements", "error", "words"),
    [
        ([replies({"text": "I would rather not."}), DONE], ContentFiltered, "I would rather not."),
        ([DONE], UpstreamInvalidResponse, "no image"),
    ],
    ids=["with words", "without"],
)
def test_answer_without_an_image_is_an_error(
    scripted_enterprise: Vendor, canned: Canned, elements, error, words
) -> None:
    canned.say({"name": SESSION})
    canned.say(elements)
    canned.say({})
    with pytest.raises(error, match=words):
        drawn(scripted_enterprise, ImageRequest("gemini-enterprise", "a fox"), ACCOUNT)


def test_masks_are_refused(enterprise: Vendor) -> None:
    with pytest.raises(InvalidRequest) as caught:
        drawn(enterprise, ImageRequest("gemini-enterprise", "a fox", mask=a_png()), ACCOUNT)
    assert caught.value.param == "mask"
