"""The SDKs for Python give a stream up: the vendor is stopped, whatever the dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import arkruntime
import openai
import pytest
import volcenginesdkarkruntime
from google import genai

HELLO = [{"role": "user", "content": "Hello"}]
MODELS = {"doubao": "ark", "test-model": "sk", "gemini/gemini-3.8-flash": "AIza"}
Stream = tuple[Any, Callable[[], object]]  # and what gives it up


def chat(url: str, key: str, model: str) -> Stream:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
    return stream, stream.close


def completions(url: str, key: str, model: str) -> Stream:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    stream = client.completions.create(model=model, prompt="Hello", stream=True)
    return stream, stream.close


def responses(url: str, key: str, model: str) -> Stream:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    stream = client.responses.create(model=model, input="Hello", stream=True)
    return stream, stream.close


def messages(url: str, key: str, model: str) -> Stream:
    client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
    stream = client.messages.create(model=model, max_tokens=4096, messages=HELLO, stream=True)
    return stream, stream.close


def google(url: str, key: str, model: str) -> Stream:
    client = genai.Client(api_key=key, http_options={"base_url": url})
    stream = client.models.generate_content_stream(model=model, contents="Hello")
    return stream, lambda: (stream.close(), client.close())


def ark(sdk: Any) -> Callable[[str, str, str], Stream]:
    def begin(url: str, key: str, model: str) -> Stream:
        client = sdk.Ark(base_url=f"{url}/api/v3", api_key=key, max_retries=0)
        stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
        return stream, stream.close

    return begin


SDKS = {
    "chat": chat,
    "completions": completions,
    "responses": responses,
    "messages": messages,
    "google": google,
    "volcengine": ark(volcenginesdkarkruntime),
    "arkruntime": ark(arkruntime),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_stream_that_is_given_up_stops_the_vendor(gateway, simulators, sdk, model):
    key = f"{MODELS[model]}-endless-slow100-gone{sdk}"
    stream, give_up = SDKS[sdk](gateway.url, key, model)
    events: Iterator[Any] = iter(stream)
    next(events)
    assert simulators.calls(key) == 1
    give_up()
    simulators.until(lambda ledger: key not in ledger["in_flight"], within_s=2)
