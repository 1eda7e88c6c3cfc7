"""Effect of affinity on the vendors' prompt caches, over workers and accounts."""

from __future__ import annotations

import json
import sys

import pytest

ACCOUNTS = 10
TURNS = 10


def cached_share(own_factory, conversations, affinity):
    """Share of the prompt tokens that the vendor had in its cache."""
    text = "".join(
        f'[[accounts]]\nname = "a{n}"\nupstream = "openai"\n'
        f"credential = {json.dumps(f'sk-cache{n}-{affinity}')}\n"
        for n in range(ACCOUNTS)
    )
    settings = {"OPENAI_MODELS": "test-model", "GATEWAY_AFFINITY": affinity}
    prompt = cached = 0
    with own_factory.started(accounts=False, toml=text, workers=2, **settings) as gateway:
        messages = {
            name: [{"role": "system", "content": f"You are {name}, an assistant. " * 5}]
            for name in (f"assistant {n}" for n in range(conversations))
        }
        for turn in range(TURNS):
            for said in messages.values():
                said.append({"role": "user", "content": f"Question {turn}: what comes next?"})
                body = {"model": "test-model", "messages": said}
                answer = gateway.post("/v1/chat/completions", body)
                assert answer.status_code == 200, answer.text
                usage = answer.json()["usage"]
                prompt += usage["prompt_tokens"]
                cached += usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
                said.append(answer.json()["choices"][0]["message"])
    return cached / prompt


@pytest.mark.timeout(600)
def test_conversations_find_their_prompts_in_the_vendors_cache(own_factory, soak):
    conversations = 50 if soak else 8
    kept = cached_share(own_factory, conversations, "on")
    spread = cached_share(own_factory, conversations, "off")
    sys.stdout.write(f"{kept:.0%} of the prompts cached with affinity, {spread:.0%} without\n")
    assert kept > 0.75
    assert kept > 2 * spread
