"""What every adapter owes the rest of the gateway, whatever its vendor does."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from itertools import chain

import pytest

from gateway.domain.errors import (
    AccountExhausted,
    AccountQuotaExhausted,
    AccountRejected,
    ContentFiltered,
    Fault,
    Forbidden,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    JobFailed,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.domain.events import Event, Finish, MediaReady, Usage
from gateway.domain.requests import ChatRequest, ImageRequest, Message, Text, VideoRequest
from gateway.upstreams.base import image_upstream, video_upstream
from gateway.upstreams.registry import VENDORS
from tests.upstreams.conftest import CONTEXT, Vendor, a_jpeg, a_png, ask, text_of

ENDS = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def grammar(batches: list[list[Event]]) -> str:
    """One letter an event: c for content, U for Usage, F for Finish."""
    assert all(batches), "an empty batch"
    letters = {Usage: "U", Finish: "F"}
    return "".join(letters.get(type(event), "c") for batch in batches for event in batch)


@ENDS
def test_answer_is_content_then_usage_then_one_finish(vendor: Vendor, stream: bool) -> None:
    batches = vendor.chat(ask(vendor, "What is a gateway?", stream=stream), vendor.account())
    assert re.fullmatch("c+UF", grammar(batches))
    assert "What is a gateway?" in text_of(batches)
    assert isinstance(batches[-1][-1], Finish)
    assert batches[-1][-1].reason == "stop"


@ENDS
def test_usage_is_counted(vendor: Vendor, stream: bool) -> None:
    batches = vendor.chat(ask(vendor, stream=stream), vendor.account())
    usage = next(event for event in chain(*batches) if isinstance(event, Usage))
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.estimated == (vendor.name == "gemini-enterprise")


def test_each_piece_is_handed_on_when_it_arrives(vendor: Vendor) -> None:
    account = vendor.account("gated")
    credential = vendor.credential(account)
    with closing(vendor.upstream.chat(ask(vendor), account, CONTEXT)) as batches:
        vendor.simulators.release(credential, 4)
        first = next(batch for batch in batches if text_of([batch]))
        assert text_of([first]).strip()
        vendor.simulators.release(credential, 1000)
        assert [e.reason for e in chain(*batches) if isinstance(e, Finish)] == ["stop"]


@ENDS
def test_media_of_every_turn_arrive_in_order(vendor: Vendor, stream: bool) -> None:
    messages = (
        Message("user", (Text("One"), a_png(64, 48))),
        Message("assistant", (Text("Seen."), a_png(80, 60))),
        Message("user", (a_jpeg(40, 30), Text("Two"), a_png(20, 10))),
    )
    request = ChatRequest(vendor.model(), messages, stream=stream)
    text = text_of(vendor.chat(request, vendor.account()))
    assert re.findall(r"\d+x\d+", text) == ["64x48", "80x60", "40x30", "20x10"]


def test_answer_stopped_by_the_vendors_filter_says_so(vendor: Vendor) -> None:
    batches = vendor.chat(ask(vendor), vendor.account("filtered"))
    assert re.fullmatch("c+U?F", grammar(batches))
    assert batches[-1][-1].reason == "content_filter"


# Blame: who is at fault decides what is retried, what cools down and what the caller hears.


@pytest.mark.parametrize(
    ("word", "error", "fault"),
    [
        ("wrong", AccountRejected, Fault.ACCOUNT),
        ("denied", AccountRejected, Fault.ACCOUNT),
        ("overdue", UpstreamError, None),
        ("empty7", AccountExhausted, Fault.MINUTE_QUOTA),
        ("daily", AccountQuotaExhausted, Fault.DAY_QUOTA),
        ("overloaded", UpstreamOverloaded, Fault.VENDOR),
        ("broken", UpstreamError, Fault.VENDOR),
        ("blocked", ContentFiltered, Fault.CONTENT),
    ],
)
@ENDS
def test_refusal_is_blamed_on_the_right_party(
    vendor: Vendor, word: str, error: type[GatewayError], fault: Fault | None, stream: bool
) -> None:
    with pytest.raises(error) as caught:
        vendor.chat(ask(vendor, stream=stream), vendor.account(word))
    assert caught.value.fault in ([fault] if fault else [Fault.ACCOUNT, Fault.DAY_QUOTA])
    if word == "empty7":
        assert caught.value.retry_after == (None if vendor.name == "ark" else 7)


@pytest.mark.parametrize(("word", "error"), [("wrong", InvalidApiKey), ("denied", Forbidden)])
@pytest.mark.parametrize("name", ["ark", "openai", "gemini"])  # Enterprise takes tokens, not keys
def test_callers_own_refused_credential_is_the_callers_401_or_403(
    open_vendor: Callable[..., Vendor], name: str, word: str, error: type[GatewayError]
) -> None:
    vendor = open_vendor(name)
    with pytest.raises(error) as caught:
        vendor.chat(ask(vendor), vendor.account(word, own=True))
    assert caught.value.fault is Fault.CALLER


@pytest.mark.parametrize(
    "word", ["wrong", "denied", "overdue", "empty", "daily", "overloaded", "broken", "blocked"]
)
def test_messages_keep_credentials_to_themselves(vendor: Vendor, word: str) -> None:
    account = vendor.account(f"{word}-echo")
    with pytest.raises(GatewayError) as caught:
        vendor.chat(ask(vendor), account)
    shown = str(caught.value) + repr(caught.value)
    assert account.secret.reveal() not in shown
    assert account.name.split("@")[0] not in shown
    assert "?" not in caught.value.message


# Truncation: a short answer is never passed off as a whole one.


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("cut6", UpstreamDisconnected),
        ("ended6", UpstreamDisconnected),
        ("malformed", UpstreamInvalidResponse),
    ],
)
def test_broken_stream_gives_what_arrived_and_then_the_error(
    vendor: Vendor, word: str, error: type[GatewayError]
) -> None:
    arrived: list[list[Event]] = []
    with (
        pytest.raises(error) as caught,
        closing(vendor.upstream.chat(ask(vendor), vendor.account(word), CONTEXT)) as batches,
    ):
        arrived.extend(batches)
    assert caught.value.sent
    assert "F" not in grammar(arrived)
    if word != "malformed":
        assert text_of(arrived)


@pytest.mark.parametrize("word", ["html", "truncated"])
@ENDS
def test_answer_in_the_wrong_form_is_refused_unread(
    vendor: Vendor, word: str, stream: bool
) -> None:
    with pytest.raises((UpstreamInvalidResponse, UpstreamDisconnected)) as caught:
        vendor.chat(ask(vendor, stream=stream), vendor.account(word))
    assert caught.value.sent
    assert "<" not in caught.value.message
    assert "{" not in caught.value.message


def test_body_that_breaks_off_is_an_error(vendor: Vendor) -> None:
    with pytest.raises(UpstreamDisconnected) as caught:
        vendor.chat(ask(vendor, stream=False), vendor.account("cut"))
    assert caught.value.sent


@pytest.mark.parametrize("word", ["hang", "stall"])
def test_silence_is_a_timeout(brief_vendor: Vendor, word: str) -> None:
    with pytest.raises(UpstreamTimeout) as caught:
        brief_vendor.chat(ask(brief_vendor), brief_vendor.account(word))
    assert caught.value.sent


@ENDS
def test_request_that_gets_no_answer_counts_as_sent(vendor: Vendor, stream: bool) -> None:
    with pytest.raises(UpstreamDisconnected) as caught:
        vendor.chat(ask(vendor, stream=stream), vendor.account("lost"))
    assert caught.value.sent


@pytest.mark.parametrize("name", ["ark", "openai", "gemini", "gemini-enterprise"])
def test_vendor_that_cannot_be_reached_was_sent_nothing(open_vendor, name: str) -> None:
    vendor = open_vendor(name, base_url="http://127.0.0.1:1")
    account = vendor.account()
    with pytest.raises(UpstreamUnreachable) as caught:
        vendor.chat(ask(vendor), account)
    assert not caught.value.sent


# Leaving: what the caller gives up is given up at the vendor.


def test_leaving_in_the_middle_ends_the_exchange_and_tidies_up(vendor: Vendor) -> None:
    account = vendor.account("endless-slow50")
    before = vendor.simulators.ledger(requests_too=False)
    batches = vendor.upstream.chat(ask(vendor), account, CONTEXT)
    next(batch for batch in batches if text_of([batch]))
    batches.close()
    name = vendor.credential(account)
    after = vendor.simulators.until(
        lambda ledger: (
            name not in ledger["in_flight"]
            and ledger["streams"]["aborted"] > before["streams"]["aborted"]
        )
    )
    assert not [n for n in after["sessions"]["names"] if n not in before["sessions"]["names"]]


def test_nothing_is_left_behind_at_the_vendor(vendor: Vendor) -> None:
    before = vendor.simulators.ledger(requests_too=False)
    request = ChatRequest(vendor.model(), (Message("user", (a_png(), Text("Look"))),), stream=True)
    vendor.chat(request, vendor.account())
    after = vendor.simulators.ledger(requests_too=False)
    for kind in ("sessions", "files"):
        assert set(after[kind]["names"]) <= set(before[kind]["names"])
    assert after["violations"] == before["violations"]


# Parameters and dry runs.


def test_parameters_the_vendor_lacks_are_named_and_not_sent(vendor: Vendor) -> None:
    request = ask(vendor, temperature=0.5, prompt_cache_key="k", store=False, top_p=0.9)
    dropped = set(vendor.upstream.dropped(request))
    account = vendor.account()
    assert text_of(vendor.chat(request, account))
    [*_, body] = [call["body"] for call in vendor.seen(account) if call["body"]]
    assert dropped.isdisjoint(body)
    assert dropped <= {"temperature", "prompt_cache_key", "store", "top_p"}


def test_chat_can_be_planned_without_a_call(vendor: Vendor) -> None:
    account = vendor.account()
    messages = (Message("user", (Text("Look"), a_png(300, 200))),)
    calls = vendor.upstream.plan_chat(ChatRequest(vendor.model(), messages, stream=True), account)
    assert calls
    shown = repr(calls)
    assert account.secret.reveal() not in shown
    assert "***" in shown
    assert re.search(r"<base64 \d+ bytes>", shown)
    assert vendor.simulators.calls(vendor.credential(account)) == 0


def test_vendor_has_the_methods_of_what_it_makes_and_takes_no_empty_credential(
    vendor: Vendor,
) -> None:
    methods = {
        "chat": "chat",
        "image": "image",
        "video": "submit_video",
        "embedding": "embed",
    }
    has = {kind for kind, method in methods.items() if hasattr(vendor.upstream, method)}
    assert has == set(vendor.upstream.kinds) == set(VENDORS[vendor.name].kinds)
    assert not vendor.upstream.takes("")


def test_what_a_vendor_does_not_make_is_refused(vendor: Vendor) -> None:
    for kind, narrowed in (("image", image_upstream), ("video", video_upstream)):
        if kind in vendor.upstream.kinds:
            assert narrowed(vendor.upstream) is vendor.upstream
        else:
            with pytest.raises(InvalidRequest, match=f"makes no {kind}s"):
                narrowed(vendor.upstream)


# Pictures and videos.


def pictures(vendor: Vendor, request: ImageRequest, words: str = "") -> list[tuple[str, bytes]]:
    found = []
    with closing(vendor.upstream.image(request, vendor.account(words), CONTEXT)) as batches:
        for batch in batches:
            for event in batch:
                if isinstance(event, MediaReady):
                    with event.source.open() as chunks:
                        found.append((event.kind, b"".join(chunks)))
            last = batch[-1]
    assert last == Finish("stop")
    return found


def test_pictures_can_be_read_as_they_come(vendor: Vendor) -> None:
    request = ImageRequest(vendor.model("image"), "a red fox", ratio="16:9")
    [(kind, data)] = pictures(vendor, request)
    assert kind == "image"
    assert data[:3] in (b"\xff\xd8\xff", b"\x89PN")


def test_references_reach_the_vendor_without_being_kept_whole(vendor: Vendor) -> None:
    request = ImageRequest(vendor.model("image"), "the same in blue", images=(a_png(320, 240),))
    assert len(pictures(vendor, request)) == 1


def test_refused_picture_is_the_contents_fault(vendor: Vendor) -> None:
    request = ImageRequest(vendor.model("image"), "something")
    with pytest.raises(ContentFiltered):
        pictures(vendor, request, "blocked")


def test_picture_can_be_planned_without_a_call(vendor: Vendor) -> None:
    account = vendor.account()
    request = ImageRequest(vendor.model("image"), "a red fox", images=(a_png(),))
    shown = repr(vendor.upstream.plan_image(request, account))
    assert "a red fox" in shown
    assert account.secret.reveal() not in shown


@pytest.fixture(params=["ark", "gemini"])
def studio(request: pytest.FixtureRequest, open_vendor) -> Vendor:
    """Each vendor that makes videos as tasks."""
    return open_vendor(request.param)


def film(studio: Vendor, words: str = "") -> bytes:
    account = studio.account(words)
    request = VideoRequest(studio.model("video"), "waves at night")
    task_id = studio.upstream.submit_video(request, account, CONTEXT)
    assert studio.upstream.check_video(task_id, account).running
    studio.simulators.until(
        lambda _: not studio.upstream.check_video(task_id, account).running, within_s=20
    )
    task = studio.upstream.check_video(task_id, account)
    assert task.video is not None
    with task.video.open() as chunks:
        return b"".join(chunks)


def test_video_runs_and_can_then_be_read(studio: Vendor) -> None:
    assert film(studio, "video1")[4:8] == b"ftyp"


def test_failed_video_raises_when_it_is_asked_for(studio: Vendor) -> None:
    with pytest.raises(JobFailed):
        film(studio, "video1-failed")


def test_submission_without_an_answer_may_have_been_accepted(studio: Vendor) -> None:
    request = VideoRequest(studio.model("video"), "waves at night")
    with pytest.raises(UpstreamError) as caught:
        studio.upstream.submit_video(request, studio.account("lost"), CONTEXT)
    assert caught.value.sent


@pytest.mark.parametrize("word", ["empty", "wrong", "overdue"])
def test_refused_submission_was_not_accepted(studio: Vendor, word: str) -> None:
    request = VideoRequest(studio.model("video"), "waves at night")
    with pytest.raises(GatewayError) as caught:
        studio.upstream.submit_video(request, studio.account(word), CONTEXT)
    assert not caught.value.sent


def test_video_can_be_planned_without_a_call(studio: Vendor) -> None:
    account = studio.account()
    request = VideoRequest(studio.model("video"), "waves at night", images=(a_png(400, 300),))
    shown = repr(studio.upstream.plan_video(request, account))
    assert "waves at night" in shown
    assert account.secret.reveal() not in shown


def test_progress_is_a_percentage_or_nothing(studio: Vendor) -> None:
    account = studio.account("video9")
    request = VideoRequest(studio.model("video"), "waves at night")
    task = studio.upstream.check_video(
        studio.upstream.submit_video(request, account, CONTEXT), account
    )
    assert task.running
    assert task.percent is None or 0 <= task.percent < 100
