"""OpenAI's old completions through its SDK."""

from __future__ import annotations

import openai
import pytest

MODELS = ["test-model", "doubao", "gemini/gemini-3.8-flash"]


@pytest.fixture(scope="module")
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="pooled", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", MODELS)
def test_a_text_is_continued(client, model):
    found = client.completions.create(model=model, prompt="Hello", max_tokens=50, temperature=0)
    assert found.object == "text_completion"
    assert "Hello" in found.choices[0].text
    assert found.choices[0].finish_reason == "stop"
    assert found.usage.total_tokens > 0


def test_each_prompt_has_its_choices(client):
    found = client.completions.create(model="test-model", prompt=["one", "two"], n=2, echo=True)
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    starts = [choice.text[:3] for choice in found.choices]
    assert starts == ["one", "one", "two", "two"]
    single = client.completions.create(model="test-model", prompt="one", n=2)
    assert found.usage.prompt_tokens == 2 * single.usage.prompt_tokens


@pytest.mark.parametrize("prompt", ["one", ["one", "two"]])
def test_a_text_is_streamed(client, prompt):
    chunks = list(
        client.completions.create(
            model="doubao", prompt=prompt, stream=True, stream_options={"include_usage": True}
        )
    )
    count = 1 if isinstance(prompt, str) else len(prompt)
    finished = [c.index for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert finished == list(range(count))
    assert '"one"' in "".join(c.text for chunk in chunks for c in chunk.choices if c.index == 0)
    assert chunks[-1].usage.total_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("suffix", "x"), ("prompt", [1, 2]), ("prompt", []), ("logprobs", 3), ("best_of", 2)],
)
def test_what_chat_has_no_place_for_is_refused(client, field, value):
    body = {"model": "doubao", "prompt": "Hi"} | {field: value}
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**body)
    assert caught.value.param == field or field == "best_of"


def test_a_broken_stream_is_an_error(gateway):
    url = f"{gateway.url}/v1"
    with openai.OpenAI(base_url=url, api_key="ark-cut2", max_retries=0) as client:
        stream = client.completions.create(model="doubao", prompt="Hi", stream=True)
        with pytest.raises(openai.APIError):
            list(stream)
