"""/v1/videos as OpenAI's SDKs use it, from the first frame to the last byte."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import openai
import pytest
import requests

from tests.support.media import data_url, png

NODE = Path(__file__).parents[1] / "node"
SORA = "/v1/videos"
FRAME = png(320, 320)

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def client(gateway, key):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=60)


def frames_of(simulators, key):
    """What the vendor was given beside the prompt, in each order."""
    return [
        [part["type"] for part in request["body"]["content"][1:]]
        for request in simulators.requests_of(key)
        if request["operation"] == "ark.videos.create"
    ]


@pytest.mark.parametrize("given", ["file", "link", "file_id"])
def test_a_first_frame_may_be_a_file_a_link_or_an_upload(gateway, simulators, given):
    key = f"ark-frame-{given}"
    with client(gateway, key) as sora:
        if given == "file":
            frame = ("frame.png", FRAME, "image/png")
            video = sora.videos.create(prompt="waves", seconds="4", input_reference=frame)
        else:  # for which the SDK has types, but no way to send them
            upload = sora.files.create(file=("a.png", FRAME, "image/png"), purpose="vision")
            links = {"link": {"image_url": data_url(FRAME)}, "file_id": {"file_id": upload.id}}
            body = {"prompt": "waves", "seconds": "4", "input_reference": links[given]}
            video = sora.post("/videos", body=body, cast_to=openai.types.Video)
        assert (video.object, video.seconds, video.size) == ("video", "4", "1280x720")
        assert sora.videos.poll(video.id, poll_interval_ms=200).status == "completed"
    assert frames_of(simulators, key) == [["image_url"]]


def test_a_form_may_say_all_that_json_may(gateway, simulators):
    key = "ark-form-of-a-film"
    form = {"prompt": "waves", "seed": "7", "watermark": "false", "generate_audio": "true"}
    answer = requests.post(
        gateway.url + SORA,
        files={name: (None, text) for name, text in form.items()},
        headers={"Authorization": f"Bearer {key}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    with client(gateway, key) as sora:
        sora.videos.poll(answer.json()["id"], poll_interval_ms=200)
    (body,) = [
        r["body"] for r in simulators.requests_of(key) if r["operation"] == "ark.videos.create"
    ]
    assert (body["seed"], body["watermark"]) == (7, False)


def test_a_film_that_fails_says_why(gateway):
    with client(gateway, "ark-failed-sora") as sora:
        video = sora.videos.create_and_poll(prompt="waves", poll_interval_ms=200)
        assert (video.status, video.error.code) == ("failed", "job_failed")
        assert video.error.message
        with pytest.raises(openai.ConflictError):
            sora.videos.download_content(video.id)


def test_films_are_paged_in_both_orders(gateway):
    with client(gateway, "ark-paged-films") as sora:
        made = [sora.videos.create(prompt=f"number {n}").id for n in range(5)]
        assert [video.id for video in sora.videos.list(limit=2)] == made[::-1]
        assert [video.id for video in sora.videos.list(limit=2, order="asc")] == made
        page = sora.videos.list(limit=2, after=made[2])
        assert [video.id for video in page.data] == [made[1], made[0]]
        assert not page.has_more
        with pytest.raises(openai.BadRequestError) as err:
            sora.videos.list(limit=0)
        assert err.value.param == "limit"


@pytest.mark.parametrize(
    "path", ["{id}/remix", "edits", "extensions", "characters"], ids=lambda path: path[-6:]
)
def test_what_soras_interface_has_beyond_making_films_is_refused_clearly(gateway, path):
    with client(gateway, "ark-beyond") as sora:
        video = sora.videos.create(prompt="waves")
        with pytest.raises(openai.NotFoundError) as err:
            sora.post(f"/videos/{path.format(id=video.id)}", body={"prompt": "x"}, cast_to=object)
    assert err.value.type == "invalid_request_error"
    assert "not served here" in err.value.message


@pytest.fixture(scope="module")
def seen(own_factory):
    with own_factory.started(workers=1) as gateway:
        command = ["node", "videos.mjs", f"{gateway.url}/v1", "ark-video1-node", data_url(FRAME)]
        done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_node_orders_a_film_and_is_told_when_to_ask_again(seen):
    assert (seen["made"]["object"], seen["made"]["status"]) == ("video", "queued")
    assert int(seen["poll"]) > 0
    *while_running, at_the_end = seen["pauses"]
    assert all(while_running)
    assert at_the_end is None
    assert (seen["video"]["status"], seen["video"]["progress"]) == ("completed", 100)
    assert (seen["video"]["seconds"], seen["video"]["size"]) == ("4", "1280x720")


def test_node_gets_the_film_and_parts_of_it(seen):
    assert seen["early"] == {"name": "ConflictError", "status": 409, "code": "conflict"}
    assert seen["mark"] == "ftyp"
    assert seen["range"] == {"status": 206, "text": "ftyp"}


def test_node_lists_and_deletes_films(seen):
    assert seen["listed"] == [seen["second"], seen["made"]["id"]]
    assert seen["deleted"] == {"id": seen["made"]["id"], "object": "video.deleted", "deleted": True}
    assert seen["gone"] == {"name": "NotFoundError", "status": 404, "code": "not_found"}
    assert seen["remix"]["status"] == 404
