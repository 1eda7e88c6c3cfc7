"""Both of Ark's SDKs for Python chat with every vendor through the gateway."""

from __future__ import annotations

import json

import arkruntime
import pytest
import volcenginesdkarkruntime
from pydantic import BaseModel

from tests.support.media import data_url, png

MODELS = ["doubao", "test-model", "gemini/gemini-3.8-flash"]
HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(params=[volcenginesdkarkruntime, arkruntime], ids=lambda sdk: sdk.__name__)
def connect(request, gateway):
    def connected(key="pooled"):
        return request.param.Ark(base_url=f"{gateway.url}/api/v3", api_key=key, max_retries=0)

    return connected


@pytest.mark.parametrize("model", MODELS)
def test_text_whole_and_streamed(connect, model):
    ask = {"model": model, "messages": HELLO}
    with connect() as ark:
        answer = ark.chat.completions.create(**ask)
        chunks = list(
            ark.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
        )
    assert "Hello" in answer.choices[0].message.content
    assert "Hello" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_images_are_seen(connect, model):
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": data_url(png(33, 44))}},
    ]
    with connect() as ark:
        answer = ark.chat.completions.create(
            model=model, messages=[{"role": "user", "content": content}]
        )
    assert "33x44" in answer.choices[0].message.content


@pytest.mark.parametrize("model", MODELS)
def test_a_loop_of_tools_over_several_turns(connect, model):
    messages = [{"role": "user", "content": "What is the weather in Paris? Use get_weather."}]
    ask = {"model": model, "tools": [WEATHER]}
    with connect() as ark:
        for _ in range(3):
            answer = ark.chat.completions.create(messages=messages, tool_choice="required", **ask)
            message = answer.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                assert "city" in json.loads(call.function.arguments)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
        assert ark.chat.completions.create(messages=messages, **ask).choices[0].message.content


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_shapes_the_answer(connect, model):
    schema = {"name": "person", "strict": True, "schema": Person.model_json_schema()}
    with connect() as ark:
        answer = ark.chat.completions.create(
            model=model,
            messages=HELLO,
            response_format={"type": "json_schema", "json_schema": schema},
        )
    Person.model_validate_json(answer.choices[0].message.content)


def test_a_stream_that_breaks_is_an_error(connect):
    with connect("ark-cut2-sdk") as ark:
        stream = ark.chat.completions.create(model="doubao", messages=HELLO, stream=True)
        with pytest.raises(Exception, match="Request id"):
            list(stream)


def test_an_unknown_model_is_arks_error(connect):
    with connect() as ark, pytest.raises(Exception, match="nothing") as caught:
        ark.chat.completions.create(model="nothing", messages=HELLO)
    assert caught.value.status_code == 404
    assert caught.value.code == "InvalidEndpointOrModel.NotFound"


def test_texts_and_images_make_one_vector(connect):
    content = [
        {"type": "text", "text": "a red square"},
        {"type": "image_url", "image_url": {"url": data_url(png(33, 44))}},
    ]
    with connect() as ark:
        found = ark.multimodal_embeddings.create(
            model="doubao-embedding-vision-250615", input=content
        )
    assert len(found.data.embedding) > 100
    assert found.usage
