"""Attachments on their way to each vendor, as a client sees it."""

from __future__ import annotations

import io

import pytest
import requests
from PIL import Image

from tests.support.media import data_url

GEMINI, ENTERPRISE, ARK, OPENAI = (
    "gemini/gemini-3.8-flash",
    "gemini-enterprise",
    "doubao",
    "test-model",
)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)


def drawn(form: str, **options) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(out, form, **options)
    return out.getvalue()


def animation() -> bytes:
    frames = [Image.new("L", (40, 30), shade) for shade in range(0, 250, 50)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def look_at(url: str, model: str) -> dict:
    part = {"type": "image_url", "image_url": {"url": url}}
    text = {"type": "text", "text": "What is it?"}
    return {"model": model, "messages": [{"role": "user", "content": [text, part]}]}


@pytest.mark.parametrize(
    ("model", "sent", "arrives"),
    [
        (ARK, animation(), "image/gif"),
        (ARK, drawn("BMP"), "image/bmp"),
        (GEMINI, animation(), "image/png"),
        (GEMINI, drawn("BMP"), "image/png"),
        (GEMINI, drawn("WEBP"), "image/webp"),
        (ENTERPRISE, animation(), "image/png"),
        (OPENAI, animation(), "image/gif"),
        (OPENAI, drawn("BMP"), "image/png"),
        (OPENAI, drawn("JPEG"), "image/jpeg"),
    ],
)
def test_a_picture_is_converted_only_for_vendors_that_cannot_take_it(gateway, model, sent, arrives):
    answer = gateway.post("/v1/chat/completions", look_at(data_url(sent), model))
    assert f"{arrives} 40x30" in answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("model", "sent", "status"),
    [
        (ARK, HEIC, 200),
        (OPENAI, HEIC, 400),
        (GEMINI, b"GIF89a" + animation()[6:20], 400),
        (ARK, drawn("TIFF"), 400),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(gateway, model, sent, status):
    answer = gateway.post("/v1/chat/completions", look_at(data_url(sent), model))
    assert answer.status_code == status
    if status == 400:
        error = answer.json()["error"]
        assert error["code"] == "unsupported_media_type"
        assert error["param"] == "messages[0].content[1].image_url.url"


def test_reference_pictures_are_converted_too(gateway):
    body = {"model": "openai/gpt-image-2", "prompt": "a cat", "image": data_url(animation())}
    assert gateway.post("/v1/images/generations", body).ok
    body["image"] = data_url(HEIC)
    answer = gateway.post("/v1/images/generations", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "image"


def test_a_dry_run_shows_the_picture_as_it_would_be_sent(gateway):
    body = look_at(data_url(drawn("BMP")), GEMINI)
    headers = {"X-Gateway-Dry-Run": "1"}
    answer = gateway.post("/v1/chat/completions", body, headers=headers)
    assert '"mimeType":"image/png"' in answer.text.replace(" ", "")


def test_a_photograph_is_kept_as_it_came(gateway):
    exif = Image.Exif()
    exif[0x010F] = "Ada's camera"
    photo = drawn("JPEG", exif=exif)
    files = {"file": ("a.jpg", photo, "image/jpeg")}
    upload = requests.post(f"{gateway.url}/v1/files", files=files, timeout=10).json()
    assert gateway.get(f"/v1/files/{upload['id']}/content").content == photo
