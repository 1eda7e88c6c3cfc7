"""Anthropic's SDK for Python against the gateway, over three vendors."""

from __future__ import annotations

import base64

import anthropic
import pytest
from pydantic import BaseModel

from tests.support.media import png

MODELS = ["test-model", "doubao", "gemini/gemini-3.8-flash"]
WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
HELLO = [{"role": "user", "content": "Hello"}]


def connected(gateway, key="pooled", **options):
    return anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0, **options)


@pytest.fixture(scope="module")
def client(gateway):
    with connected(gateway) as client:
        yield client


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.parametrize("model", [*MODELS, "gemini-enterprise"])
def test_a_message_is_answered(client, model):
    found = client.messages.create(
        model=model, max_tokens=100, system="Be brief.", messages=HELLO, metadata={"user_id": "u"}
    )
    assert found.id.startswith("msg_")
    assert found.model == model
    assert "Hello" in found.content[0].text
    assert found.stop_reason == "end_turn"
    assert found.usage.input_tokens > 0
    assert found.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_says_the_same_as_a_message(client, model):
    with client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert "Hello" in text
    assert text_of(final) == text
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


@pytest.mark.parametrize("model", ["doubao", "gemini/gemini-3.8-flash"])
def test_thinking_is_shown_to_those_who_ask_for_it(client, model):
    found = client.messages.create(
        model=model,
        max_tokens=2000,
        messages=HELLO,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert found.content[0].type == "thinking"
    assert found.content[0].thinking
    assert text_of(found)


@pytest.mark.parametrize("model", MODELS)
def test_images_arrive_in_order_with_the_text_and_in_results_of_tools(client, model):
    image = {
        "type": "image",
        "source": {
            "type": "base64",
            "media_type": "image/png",
            "data": base64.b64encode(png(33, 44)).decode(),
        },
    }
    content = [{"type": "text", "text": "What is this?"}, image]
    found = client.messages.create(
        model=model, max_tokens=100, messages=[{"role": "user", "content": content}]
    )
    assert "33x44" in text_of(found)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_loop_of_tools_over_several_turns(client, model, streamed):
    messages = [{"role": "user", "content": "What is the weather in Paris? Use get_weather."}]
    options = {
        "model": model,
        "max_tokens": 4000,
        "tools": [WEATHER],
        "tool_choice": {"type": "any"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    for _ in range(3):
        if streamed:
            with client.messages.stream(messages=messages, **options) as stream:
                found = stream.get_final_message()
        else:
            found = client.messages.create(messages=messages, **options)
        assert found.stop_reason == "tool_use"
        calls = [block for block in found.content if block.type == "tool_use"]
        assert calls[0].name == "get_weather"
        assert "city" in calls[0].input
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls
        ]
        messages += [found.to_param(), {"role": "user", "content": results}]
    found = client.messages.create(messages=messages, **options | {"tool_choice": {"type": "auto"}})
    assert text_of(found)
    assert found.stop_reason == "end_turn"


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_shapes_the_answer(client, model):
    class Person(BaseModel):
        name: str
        age: int

    found = client.messages.parse(model=model, max_tokens=100, messages=HELLO, output_format=Person)
    assert isinstance(found.parsed_output, Person)


def test_tokens_are_counted_without_a_vendor(client, simulators):
    before = simulators.ledger()
    found = client.messages.count_tokens(model="doubao", messages=HELLO, tools=[WEATHER])
    assert 10 < found.input_tokens < 100
    assert simulators.ledger() == before


def test_errors_have_anthropics_form(client, gateway):
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="nothing", max_tokens=10, messages=HELLO)
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert caught.value.body["request_id"]
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.post("/v1/messages", body={"model": "m", "messages": HELLO}, cast_to=object)
    with pytest.raises(anthropic.AuthenticationError), connected(gateway, "gw-wrong") as wrong:
        wrong.messages.create(model="doubao", max_tokens=10, messages=HELLO)


def test_a_broken_stream_is_an_error_not_a_short_answer(gateway):
    options = {"model": "doubao", "max_tokens": 99, "messages": HELLO}
    with (
        connected(gateway, "ark-cut2") as client,
        client.messages.stream(**options) as stream,
        pytest.raises(anthropic.APIStatusError),
    ):
        stream.get_final_message()


def test_a_thread_is_refused_so_that_the_sdk_goes_on_without(client):
    runner = client.beta.messages.tool_runner(
        model="doubao", max_tokens=2000, messages=HELLO, tools=[]
    )
    assert text_of(runner.until_done())


def test_counts_of_tokens_do_not_use_up_the_limit_of_calls(gateway_factory):
    with (
        gateway_factory.started(workers=1, GATEWAY_RATE_LIMIT="2/hour") as running,
        connected(running) as client,
    ):
        for _ in range(5):
            assert client.messages.count_tokens(model="doubao", messages=HELLO).input_tokens
        options = {"model": "doubao", "max_tokens": 99, "messages": HELLO}
        for _ in range(2):
            client.messages.create(**options)
        with pytest.raises(anthropic.RateLimitError):
            client.messages.create(**options)
        assert client.messages.count_tokens(model="doubao", messages=HELLO).input_tokens
