"""OpenAI's SDK for Python on the Responses API of the gateway, over three vendors."""

from __future__ import annotations

import json

import openai
import pytest
import requests
from pydantic import BaseModel

from tests.support.media import data_url, png

MODELS = ["test-model", "doubao", "gemini/gemini-3.8-flash"]
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def connected(gateway, key="pooled", **options):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, **options)


@pytest.fixture(scope="module")
def client(gateway):
    with connected(gateway) as client:
        yield client


@pytest.mark.parametrize("model", [*MODELS, "gemini-enterprise"])
def test_a_response_is_given(client, model):
    found = client.responses.create(model=model, input="Hello", instructions="Be brief.")
    assert found.id.startswith("resp_")
    assert found.model == model
    assert "Hello" in found.output_text
    assert found.status == "completed"
    assert found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_the_stream_helper_puts_the_same_response_together(client, model):
    with client.responses.stream(model=model, input="Hello") as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert "Hello" in text
    assert final.output_text == text
    assert final.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_images_are_seen(client, model):
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": data_url(png(33, 44)), "detail": "auto"},
    ]
    found = client.responses.create(model=model, input=[{"role": "user", "content": content}])
    assert "33x44" in found.output_text


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_loop_of_tools_over_several_turns(client, model, store):
    """Stored responses are continued by their id, others by sending everything again."""
    items = [{"role": "user", "content": "What is the weather in Paris? Use get_weather."}]
    options = {"model": model, "tools": [WEATHER], "store": store}
    previous = None
    for _ in range(3):
        with client.responses.stream(
            input=items, tool_choice="required", previous_response_id=previous, **options
        ) as stream:
            found = stream.get_final_response()
        calls = [item for item in found.output if item.type == "function_call"]
        assert "city" in json.loads(calls[0].arguments)
        results = [
            {"type": "function_call_output", "call_id": c.call_id, "output": "sunny"} for c in calls
        ]
        if store:
            items, previous = results, found.id
        else:
            items += [*(item.model_dump(exclude_none=True) for item in found.output), *results]
    found = client.responses.create(
        input=items, previous_response_id=previous or openai.omit, **options
    )
    assert found.output_text
    assert found.previous_response_id == previous


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_shapes_the_answer(client, model):
    class Person(BaseModel):
        name: str
        age: int

    found = client.responses.parse(model=model, input="Ann", text_format=Person)
    assert isinstance(found.output_parsed, Person)


def test_stored_responses_belong_to_their_owner(gateway_factory):
    keys = "a=key-of-team-a-0123,b=key-of-team-b-0123"
    with (
        gateway_factory.started(
            workers=1, GATEWAY_KEYS=keys, GATEWAY_POOL_ACCESS="keys"
        ) as running,
        connected(running, "key-of-team-a-0123") as client,
        connected(running, "key-of-team-b-0123") as other,
    ):
        first = client.responses.create(model="doubao", input="one")
        again = client.responses.create(model="doubao", input="two", previous_response_id=first.id)
        assert "turn 2" in again.output_text
        assert client.responses.retrieve(again.id).output_text == again.output_text
        items = client.responses.input_items.list(again.id, order="asc").data
        assert [item.content[0].text for item in items if item.to_dict().get("role") == "user"] == [
            "one",
            "two",
        ]
        reference = {"type": "item_reference", "id": first.output[-1].id}
        known = client.responses.create(
            model="doubao", input=[reference, {"role": "user", "content": "x"}]
        )
        assert known.output_text
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(first.id)
        with pytest.raises(openai.BadRequestError) as caught:
            other.responses.create(model="doubao", input="x", previous_response_id=first.id)
        assert caught.value.code == "previous_response_not_found"
        with pytest.raises(openai.BadRequestError, match="not stored here"):
            other.responses.create(model="doubao", input=[reference])
        database = b"".join(p.read_bytes() for p in running.directory.glob("var/gateway.db*"))
        assert first.id.encode() in database
        assert b"input_text" not in database
        client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.delete(first.id)


def test_what_is_not_to_be_stored_is_not(client):
    found = client.responses.create(model="doubao", input="Hi", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(found.id)


def test_tokens_are_counted_without_a_vendor(client):
    assert client.responses.input_tokens.count(model="doubao", input="Hi").input_tokens > 0


def test_a_websocket_is_refused_so_that_clients_fall_back(gateway):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    answer = requests.get(f"{gateway.url}/v1/responses", headers=headers, timeout=10)
    assert answer.status_code == 426
    assert answer.json()["error"]["code"] == "upgrade_required"
    assert requests.get(f"{gateway.url}/v1/responses", timeout=10).status_code == 405


def test_a_broken_stream_is_a_failed_response(gateway):
    with connected(gateway, "ark-cut2") as client:
        events = list(client.responses.create(model="doubao", input="Hello", stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.failed"
    assert events[-1].response.id == events[0].response.id
    assert events[-1].response.error.message


def test_a_long_silence_is_filled_with_events(gateway_factory):
    with (
        gateway_factory.started(workers=1, GATEWAY_HEARTBEAT_S="1") as running,
        connected(running, "ark-slow1500") as client,
    ):
        events = list(client.responses.create(model="doubao", input="Hi", stream=True))
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert "keepalive" in types
    assert types[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
