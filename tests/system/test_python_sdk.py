"""OpenAI's SDK for Python against the gateway, with its strict validation on."""

from __future__ import annotations

import base64
import io
import json

import openai
import pytest
from PIL import Image

from tests.support.media import data_url, png

ASK = {"model": "test-model", "messages": [{"role": "user", "content": "Hello"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
MODELS = ["test-model", "doubao", "gemini/gemini-3.8-flash"]


def connected(gateway, key="pooled", **options):
    return openai.OpenAI(
        base_url=f"{gateway.url}/v1",
        api_key=key,
        max_retries=0,
        _strict_response_validation=True,
        **options,
    )


@pytest.fixture(scope="module")
def client(gateway):
    with connected(gateway) as client:
        yield client


@pytest.mark.parametrize("model", [*MODELS, "gemini-enterprise"])
def test_chat(client, model):
    answer = client.chat.completions.create(**ASK | {"model": model})
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == model
    assert "Hello" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens > 0


@pytest.mark.parametrize("model", [*MODELS, "gemini-enterprise"])
def test_streamed_chat_with_usage(client, model):
    chunks = list(
        client.chat.completions.create(
            **ASK | {"model": model}, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(c.choices[0].delta.role is None for c in chunks[1:] if c.choices)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "Hello" in text
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert finishes[-1] == "stop"
    assert not any(finishes[:-1])
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []
    assert len({c.id for c in chunks}) == 1


@pytest.mark.parametrize("model", [*MODELS, "gemini-enterprise"])
def test_vision_with_a_data_url(client, model):
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": data_url(png(33, 44))}},
    ]
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}]
    )
    assert "image/png 33x44" in answer.choices[0].message.content


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_call_and_its_result(client, model):
    messages = [{"role": "user", "content": "Use get_weather for Paris"}]
    first = client.chat.completions.create(
        model=model, messages=messages, tools=[WEATHER], tool_choice="required"
    ).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)
    messages += [
        first.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees"},
    ]
    second = client.chat.completions.create(model=model, messages=messages)
    assert second.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", MODELS)
def test_a_streamed_tool_call_is_whole(client, model):
    calls = {}
    finish = None
    for chunk in client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Use get_weather for Paris"}],
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        stream=True,
    ):
        for piece in chunk.choices[0].delta.tool_calls or ():
            call = calls.setdefault(piece.index, {"id": piece.id, "name": "", "arguments": ""})
            call["name"] += piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert finish == "tool_calls"
    assert calls[0]["id"]
    assert calls[0]["name"] == "get_weather"
    assert "city" in json.loads(calls[0]["arguments"])


def test_images_as_urls(client):
    answer = client.images.generate(model="doubao-image", prompt="a cat", size="1024x1024")
    assert answer.data[0].url.startswith("http://127.0.0.1")


def test_images_as_base64(client):
    answer = client.images.generate(
        model="doubao-image", prompt="a cat", response_format="b64_json"
    )
    picture = Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json)))
    picture.load()


def test_several_images(client):
    answer = client.images.generate(model="doubao-image", prompt="a cat", n=2)
    assert len({item.url for item in answer.data}) == 2


def test_an_edited_image(client):
    answer = client.images.edit(
        model="doubao-image", prompt="make it blue", image=("cat.png", png(80, 60), "image/png")
    )
    assert answer.data[0].url


def test_several_images_edited_at_once(client):
    answer = client.images.edit(
        model="doubao-image",
        prompt="put them together",
        image=[("a.png", png(80, 60), "image/png"), ("b.png", png(60, 80), "image/png")],
    )
    assert answer.data[0].url


def test_models_are_listed(client):
    names = {model.id for model in client.models.list()}
    assert {"doubao", "doubao-image", "doubao-video", "gemini-enterprise", "test-model"} <= names
    assert client.models.retrieve("Seedream 4.0").id == "Seedream 4.0"


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
def test_a_video_is_made_and_fetched(client):
    video = client.videos.create_and_poll(model="doubao-video", prompt="waves", seconds="4")
    assert video.status == "completed"
    assert client.videos.download_content(video.id).read()[4:8] == b"ftyp"
    assert video.id in {item.id for item in client.videos.list()}
    assert client.videos.delete(video.id).deleted


def test_a_file_is_uploaded_used_and_deleted(client):
    file = client.files.create(file=("a.png", png(21, 12), "image/png"), purpose="vision")
    part = {"type": "file", "file": {"file_id": file.id}}
    answer = client.chat.completions.create(
        model="doubao", messages=[{"role": "user", "content": ["See", part]}]
    )
    assert "image/png 21x12" in answer.choices[0].message.content
    assert client.files.content(file.id).read() == png(21, 12)
    assert file.id in {item.id for item in client.files.list(purpose="vision")}
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


@pytest.mark.parametrize(
    ("change", "error", "code", "param"),
    [
        ({"model": "no-such"}, openai.NotFoundError, "model_not_found", "model"),
        ({"messages": []}, openai.BadRequestError, "invalid_value", "messages"),
        ({"temperature": 3}, openai.BadRequestError, "invalid_value", "temperature"),
        (
            {"messages": [{"role": "pirate", "content": "x"}]},
            openai.BadRequestError,
            "invalid_value",
            "messages[0].role",
        ),
    ],
)
def test_a_bad_request_is_told_in_the_sdks_own_class(client, change, error, code, param):
    with pytest.raises(error) as caught:
        client.chat.completions.create(**ASK | change)
    assert caught.value.code == code
    assert caught.value.param == param
    assert caught.value.request_id


def test_a_wrong_own_key_is_the_callers_authentication_error(gateway):
    with connected(gateway, "sk-wrong") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(**ASK)


def test_an_exhausted_own_key_is_the_callers_rate_limit(gateway):
    with connected(gateway, "sk-empty7") as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**ASK)
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 8


def test_a_stream_that_breaks_is_an_error(gateway):
    with connected(gateway, "sk-cut3") as client:
        stream = client.chat.completions.create(**ASK, stream=True)
        with pytest.raises(openai.APIError) as caught:
            list(stream)
    assert caught.value.code == "upstream_disconnected"
