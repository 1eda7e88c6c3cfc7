"""OpenAI's SDK for Node against the gateway."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.media import data_url, png

NODE = Path(__file__).parents[1] / "node"


@pytest.fixture(scope="module")
def seen(gateway):
    command = ["node", "sdk.mjs", f"{gateway.url}/v1", "pooled", data_url(png(33, 44))]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_node_reads_an_answer(seen):
    assert "Hello" in seen["chat"]


def test_node_reads_a_stream_with_usage(seen):
    assert "Hello" in seen["streamed"]["text"]
    assert seen["streamed"]["finish"] == "stop"
    assert seen["streamed"]["usage"]["total_tokens"] > 0


def test_node_shows_a_picture(seen):
    assert "image/png 33x44" in seen["vision"]


def test_node_gets_a_tool_call(seen):
    call = seen["tool"]["message"]["tool_calls"][0]
    assert call["function"]["name"] == "get_weather"
    assert "city" in json.loads(call["function"]["arguments"])
    assert seen["tool"]["finish_reason"] == "tool_calls"


def test_node_makes_and_edits_pictures(seen):
    assert seen["image"][0]["url"].startswith("http://")
    assert seen["image_b64"] > 1000
    assert seen["edit"][0]["url"].startswith("http://")


def test_node_lists_models(seen):
    assert {"doubao", "doubao-image", "doubao-video"} <= set(seen["models"])


def test_node_sees_errors_as_its_own_classes(seen):
    assert seen["unknown_model"] == {
        "name": "NotFoundError",
        "status": 404,
        "code": "model_not_found",
        "param": "model",
    }
    assert seen["bad_request"]["name"] == "BadRequestError"
    assert seen["bad_request"]["param"] == "messages[0].content"
