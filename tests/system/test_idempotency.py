"""The same request again: the same answer, and no second bill."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import openai
import pytest
import requests

from tests.server.serving import Client, report, until
from tests.support.callers import ask, request_bytes
from tests.support.media import data_url, png
from tests.support.scripted import answer as scripted_answer
from tests.support.scripted import scripted

CHAT, IMAGES = "/v1/chat/completions", "/v1/images/generations"
VIDEO, SORA, FILES = "/v1/video/generations", "/v1/videos", "/v1/files"
EDITS = "/v1/images/edits"
PAGE = "painted.html"


@pytest.fixture(scope="module")
def site(own_factory, media_server):
    """Its OpenAI-compatible vendor paints a page of HTML."""
    page = {"data": [{"url": f"{media_server.url}/{PAGE}"}]}
    with (
        scripted({"page": scripted_answer(json.dumps(page).encode())}) as url,
        own_factory.started(OPENAI_BASE_URL=url) as running,
    ):
        yield running


def body_for(path, *, stream=False, text="Hello"):
    if path == CHAT:
        return ask(text, model="doubao", stream=stream)
    return {"prompt": text, "stream": stream}


def send(gateway, path, body, key, token, **headers):
    return gateway.post(path, body, key=key, headers={"Idempotency-Key": token, **headers})


def fresh(name):
    return f"{name} {uuid.uuid4().hex}"


@pytest.mark.parametrize(
    ("path", "stream", "operation"),
    [
        (CHAT, False, "ark.chat"),
        (CHAT, True, "ark.chat"),
        (IMAGES, False, "ark.images"),
        (VIDEO, False, "ark.videos.create"),
        (SORA, False, "ark.videos.create"),
    ],
)
def test_a_hundred_at_once_are_one_at_the_vendor_and_all_alike(
    site, vendors, path, stream, operation
):
    key, token = f"ark-video1-hundred-{path.split('/')[2]}-{stream}", fresh("hundred")

    def call(_):
        return send(site, path, body_for(path, stream=stream), key, token)

    with ThreadPoolExecutor(100) as threads:
        found = list(threads.map(call, range(100)))
    assert {answer.status_code for answer in found} == {200}
    bodies = {answer.content.replace(b": waiting\n\n", b"").strip() for answer in found}
    if path == VIDEO:  # progress is a comment of the moment
        bodies = {body for body in bodies if not body.startswith(b":")}
    if path == SORA:  # the film's state is of the moment, too
        bodies = {json.loads(body)["id"] for body in bodies}
        vendors.until(lambda ledger: operation in ledger["operations"].get(key, {}))
    assert len(bodies) == 1
    assert vendors.operations(key)[operation] == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in found) == 99
    report(f"100 equal keys at once on {path}: 1 vendor call, 100 equal bodies")


def test_a_replay_says_where_the_answer_came_from(site):
    key, token = "ark-replay", fresh("replay")
    first, second = (send(site, CHAT, body_for(CHAT), key, token) for _ in range(2))
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.content == first.content
    for name in ("Content-Type", "X-Gateway-Upstream", "X-Gateway-Account", "X-Gateway-Usage"):
        assert second.headers[name] == first.headers[name]


@pytest.mark.parametrize("path", [CHAT, IMAGES, VIDEO, SORA])
def test_another_body_under_the_same_key_is_refused(site, path):
    key, token = f"ark-video1-other-{path.split('/')[2]}", fresh("other")
    assert send(site, path, body_for(path, text="one"), key, token).status_code in (200, 202)
    answer = send(site, path, body_for(path, text="two"), key, token)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "idempotency_key_reused"


def test_a_key_belongs_to_its_owner_and_its_endpoint(site):
    token = fresh("owners")
    found = [
        send(site, path, body_for(path, text=who), who, token)
        for who in ("ark-ann", "ark-bob")
        for path in (CHAT, IMAGES)
    ]
    assert {answer.status_code for answer in found} == {200}


def test_an_asynchronous_film_ordered_twice_is_one_job(site):
    key, token = "ark-video3-twice", fresh("twice")
    first, second = (
        send(site, VIDEO, body_for(VIDEO), key, token, Prefer="respond-async") for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    waited = send(site, VIDEO, body_for(VIDEO), key, token)
    assert waited.json()["id"] == first.json()["id"]
    assert waited.headers["X-Gateway-Job"] == first.json()["id"]


def test_an_asynchronous_picture_in_base64_ordered_twice_is_answered_with_its_result(site):
    key, token = "ark-base64-twice", fresh("base64")
    body = body_for(IMAGES) | {"async": True, "response_format": "b64_json"}
    job = send(site, IMAGES, body, key, token).json()["id"]
    until(lambda: site.get(f"/v1/jobs/{job}", key=key).json()["status"] == "completed")
    again = send(site, IMAGES, body, key, token)
    assert (again.status_code, again.json()["id"]) == (202, job)
    assert again.json()["result"]["data"][0]["b64_json"]


@pytest.mark.parametrize("token", ["", "x" * 256, "tab\there"])
def test_a_key_that_is_none_is_refused(site, token):
    answer = send(site, CHAT, body_for(CHAT), None, token)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_what_was_refused_may_be_sent_again(site, vendors):
    token = fresh("refused")
    body = ask("Hello", model="no-such-model", stream=False)
    assert send(site, CHAT, body, "ark-refused", token).status_code == 404
    assert send(site, CHAT, body_for(CHAT), "ark-refused", token).status_code == 200
    key, token = "ark-empty2-refused", fresh("refused")
    for calls in (1, 2):
        answer = send(site, IMAGES, body_for(IMAGES), key, token)
        assert answer.status_code == 429
        assert "Idempotent-Replayed" not in answer.headers
        assert vendors.calls(key) == calls


def test_a_job_that_failed_stays_failed(site, vendors):
    key, token = "ark-video1-failed-again", fresh("failed")
    for _ in range(2):
        answer = send(site, VIDEO, body_for(VIDEO), key, token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "job_failed")
        assert answer.headers["x-should-retry"] == "false"
    assert vendors.operations(key)["ark.videos.create"] == 1


@pytest.mark.parametrize("keyed", [False, True])
def test_a_film_that_the_vendor_took_and_gave_up_is_not_ordered_again(site, vendors, keyed):
    key = f"ark-video1-expired-{keyed}"
    headers = {"Idempotency-Key": fresh("expired")} if keyed else {}
    for _ in range(2):
        failure = failure_of(site, key, VIDEO, body_for(VIDEO), headers)
        assert failure.response.headers["x-should-retry"] == "false"
        headers = headers or {"x-stainless-retry-count": "1"}
    assert vendors.operations(key)["ark.videos.create"] == 1


def test_an_image_whose_link_leads_to_none_is_waited_for_and_not_ordered_again(site):
    body = {"prompt": "a cat", "model": "openai/gpt-image-1"}
    jobs = set()
    for headers in ({}, {"x-stainless-retry-count": "1"}):
        failure = failure_of(site, "sk-page", IMAGES, body, headers)
        assert failure.code == "storage_unavailable"
        assert failure.response.headers["x-should-retry"] == "false"
        jobs.add(failure.response.headers["X-Gateway-Job"])
    assert len(jobs) == 1


def failure_of(site, key, path, body, headers):
    """What OpenAI's SDK makes of it in the end."""
    with openai.OpenAI(base_url=f"{site.url}/v1", api_key=key, max_retries=2) as client:
        options = {"headers": headers}
        with pytest.raises(openai.InternalServerError) as failure:
            client.post(path.removeprefix("/v1"), body=body, cast_to=dict, options=options)
    return failure.value


def test_a_stream_that_was_cut_is_made_anew(site, vendors):
    key, token = "ark-slow100-cut-by-caller".replace("cut", "left"), fresh("stream")
    request = request_bytes(
        CHAT, body_for(CHAT, stream=True), key=key, headers=[f"Idempotency-Key: {token}"]
    )
    with Client(int(site.url.rpartition(":")[2])) as client:
        client.send(request).read_until(b"data:")
    answer = send(site, CHAT, body_for(CHAT, stream=True), key, token)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert "Idempotent-Replayed" not in answer.headers
    again = send(site, CHAT, body_for(CHAT, stream=True), key, token)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Content-Type"] == answer.headers["Content-Type"]
    assert again.content == answer.content
    assert vendors.operations(key)["ark.chat"] == 2


def test_a_stream_that_failed_is_made_anew(site, vendors):
    key, token = "ark-cut2-anew", fresh("stream")
    for calls in (1, 2):
        answer = send(site, CHAT, body_for(CHAT, stream=True), key, token)
        assert '"error"' in answer.text
        assert vendors.operations(key)["ark.chat"] == calls


def test_a_file_uploaded_twice_is_one_file(site):
    key, token = "ark-files", fresh("file")

    def upload(content):
        return requests.post(
            site.url + FILES,
            files={"file": ("a.txt", content)},
            data={"purpose": "user_data"},
            headers={"Authorization": f"Bearer {key}", "Idempotency-Key": token},
            timeout=30,
        )

    assert upload(b"one").json()["id"] == upload(b"one").json()["id"]
    assert upload(b"two").status_code == 422
    assert len(site.get(FILES, key=key).json()["data"]) == 1


@pytest.mark.parametrize(("path", "field"), [(EDITS, "image"), (SORA, "input_reference")])
def test_a_form_sent_twice_is_one_order(site, path, field):
    """Though its boundary is another: what counts are the fields, and the files' contents."""
    key, token = f"ark-form-{field}", fresh("form")

    def send_form(picture):
        return requests.post(
            site.url + path,
            files={field: ("a.png", picture, "image/png")},
            data={"prompt": "waves"},
            headers={"Authorization": f"Bearer {key}", "Idempotency-Key": token},
            timeout=30,
        )

    first, second = (send_form(png(320, 320)) for _ in range(2))
    assert (first.status_code, second.headers["Idempotent-Replayed"]) == (200, "true")
    assert first.json()["id"] == second.json()["id"]
    assert send_form(png(321, 320)).status_code == 422


@pytest.mark.parametrize("lost", ["INSERT ON job_media", "UPDATE OF job_id ON idempotency"])
def test_an_order_that_is_not_wholly_written_down_is_none(site, vendors, lost):
    key, token = f"ark-unwritten-{lost[:6]}", fresh("unwritten")
    body = body_for(IMAGES) | {"image": data_url(png(320, 320))}
    with closing(sqlite3.connect(site.directory / "var" / "gateway.db")) as database:
        database.execute(f"CREATE TRIGGER t BEFORE {lost} BEGIN SELECT RAISE(ABORT, 'lost'); END")
        failed = send(site, IMAGES, body, key, token)
        database.execute("DROP TRIGGER t")
    assert failed.status_code == 500
    assert site.get("/v1/jobs", key=key).json()["data"] == []
    answer = send(site, IMAGES, body, key, token)
    assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (200, False)
    assert vendors.operations(key)["ark.images"] == 1


def test_a_request_whose_worker_was_killed_is_not_ordered_twice(site, vendors):
    key, token = "ark-video3-killed-once", fresh("killed")
    first = send(site, VIDEO, body_for(VIDEO), key, token, Prefer="respond-async").json()
    until(lambda: vendors.operations(key).get("ark.videos.get"))
    for worker in site.workers():
        worker.send_signal(signal.SIGKILL)
    until(lambda: answers(site))
    headers = {"Idempotency-Key": token}
    answer = site.post(VIDEO, body_for(VIDEO), key=key, headers=headers, timeout=90)
    assert answer.json()["id"] == first["id"]
    assert vendors.operations(key)["ark.videos.create"] == 1


def answers(gateway):
    try:
        return gateway.get("/health", timeout=2).ok
    except requests.RequestException:
        return False


# -- without a key: what SDKs repeat by themselves ---------------------------------------


def test_an_sdk_that_loses_its_patience_pays_once(site, vendors):
    key = "ark-video4-impatient"
    with openai.OpenAI(
        base_url=f"{site.url}/v1", api_key=key, timeout=1.5, max_retries=4
    ) as client:
        answer = client.post(VIDEO.removeprefix("/v1"), body=body_for(VIDEO), cast_to=dict)
    assert answer["choices"][0]["message"]["videos"]
    assert vendors.operations(key)["ark.videos.create"] == 1


def test_a_repetition_is_recognised_and_an_equal_order_is_not(site, vendors):
    key = "ark-repeated"
    first = site.post(IMAGES, body_for(IMAGES), key=key)
    repeated = site.post(
        IMAGES, body_for(IMAGES), key=key, headers={"x-stainless-retry-count": "1"}
    )
    ordered_again = site.post(
        IMAGES, body_for(IMAGES), key=key, headers={"x-stainless-retry-count": "0"}
    )
    assert repeated.json()["id"] == first.json()["id"] != ordered_again.json()["id"]
    other = site.post(
        IMAGES, body_for(IMAGES), key="ark-somebody", headers={"x-stainless-retry-count": "1"}
    )
    assert other.json()["id"] != first.json()["id"]
    assert vendors.operations(key)["ark.images"] == 2


def test_a_repetition_of_what_no_vendor_saw_is_a_new_attempt(site, vendors):
    key = "ark-empty2-repeated"
    for calls in (1, 2):
        answer = site.post(
            IMAGES, body_for(IMAGES), key=key, headers={"x-stainless-retry-count": str(calls)}
        )
        assert answer.status_code == 429
        assert vendors.calls(key) == calls
        time.sleep(0.1)
