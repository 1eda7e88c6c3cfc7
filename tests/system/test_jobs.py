"""Jobs: none is lost, none is paid for twice, whatever happens to the process that moves it."""

from __future__ import annotations

import contextlib
import random
import signal
import time
import uuid
from collections import Counter

import pytest
import requests

from tests.worker.serving import report, until

VIDEO, IMAGES, JOBS, SORA = (
    "/v1/video/generations",
    "/v1/images/generations",
    "/v1/jobs",
    "/v1/videos",
)
ASYNC = {"Prefer": "respond-async"}
ENDED = ("completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def site(own_factory):
    with own_factory.started(ARK_API_KEYS="ark-pool-video1") as running:
        yield running


def ordered(gateway, path=VIDEO, *, key=None, **body):
    body.setdefault("prompt", f"waves {uuid.uuid4().hex}")
    answer = gateway.post(path, body, key=key, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def job(gateway, job_id, key=None):
    answer = gateway.get(f"{JOBS}/{job_id}", key=key)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(gateway, job_id, key=None, within_s=30):
    return until(
        lambda: (found := job(gateway, job_id, key))["status"] in ENDED and found,
        within_s=within_s,
    )


def delete(gateway, path, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return requests.delete(gateway.url + path, headers=headers, timeout=30)


def submissions(vendors):
    """How often each prompt was submitted."""
    return Counter(
        request["body"]["content"][0]["text"]
        for request in vendors.ledger()["requests"]
        if request["operation"] == "ark.videos.create"
    )


@pytest.mark.timeout(1800)
def test_killed_workers_lose_no_job_and_submit_none_twice(own_factory, vendors, soak):
    kills, orders = (100, 3) if soak else (4, 5)
    made, twice, unknown = [], 0, 0
    with own_factory.started(ARK_API_KEYS="ark-pool-video3-killed") as gateway:
        for kill in range(kills):
            for number in range(orders):
                prompt = f"kill {kill} order {number} {uuid.uuid4().hex}"
                # When its worker was the one that was killed, nothing was promised.
                with contextlib.suppress(requests.RequestException):
                    made.append(ordered(gateway, prompt=prompt))
                if number == random.randrange(orders):
                    time.sleep(random.uniform(0, 1.5))
                    random.choice(gateway.workers()).send_signal(signal.SIGKILL)
            twice += sum(count > 1 for count in submissions(vendors).values())
        results = [ended(gateway, job_id, within_s=90) for job_id in made]
        twice += sum(count > 1 for count in submissions(vendors).values())
    for found in results:
        if found["status"] == "failed":
            assert found["error"]["code"] == "outcome_unknown"
            unknown += 1
    report(
        f"{kills} workers killed, {len(made)} jobs accepted: {len(made) - unknown} completed, "
        f"{unknown} outcome unknown, 0 lost, {twice} submitted twice"
    )
    assert twice == 0
    assert unknown <= max(2, len(made) // 10)


def test_a_draining_process_hands_its_jobs_to_another_machine_at_once(
    own_factory, vendors, tmp_path
):
    shared = {
        "ARK_API_KEYS": "ark-pool-video8-handed",
        "DATABASE_URL": f"sqlite:///{tmp_path}/shared.db",
        "GATEWAY_MEDIA": f"file:{tmp_path}/media",
        "GATEWAY_SECRET_KEY": "shared by both machines",
    }
    with own_factory.started(workers=1, **shared) as first:
        job_id = ordered(first, prompt="handed over")
        until(lambda: job(first, job_id)["status"] == "in_progress")
        with own_factory.started(workers=1, **shared) as second:
            first.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            first.process.wait(10)
            left_after_s = time.monotonic() - began
            assert ended(second, job_id)["status"] == "completed"
    assert left_after_s < 5
    assert vendors.operations("ark-pool-video8-handed")["ark.videos.create"] == 1


def test_an_own_job_goes_on_when_its_owner_asks_again(own_factory, vendors):
    key = "ark-own-video2-orphan"
    with own_factory.started(workers=2) as gateway:
        job_id = ordered(gateway, key=key)
        until(lambda: job(gateway, job_id, key)["status"] == "in_progress")
        for worker in gateway.workers():
            worker.send_signal(signal.SIGKILL)
        until(lambda: answers(gateway))
        found = ended(gateway, job_id, key, within_s=60)
        assert found["status"] == "completed"
        assert vendors.operations(key)["ark.videos.create"] == 1
        assert key not in gateway.log.read_text()


def answers(gateway):
    try:
        return gateway.get("/health", timeout=2).ok
    except requests.RequestException:
        return False


def test_a_film_is_kept_although_nobody_asks(site, vendors):
    key = "ark-video1-unasked"
    job_id = ordered(site, key=key)
    until(lambda: vendors.operations(key).get("ark.videos.get", 0) >= 1)
    time.sleep(3)
    checks = vendors.operations(key)["ark.videos.get"]
    found = job(site, job_id, key)
    assert found["status"] == "completed"
    assert vendors.operations(key)["ark.videos.get"] == checks


def test_a_cancelled_job_is_cancelled_at_the_vendor_too(site, vendors):
    key = "ark-video60-cancelled"
    cancelled = vendors.ledger(requests_too=False)["tasks"]["cancelled"]
    job_id = ordered(site, key=key)
    until(lambda: vendors.operations(key).get("ark.videos.get"))
    answer = delete(site, f"{JOBS}/{job_id}", key)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert vendors.ledger(requests_too=False)["tasks"]["cancelled"] == cancelled + 1
    assert {job(site, job_id, key)["status"] for _ in range(6)} == {"cancelled"}
    again = delete(site, f"{JOBS}/{job_id}", key)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert again.headers["x-should-retry"] == "false"


def test_a_job_given_up_while_it_is_being_submitted_is_cancelled_once_it_has_a_name(site, vendors):
    key = "ark-video60-long1-early"
    cancelled = vendors.ledger(requests_too=False)["tasks"]["cancelled"]
    job_id = ordered(site, key=key)
    until(lambda: vendors.operations(key).get("ark.videos.create"))
    assert delete(site, f"{JOBS}/{job_id}", key).json()["status"] == "cancelled"
    vendors.until(lambda ledger: ledger["tasks"]["cancelled"] == cancelled + 1)


def test_a_film_in_soras_shape_is_not_there_before_it_is(site):
    key = "ark-video60-sora"
    video = site.post(SORA, {"prompt": "waves", "seconds": "4"}, key=key)
    path = f"{SORA}/{video.json()['id']}"
    assert video.headers["openai-poll-after-ms"]
    content = site.get(f"{path}/content", key=key)
    assert (content.status_code, content.headers["x-should-retry"]) == (409, "false")
    assert site.get(path, key="ark-stranger").status_code == 404
    assert delete(site, path, "ark-stranger").status_code == 404
    assert delete(site, path, key).json()["deleted"]
    assert site.get(path, key=key).status_code == 404
    assert site.get(SORA, key=key).json()["data"] == []


def test_jobs_are_listed_page_by_page(site):
    key = "ark-video1-pages"
    made = [ordered(site, key=key) for _ in range(3)]
    first = site.get(f"{JOBS}?limit=2", key=key).json()
    assert [found["id"] for found in first["data"]] == made[:0:-1]
    assert first["has_more"]
    rest = site.get(f"{JOBS}?limit=2&after={first['last_id']}", key=key).json()
    assert [found["id"] for found in rest["data"]] == made[:1]
    assert not rest["has_more"]


def test_without_a_free_account_who_waits_is_refused_and_who_does_not_is_queued(own_factory):
    with own_factory.started(workers=1, ARK_API_KEYS="ark-empty4") as gateway:
        for _ in range(2):
            answer = gateway.post(VIDEO, {"prompt": "waves"})
            assert answer.json()["error"]["code"] == "no_account_available"
            assert answer.status_code == 429
            assert int(answer.headers["Retry-After"]) >= 1
            assert "x-should-retry" not in answer.headers
        job_id = ordered(gateway)
        time.sleep(1)
        assert job(gateway, job_id)["status"] == "queued"
        assert delete(gateway, f"{JOBS}/{job_id}").json()["status"] == "cancelled"


@pytest.mark.parametrize("path", [VIDEO, IMAGES])
def test_what_cannot_be_stored_now_is_stored_later(own_factory, vendors, tmp_path, path):
    key = f"ark-video1-unstored-{path.split('/')[2]}"
    folder = tmp_path / "media"
    with own_factory.started(workers=1, GATEWAY_MEDIA=f"file:{folder}") as gateway:
        assert gateway.get("/ready").status_code == 200
        folder.rename(tmp_path / "aside")
        folder.write_text("no folder")
        job_id = ordered(gateway, path, key=key)
        until(lambda: job(gateway, job_id, key)["progress"] == 99)
        assert gateway.chat("Hello").status_code == 200
        folder.unlink()
        (tmp_path / "aside").rename(folder)
        found = ended(gateway, job_id, key)
        assert found["status"] == "completed"
        message = found["result"]["choices"][0]["message"]
        url = message["videos"][0]["url"] if path == VIDEO else message["images"][0]
        assert requests.get(url, timeout=10).status_code == 200
    creations = [name for name in vendors.operations(key) if name != "ark.videos.get"]
    assert sum(vendors.operations(key)[name] for name in creations) == 1
