"""Embeddings of the simulated vendors, by the vendors' own SDKs."""

from __future__ import annotations

import math

import arkruntime
import openai
import pytest
from google.genai import types
from volcenginesdkarkruntime import Ark

from tests.support.media import data_url, png

TEXT_MODEL, VISION_MODEL = "doubao-embedding-large-text-250515", "doubao-embedding-vision-250615"


def length(vector):
    return math.sqrt(sum(value * value for value in vector))


def similarity(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_openai_embeds_texts_and_tokens_in_the_dimensions_asked_for(sim_url, key):
    client = openai.OpenAI(base_url=f"{sim_url}/openai/v1", api_key=key, max_retries=0)
    made = client.embeddings.create(model="m", input=["a cat", "a cat sat", "rain"], dimensions=64)
    near, far = (similarity(made.data[0].embedding, made.data[at].embedding) for at in (1, 2))
    assert [item.index for item in made.data] == [0, 1, 2]
    assert len(made.data[0].embedding) == 64
    assert length(made.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert near > far
    assert made.usage.prompt_tokens == 6
    tokens = client.embeddings.create(model="m", input=[[1, 2], [3]], encoding_format="float")
    assert [len(item.embedding) for item in tokens.data] == [1536, 1536]
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="m", input=[])


@pytest.mark.parametrize("sdk", ["volcenginesdkarkruntime", "arkruntime"])
def test_ark_embeds_texts_and_combinations_of_media(sim_url, key, sdk):
    make = Ark if sdk == "volcenginesdkarkruntime" else arkruntime.Ark
    client = make(base_url=f"{sim_url}/ark/api/v3", api_key=key, max_retries=0)
    texts = client.embeddings.create(
        model=TEXT_MODEL, input=["one", "two"], encoding_format="float"
    )
    assert [len(item.embedding) for item in texts.data] == [2048, 2048]
    parts = [
        {"type": "text", "text": "a cat"},
        {"type": "image_url", "image_url": {"url": data_url(png(64, 64))}},
    ]
    made = client.multimodal_embeddings.create(model=VISION_MODEL, input=parts, dimensions=1024)
    assert len(made.data.embedding) == 1024
    usage = made.usage if isinstance(made.usage, dict) else made.usage.model_dump()
    assert usage["prompt_tokens_details"] == {"text_tokens": 2, "image_tokens": 1312}


def test_gemini_embeds_one_content_or_several(gemini):
    config = types.EmbedContentConfig(output_dimensionality=32, task_type="CLUSTERING")
    made = gemini.models.embed_content(
        model="gemini-embedding-001", contents=["one", "two"], config=config
    )
    assert [len(item.values) for item in made.embeddings] == [32, 32]


def test_gemini_embeds_images_with_the_multimodal_model_only(gemini_post):
    part = {"inlineData": {"mimeType": "image/png", "data": data_url(png(8, 8)).partition(",")[2]}}
    body = {"content": {"parts": [{"text": "a cat"}, part]}}
    made = gemini_post("/v1beta/models/gemini-embedding-2:embedContent", body)
    assert len(made.json()["embedding"]["values"]) == 3072
    refused = gemini_post("/v1beta/models/gemini-embedding-001:embedContent", body)
    assert refused.status_code == 400
    chat = gemini_post("/v1beta/models/gemini-3.8-flash:embedContent", body)
    assert chat.status_code == 404
