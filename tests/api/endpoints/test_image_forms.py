"""Images in OpenAI's newer forms: edits as JSON, and image events."""

from __future__ import annotations

import base64

import pytest
import requests
from openai import APIError, BadRequestError, OpenAI

from tests.support.media import data_url, png

EDITS = "/v1/images/edits"
LINK = data_url(png(400, 300))


@pytest.fixture(scope="module")
def client(gateway):
    return OpenAI(base_url=f"{gateway.url}/v1", api_key="pooled", max_retries=0)


def test_an_edit_may_be_json(gateway):
    upload = requests.post(
        f"{gateway.url}/v1/files", files={"file": ("a.png", png(), "image/png")}, timeout=20
    ).json()
    images = [{"image_url": LINK}, {"file_id": upload["id"]}]
    body = {"prompt": "blue", "images": images}
    plan = gateway.post(EDITS, body, headers={"X-Gateway-Dry-Run": "1"}).json()
    assert len(plan["requests"][0]["body"]["image"]) == 2
    answer = gateway.post(EDITS, body | {"images": images[:1]})
    assert set(answer.json()["data"][0]) == {"url", "b64_json"}


@pytest.mark.parametrize("count", [0, 17])
def test_an_edit_as_json_takes_one_to_sixteen_images(gateway, count):
    answer = gateway.post(EDITS, {"prompt": "blue", "images": [{"image_url": LINK}] * count})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] in ("image", "images")


def test_the_sdk_reads_image_events_where_it_asks_for_them(client):
    events = list(
        client.images.generate(model="Seedream 4.0", prompt="a cat", stream=True, partial_images=1)
    )
    assert [event.type for event in events] == ["image_generation.completed"]
    assert base64.b64decode(events[0].b64_json)[:4] in (b"\x89PNG", b"\xff\xd8\xff\xfe")
    assert events[0].usage.total_tokens > 0
    edited = list(
        client.images.edit(
            model="Seedream 4.0", prompt="blue", image=png(), stream=True, partial_images=0
        )
    )
    assert [event.type for event in edited] == ["image_edit.completed"]


@pytest.mark.parametrize("edit", [False, True])
def test_drafts_come_before_the_image_where_the_vendor_has_them(client, edit):
    wanted = {"model": "openai/gpt-image-2", "prompt": "a cat", "stream": True}
    if edit:
        events = list(client.images.edit(**wanted, image=png(400, 300), partial_images=2))
    else:
        events = list(client.images.generate(**wanted, partial_images=2))
    kind = "image_edit" if edit else "image_generation"
    drafts = [f"{kind}.partial_image"] * 2
    assert [event.type for event in events] == [*drafts, f"{kind}.completed"]
    assert [event.partial_image_index for event in events[:2]] == [0, 1]
    assert all(base64.b64decode(event.b64_json)[:4] == b"\x89PNG" for event in events)
    assert events[-1].usage.output_tokens > 0


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("Seedream 4.0", {}),
        ("gemini-3-pro-image", {}),
        ("openai/gpt-image-2", {"n": 2}),
        ("openai/gpt-image-2", {"stream": False}),
    ],
    ids=str,
)
def test_drafts_that_nobody_makes_are_named(gateway, model, more):
    body = {"model": model, "prompt": "a cat", "stream": True, "partial_images": 2, **more}
    answer = gateway.post("/v1/images/generations", body)
    assert answer.headers["X-Gateway-Dropped-Params"] == "partial_images"
    if body["stream"]:
        assert answer.text.count("event: image_generation.completed") == body.get("n", 1)


def test_a_stream_without_drafts_has_chunks_as_before(gateway):
    body = {"model": "openai/gpt-image-2", "prompt": "a cat", "stream": True}
    answer = gateway.post("/v1/images/generations", body)
    assert "chat.completion.chunk" in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_refusal_of_a_stream_of_drafts_has_its_status(client):
    own = client.with_options(api_key="sk-blocked-drafts")
    with pytest.raises(BadRequestError) as caught:
        list(
            own.images.generate(
                model="openai/gpt-image-2", prompt="a cat", stream=True, partial_images=1
            )
        )
    assert caught.value.code == "content_filtered"


def watched(client, seen):
    for event in client.images.generate(
        model="openai/gpt-image-2", prompt="a cat", stream=True, partial_images=2
    ):
        seen.append(event.type)


@pytest.mark.parametrize("word", ["truncated", "cut"])
def test_a_stream_of_drafts_that_breaks_off_never_looks_complete(client, word):
    seen = []
    with pytest.raises(APIError):
        watched(client.with_options(api_key=f"sk-{word}-drafts"), seen)
    assert "image_generation.completed" not in seen
