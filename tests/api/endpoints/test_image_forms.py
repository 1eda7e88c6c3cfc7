"""Images in OpenAI's newer forms: edits as JSON, and image events."""

from __future__ import annotations

import base64

import pytest
import requests
from openai import OpenAI

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
