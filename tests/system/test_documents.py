"""Every request of both API documents, sent by curl to a gateway in demo mode."""

from __future__ import annotations

import io
import json
import subprocess

import pytest
import requests
from PIL import Image

from tests.support.documents import Example, json_examples, localised, shell_examples
from tests.support.media import data_url, png

SESSION_ID = "3dee725a-75ad-42e0-9a69-c4f514ea2e21"


@pytest.fixture(scope="module")
def demo(gateway_factory):
    """`make run` on a clean clone: no account, no vendor address, nothing configured."""
    with gateway_factory.started(accounts=False, vendors=False) as running:
        yield running


@pytest.fixture
def send(demo, media_server):
    def localise(text: str) -> str:
        return localised(
            text, gateway=demo.url, media=media_server.url, picture=data_url(png(120, 90))
        )

    def run(example: Example, bearer: str) -> str:
        if example.command is not None:
            command = ["bash", "-c", localise(example.command)]
        else:
            command = ["curl", "-sS", "-X", "POST", demo.url + str(example.endpoint)]
            command += ["-H", f"Authorization: Bearer {bearer}"]
            command += ["-H", "Content-Type: application/json"]
            command += ["-d", localise(str(example.body))]
        return subprocess.run(
            command, capture_output=True, check=True, timeout=90, text=True
        ).stdout

    return run


def test_the_documents_hold_the_requests_that_are_tested():
    assert len(shell_examples()) == 3
    assert [e.endpoint for e in json_examples()] == [
        "/v1/chat/completions",
        "/v1/chat/completions",
        "/v1/images/generations",
        "/v1/images/generations",
        "/v1/video/generations",
        "/v1/video/generations",
    ]


def test_video_analysis_streams_text_about_the_linked_video(send):
    frames = [
        line.removeprefix("data: ")
        for line in send(shell_examples()[0], SESSION_ID).splitlines()
        if line.startswith("data: ")
    ]
    assert frames[-1] == "[DONE]"
    chunks = [json.loads(frame) for frame in frames[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert "video/mp4" in text
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_described_picture_comes_back_as_an_image_part(send):
    answer = json.loads(send(shell_examples()[1], SESSION_ID))
    message = answer["choices"][0]["message"]
    assert [part["type"] for part in message["content"]] == ["image_url"]
    assert opened(message["content"][0]["image_url"]["url"]).size > (0, 0)
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert isinstance(answer["usage"]["total_tokens"], int)


def test_an_inline_picture_is_described(send):
    answer = json.loads(send(shell_examples()[2], SESSION_ID))
    assert "image/png 120x90" in answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("bearer", [SESSION_ID, "pooled"])
@pytest.mark.parametrize("example", json_examples(), ids=lambda e: e.title)
def test_api_document(send, example, bearer):
    answer = json.loads(send(example, bearer))
    wanted = example.json()
    assert answer["object"] == "chat.completion"
    assert isinstance(answer["id"], str)
    assert isinstance(answer["created"], int)
    assert answer["choices"][0]["finish_reason"] == "stop"
    message = answer["choices"][0]["message"]
    assert message["role"] == "assistant"
    if "chat" in str(example.endpoint):
        check_text(answer, wanted)
    elif "images" in str(example.endpoint):
        check_image(answer, message)
    else:
        check_video(message)


def check_text(answer, wanted):
    assert answer["model"] == wanted["model"]
    content = answer["choices"][0]["message"]["content"]
    assert content
    if isinstance(wanted["messages"][0]["content"], list):
        assert "image/jpeg 400x300" in content
    assert answer["usage"]["total_tokens"] > 0


def check_image(answer, message):
    assert answer["model"] == "Seedream 4.0"
    assert len(message["images"]) == 1
    assert f"![image]({message['images'][0]})" in message["content"]
    assert answer["data"] == [{"url": message["images"][0]}]
    picture = opened(message["images"][0])
    assert picture.width == picture.height


def check_video(message):
    (video,) = message["videos"]
    assert f"![视频封面]({video['cover']})\n视频链接: {video['url']}" == message["content"]
    assert opened(video["cover"]).size > (0, 0)
    film = requests.get(video["url"], timeout=10)
    assert film.headers["Content-Type"] == "video/mp4"
    assert film.content[4:8] == b"ftyp"


def opened(url: str) -> Image.Image:
    answer = requests.get(url, timeout=10)
    answer.raise_for_status()
    picture = Image.open(io.BytesIO(answer.content))
    picture.load()
    return picture
