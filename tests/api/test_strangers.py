"""What callers leave here with a credential that no vendor has accepted yet."""

from __future__ import annotations

import time

import pytest
import requests

from tests.support.media import png


def upload(gateway, key, data):
    answer = requests.post(
        f"{gateway.url}/v1/files",
        data={"purpose": "vision"},
        files={"file": ("a.png", data, "image/png")},
        headers={"Authorization": f"Bearer {key}"},
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def expiry(gateway, key, file):
    return gateway.get(f"/v1/files/{file['id']}", key=key).json()["expires_at"]


def test_files_of_a_credential_that_no_vendor_has_accepted_expire_until_one_has(gateway):
    key = "ark-stranger-chats"
    file = upload(gateway, key, png(40, 30))
    assert file["expires_at"] == pytest.approx(time.time() + 86_400, abs=60)
    assert gateway.chat(key="ark-wrong-stranger").status_code == 401
    assert expiry(gateway, key, file) == file["expires_at"]
    parts = [{"type": "text", "text": "Look"}, {"type": "file", "file_id": file["id"]}]
    assert gateway.chat(parts, key=key).status_code == 200
    assert expiry(gateway, key, file) is None
    assert upload(gateway, key, png(41, 30))["expires_at"] is None


def test_what_a_server_answers_that_may_take_any_credential_proves_nothing(gateway):
    key = "sk-stranger-chats"
    file = upload(gateway, key, png(48, 30))
    answer = gateway.chat(key=key, model="openai/gpt-5")
    assert (answer.status_code, answer.headers["X-Gateway-Upstream"]) == (200, "openai")
    assert expiry(gateway, key, file) == file["expires_at"]
    assert upload(gateway, key, png(49, 30))["expires_at"] is not None


def test_a_job_that_a_vendor_has_done_proves_its_owner_too(gateway):
    key = "ark-stranger-draws"
    file = upload(gateway, key, png(42, 30))
    body = {"prompt": "a cat", "async": True}
    job = gateway.post("/v1/images/generations", body, key=key)
    assert job.status_code == 202
    give_up_at = time.monotonic() + 30
    while expiry(gateway, key, file) is not None and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert gateway.get(job.headers["Location"], key=key).json()["status"] == "completed"
    assert expiry(gateway, key, file) is None


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
