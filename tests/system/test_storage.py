"""Where media lie: S3 as a second home, and what happens when there is no room."""

from __future__ import annotations

import io
import os
import subprocess
import time
from contextlib import contextmanager

import requests
from PIL import Image

from tests.server.serving import until
from tests.support.media import data_url, png

IMAGES, VIDEO = "/v1/images/generations", "/v1/video/generations"


def test_media_live_in_s3_and_are_served_from_there(gateway_factory, s3):
    with gateway_factory.started(**s3.settings()) as gateway:
        assert gateway.get("/ready").json()["media"] == "ok"
        url = gateway.post(IMAGES, {"prompt": "a cat"}).json()["data"][0]["url"]
        first = requests.get(url, allow_redirects=False, timeout=10)
        assert first.status_code == 302
        assert first.headers["Location"].startswith(s3.url)
        whole = requests.get(url, timeout=10)
        assert whole.headers["Content-Type"] == "image/jpeg"
        # A presigned link is good for one method only, and what did not change moves nowhere.
        head = requests.head(url, allow_redirects=True, timeout=10)
        assert (head.status_code, int(head.headers["Content-Length"])) == (200, len(whole.content))
        same = {"If-None-Match": head.headers["ETag"]}
        assert requests.get(url, headers=same, timeout=10).status_code == 304
        Image.open(io.BytesIO(whole.content)).load()
        part = requests.get(url, headers={"Range": "bytes=0-9"}, timeout=10)
        assert part.content == whole.content[:10]
        encoded = gateway.post(IMAGES, {"prompt": "a dog", "response_format": "b64_json"})
        assert len(encoded.json()["data"][0]["b64_json"]) > 1000
        again = gateway.post(IMAGES, {"prompt": "bluer", "image": url})
        assert again.status_code == 200
        film = gateway.post(VIDEO, {"prompt": "waves"}).json()
        found = requests.get(film["choices"][0]["message"]["videos"][0]["url"], timeout=10)
        assert found.content[4:8] == b"ftyp"
        assert not (gateway.directory / "var" / "media").exists()


@contextmanager
def small_disk(path, size="1m"):
    path.mkdir(parents=True, exist_ok=True)
    as_root = [] if os.getuid() == 0 else ["sudo", "-n"]
    options = f"size={size},uid={os.getuid()},gid={os.getgid()}"
    subprocess.run([*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run([*as_root, "umount", "-l", path], check=True)


def test_a_full_disk_costs_no_chat_and_no_video(gateway_factory, tmp_path):
    with (
        small_disk(tmp_path / "media") as disk,
        gateway_factory.started(GATEWAY_MEDIA=f"file:{disk}") as gateway,
    ):
        filler = disk / "filler"
        filler.write_bytes(b"x" * 1_020_000)
        refused = gateway.post(IMAGES, {"prompt": "a cat"})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "storage_unavailable"
        assert int(refused.headers["Retry-After"]) == 30
        assert refused.headers["x-should-retry"] == "false"
        assert refused.headers["X-Gateway-Job"] in refused.json()["error"]["message"]
        part = {"type": "image_url", "image_url": {"url": data_url(png())}}
        body = {"model": "doubao", "messages": [{"role": "user", "content": ["See", part]}]}
        assert gateway.post("/v1/chat/completions", body).status_code == 200
        job = gateway.post(VIDEO, {"prompt": "a"}, headers={"Prefer": "respond-async"})
        assert job.status_code == 202
        view = wait_until(gateway, job.headers["Location"], lambda j: j["progress"] >= 99)
        assert view["status"] == "in_progress"
        # A film that is on its way in again has a file for as long as that takes.
        until(lambda: [p.name for p in disk.rglob("*") if p.is_file()] == ["filler"])
        filler.unlink()
        view = wait_until(gateway, job.headers["Location"], lambda j: j["status"] == "completed")
        url = view["result"]["choices"][0]["message"]["videos"][0]["url"]
        assert requests.get(url, timeout=10).content[4:8] == b"ftyp"


def test_a_form_that_finds_no_room_on_its_way_in_is_told_so(gateway_factory, tmp_path):
    with (
        small_disk(tmp_path / "temporary") as disk,
        gateway_factory.started(TMPDIR=str(disk)) as gateway,
    ):
        large, fields = png().ljust(2_000_000, b"-"), {"prompt": "bluer", "model": "doubao-image"}
        for path, name in (
            ("/v1/files", "file"),
            ("/v1/images/edits", "image"),
            ("/v1/videos", "input_reference"),
        ):
            refused = upload(gateway, path, name, large, fields)
            assert refused.status_code == 503, refused.text
            assert refused.json()["error"]["code"] == "storage_unavailable"
            assert refused.headers["Retry-After"]
        # Only where nothing was left behind there is room for this.
        assert upload(gateway, "/v1/files", "file", b"-" * 700_000, fields).status_code == 200
        left = [path.name for path in disk.iterdir()]
        assert [name for name in left if not name.startswith("gateway-metrics-")] == []


def upload(gateway, path, name, data, fields):
    files = {name: ("a.png", data, "image/png")}
    return requests.post(gateway.url + path, files=files, data=fields, timeout=30)


def wait_until(gateway, path, condition, tries=150):
    for _ in range(tries):
        job = gateway.get(path).json()
        if condition(job):
            return job
        assert job["status"] in ("queued", "in_progress"), job
        time.sleep(0.2)
    raise AssertionError(f"the job never got there: {job}")
