"""Images of the simulated Ark, driven with the vendor's SDK."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
import requests
from PIL import Image
from volcenginesdkarkruntime import _exceptions as ark_errors
from volcenginesdkarkruntime.types.images import SequentialImageGenerationOptions

from tests.simulators.ark.kit import (
    IMAGE,
    IMAGE_PRO,
    size_of,
)
from tests.support.media import data_url, jpeg, mp4, png

GROUP = {
    "model": IMAGE,
    "prompt": "2 cats",
    "size": "1K",
    "sequential_image_generation": "auto",
}


@pytest.mark.parametrize(
    ("model", "size", "made"),
    [
        (IMAGE, None, "2048x2048"),
        (IMAGE, "1k", "1024x1024"),
        (IMAGE, "4K", "4096x4096"),
        (IMAGE, "1930x1090", "1920x1088"),
        (IMAGE_PRO, "1.5K", "1536x1536"),
    ],
)
def test_returned_size_is_that_of_the_jpeg(ark, model, size, made):
    answer = ark.images.generate(model=model, prompt="a cat", size=size, watermark=False)
    assert answer.data[0].size == made
    assert size_of(answer.data[0].url) == ("JPEG", made)
    width, height = map(int, made.split("x"))
    assert answer.usage.output_tokens == round(width * height / 256)


def test_tier_takes_the_ratio_of_the_first_reference(ark):
    references = [data_url(png(1600, 900)), data_url(jpeg(500, 500))]
    answer = ark.images.generate(model=IMAGE, prompt="a cat", image=references, size="2K")
    assert answer.data[0].size == "2560x1440"


def test_size_that_is_not_given_is_square_whatever_the_reference(ark):
    reference = data_url(png(1600, 900))
    answer = ark.images.generate(model=IMAGE, prompt="a cat", image=reference)
    assert answer.data[0].size == "2048x2048"


def test_image_is_marked_unless_asked_otherwise(ark):
    def pixels(watermark: bool | None) -> bytes:
        answer = ark.images.generate(
            model=IMAGE, prompt="a", response_format="b64_json", watermark=watermark, size="1K"
        )
        image = Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json)))
        assert image.format == "JPEG"
        return image.tobytes()

    assert pixels(None) == pixels(True) != pixels(False)


def test_output_format_belongs_to_the_newest_family(ark):
    answer = ark.images.generate(
        model="doubao-seedream-5-0-260128", prompt="a cat", output_format="png"
    )
    assert size_of(answer.data[0].url) == ("PNG", "2048x2048")
    assert answer.data[0].output_format == "png"


def test_group_has_as_many_images_as_the_prompt_wants(ark):
    def group(prompt: str, most: int) -> int:
        answer = ark.images.generate(
            model=IMAGE,
            prompt=prompt,
            size="1K",
            sequential_image_generation="auto",
            sequential_image_generation_options=SequentialImageGenerationOptions(max_images=most),
        )
        assert answer.usage.generated_images == len(answer.data)
        return len(answer.data)

    assert [group("3 cats", 5), group("cats", 2), group("9 cats", 5)] == [3, 2, 5]
    assert group("9" * 5000, 5) == 5


def events_of(text: str) -> list[dict[str, Any]]:
    """Read the events of a stream; each must be named like the type within it."""
    assert text.endswith("data: [DONE]\n\n")
    events = []
    for frame in text.split("\n\n")[:-2]:
        name, _, data = frame.partition("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def test_images_are_streamed_one_by_one(post):
    events = events_of(post("/images/generations", GROUP | {"stream": True}).text)
    kinds = [event["type"] for event in events]
    assert kinds == ["image_generation.partial_succeeded"] * 2 + ["image_generation.completed"]
    assert [event.get("image_index") for event in events] == [0, 1, None]
    assert events[-1]["usage"]["generated_images"] == 2


def test_failed_member_of_a_group_leaves_the_others(post):
    whole = post("/images/generations", GROUP, "failed").json()
    assert ["url" in one for one in whole["data"]] == [True, False]
    assert "error" not in whole
    events = events_of(post("/images/generations", GROUP | {"stream": True}, "filtered").text)
    kinds = [event["type"].rpartition(".")[2] for event in events]
    assert kinds == ["partial_succeeded", "partial_failed", "completed"]
    assert events[1]["error"]["code"] == "OutputImageSensitiveContentDetected"


def test_stream_without_any_image_is_an_error(client):
    stream = client("failed").images.generate(model=IMAGE, prompt="a cat", stream=True)
    with pytest.raises(ark_errors.ArkAPIError, match="could not be generated"):
        list(stream)


def test_failed_image_is_an_error_within_the_answer(client):
    answer = client("failed").images.generate(model=IMAGE, prompt="a cat")
    assert answer.error.code == "InternalServiceError"
    assert answer.usage.generated_images == 0


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": None},
        {"size": "5k"},
        {"size": "100x100"},
        {"size": "16384x512"},
        {"model": "doubao-seedream-4-5-251128", "size": "1K"},
        {"model": "doubao-seedream-4-5-251128", "size": "1024x1024"},
        {"output_format": "png"},
        {"background": "transparent"},
        {"tools": [{"type": "web_search"}]},
        {"response_format": "png"},
        {"image": [data_url(png(64, 64))] * 15},
        {"image": data_url(png(14, 64))},
        {"image": data_url(png(1700, 100))},
        {"image": data_url(mp4(), "video/mp4")},
        {"model": IMAGE_PRO, "stream": True},
        {"model": IMAGE_PRO, "sequential_image_generation": "auto"},
        {"model": "doubao-seedream-3-0-t2i-250415", "image": data_url(png(64, 64))},
        {"sequential_image_generation_options": {"max_images": 16}},
        {"watermark": "no"},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_wrong_image_requests_are_refused_with_a_status(post, change, stream):
    body = {"model": IMAGE, "prompt": "a cat", "stream": stream} | change
    assert post("/images/generations", body).status_code == 400


SEEDREAM_5_5 = "seedream-5-5-261028"


def test_layers_are_transparent_images_with_their_places(ark):
    made = ark.images.generate(
        model=SEEDREAM_5_5, prompt="5 layers", size="2K", extra_body={"layer_decomposition": True}
    )
    layers = [item.model_dump() for item in made.data]
    assert [layer["z_index"] for layer in layers] == [0, 1, 2, 3, 4]
    with Image.open(io.BytesIO(requests.get(layers[0]["url"], timeout=20).content)) as image:
        assert (image.format, image.mode) == ("PNG", "RGBA")


def test_a_transparent_background_takes_one_png_and_makes_another(post):
    body = {"model": SEEDREAM_5_5, "prompt": "cut out", "background": "transparent"}
    assert post("/images/generations", body).status_code == 400
    body |= {"image": data_url(png(640, 640)), "output_format": "png", "size": "1.5K"}
    made = post("/images/generations", body).json()
    with Image.open(io.BytesIO(requests.get(made["data"][0]["url"], timeout=20).content)) as image:
        assert (image.mode, image.size) == ("RGBA", (1536, 1536))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "4K"},
        {"size": "4096x1024"},
        {"stream": False},
        {"sequential_image_generation": "disabled"},
        {"image": [data_url(png(64, 64))] * 11},
    ],
)
def test_seedream_5_5_refuses_sizes_and_parameters_of_other_models(post, wrong):
    body = {"model": SEEDREAM_5_5, "prompt": "a cat"} | wrong
    assert post("/images/generations", body).status_code == 400
