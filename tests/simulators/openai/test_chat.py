"""The simulated OpenAI-compatible vendor, driven with OpenAI's SDK in its strict mode."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
import requests
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from PIL import Image

from tests.support.media import data_url, mp4, png

HELLO = [{"role": "user", "content": "hello"}]
WAV = b"RIFF\x24\0\0\0WAVEfmt "
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
def client(sim_url: str, key: str) -> Iterator[Callable[..., OpenAI]]:
    """Makes SDK clients; a word given spoils their credential."""
    made: list[OpenAI] = []

    def make(word: str = "") -> OpenAI:
        made.append(
            OpenAI(
                base_url=f"{sim_url}/openai/v1",
                api_key=f"{key}-{word}",
                max_retries=0,
                timeout=20,
                _strict_response_validation=True,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def vendor(client: Callable[..., OpenAI]) -> OpenAI:
    return client()


@pytest.fixture
def post(sim_url: str, key: str) -> Callable[..., requests.Response]:
    """Posts raw bodies, as no SDK would send them."""

    def send(path: str, body: Any, word: str = "") -> requests.Response:
        headers = {"Authorization": f"Bearer {key}-{word}"}
        return requests.post(f"{sim_url}/openai/v1{path}", json=body, headers=headers, timeout=20)

    return send


def ask(vendor: OpenAI, *parts: dict[str, Any], **options: Any) -> ChatCompletion:
    messages = [{"role": "user", "content": list(parts)}] if parts else HELLO
    return vendor.chat.completions.create(model="some-model", messages=messages, **options)


def test_answer_tells_what_arrived(vendor):
    answer = ask(
        vendor,
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": data_url(png(64, 48)), "detail": "low"}},
        {"type": "video_url", "video_url": {"url": data_url(mp4(), "video/mp4")}},
        {
            "type": "input_audio",
            "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"},
        },
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": data_url(b"%PDF-1.7", "application/pdf")},
        },
    )
    text = answer.choices[0].message.content
    assert text.startswith('This is turn 1 and you said "look". I see 4 attachments: image/png')
    for mime in ("64x48", "video/mp4", "audio/wav", "application/pdf"):
        assert mime in text
    assert answer._request_id.startswith("req_")


def test_answers_are_in_the_types_of_the_sdk(post):
    body = {"model": "m-reason", "messages": HELLO, "n": 2}
    ChatCompletion.model_validate(post("/chat/completions", body).json())
    stream = post("/chat/completions", body | {"stream": True})
    assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    frames = stream.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    for frame in frames[:-2]:
        ChatCompletionChunk.model_validate_json(frame.removeprefix("data: "))


def test_stream_has_its_role_first_and_usage_when_asked(vendor):
    def chunks(**options: Any) -> list[ChatCompletionChunk]:
        return list(ask(vendor, stream=True, **options))

    plain = chunks()
    assert (plain[0].choices[0].delta.role, plain[0].choices[0].delta.content) == ("assistant", "")
    assert [chunk.choices[0].finish_reason for chunk in plain[-2:]] == [None, "stop"]
    counted = chunks(stream_options={"include_usage": True})
    assert [chunk.usage is not None for chunk in counted[-2:]] == [False, True]
    assert counted[-1].choices == []
    assert len({chunk.id for chunk in counted}) == 1


def test_model_that_reasons_sends_its_thoughts_first(vendor):
    answer = vendor.chat.completions.create(model="deep-reason", messages=HELLO)
    assert answer.choices[0].message.reasoning_content == "Let me think about it."
    assert answer.usage.completion_tokens_details.reasoning_tokens == 5
    chunks = vendor.chat.completions.create(model="deep-reason", messages=HELLO, stream=True)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[1].reasoning_content == "Let"
    assert not hasattr(deltas[-2], "reasoning_content")


def test_several_choices_are_answered_and_streamed(vendor):
    assert len(ask(vendor, n=3).choices) == 3
    texts = {0: "", 1: ""}
    for chunk in ask(vendor, n=2, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts[0] == texts[1] != ""


def test_tool_is_called_when_named(vendor):
    messages = [{"role": "user", "content": "use get_weather in Oslo"}]
    answer = vendor.chat.completions.create(model="m", messages=messages, tools=[WEATHER])
    (call,) = answer.choices[0].message.tool_calls
    assert answer.choices[0].message.content is None
    assert json.loads(call.function.arguments) == {"city": "Oslo"}
    with vendor.chat.completions.stream(model="m", messages=messages, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert json.loads(final.choices[0].message.tool_calls[0].function.arguments) == {"city": "Oslo"}


def test_json_is_answered_when_wanted(vendor):
    answer = ask(vendor, response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content) == {"said": "hello"}


def test_answer_ends_at_its_limits(vendor, client):
    assert ask(vendor, max_completion_tokens=2).choices[0].finish_reason == "length"
    assert ask(vendor, stop="turn").choices[0].message.content == "This is "
    assert ask(client("filtered")).choices[0].finish_reason == "content_filter"


@pytest.mark.parametrize("options", [{"modalities": ["image", "text"]}, {"word": "image"}])
def test_images_come_beside_the_text(client, options):
    vendor = client(options.pop("word", ""))
    answer = ask(vendor, extra_body=options)
    url = answer.choices[0].message.images[0]["image_url"]["url"]
    deltas = [chunk.choices[0].delta for chunk in ask(vendor, stream=True, extra_body=options)]
    assert deltas[-2].images[0]["image_url"]["url"] == url
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("word", "error", "status", "code"),
    [
        ("wrong", openai.AuthenticationError, 401, "invalid_api_key"),
        ("denied", openai.PermissionDeniedError, 403, "unsupported_country_region_territory"),
        ("overdue", openai.BadRequestError, 400, "billing_hard_limit_reached"),
        ("empty7", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("daily", openai.RateLimitError, 429, "insufficient_quota"),
        ("overloaded", openai.InternalServerError, 503, "overloaded"),
        ("broken", openai.InternalServerError, 500, None),
        ("blocked", openai.BadRequestError, 400, "content_policy_violation"),
    ],
)
def test_refusals_are_the_vendors(client, word, error, status, code):
    with pytest.raises(error) as caught:
        ask(client(word))
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.request_id.startswith("req_")


def test_exhausted_minute_says_when_to_come_back(client):
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client("empty7"))
    headers = caught.value.response.headers
    assert headers["Retry-After"] == "7"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "7s"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": None}, 400, "missing_required_parameter"),
        ({"model": "unknown-model"}, 404, "model_not_found"),
        ({"messages": None}, 400, "missing_required_parameter"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "invalid_value"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "missing_required_parameter"),
        ({"auto_delete": False}, 400, "unknown_parameter"),
        ({"temperature": 3}, 400, "invalid_value"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, 400, "invalid_parameter_combination"),
        ({"stream_options": {"include_usage": True}}, 400, "invalid_value"),
        ({"tools": [{"type": "function"}]}, 400, "missing_required_parameter"),
    ],
)
def test_wrong_chat_requests_are_refused(post, change, status, code):
    answer = post("/chat/completions", {"model": "m", "messages": HELLO} | change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"type": "image_url", "image_url": {"url": "http://192.0.2.1/"}}, "invalid_image_url"),
        ({"type": "image_url", "image_url": {"url": data_url(b"x")}}, "invalid_image_format"),
        ({"type": "image_url", "image_url": data_url(png())}, "invalid_value"),
        ({"type": "video_url", "video_url": {"url": data_url(png())}}, "invalid_value"),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "ogg"}},
            "invalid_value",
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, "not_found"),
        ({"type": "file", "file": {"filename": "a", "file_data": "AAAA"}}, "invalid_value"),
    ],
)
def test_media_that_cannot_be_used_are_refused(post, part, code):
    messages = [{"role": "user", "content": [part]}]
    answer = post("/chat/completions", {"model": "m", "messages": messages})
    assert answer.json()["error"]["code"] == code


def test_missing_key_bad_json_and_unknown_path_are_errors_in_json(sim_url, key, vendor):
    url = f"{sim_url}/openai/v1"
    headers = {"Authorization": f"Bearer {key}"}
    assert requests.get(f"{url}/models", timeout=10).status_code == 401
    bad = requests.post(f"{url}/chat/completions", data="{", headers=headers, timeout=10)
    assert (bad.status_code, bad.json()["error"]["type"]) == (400, "invalid_request_error")
    with pytest.raises(openai.NotFoundError):
        vendor.audio.speech.create(model="m", input="x", voice="alloy")
    with pytest.raises(openai.NotFoundError):
        vendor.files.list()


def test_models_are_listed_and_described(vendor):
    assert "sim-chat" in [model.id for model in vendor.models.list()]
    assert vendor.models.retrieve("vendor/any-model").id == "vendor/any-model"
    with pytest.raises(openai.NotFoundError):
        vendor.models.retrieve("unknown-1")


def test_images_are_linked_or_inline(vendor):
    linked = vendor.images.generate(model="sim-image", prompt="a cat", n=2, size="512x256")
    with Image.open(io.BytesIO(requests.get(linked.data[1].url, timeout=10).content)) as image:
        assert (image.format, image.size) == ("PNG", (512, 256))
    inline = vendor.images.generate(prompt="a cat", output_format="jpeg")
    data = base64.b64decode(inline.data[0].b64_json)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (1024, 1024))
    assert inline.usage.total_tokens == inline.usage.input_tokens + inline.usage.output_tokens


def test_uploaded_images_are_edited(vendor, ledger, key):
    for image in (("a.png", png()), [("a.png", png()), ("b.png", png())]):
        answer = vendor.images.edit(model="gpt-image-2", prompt="a cat", image=image, n=1)
        assert answer.data[0].b64_json
    assert ledger()["operations"][f"{key}-"] == {"openai.images.edits": 2}
    with pytest.raises(openai.BadRequestError):
        vendor.images.edit(prompt="a cat", image=("a.txt", b"no image"))


def test_drafts_of_a_image_are_streamed(vendor):
    for events, name in (
        (vendor.images.generate(prompt="a", stream=True, partial_images=2), "image_generation"),
        (
            vendor.images.edit(prompt="a", image=png(), stream=True, partial_images=2),
            "image_edit",
        ),
    ):
        kinds = [event.type for event in events]
        assert kinds == [f"{name}.partial_image"] * 2 + [f"{name}.completed"]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": None},
        {"n": 11},
        {"size": "100x100"},
        {"size": "2048x512"},
        {"response_format": "url"},
        {"ratio": "1:1"},
        {"quality": "best"},
        {"model": "sim-image", "stream": True},
    ],
)
def test_wrong_image_requests_are_refused(post, change):
    body = {"model": "gpt-image-2", "prompt": "a cat"} | change
    assert post("/images/generations", body).status_code == 400
