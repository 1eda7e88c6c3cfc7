"""The SDKs for Node against the gateway: OpenAI's, Anthropic's, Google's and the AI SDK."""

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


MODELS = ["test-model", "doubao", "gemini/gemini-3.8-flash"]
SCRIPTS = [
    ("chat.mjs",),
    ("responses.mjs",),
    ("messages.mjs",),
    ("google.mjs",),
    ("aisdk.mjs", "openai"),
    ("aisdk.mjs", "openai-chat"),
    ("aisdk.mjs", "anthropic"),
]


def told(script, *arguments):
    command = ["node", *script, *arguments]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("script", SCRIPTS, ids=" ".join)
def test_each_sdk_talks_in_every_way_over_every_vendor(gateway, simulators, script):
    found = told(script, gateway.url, simulators.url, data_url(png(33, 44)), *MODELS)
    assert list(found) == MODELS
    for seen in found.values():
        check_conversation(seen)


def check_conversation(seen):
    assert "Hello" in seen["text"]
    assert "Hello" in seen["streamed"]
    assert "image/png 33x44" in seen["vision"]
    assert len(seen["tools"]["calls"]) >= 3
    assert {call["name"] for call in seen["tools"]["calls"]} == {"get_weather"}
    assert all(call["city"] for call in seen["tools"]["calls"])
    assert seen["tools"]["text"]
    assert set(seen["structured"]) == {"name", "age"}
    assert seen["early"]["status"] == 404, seen["early"]
    assert seen["refused"]["status"] == 401, seen["refused"]
    assert seen["late"]["message"], seen["late"]
    assert (seen["left"]["begun"], seen["left"]["stopped"]) == (True, True), seen["left"]


def test_the_ai_sdk_makes_videos_and_images_by_arks_api(gateway):
    found = told(("bytedance.mjs",), gateway.url, "pooled", data_url(png(320, 320)))
    assert found["video"] == {"type": "video/mp4", "mark": "ftyp"}
    assert found["animated"] == "video/mp4"
    assert found["image"]["type"] in ("image/png", "image/jpeg")
    assert found["image"]["size"] > 1000
    assert found["unknown"]["status"] == 404, found["unknown"]
