"""Google's SDK for Python against the gateway, over three vendors."""

from __future__ import annotations

import json

import pytest
import requests
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from tests.support.media import png

MODELS = ["test-model", "doubao", "gemini-3.8-flash"]
WEATHER = types.FunctionDeclaration(
    name="get_weather",
    description="Weather of a city",
    parameters_json_schema={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
)


def connected(gateway, key="pooled"):
    return genai.Client(api_key=key, http_options={"base_url": gateway.url})


@pytest.fixture(scope="module")
def client(gateway):
    return connected(gateway)


@pytest.mark.parametrize("model", [*MODELS, "gemini-enterprise"])
def test_content_is_generated(client, model):
    config = types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=100)
    found = client.models.generate_content(model=model, contents="Hello", config=config)
    assert "Hello" in found.text
    assert found.candidates[0].finish_reason is types.FinishReason.STOP
    assert found.usage_metadata.total_token_count > 0


@pytest.mark.parametrize("model", MODELS)
def test_content_is_streamed(client, model):
    chunks = list(client.models.generate_content_stream(model=model, contents="Hello"))
    assert "Hello" in "".join(chunk.text or "" for chunk in chunks)
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP
    assert chunks[-1].usage_metadata.total_token_count > 0


@pytest.mark.parametrize("model", MODELS)
def test_images_are_seen(client, model):
    image = types.Part.from_bytes(data=png(33, 44), mime_type="image/png")
    found = client.models.generate_content(model=model, contents=["What is this?", image])
    assert "33x44" in found.text


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_loop_of_functions_over_several_turns(client, model, streamed):
    contents = [types.Content(role="user", parts=[types.Part(text="Weather? Use get_weather.")])]
    calling = types.FunctionCallingConfig(mode="ANY")
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[WEATHER])],
        tool_config=types.ToolConfig(function_calling_config=calling),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        thinking_config=types.ThinkingConfig(include_thoughts=True),
    )
    for _ in range(3):
        options = {"model": model, "contents": contents, "config": config}
        if streamed:
            chunks = list(client.models.generate_content_stream(**options))
            parts = [part for c in chunks for part in c.candidates[0].content.parts or ()]
        else:
            parts = client.models.generate_content(**options).candidates[0].content.parts
        calls = [part.function_call for part in parts if part.function_call]
        assert calls[0].name == "get_weather"
        assert "city" in calls[0].args
        answers = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id, name=call.name, response={"result": "sunny"}
                )
            )
            for call in calls
        ]
        contents += [
            types.Content(role="model", parts=parts),
            types.Content(role="user", parts=answers),
        ]
    config.tool_config.function_calling_config.mode = types.FunctionCallingConfigMode.AUTO
    assert client.models.generate_content(model=model, contents=contents, config=config).text


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_shapes_the_answer(client, model):
    class Person(BaseModel):
        name: str
        age: int

    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Person
    )
    found = client.models.generate_content(model=model, contents="Ann", config=config)
    assert isinstance(found.parsed, Person)


def test_an_image_is_in_the_answer(client):
    found = client.models.generate_content(model="Seedream 4.0", contents="a cat")
    inline = [part.inline_data for part in found.candidates[0].content.parts if part.inline_data]
    assert inline[0].mime_type.startswith("image/")
    assert len(inline[0].data) > 100


def test_tokens_are_counted_without_a_vendor(client):
    assert client.models.count_tokens(model="doubao", contents="Hello").total_tokens > 0


def test_models_are_listed(gateway):
    found = requests.get(f"{gateway.url}/v1beta/models", timeout=10).json()["models"]
    assert "models/doubao" in [model["name"] for model in found]
    one = requests.get(f"{gateway.url}/v1beta/models/doubao", timeout=10).json()
    assert one["supportedGenerationMethods"][0] == "generateContent"


def test_the_query_may_hold_the_key(gateway):
    body = {"contents": [{"parts": [{"text": "Hi"}]}]}
    url = f"{gateway.url}/v1beta/models/doubao:generateContent?key=gw-wrong-key"
    answer = requests.post(url, json=body, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    assert "gw-wrong-key" not in gateway.log.read_text()


def test_errors_have_googles_form(client):
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="nothing", contents="Hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_a_broken_stream_is_an_error_not_a_short_answer(gateway):
    client = connected(gateway, "ark-cut2")
    chunks = client.models.generate_content_stream(model="doubao", contents="Hello")
    with pytest.raises(errors.APIError):
        list(chunks)


def test_a_long_silence_is_filled_with_empty_lines(gateway_factory):
    body = {"contents": [{"parts": [{"text": "Hi"}]}]}
    headers = {"x-goog-api-key": "ark-slow1500"}
    with gateway_factory.started(workers=1, GATEWAY_HEARTBEAT_S="1") as running:
        url = f"{running.url}/v1beta/models/doubao:streamGenerateContent"
        events = requests.post(f"{url}?alt=sse", json=body, headers=headers, timeout=60)
        array = requests.post(url, json=body, headers=headers, timeout=60)
    assert "\n\n\n" in events.text
    lines = [line for line in events.text.splitlines() if line]
    assert all(line.startswith("data: {") for line in lines)
    assert array.headers["Content-Type"] == "application/json"
    assert "\n\n\n" in array.text
    assert json.loads(array.text)[-1]["candidates"][0]["finishReason"] == "STOP"
