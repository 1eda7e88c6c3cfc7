"""Chat with the simulated Ark, driven with the vendor's SDK."""

from __future__ import annotations

import json

import pytest
import requests
from volcenginesdkarkruntime import _exceptions as ark_errors
from volcenginesdkarkruntime.types.chat import ChatCompletion, ChatCompletionChunk

from tests.simulators.ark.kit import (
    CHAT,
    FRAME,
    HELLO,
    IMAGE,
    PLAIN,
    VIDEO,
    image,
    video_task,
)
from tests.support.media import data_url, mp4, png

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 3},
            },
        },
    },
}


def test_answer_tells_turns_last_text_and_media(ark):
    parts = [
        {"type": "text", "text": "what is this"},
        image(data_url(png(64, 48))),
        {"type": "video_url", "video_url": {"url": data_url(mp4(), "video/mp4"), "fps": 2}},
    ]
    answer = ark.chat.completions.create(
        model=CHAT,
        messages=[
            *HELLO,
            {"role": "assistant", "content": "hi"},
            {"role": "user", "content": parts},
        ],
    )
    text = answer.choices[0].message.content
    assert text.startswith('This is turn 2 and you said "what is this".')
    assert "I see 2 attachments: image/png 64x48" in text
    assert "video/mp4" in text
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_answers_are_in_the_types_of_the_sdk(post):
    body = {"model": CHAT, "messages": HELLO}
    raw = post("/chat/completions", body)
    ChatCompletion.model_validate(raw.json())
    assert raw.headers["X-Request-Id"].startswith("02")
    stream = post("/chat/completions", body | {"stream": True})
    assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    frames = stream.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    for frame in frames[:-2]:
        ChatCompletionChunk.model_validate_json(frame.removeprefix("data: "))


def test_thoughts_come_before_the_text_unless_disabled(ark):
    chunks = list(ark.chat.completions.create(model=CHAT, messages=HELLO, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thoughts = [at for at, delta in enumerate(deltas) if delta.reasoning_content]
    texts = [at for at, delta in enumerate(deltas) if delta.content]
    assert deltas[0].role == "assistant"
    assert max(thoughts) < min(texts)
    off = ark.chat.completions.create(model=CHAT, messages=HELLO, thinking={"type": "disabled"})
    assert off.choices[0].message.reasoning_content is None
    assert off.usage.completion_tokens_details.reasoning_tokens == 0


def test_usage_is_streamed_as_asked(ark):
    def usages(**options: bool) -> list[bool]:
        chunks = ark.chat.completions.create(
            model=PLAIN, messages=HELLO, stream=True, stream_options=options or None
        )
        return [chunk.usage is not None for chunk in chunks]

    assert not any(usages())
    assert usages(include_usage=True)[-2:] == [False, True]
    assert all(usages(chunk_include_usage=True))


def test_named_tool_is_called_with_arguments_that_fit(ark):
    ask = [{"role": "user", "content": "use get_weather for Paris"}]
    answer = ark.chat.completions.create(model=PLAIN, messages=ask, tools=[WEATHER])
    (call,) = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"city": "Paris", "unit": "celsius", "days": 3}


def test_tool_call_is_streamed_in_fragments(ark):
    forced = {"type": "function", "function": {"name": "get_weather"}}
    chunks = ark.chat.completions.create(
        model=PLAIN, messages=HELLO, tools=[WEATHER], tool_choice=forced, stream=True
    )
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].function.name == "get_weather"
    assert [call.id for call in calls[1:]] == [None, None]
    assert json.loads("".join(call.function.arguments for call in calls))["city"] == "hello"


def test_results_of_tools_are_read_and_answered(ark):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
    }
    history = [
        {"role": "user", "content": "use get_weather"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = ark.chat.completions.create(model=PLAIN, messages=history, tools=[WEATHER])
    assert '"sunny"' in answer.choices[0].message.content


def test_tool_is_not_called_when_forbidden_or_unnamed(ark):
    for ask, choice in (("use get_weather", "none"), ("hello", "auto")):
        messages = [{"role": "user", "content": ask}]
        answer = ark.chat.completions.create(
            model=PLAIN, messages=messages, tools=[WEATHER], tool_choice=choice
        )
        assert answer.choices[0].finish_reason == "stop"


def test_structured_answer_fits_its_schema(ark):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    answer = ark.chat.completions.create(model=PLAIN, messages=HELLO, response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == {"ok": True}


def test_answer_ends_at_its_limits(ark):
    short = ark.chat.completions.create(model=PLAIN, messages=HELLO, max_tokens=3)
    assert short.choices[0].message.content == "This is turn"
    assert short.choices[0].finish_reason == "length"
    stopped = ark.chat.completions.create(model=PLAIN, messages=HELLO, stop=[" turn"])
    assert stopped.choices[0].message.content == "This is"
    assert stopped.choices[0].finish_reason == "stop"


def test_filtered_answer_says_so(client):
    answer = client("filtered").chat.completions.create(model=PLAIN, messages=HELLO)
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.choices[0].moderation_hit_type == "violence"


@pytest.mark.parametrize(
    ("word", "error", "code"),
    [
        ("wrong", ark_errors.ArkAuthenticationError, "AuthenticationError"),
        ("denied", ark_errors.ArkPermissionDeniedError, "AccessDenied"),
        ("overdue", ark_errors.ArkPermissionDeniedError, "AccountOverdueError"),
        ("empty", ark_errors.ArkRateLimitError, "ModelAccountRpmRateLimitExceeded"),
        ("daily", ark_errors.ArkRateLimitError, "QuotaExceeded"),
        ("overloaded", ark_errors.ArkRateLimitError, "ServerOverloaded"),
        ("broken", ark_errors.ArkInternalServerError, "InternalServiceError"),
        ("blocked", ark_errors.ArkBadRequestError, "InputTextSensitiveContentDetected"),
    ],
)
def test_refusals_are_the_vendors(client, word, error, code):
    for attempt in (
        lambda ark: ark.chat.completions.create(model=CHAT, messages=HELLO, stream=True),
        lambda ark: ark.images.generate(model=IMAGE, prompt="a cat"),
        video_task,
    ):
        with pytest.raises(error) as caught:
            attempt(client(word))
        assert caught.value.code == code
        assert "Request id: 02" in caught.value.message
        assert "Retry-After" not in caught.value.response.headers


def test_missing_key_is_an_authentication_error(sim_url):
    answer = requests.post(f"{sim_url}/ark/api/v3/chat/completions", json={}, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "Unauthorized"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": None}, 400, "MissingParameter"),
        ({"model": "doubao-seed-9"}, 404, "InvalidEndpointOrModel.NotFound"),
        ({"model": IMAGE}, 404, "UnsupportedModel"),
        ({"messages": []}, 400, "InvalidParameter"),
        ({"messages": None}, 400, "MissingParameter"),
        ({"messages": [{"role": "developer", "content": "x"}]}, 400, "InvalidParameter"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, 400, "InvalidParameter"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, 400, "InvalidParameter"),
        ({"max_completion_tokens": 65_537}, 400, "InvalidParameter"),
        ({"temperature": 2.5}, 400, "InvalidParameter"),
        ({"temperature": "hot"}, 400, "InvalidParameter"),
        ({"stop": ["1", "2", "3", "4", "5"]}, 400, "InvalidParameter"),
        ({"thinking": {"type": "hard"}}, 400, "InvalidParameter"),
        ({"response_format": {"type": "xml"}}, 400, "InvalidParameter"),
        ({"tool_choice": "required"}, 400, "InvalidParameter"),
    ],
)
def test_wrong_chat_requests_are_refused(post, change, status, code):
    answer = post("/chat/completions", {"model": CHAT, "messages": HELLO} | change)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (image(""), "InvalidImageURL.EmptyURL"),
        (image("data:image/PNG;base64,AAAA"), "InvalidImageURL.InvalidFormat"),
        (image("data:image/png;base64,A=A"), "InvalidImageURL.InvalidFormat"),
        (image(data_url(b"no image")), "InvalidImageURL.InvalidFormat"),
        (image("http://192.0.2.1/a.png"), "InvalidParameter"),
        (image("ftp://127.0.0.1/a.png"), "InvalidParameter"),
        ({"type": "image_url", "image_url": FRAME}, "InvalidParameter"),
        (
            {"type": "image_url", "image_url": {"url": FRAME, "detail": "huge"}},
            "InvalidArgumentError.InvalidImageDetail",
        ),
        (
            {
                "type": "image_url",
                "image_url": {"url": FRAME, "image_pixel_limit": {"max_pixels": 1}},
            },
            "InvalidArgumentError.InvalidPixelLimit",
        ),
        ({"type": "video_url", "video_url": {"url": FRAME}}, "InvalidParameter"),
        ({"type": "video_url", "video_url": {"url": FRAME, "fps": 9}}, "InvalidParameter"),
        ({"type": "file", "file": {"file_id": "file-x"}}, "NotFound.File"),
    ],
)
def test_media_that_cannot_be_used_are_refused(post, part, code):
    messages = [{"role": "user", "content": [part]}]
    answer = post("/chat/completions", {"model": CHAT, "messages": messages})
    assert answer.json()["error"]["code"] == code


def test_linked_image_is_fetched(ark, media_server):
    parts = [image(f"{media_server.url}/one.jpg")]
    answer = ark.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": parts}])
    assert "image/jpeg 400x300" in answer.choices[0].message.content


def test_linked_image_that_is_missing_is_refused(ark, media_server):
    parts = [image(f"{media_server.url}/missing.jpg")]
    with pytest.raises(ark_errors.ArkBadRequestError):
        ark.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": parts}])


def test_unknown_path_is_404_without_a_body(post, sim_url):
    answer = post("/responses", {})
    assert (answer.status_code, answer.content) == (404, b"")
    assert requests.get(f"{sim_url}/ark/api/v3/chat/completions", timeout=10).status_code == 404


def test_models_are_listed(sim_url, key):
    headers = {"Authorization": f"Bearer {key}"}
    models = requests.get(f"{sim_url}/ark/api/v3/models", headers=headers, timeout=10).json()
    assert {CHAT, IMAGE, VIDEO} <= {model["id"] for model in models["data"]}
