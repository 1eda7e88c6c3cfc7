"""Images of every model of the table: made through the gateway, and looked at."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from tests.api.test_generations import IMAGES, opened
from tests.support.media import data_url, jpeg, png

EDITS = "/v1/images/edits"
PNG, JPEG = data_url(png(400, 300)), data_url(jpeg(400, 300), "image/jpeg")
SEEDREAM = "doubao-seedream-"
PRO, SEEDREAM_5_5 = f"{SEEDREAM}5-0-pro-260628", f"{SEEDREAM}5-5-261028"
OLDEST = f"{SEEDREAM}3-0-t2i-250415"


def made(gateway, model, **wanted):
    """The pictures of an answer, and its headers."""
    answer = gateway.post(IMAGES, {"model": model, "prompt": "a cat", **wanted})
    assert answer.status_code == 200, answer.text
    return [opened(entry["url"]) for entry in answer.json()["data"]], answer.headers


def image_calls(simulators):
    operations = simulators.ledger(requests_too=False)["operations"].values()
    return sum(n for counts in operations for name, n in counts.items() if "vide" not in name)


@pytest.mark.parametrize(
    ("model", "wanted", "size"),
    [
        (OLDEST, {"size": "1024x1024", "seed": 5}, (1024, 1024)),
        (OLDEST, {"ratio": "16:9", "n": 2}, (2560, 1440)),
        ("Seedream 4.0", {"size": "1K"}, (1024, 1024)),
        ("Seedream 4.0", {"size": "4K", "ratio": "16:9"}, (5376, 3024)),
        ("Seedream 4.0", {"size": "2K", "image": [PNG, JPEG]}, (2304, 1728)),
        ("Seedream 4.5", {"size": "2K", "n": 2}, (2048, 2048)),
        ("Seedream 4.5", {"ratio": "21:9"}, (3024, 1296)),
        ("Seedream 5.0", {"size": "3K"}, (3072, 3072)),
        ("Seedream 5.0", {"ratio": "4:5", "size": "2K"}, (1792, 2240)),
        (PRO, {"size": "1K"}, (1024, 1024)),
        (f"{SEEDREAM}5-0-flash-260915", {"size": "1.5K"}, (1536, 1536)),
        (SEEDREAM_5_5, {"size": "1K", "n": 2}, (1024, 1024)),
        (SEEDREAM_5_5, {"ratio": "3:2", "size": "2K"}, (2496, 1664)),
        ("gemini-3.1-flash-image", {"size": "512"}, (512, 512)),
        ("gemini-3.1-flash-image", {"ratio": "8:1"}, (2928, 352)),
        ("gemini-3-pro-image", {"size": "4K", "ratio": "5:4"}, (4608, 3712)),
        ("gemini-3-pro-image", {"image": [PNG, JPEG], "n": 2}, (1200, 896)),
        ("gemini-3.1-flash-lite-image", {"ratio": "16:9"}, (1376, 768)),
        ("gemini-nano-banana-2.1", {"size": "2K"}, (2048, 2048)),
        ("openai/gpt-image-1", {"size": "1536x1024", "n": 2}, (1536, 1024)),
        ("openai/gpt-image-2", {"ratio": "16:9"}, (1280, 720)),
        ("openai/gpt-image-2", {"size": "2K", "image": [PNG, JPEG]}, (2048, 2048)),
    ],
    ids=str,
)
def test_images_have_the_number_and_size_that_were_asked_for(gateway, model, wanted, size):
    pictures, headers = made(gateway, model, **wanted)
    assert [picture.size for picture in pictures] == [size] * wanted.get("n", 1)
    assert "X-Gateway-Changed-Params" not in headers
    assert "X-Gateway-Dropped-Params" not in headers


@pytest.mark.parametrize(
    ("model", "wanted", "changed", "size"),
    [
        ("Seedream 4.0", {"size": "512x512"}, "size=960x960", (960, 960)),
        ("Seedream 4.5", {"size": "1K"}, "size=2K", (2048, 2048)),
        ("Seedream 4.5", {"size": "1K", "ratio": "1:1"}, "size=1920x1920", (1920, 1920)),
        (OLDEST, {"size": "4K"}, "size=2048x2048", (2048, 2048)),
        ("gemini-3-pro-image", {"size": "1500x1000"}, "size=1K, ratio=3:2", (1264, 848)),
        ("openai/gpt-image-1", {"size": "2K"}, "size=1024x1024", (1024, 1024)),
        ("openai/gpt-image-1", {"ratio": "16:9"}, "size=1536x1024", (1536, 1024)),
        ("Seedream 4.0", {"optimize_prompt": False}, "optimize_prompt=fast", (2048, 2048)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dry", [True, False], ids=["planned", "made"])
def test_a_value_that_is_made_another_is_named(gateway, model, wanted, changed, size, dry):
    if dry:
        body = {"model": model, "prompt": "a cat", **wanted}
        headers = gateway.post(IMAGES, body, headers={"X-Gateway-Dry-Run": "1"}).headers
    else:
        pictures, headers = made(gateway, model, **wanted)
        assert [picture.size for picture in pictures] == [size]
    assert headers["X-Gateway-Changed-Params"] == changed


def test_a_ratio_that_an_exact_size_contradicts_is_named(gateway):
    _, headers = made(gateway, "Seedream 4.0", size="1280x720", ratio="1:1")
    assert headers["X-Gateway-Dropped-Params"] == "ratio"


@pytest.mark.parametrize("model", ["Seedream 4.0", "Seedream 4.5", "Seedream 5.0"])
def test_a_set_has_at_most_as_many_images_as_were_asked_for(gateway, model):
    pictures, _ = made(gateway, model, prompt="5 cats", group=3)
    assert len(pictures) == 3
    pictures, headers = made(gateway, model, prompt="2 cats", group=True, image=[PNG, JPEG])
    assert len(pictures) == 2
    assert headers["X-Gateway-Changed-Params"] == "group=13"


@pytest.mark.parametrize("model", [PRO, f"{SEEDREAM}5-0-flash-260915", SEEDREAM_5_5])
def test_layers_are_images_with_an_alpha_channel(gateway, model):
    pictures, headers = made(gateway, model, prompt="4 layers", layers=True)
    assert [picture.mode for picture in pictures] == ["RGBA"] * 4
    assert "X-Gateway-Changed-Params" not in headers
    _, headers = made(gateway, model, prompt="4 layers", layers=4)
    assert headers["X-Gateway-Changed-Params"] == "layers=true"


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (PRO, {"image": PNG}),
        (SEEDREAM_5_5, {"image": PNG, "output_format": "png"}),
        ("openai/gpt-image-2", {}),
        ("openai/gpt-image-1", {"output_format": "webp", "image": [PNG, JPEG]}),
    ],
    ids=str,
)
def test_a_background_may_be_transparent(gateway, model, wanted):
    [picture], headers = made(gateway, model, background="transparent", **wanted)
    assert picture.mode == "RGBA"
    assert picture.getextrema()[3][0] == 0
    assert "X-Gateway-Dropped-Params" not in headers


@pytest.mark.parametrize(
    ("model", "kind"),
    [("Seedream 5.0", "PNG"), (PRO, "PNG"), (SEEDREAM_5_5, "JPEG"), ("openai/gpt-image-2", "WEBP")],
)
def test_the_file_has_the_format_that_was_asked_for(gateway, model, kind):
    [picture], _ = made(gateway, model, output_format=kind.lower())
    assert picture.format == kind


def test_a_mask_goes_to_models_that_take_one(gateway):
    mask = png(400, 300, "black")
    body = {"model": "openai/gpt-image-2", "prompt": "blue", "image": [PNG], "size": "1024x1024"}
    answer = gateway.post(EDITS, {**body, "mask": {"image_url": data_url(mask)}})
    assert answer.status_code == 200, answer.text
    picture = Image.open(io.BytesIO(base64.b64decode(answer.json()["data"][0]["b64_json"])))
    assert picture.size == (1024, 1024)


@pytest.mark.parametrize(
    ("model", "wanted", "param", "able"),
    [
        (PRO, {"group": 3}, "group", "Seedream 4.0"),
        (OLDEST, {"image": [PNG]}, "image", "Seedream 4.0"),
        (PRO, {"image": [PNG] * 11}, "image", "Seedream 5.0"),
        ("Seedream 4.0", {"image": [PNG] * 15}, "image", None),
        ("gemini-3-pro-image", {"group": True}, "group", "Seedream 4.5"),
        ("openai/gpt-image-2", {"group": 2}, "group", "Seedream 5.0"),
        ("Seedream 4.0", {"layers": True}, "layers", PRO),
        (PRO, {"layers": 17}, "layers", SEEDREAM_5_5),
        ("gemini-3-pro-image", {"layers": 3}, "layers", None),
        ("Seedream 5.0", {"background": "transparent"}, "background", None),
        (PRO, {"background": "transparent"}, "background", None),
        (PRO, {"background": "transparent", "image": JPEG}, "background", None),
        (
            "openai/gpt-image-2",
            {"background": "transparent", "output_format": "jpeg"},
            "output_format",
            None,
        ),
        (SEEDREAM_5_5, {"ratio": "4:1"}, "ratio", "Seedream 5.0"),
        (SEEDREAM_5_5, {"size": "3000x900"}, "size", "Seedream 5.0"),
        ("gemini-3-pro-image", {"size": "512"}, "size", "gemini-3.1-flash-image"),
        ("gemini-3-pro-image", {"ratio": "8:1"}, "ratio", "Seedream 4.0"),
        ("openai/gpt-image-1", {"size": "1000x1000"}, "size", "Seedream 4.0"),
        ("openai/gpt-image-2", {"size": "1000x1000"}, "size", "Seedream 4.0"),
        ("openai/gpt-image-2", {"ratio": "8:1"}, "ratio", "Seedream 4.0"),
    ],
    ids=str,
)
@pytest.mark.parametrize("how", ["now", "later", "planned", "stream"])
def test_what_a_model_cannot_make_is_refused_unsent(
    gateway, simulators, model, wanted, param, able, how
):
    before = image_calls(simulators)
    headers = {"later": {"Prefer": "respond-async"}, "planned": {"X-Gateway-Dry-Run": "1"}}
    body = {"model": model, "prompt": "a cat", "stream": how == "stream", **wanted}
    answer = gateway.post(IMAGES, body, headers=headers.get(how, {}))
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert able is None or able in error["message"]
    assert image_calls(simulators) == before


def test_a_mask_is_refused_by_models_that_take_none(gateway):
    form = {"model": "Seedream 4.0", "prompt": "blue", "image": [PNG], "mask": {"image_url": PNG}}
    answer = gateway.post(EDITS, form)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "mask"
