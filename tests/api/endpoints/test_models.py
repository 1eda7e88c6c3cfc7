"""One list of models for every SDK."""

from __future__ import annotations

from anthropic import Anthropic
from google import genai
from google.genai import types
from openai import OpenAI


def test_one_list_of_models_serves_the_sdks_of_three_vendors(gateway):
    openai = OpenAI(base_url=f"{gateway.url}/v1", api_key="pooled")
    anthropic = Anthropic(base_url=gateway.url, api_key="pooled")
    google = genai.Client(
        api_key="pooled",
        http_options=types.HttpOptions(base_url=gateway.url, api_version="v1"),
    )
    ids = {model.id for model in openai.models.list()}
    assert {"doubao", "doubao-image", "Seedream 4.0"} <= ids
    listed = list(anthropic.models.list(limit=1000))
    assert {model.id for model in listed} == ids
    assert all(model.display_name and model.created_at for model in listed)
    assert {model.name for model in google.models.list()} == {f"models/{id}" for id in ids}
    assert openai.models.retrieve("Seedream 4.0").id == "Seedream 4.0"
    assert anthropic.models.retrieve("doubao").display_name == "doubao"
    assert google.models.get(model="doubao").name == "models/doubao"
