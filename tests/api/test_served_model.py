"""The model that answered is named, whatever the caller called it."""

from __future__ import annotations

import pytest

HELLO = {"messages": [{"role": "user", "content": "hi"}]}
SERVED = "X-Gateway-Served-Model"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "served"),
    [
        ("gemini/gemini-2.5-flash", "gemini-3.5-flash-lite"),  # Google's own replacement
        ("gemini/gemini-3-pro-preview", "gemini-3.1-pro-preview"),
        ("doubao", "doubao-seed-2-1-pro-260628"),
        ("test-model", "test-model"),
        ("gemini-enterprise", "gemini-enterprise"),
    ],
)
def test_the_model_that_served_a_chat_is_named(gateway, model, served, stream):
    got = gateway.post("/v1/chat/completions", HELLO | {"model": model, "stream": stream})
    assert (got.status_code, got.headers[SERVED]) == (200, served), got.text


@pytest.mark.parametrize(
    ("path", "body", "prefix"),
    [
        ("images/generations", {"model": "doubao-image", "prompt": "a cat"}, "doubao-seedream-"),
        ("video/generations", {"model": "doubao-video", "prompt": "a cat"}, "doubao-seedance-"),
        ("embeddings", {"model": "gemini/gemini-embedding-001", "input": "a"}, "gemini-embedding"),
    ],
)
def test_the_model_that_made_something_is_named(gateway, path, body, prefix):
    got = gateway.post(f"/v1/{path}", body)
    assert got.status_code == 200, got.text
    assert got.headers[SERVED].startswith(prefix)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_name_that_no_header_can_carry_is_percent_encoded(gateway_factory, stream):
    options = {"OPENAI_MODELS": "模型 7,gpt-\ufffd"}
    with gateway_factory.started(workers=1, **options) as gateway:
        for model, served in {
            "模型 7": "%E6%A8%A1%E5%9E%8B%207",
            "gpt-\ufffd": "gpt-%EF%BF%BD",
        }.items():
            got = gateway.chat("hi", model=model, stream=stream)
            assert (got.status_code, got.headers[SERVED]) == (200, served), got.text
