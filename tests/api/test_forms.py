"""Multipart forms with images."""

from __future__ import annotations

import pytest
import requests

from tests.support.media import png


@pytest.mark.parametrize(
    ("path", "field", "width"),
    [("/v1/images/edits", "image", 43), ("/v1/videos", "input_reference", 44)],
)
def test_nothing_is_kept_of_a_form_that_is_refused(gateway, path, field, width):
    refused(gateway, path, [field], width, {"seed": "many"}, "prompt")


@pytest.mark.parametrize(
    ("path", "fields", "width", "param"),
    [
        ("/v1/images/edits", ["image[]"] * 17, 45, "image"),
        ("/v1/images/edits", ["image", "mask", "mask"], 46, "mask"),
        ("/v1/videos", ["input_reference"] * 17, 47, "input_reference"),
    ],
)
def test_nothing_is_kept_of_a_form_with_too_many_pictures(gateway, path, fields, width, param):
    refused(gateway, path, fields, width, {"prompt": "a cat"}, param)


def refused(gateway, path, fields, width, form, param):
    kept = {found.name for found in gateway.directory.glob("var/media/??/*")}
    answer = requests.post(
        f"{gateway.url}{path}",
        data=form,
        files=[(field, ("a.png", png(width, 30), "image/png")) for field in fields],
        timeout=20,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert {found.name for found in gateway.directory.glob("var/media/??/*")} == kept
