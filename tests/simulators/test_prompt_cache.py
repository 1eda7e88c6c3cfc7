"""Prompt cache of the simulated vendors, as their usage reports it."""

from __future__ import annotations

import openai
import pytest
import requests


def turns(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]


@pytest.mark.parametrize("path", ["openai/v1", "ark/api/v3"])
def test_cached_tokens_grow_with_a_conversation_on_one_account_only(sim_url, key, path):
    def cached(api_key, *texts):
        client = openai.OpenAI(base_url=f"{sim_url}/{path}", api_key=api_key, max_retries=0)
        made = client.chat.completions.create(
            model="doubao-seed-1-6-251015", messages=turns(*texts)
        )
        return made.usage.prompt_tokens_details.cached_tokens

    assert cached(key, "one two") == 0
    assert cached(key, "one two", "three", "four five six") == 2
    assert cached(key, "one two", "three", "four five six", "seven", "eight") == 6
    assert cached(f"{key}-other", "one two", "three", "four five six", "seven", "eight") == 0
    assert cached(key, "changed two", "three", "four five six") == 0


def test_gemini_reports_cached_tokens(sim_url, key):
    def cached(*texts):
        contents = [
            {"role": "user" if at % 2 == 0 else "model", "parts": [{"text": text}]}
            for at, text in enumerate(texts)
        ]
        made = requests.post(
            f"{sim_url}/gemini/v1beta/models/gemini-3.8-flash:generateContent",
            json={"contents": contents},
            headers={"x-goog-api-key": key},
            timeout=20,
        )
        return made.json()["usageMetadata"].get("cachedContentTokenCount", 0)

    assert cached("one two") == 0
    assert cached("one two", "three", "four") == 2
