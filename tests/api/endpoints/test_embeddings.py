"""Embeddings through OpenAI's and Google's SDKs, over three vendors."""

from __future__ import annotations

import openai
import pytest
import requests
from google import genai
from google.genai import types

from tests.support.media import data_url, png

MODELS = ["openai/sim-embedding", "doubao-embedding-text-240715", "gemini-embedding-001"]


@pytest.fixture(scope="module")
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="pooled", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", MODELS)
def test_each_text_has_its_vector(client, model):
    found = client.embeddings.create(model=model, input=["one", "two", "one"])
    first, second, third = (entry.embedding for entry in found.data)
    assert first == third != second
    assert [entry.index for entry in found.data] == [0, 1, 2]
    assert found.usage.prompt_tokens == found.usage.total_tokens > 0


@pytest.mark.parametrize(
    ("model", "size", "count"),
    [
        ("openai/text-embedding-3-large", 3072, 300),
        ("doubao-embedding-text-240715", 2048, 250),
        ("gemini-embedding-001", 3072, 130),
    ],
)
def test_many_long_vectors_are_made_at_once(client, model, size, count):
    texts = [f"text {number}" for number in range(count)]
    found = client.embeddings.create(model=model, input=texts, dimensions=size).data
    assert {len(entry.embedding) for entry in found} == {size}
    assert [entry.index for entry in found] == list(range(count))
    last = client.embeddings.create(model=model, input=texts[-1], dimensions=size).data[0]
    assert last.embedding == found[-1].embedding


@pytest.mark.parametrize("model", MODELS)
def test_vectors_are_packed_or_not(client, gateway, model):
    """The SDK asks for base64 by itself where nothing is said."""
    packed = client.embeddings.create(model=model, input="one").data[0].embedding
    plain = client.embeddings.create(model=model, input="one", encoding_format="float")
    assert packed == pytest.approx(plain.data[0].embedding, abs=1e-6)


def test_tokens_go_to_the_vendors_that_read_them(client):
    found = client.embeddings.create(model=MODELS[0], input=[[1, 2], [3]])
    assert len(found.data) == 2
    with pytest.raises(openai.BadRequestError, match="tokens"):
        client.embeddings.create(model=MODELS[2], input=[[1, 2]])


def test_texts_and_images_make_one_vector(gateway):
    image = {"type": "image_url", "image_url": {"url": data_url(png(33, 44))}}
    parts = [{"type": "text", "text": "a cat"}, image]
    for model in ("doubao-embedding-vision-250615", "gemini-embedding-2"):
        body = {"model": model, "input": parts}
        found = gateway.post("/v1/embeddings", body)
        assert found.status_code == 200, found.text
        assert len(found.json()["data"]) == 1
    refused = gateway.post("/v1/embeddings", {"model": MODELS[0], "input": parts})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input[0]")


@pytest.mark.parametrize("value", [[], "", [""], [1.5], {"a": 1}, None])
def test_what_is_no_input_is_refused(gateway, value):
    answer = gateway.post("/v1/embeddings", {"model": MODELS[0], "input": value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("input")


def test_a_model_is_asked_for_what_it_makes(gateway):
    assert gateway.chat(model=MODELS[2]).status_code == 400
    answer = gateway.post("/v1/embeddings", {"model": "doubao", "input": "x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


def test_a_dry_run_shows_the_vendors_request(gateway):
    body = {"model": MODELS[2], "input": "x", "dimensions": 8}
    answer = gateway.post("/v1/embeddings", body, headers={"X-Gateway-Dry-Run": "1"})
    (call,) = answer.json()["requests"]
    assert call["url"].endswith(":batchEmbedContents")
    assert call["body"]["requests"][0]["outputDimensionality"] == 8


@pytest.mark.parametrize("model", MODELS)
def test_googles_sdk_embeds(gateway, model):
    client = genai.Client(api_key="pooled", http_options={"base_url": gateway.url})
    config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY")
    found = client.models.embed_content(model=model, contents=["one", "two"], config=config)
    assert len(found.embeddings) == 2
    assert found.embeddings[0].values != found.embeddings[1].values
    one = requests.post(
        f"{gateway.url}/v1beta/models/{model}:embedContent",
        json={"content": {"parts": [{"text": "one"}]}},
        timeout=30,
    )
    assert one.json()["embedding"]["values"] == found.embeddings[0].values
