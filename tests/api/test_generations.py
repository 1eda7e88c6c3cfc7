"""Pictures, videos and their jobs as callers see them."""

from __future__ import annotations

import base64
import io
import time

import pytest
import requests
from PIL import Image

from tests.api.test_chat import frames
from tests.support.media import data_url, jpeg, png

CHAT = "/v1/chat/completions"
IMAGES, VIDEO = "/v1/images/generations", "/v1/video/generations"
ASYNC = {"Prefer": "respond-async"}


def opened(url):
    answer = requests.get(url, timeout=10)
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content))


def ended(gateway, path, key, within_s=20):
    deadline = time.monotonic() + within_s
    while True:
        job = gateway.get(path, key=key).json()
        if job["status"] in ("completed", "failed", "cancelled"):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        ({"ratio": "16:9"}, 16 / 9),
        ({"ratio": "9:16"}, 9 / 16),
        ({"ratio": "21:9"}, 21 / 9),
        ({"size": "1024x1024"}, 1),
        ({"size": "512x512"}, 1),
        ({"size": "auto"}, 1),
        ({"size": "2K", "ratio": "4:3"}, 4 / 3),
        ({"size": "16:9"}, 16 / 9),
        ({}, 1),
    ],
    ids=str,
)
def test_a_picture_has_the_asked_shape(gateway, wanted, shape):
    answer = gateway.post(IMAGES, {"prompt": "a cat", **wanted})
    picture = opened(answer.json()["data"][0]["url"])
    assert picture.width / picture.height == pytest.approx(shape, rel=0.03)


def photo(width, height, orientation):
    """A JPEG of a camera that was held so."""
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height)).save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.mark.parametrize(
    ("reference", "shape"),
    [
        (png(1600, 900), 16 / 9),
        (png(900, 1500), 9 / 16),
        (png(500, 520), 1),
        (photo(1600, 1200, 1), 4 / 3),
        (photo(1600, 1200, 6), 3 / 4),
    ],
    ids=["wide", "tall", "nearly square", "camera", "camera held upright"],
)
def test_a_picture_without_a_ratio_takes_that_of_its_reference(gateway, reference, shape):
    body = {"prompt": "again", "image": [data_url(reference), data_url(png(2100, 900))]}
    picture = opened(gateway.post(IMAGES, body).json()["data"][0]["url"])
    assert picture.width / picture.height == pytest.approx(shape, rel=0.03)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("doubao-image", '"size":"2048x2048"'),
        ("gemini-3.1-flash-image", '"aspectRatio":"1:1"'),
        ("gemini-enterprise", "Aspect ratio: 1:1"),
        ("openai/gpt-image-1", '"size":"1024x1024"'),
    ],
)
@pytest.mark.parametrize("size", [None, "auto"])
def test_a_picture_whose_shape_is_left_open_is_a_square(gateway, model, told, size):
    body = {"model": model, "prompt": "a cat", "size": size}
    assert told in gateway.post(IMAGES, body, headers={"X-Gateway-Dry-Run": "1"}).text


def test_references_reach_the_vendor_in_order(gateway, simulators):
    images = [data_url(png(100, 200)), data_url(jpeg(300, 100), "image/jpeg")]
    key = "ark-references-in-order"
    assert gateway.post(IMAGES, {"prompt": "mix", "image": images}, key=key).status_code == 200
    (call,) = [r for r in simulators.requests_of(key) if r["operation"] == "ark.images"]
    assert [text.split(";")[0] for text in call["body"]["image"]] == [
        "data:image/png",
        "data:image/jpeg",
    ]


def test_a_style_is_part_of_the_prompt(gateway, simulators):
    key = "ark-style-in-prompt"
    for style in ("卡通", "通用"):
        gateway.post(IMAGES, {"prompt": "a cat", "style": style}, key=key)
    prompts = [r["body"]["prompt"] for r in simulators.requests_of(key)]
    assert "卡通" in prompts[0]
    assert prompts[1] == "a cat"


def test_base64_is_the_picture_itself(gateway):
    answer = gateway.post(IMAGES, {"prompt": "a cat", "response_format": "b64_json"})
    (item,) = answer.json()["data"]
    assert set(item) == {"b64_json"}
    message = answer.json()["choices"][0]["message"]
    opened(message["images"][0])
    assert message["images"][0] in message["content"]
    Image.open(io.BytesIO(base64.b64decode(item["b64_json"]))).load()


def test_a_streamed_picture_is_a_chunk(gateway):
    found = frames(gateway.post(IMAGES, {"prompt": "a cat", "stream": True}))
    assert found[-1] == "data: [DONE]"
    chunks = [f for f in found if isinstance(f, dict)]
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    (delta,) = [c["choices"][0]["delta"] for c in chunks if "images" in c["choices"][0]["delta"]]
    assert f"![image]({delta['images'][0]})" in delta["content"]
    opened(delta["images"][0]).load()


def test_a_streamed_video_tells_its_progress(gateway):
    found = frames(gateway.post(VIDEO, {"prompt": "waves", "stream": True}))
    assert any(str(f).startswith(": in_progress ") for f in found)
    chunks = [f for f in found if isinstance(f, dict)]
    (delta,) = [c["choices"][0]["delta"] for c in chunks if "videos" in c["choices"][0]["delta"]]
    assert delta["videos"][0]["url"] in delta["content"]


@pytest.mark.parametrize(
    ("path", "model"), [(IMAGES, "doubao-image"), (VIDEO, "doubao-video"), (CHAT, "doubao-video")]
)
def test_a_stream_says_where_its_job_is_made(gateway, path, model):
    turns = [{"role": "user", "content": "waves"}]
    body = {"model": model, "prompt": "waves", "messages": turns, "stream": True}
    headers = gateway.post(path, body).headers
    assert headers["X-Gateway-Upstream"] == "ark"
    assert headers["X-Gateway-Account"] == "ark-1"
    assert headers["X-Gateway-Job"]


@pytest.mark.parametrize(
    ("path", "model", "given", "dropped"),
    [
        (IMAGES, "Seedream 4.0", {"seed": 7, "watermark": True, "quality": "hd"}, "seed, quality"),
        (IMAGES, "Seedream 5.0", {"output_format": "png", "background": "auto"}, "background"),
        (IMAGES, "Seedream 4.0", {"size": "1K", "ratio": "1:1", "style": "卡通"}, None),
        (IMAGES, "gemini-3.1-flash-image", {"seed": 7, "watermark": True}, "watermark"),
        (IMAGES, "gemini-enterprise", {"seed": 7, "quality": "hd"}, "seed, quality"),
        (IMAGES, "openai/gpt-image-1", {"seed": 7, "quality": "high"}, "seed"),
        (
            VIDEO,
            "doubao-seedance-1-0-pro-250528",
            {"seed": 7, "generate_audio": True},
            "generate_audio",
        ),
        (VIDEO, "gemini-omni-1.2-flash", {"seed": 7, "watermark": True}, "watermark"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dry", [True, False], ids=["planned", "made"])
def test_options_that_the_vendor_lacks_are_named(gateway, path, model, given, dropped, dry):
    body = {"model": model, "prompt": "a cat", **given}
    answer = gateway.post(path, body, headers={"X-Gateway-Dry-Run": "1"} if dry else {})
    assert answer.status_code == 200, answer.text
    assert answer.headers.get("X-Gateway-Dropped-Params") == dropped


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/videos"])
def test_who_asks_again_and_again_is_told_when_and_whether_there_is_news(gateway, path):
    key = "ark-polled-video2"
    made = gateway.post(VIDEO, {"prompt": "waves"}, key=key, headers=ASYNC)
    assert made.headers["Retry-After"] == "2"
    path = f"{path}/{made.json()['id']}"
    assert gateway.get(path, key=key).headers["Retry-After"] == "2"
    assert ended(gateway, path, key)["status"] == "completed"
    answer = gateway.get(path, key=key)
    assert "Retry-After" not in answer.headers
    again = gateway.get(path, key=key, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_asynchronous_video_is_a_job_with_the_synchronous_result(gateway):
    key = "ark-async-video"
    answer = gateway.post(VIDEO, {"prompt": "waves"}, key=key, headers=ASYNC)
    assert answer.status_code == 202
    job = answer.json()
    assert (job["object"], job["kind"], job["result"]) == ("job", "video", None)
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    job = ended(gateway, answer.headers["Location"], key)
    assert (job["status"], job["progress"], job["error"]) == ("completed", 100, None)
    (video,) = job["result"]["choices"][0]["message"]["videos"]
    assert requests.get(video["url"], timeout=10).content[4:8] == b"ftyp"
    assert job["id"] in {j["id"] for j in gateway.get("/v1/jobs", key=key).json()["data"]}


def test_an_asynchronous_picture_by_a_field(gateway):
    answer = gateway.post(IMAGES, {"prompt": "a cat", "async": True}, key="ark-async-image")
    assert answer.status_code == 202
    job = ended(gateway, answer.headers["Location"], "ark-async-image")
    assert job["result"]["data"][0]["url"].startswith(gateway.url)


def test_a_synchronous_answer_names_its_job(gateway):
    answer = gateway.post(VIDEO, {"prompt": "waves"}, key="ark-names-its-job")
    job = gateway.get(f"/v1/jobs/{answer.headers['X-Gateway-Job']}", key="ark-names-its-job").json()
    got, kept = answer.json()["choices"], job["result"]["choices"]
    assert [v["vid"] for v in got[0]["message"]["videos"]] == [
        v["vid"] for v in kept[0]["message"]["videos"]
    ]


def test_a_job_belongs_to_who_made_it(gateway):
    answer = gateway.post(VIDEO, {"prompt": "waves"}, key="ark-owner", headers=ASYNC)
    path = answer.headers["Location"]
    for key in ("ark-stranger", None):
        foreign, unknown = gateway.get(path, key=key), gateway.get("/v1/jobs/video_0", key=key)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.content == unknown.content
    assert gateway.get("/v1/jobs", key="ark-stranger").json()["data"] == []


def test_jobs_are_listed_and_shown_also_when_their_pictures_are_gone(gateway):
    key = "ark-album"
    body = {"prompt": "a picture that goes", "response_format": "b64_json"}
    headers = {**ASYNC, "Idempotency-Key": "picture-that-goes"}
    location = gateway.post(IMAGES, body, key=key, headers=headers).headers["Location"]
    done = ended(gateway, location, key)
    assert done["status"] == "completed", done
    (url,) = done["result"]["choices"][0]["message"]["images"]
    again = gateway.post(IMAGES, body, key=key, headers=headers)
    assert again.status_code == 202
    assert again.json()["result"]["data"] == done["result"]["data"]
    name = url.rpartition("/")[2].partition("?")[0]
    (gateway.directory / "var/media" / name[:2] / name).unlink()
    (listed,) = gateway.get("/v1/jobs", key=key).json()["data"]
    assert listed == {**done, "result": None}
    shown = gateway.get(location, key=key).json()
    assert (shown["status"], shown["result"]["data"]) == ("completed", [{"b64_json": None}])


def test_a_running_job_can_be_cancelled(gateway, simulators):
    key = "ark-video60-cancel"
    path = gateway.post(VIDEO, {"prompt": "waves"}, key=key, headers=ASYNC).headers["Location"]
    answer = requests.delete(
        gateway.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=20
    )
    assert answer.json()["status"] == "cancelled"
    assert gateway.get(path, key=key).json()["status"] == "cancelled"


def test_a_failed_video_is_an_error_that_is_not_repeated(gateway, simulators):
    key = "ark-failed-video"
    answer = gateway.post(VIDEO, {"prompt": "waves"}, key=key)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "job_failed"
    assert answer.headers["x-should-retry"] == "false"
    job = gateway.get(f"/v1/jobs/{answer.headers['X-Gateway-Job']}", key=key).json()
    assert (job["status"], job["error"]["code"]) == ("failed", "job_failed")


def test_a_lost_submission_is_never_made_again(gateway, simulators):
    key = "ark-lost-video"
    answer = gateway.post(VIDEO, {"prompt": "waves"}, key=key)
    assert answer.json()["error"]["code"] == "outcome_unknown"
    assert answer.headers["x-should-retry"] == "false"
    assert simulators.operations(key)["ark.videos.create"] == 1


def test_a_picture_that_came_before_the_answer_broke_off_is_kept(gateway, simulators):
    body = {"model": "gemini-enterprise", "prompt": "Draw a picture of a cat"}
    answer = gateway.post(IMAGES, body, key="ya29.cut1-picture")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == 1


def test_a_blocked_prompt_is_the_callers_error(gateway):
    answer = gateway.post(IMAGES, {"prompt": "a cat"}, key="ark-blocked-image")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "content_filtered"


def test_generated_media_are_served_with_care(gateway):
    url = gateway.post(IMAGES, {"prompt": "a cat"}).json()["data"][0]["url"]
    whole = requests.get(url, timeout=10)
    assert whole.headers["Content-Type"] == "image/jpeg"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Cache-Control"].startswith("private")
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    part = requests.get(url, headers={"Range": "bytes=10-19"}, timeout=10)
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    beyond = requests.get(url, headers={"Range": "bytes=99999999-"}, timeout=10)
    assert beyond.status_code == 416
    same = requests.get(url, headers={"If-None-Match": whole.headers["ETag"]}, timeout=10)
    assert (same.status_code, same.content) == (304, b"")
    head = requests.head(url, timeout=10)
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    assert requests.get(url, headers={"Authorization": "Bearer x"}, timeout=10).ok
    forged = requests.get(url[:-2] + "xx", timeout=10)
    assert forged.status_code == 403
    assert forged.json()["error"]["code"] == "forbidden"


def test_a_link_is_renewed_for_its_owner_only(gateway):
    key = "ark-media-owner"
    url = gateway.post(IMAGES, {"prompt": "a cat"}, key=key).json()["data"][0]["url"]
    media_id = url.rsplit("/", 1)[1].partition(".")[0]
    fresh = gateway.get(f"/v1/media/{media_id}", key=key).json()
    assert requests.get(fresh["url"], timeout=10).ok
    assert gateway.get(f"/v1/media/{media_id}", key="ark-stranger").status_code == 404
