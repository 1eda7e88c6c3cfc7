"""Media through the whole gateway: memory, hostile input, tenants, and a browser that looks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests
from playwright.sync_api import sync_playwright

from tests.support.hostile import BOMBS, ODD, STRANGERS, noise_film
from tests.support.media import MediaServer, data_url, jpeg, mp4, png
from tests.support.watch import Watch

MB = 1024 * 1024
KEYS = "alice=alice-key-0123456789,bob=bob-key-0123456789"
ALICE, BOB = "alice-key-0123456789", "bob-key-0123456789"


def ask_about(url: str, model: str = "gemini-enterprise"):
    part = {"type": "video_url", "video_url": {"url": url}}
    return {"model": model, "messages": [{"role": "user", "content": ["What is it?", part]}]}


@pytest.fixture(scope="module")
def one_worker(gateway_factory):
    with gateway_factory.started(workers=1, GATEWAY_KEYS=KEYS, GATEWAY_MAX_BODY_MB="200") as found:
        yield found


def watched(gateway) -> Watch:
    (worker,) = psutil.Process(gateway.process.pid).children()
    return Watch(worker.pid, gateway.url)


def test_a_data_url_costs_three_times_its_size_at_most(one_worker):
    url = data_url(noise_film(19 * MB), "video/mp4")
    one_worker.post("/v1/chat/completions", ask_about(data_url(mp4(), "video/mp4")))
    with watched(one_worker) as seen:
        answer = one_worker.post("/v1/chat/completions", ask_about(url))
    assert "video/mp4" in answer.json()["choices"][0]["message"]["content"]
    assert seen.grown <= 3 * len(url)
    assert seen.stood_s < 0.25


def test_a_linked_film_does_not_pass_through_memory(one_worker):
    film = noise_film(100 * MB)
    with MediaServer.started({".mp4": ("video/mp4", film)}) as server:
        model = "gemini/gemini-3.8-flash"
        one_worker.post("/v1/chat/completions", ask_about(f"{server.url}/warm.png", model))
        with watched(one_worker) as seen:
            question = ask_about(f"{server.url}/a.mp4", model)
            answer = one_worker.post("/v1/chat/completions", question)
    assert answer.ok, answer.text
    assert f"{len(film)} bytes" in answer.json()["choices"][0]["message"]["content"]
    assert seen.grown < 30 * MB


def ask_to_see(url: str, model: str):
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"model": model, "messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize("model", ["test-model", "gemini/gemini-3.8-flash"])
@pytest.mark.parametrize("name", [*BOMBS, *STRANGERS, *ODD])
def test_a_hostile_picture_costs_little_and_breaks_nothing(one_worker, name, model):
    data = {**BOMBS, **STRANGERS, **ODD}[name]
    body = ask_to_see(data_url(data), model)
    with watched(one_worker) as seen:
        answers = [one_worker.post("/v1/chat/completions", body) for _ in range(2)]
    statuses = {answer.status_code for answer in answers}
    # Of a picture that is odd inside the vendor is the judge.
    assert statuses == {400} if name not in ODD else statuses <= {200, 400}, answers[0].text
    if statuses == {400} and name in BOMBS:
        # Sides beyond 32,767 pixels are no GIF to the library that reads the header.
        refusals = {"image_too_large", "unsupported_media_type"}
        assert answers[0].json()["error"]["code"] in refusals
    assert seen.cpu_s < 2
    assert seen.stood_s < 0.25
    assert seen.grown < 60 * MB


def test_two_tenants_cannot_see_each_others_things(one_worker):
    def get(path: str, key: str):
        return one_worker.get(path, key=key)

    upload = requests.post(
        f"{one_worker.url}/v1/files",
        files={"file": ("a.png", png(5, 6), "image/png")},
        data={"purpose": "vision"},
        headers={"Authorization": f"Bearer {ALICE}"},
        timeout=10,
    ).json()
    made = one_worker.post("/v1/images/generations", {"prompt": "a"}, key=ALICE)
    url = made.json()["data"][0]["url"]
    media_id = url.rsplit("/", 1)[1].partition(".")[0]
    job = made.headers["X-Gateway-Job"]
    paths = [
        f"/v1/files/{upload['id']}",
        f"/v1/files/{upload['id']}/content",
        f"/v1/media/{media_id}",
        f"/v1/jobs/{job}",
    ]
    for path in paths:
        assert get(path, ALICE).status_code == 200
        foreign = get(path, BOB)
        name = path.split("/")[3]
        unknown = get(path.replace(name, "unknown-0"), BOB)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace(name, "unknown-0") == unknown.text
    for path in ("/v1/files", "/v1/jobs"):
        assert get(path, BOB).json()["data"] == []
    part = {"type": "file", "file": {"file_id": upload["id"]}}
    body = {"model": "test-model", "messages": [{"role": "user", "content": [part]}]}
    assert one_worker.post("/v1/chat/completions", body, key=ALICE).status_code == 200
    assert one_worker.post("/v1/chat/completions", body, key=BOB).status_code == 404


def test_many_links_are_fetched_while_others_are_served(one_worker, media_server):
    parts = [
        {"type": "image_url", "image_url": {"url": f"{media_server.url}/{n}.jpg"}}
        for n in range(12)
    ]
    body = {"model": "test-model", "messages": [{"role": "user", "content": parts}]}
    with watched(one_worker) as seen, ThreadPoolExecutor(4) as crowd:
        answers = list(crowd.map(lambda _: one_worker.post("/v1/chat/completions", body), range(8)))
    assert all("12 attachments" in a.json()["choices"][0]["message"]["content"] for a in answers)
    assert seen.stood_s < 0.25


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        opened = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        yield opened
        opened.close()


def test_a_browser_shows_the_picture_and_seeks_in_the_film(one_worker, browser):
    picture = one_worker.post("/v1/images/generations", {"prompt": "a cat", "ratio": "16:9"})
    page = browser.new_page()
    page.goto(picture.json()["data"][0]["url"])
    size = page.evaluate("(i => [i.naturalWidth, i.naturalHeight])(document.images[0])")
    assert size[0] / size[1] == pytest.approx(16 / 9, rel=0.03)
    film = one_worker.post("/v1/video/generations", {"prompt": "waves", "duration": 4}).json()
    url = film["choices"][0]["message"]["videos"][0]["url"]
    page.goto(f"{one_worker.url}/health")
    seconds = page.evaluate(
        """url => new Promise((done, fail) => {
            const film = document.createElement("video");
            film.muted = true;
            film.onerror = () => fail(film.error.message);
            film.onloadedmetadata = () => { film.currentTime = film.duration / 2; };
            film.onseeked = () => done([film.duration, film.currentTime, film.videoWidth]);
            film.src = url;
        })""",
        url,
    )
    assert seconds[0] == pytest.approx(4, abs=1.1)
    assert seconds[1] == pytest.approx(seconds[0] / 2, abs=0.1)
    assert seconds[2] >= 480
    page.goto(url)  # as when somebody clicks on the link: the browser makes the page
    look = "(f => [f.readyState, f.seeking, f.currentTime])(document.querySelector('video'))"
    eventually(page, lambda: page.evaluate(look)[0] > 0)
    page.evaluate("document.querySelector('video').currentTime = 2")
    eventually(page, lambda: page.evaluate(look)[1:] == [False, 2])
    page.close()


def eventually(page, condition) -> None:
    for _ in range(400):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never came true")


def test_an_uploaded_page_is_never_shown_as_one(one_worker):
    """What is no medium comes back as a download, whatever it calls itself."""
    upload = requests.post(
        f"{one_worker.url}/v1/files",
        files={"file": ("a.html", b"<script>alert(1)</script>" * 5, "text/html")},
        data={"purpose": "user_data"},
        headers={"Authorization": f"Bearer {ALICE}"},
        timeout=10,
    ).json()
    answer = one_worker.get(f"/v1/files/{upload['id']}/content", key=ALICE)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "html" not in answer.headers["Content-Type"]


def test_formats_of_pictures_are_told_by_their_bytes(one_worker):
    part = {"type": "image_url", "image_url": {"url": data_url(jpeg(30, 20), "image/png")}}
    body = {"model": "test-model", "messages": [{"role": "user", "content": ["Look", part]}]}
    answer = one_worker.post("/v1/chat/completions", body)
    assert "image/jpeg 30x20" in answer.json()["choices"][0]["message"]["content"]


def test_uploads_side_by_side_leave_room_for_others(one_worker):
    film = noise_film(40 * MB)

    def upload(_: int):
        files = {"file": ("a.mp4", film, "video/mp4")}
        url, headers = f"{one_worker.url}/v1/files", {"Authorization": f"Bearer {ALICE}"}
        return requests.post(url, files=files, headers=headers, timeout=100)

    with watched(one_worker) as seen, ThreadPoolExecutor(3) as crowd:
        answers = list(crowd.map(upload, range(3)))
    assert all(answer.ok for answer in answers)
    assert seen.stood_s < 0.1
    assert seen.grown < 30 * MB
