"""Interactions of the simulated Gemini API, driven with the vendor's SDK."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import Any

import pytest
import requests
from google.genai._gaos.lib import compat_errors
from google.genai._gaos.types import interactions as kinds
from PIL import Image

from gateway.simulators.media.media_info import describe
from tests.support.media import jpeg, png

OMNI = "gemini-omni-1.2-flash"
FLASH = "gemini-3.8-flash"
DRAWER = "gemini-3.1-flash-image"
INTERACTIONS = "/v1beta/interactions"
QUICK = {"X-Simulate": "video=0"}


@pytest.fixture
def ask(gemini_post, key):
    """Posts an interaction of which a video takes no time; other words may spoil it."""

    def send(words: str = "", **body: Any) -> requests.Response:
        headers = {"x-goog-api-key": key, "X-Simulate": f"video=0, {words}"}
        return gemini_post(
            INTERACTIONS, {"model": OMNI, "input": "a sunset"} | body, headers=headers
        )

    return send


def until_done(gemini, interaction_id: str) -> kinds.Interaction:
    deadline = time.monotonic() + 20
    while (one := gemini.interactions.get(id=interaction_id)).status == "in_progress":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return one


def strict(model: Any, payload: dict[str, Any]) -> None:
    """Hold a body to the SDK's types: nothing may be unknown, nothing may get lost."""
    read = model.model_validate(payload).model_dump(mode="json", by_alias=True)
    assert "UNKNOWN" not in json.dumps(read)
    _lies_in(payload, read)


def _lies_in(part: Any, whole: Any) -> None:
    if isinstance(part, dict):
        for name in part.keys() - {"object"}:
            _lies_in(part[name], whole[name])
    elif isinstance(part, list):
        assert len(part) == len(whole)
        for one, other in zip(part, whole, strict=True):
            _lies_in(one, other)
    else:
        assert part == whole


def test_text_is_answered_at_once(gemini):
    answer = gemini.interactions.create(model=FLASH, input="hello there")
    assert answer.status == "completed"
    assert "hello there" in answer.output_text
    assert answer.usage.total_output_tokens > 5
    again = gemini.interactions.create(
        model=FLASH, input="and now?", previous_interaction_id=answer.id
    )
    assert "This is turn 2" in again.output_text


def test_media_in_the_input_are_seen(gemini):
    data = base64.b64encode(jpeg(40, 30)).decode()
    image = {"type": "image", "data": data, "mime_type": "image/jpeg"}
    answer = gemini.interactions.create(
        model=FLASH, input=[image, {"type": "text", "text": "what?"}]
    )
    assert "image/jpeg 40x30" in answer.output_text


def test_video_waits_behind_its_uri(gemini, ledger):
    video = gemini.interactions.create(
        model=OMNI,
        input="a sunset",
        response_format={"type": "video", "delivery": "uri", "aspect_ratio": "9:16"},
        store=False,
        extra_headers=QUICK,
    )
    assert video.status == "completed"
    uri = video.output_video.uri
    assert uri.startswith("https://generativelanguage.googleapis.com/v1beta/files/")
    name = uri.rpartition("/")[2].partition(":")[0]
    deadline = time.monotonic() + 10
    while (file := gemini.files.get(name=name)).state.value == "PROCESSING":
        assert time.monotonic() < deadline
    assert (file.source.value, file.download_uri) == ("GENERATED", uri)
    assert describe(gemini.files.download(file=uri)).mime == "video/mp4"
    assert name in ledger()["files"]["names"]


def test_video_comes_inline(ask):
    answer = ask(response_format={"type": "video", "resolution": "360p", "duration": "3s"})
    strict(kinds.Interaction, answer.json())
    (content,) = answer.json()["steps"][-1]["content"]
    assert describe(base64.b64decode(content["data"])).mime == "video/mp4"
    assert answer.json()["usage"]["output_tokens_by_modality"][0]["modality"] == "video"


def test_video_is_made_in_the_background_and_comes_inline_whatever_was_asked(gemini, ledger):
    begun = gemini.interactions.create(
        model=OMNI,
        input="a sunset",
        background=True,
        response_format={"type": "video", "delivery": "uri"},
        extra_headers={"X-Simulate": "video=1"},
    )
    assert begun.status == "in_progress"
    assert begun.output_video is None
    assert begun.id in ledger()["tasks"]["names"]
    done = until_done(gemini, begun.id)
    assert done.status == "completed"
    assert done.output_video.data
    assert begun.id not in ledger()["tasks"]["names"]
    gemini.interactions.delete(id=begun.id)
    with pytest.raises(compat_errors.NotFoundError):
        gemini.interactions.get(id=begun.id)


def test_video_in_the_background_can_be_cancelled_once(gemini):
    headers = {"X-Simulate": "video=600"}
    begun = gemini.interactions.create(
        model=OMNI, input="a sunset", background=True, extra_headers=headers
    )
    assert gemini.interactions.cancel(id=begun.id).status == "cancelled"
    with pytest.raises(compat_errors.BadRequestError, match="failed_precondition"):
        gemini.interactions.cancel(id=begun.id)


def test_only_what_runs_in_the_background_can_be_cancelled(gemini):
    done = gemini.interactions.create(model=FLASH, input="hi")
    with pytest.raises(compat_errors.BadRequestError, match="Only background"):
        gemini.interactions.cancel(id=done.id)


def test_image_is_generated(gemini):
    answer = gemini.interactions.create(
        model=DRAWER,
        input="a cat",
        response_format={"type": "image", "aspect_ratio": "16:9", "image_size": "1K"},
    )
    assert answer.output_image.mime_type == "image/jpeg"
    image = Image.open(io.BytesIO(base64.b64decode(answer.output_image.data)))
    assert (image.size, image.format) == ((1376, 768), "JPEG")


@pytest.mark.parametrize(
    ("body", "last"),
    [
        ({"model": FLASH, "input": "hello there"}, "text"),
        ({"model": DRAWER}, "image"),
        ({"response_format": {"type": "video", "delivery": "uri"}}, "video"),
        ({"background": True}, "video"),
    ],
)
def test_events_carry_the_whole_interaction(ask, body, last):
    answer = ask(stream=True, **body)
    assert answer.headers["Content-Type"] == "text/event-stream"
    events = [
        dict(line.split(": ", 1) for line in event.split("\n"))
        for event in answer.text.removesuffix("\n\n").split("\n\n")
    ]
    assert events.pop() == {"event": "done", "data": "[DONE]"}
    read = [json.loads(event["data"]) for event in events]
    assert [event["event"] for event in events] == [event["event_type"] for event in read]
    named = {
        "interaction.created": kinds.InteractionCreatedEvent,
        "interaction.completed": kinds.InteractionCompletedEvent,
        "step.start": kinds.StepStart,
        "step.delta": kinds.StepDelta,
        "step.stop": kinds.StepStop,
    }
    for event in read:
        strict(named[event["event_type"]], event)
    assert read[0]["interaction"]["status"] == "in_progress"
    assert read[-1]["interaction"]["status"] == "completed"
    deltas = [event["delta"]["type"] for event in read if event["event_type"] == "step.delta"]
    assert deltas[:2] == ["thought_summary", "thought_signature"]
    assert deltas[-1] == last


def test_stream_can_be_taken_up_where_it_was_left(gemini):
    events = list(gemini.interactions.create(model=FLASH, input="hello there", stream=True))
    one_id = events[0].interaction.id
    rest = list(gemini.interactions.get(id=one_id, stream=True, last_event_id=events[7].event_id))
    assert [event.event_id for event in rest] == [event.event_id for event in events[8:]]
    assert rest[-1].event_type == "interaction.completed"


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        ("wrong", 401, "authentication"),
        ("denied", 403, "permission_denied"),
        ("overdue", 400, "failed_precondition"),
        ("empty", 429, "rate_limit_exceeded"),
        ("daily", 429, "quota_exceeded"),
        ("overloaded", 503, "service_unavailable"),
        ("broken", 500, "api_error"),
        ("blocked", 400, "prohibited_content"),
    ],
)
def test_errors_have_codes_in_words(ask, word, status, code):
    answer = ask(word)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"code", "message"}
    assert answer.json()["error"]["code"] == code


def test_missing_key_is_401(gemini_post):
    answer = gemini_post(INTERACTIONS, {"model": FLASH, "input": "x"}, headers={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "authentication")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"foo": 1}, 400, "parameter_unknown"),
        ({"generation_config": {"topP": 1}}, 400, "parameter_unknown"),
        ({"model": "gemini-9"}, 404, "model_not_found"),
        ({"model": "veo-3.1-generate-preview"}, 404, "model_not_found"),
        ({"model": None}, 400, "invalid_request"),
        ({"input": None}, 400, "invalid_request"),
        ({"input": [{"type": "hologram"}]}, 400, "invalid_request"),
        ({"input": [{"type": "image", "mime_type": "image/png"}]}, 400, "invalid_request"),
        ({"previous_interaction_id": "v1_none"}, 404, "not_found"),
        ({"background": True, "store": False}, 400, "invalid_request"),
        ({"response_format": {"type": "video", "aspect_ratio": "1:1"}}, 400, "invalid_request"),
        ({"response_format": {"type": "video", "duration": "20s"}}, 400, "invalid_request"),
        ({"response_format": {"type": "image"}}, 400, "invalid_request"),
        ({"system_instruction": "be short"}, 400, "invalid_request"),
        ({"generation_config": {"temperature": 1}}, 400, "invalid_request"),
        (
            {"generation_config": {"video_config": {"task": "image_to_video"}}},
            400,
            "invalid_request",
        ),
    ],
)
def test_wrong_requests_are_refused(ask, body, status, code):
    answer = ask(**body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_sdk_raises_its_own_errors(gemini_client):
    with pytest.raises(compat_errors.NotFoundError, match="model_not_found"):
        gemini_client().interactions.create(model="gemini-9", input="x")
    with pytest.raises(compat_errors.AuthenticationError, match="API key not valid"):
        gemini_client("wrong").interactions.create(model=FLASH, input="x")


@pytest.mark.parametrize(
    ("word", "code"),
    [("failed", "api_error"), ("filtered", "safety"), ("blocked", "prohibited_content")],
)
def test_video_that_fails_says_why(ask, sim_url, key, ledger, word, code):
    begun = ask(word, background=True).json()
    url = f"{sim_url}/gemini{INTERACTIONS}/{begun['id']}"
    failed = requests.get(url, headers={"x-goog-api-key": key}, timeout=20).json()
    strict(kinds.Interaction, failed)
    assert (failed["status"], failed["errors"][0]["code"]) == ("failed", code)
    assert ledger()["tasks"]["failed"] >= 1


def test_stream_of_what_fails_ends_with_an_error_event(ask):
    answer = ask("failed", stream=True)
    *_, error, done, _ = answer.text.split("\n\n")
    assert error.startswith("event: error\n")
    strict(kinds.ErrorEvent, json.loads(error.partition("data: ")[2]))
    assert done == "event: done\ndata: [DONE]"


def test_video_may_start_from_a_image(ask):
    data = base64.b64encode(png(32, 18)).decode()
    frame = {"type": "image", "data": data, "mime_type": "image/png"}
    answer = ask(
        input=[frame, {"type": "text", "text": "let it move"}],
        generation_config={"video_config": {"task": "image_to_video"}},
    )
    thought = answer.json()["steps"][1]["summary"][0]["text"]
    assert "image/png 32x18" in thought
    assert data not in answer.text


def test_client_that_leaves_while_a_video_is_made_is_no_longer_in_flight(sim_url, key, simulators):
    headers = {"x-goog-api-key": key, "X-Simulate": "video=600"}
    body = {"model": OMNI, "input": "a sunset"}
    with pytest.raises(requests.Timeout):
        requests.post(f"{sim_url}/gemini{INTERACTIONS}", json=body, headers=headers, timeout=0.5)
    seen = simulators.until(lambda seen: key not in seen["in_flight"])
    assert seen["max_in_flight"][key] == 1
    assert seen["operations"][key] == {"gemini.interactions.create": 1}
