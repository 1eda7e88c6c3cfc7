"""Jobs: none is lost, none is paid for twice, whatever happens to the process that moves it."""

from __future__ import annotations

import contextlib
import random
import signal
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.server.serving import report, until

VIDEO, IMAGES, JOBS, SORA = (
    "/v1/video/generations",
    "/v1/images/generations",
    "/v1/jobs",
    "/v1/videos",
)
ASYNC = {"Prefer": "respond-async"}
ENDED = ("completed", "failed", "cancelled")


SPENT = """
[[accounts]]
name = "spent"
upstream = "ark"
credential = "ark-empty"
models = ["spent-film"]

[[accounts]]
name = "filming"
upstream = "ark"
credential = "ark-pool-video3-killed"
models = ["doubao-video"]

[models."spent-film"]
kind = "video"
routes = [{ upstream = "ark", model = "doubao-seedance-1-0-pro-250528" }]
"""


@pytest.fixture(scope="module")
def site(own_factory):
    with own_factory.started(toml=SPENT, ARK_API_KEYS="") as running:
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


def submitted_twice(vendors):
    """The prompts of killed workers' orders that a vendor was given more than once."""
    prompts = Counter(
        request["body"]["content"][0]["text"]
        for request in vendors.ledger()["requests"]
        if request["operation"] == "ark.videos.create"
    )
    return {prompt for prompt, count in prompts.items() if count > 1 and prompt.startswith("kill ")}


def own_job_whose_process_dies(site, vendors, key):
    until(lambda: answers(site))
    job_id = ordered(site, key=key)
    until(lambda: vendors.operations(key).get("ark.videos.get"))
    for worker in site.workers():
        worker.send_signal(signal.SIGKILL)
    until(lambda: answers(site))
    return job_id


@pytest.mark.timeout(1800)
def test_killed_workers_lose_no_job_and_submit_none_twice(site, vendors, soak):
    kills, orders = (100, 3) if soak else (4, 5)
    made, twice, unknown = [], set(), 0
    own = "ark-own-video2-orphan"
    for kill in range(kills):
        for number in range(orders):
            prompt = f"kill {kill} order {number} {uuid.uuid4().hex}"
            # When its worker was the one that was killed, nothing was promised.
            with contextlib.suppress(requests.RequestException):
                made.append(ordered(site, prompt=prompt))
            if number == random.randrange(orders):
                time.sleep(random.uniform(0, 1.5))
                random.choice(site.workers()).send_signal(signal.SIGKILL)
        twice |= submitted_twice(vendors)
    orphan = own_job_whose_process_dies(site, vendors, own)
    results = [ended(site, job_id, within_s=90) for job_id in made]
    twice |= submitted_twice(vendors)
    found = ended(site, orphan, own, within_s=60)
    assert found["status"] == "completed", found["error"]
    assert vendors.operations(own)["ark.videos.create"] == 1
    assert own not in site.log.read_text()
    for found in results:
        if found["status"] == "failed":
            assert found["error"]["code"] == "outcome_unknown"
            unknown += 1
    report(
        f"{kills} workers killed, {len(made)} jobs accepted: {len(made) - unknown} completed, "
        f"{unknown} outcome unknown, 0 lost, {len(twice)} submitted twice"
    )
    assert not twice
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


def answers(gateway):
    try:
        return gateway.get("/health", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.mark.timeout(300)
def test_films_that_ended_during_a_restart_are_stored_soon_and_their_account_goes_on(
    own_factory, vendors, tmp_path, soak
):
    """The vendor allows an account 20 queries a second; two workers ask for each of its films."""
    count, key = (150, "ark-pool-video3-many") if soak else (40, "ark-pool-video3-few")
    shared = {
        "ARK_API_KEYS": key,
        "DATABASE_URL": f"sqlite:///{tmp_path}/shared.db",
        "GATEWAY_MEDIA": f"file:{tmp_path}/media",
        "GATEWAY_SECRET_KEY": "the same after the restart",
    }
    with own_factory.started(**shared) as first, ThreadPoolExecutor(10) as threads:
        jobs = list(threads.map(lambda n: ordered(first, prompt=f"{key} {n}"), range(count)))
        until(lambda: vendors.operations(key)["ark.videos.create"] == count, within_s=60)
        for process in (first.process, *first.workers()):
            process.send_signal(signal.SIGKILL)
    time.sleep(4)
    began = time.monotonic()
    with own_factory.started(**shared) as second:
        jobs.append(ordered(second, prompt=f"{key} after the restart"))
        for job_id in jobs:
            found = ended(second, job_id, within_s=60)
            if found["status"] != "completed":  # its worker died before the vendor had named it
                assert found["error"]["code"] == "outcome_unknown"
                count -= 1
        took_s = time.monotonic() - began
        assert not second.events("account_cooldown")
        assert second.chat().status_code == 200
    report(f"{count} films that ended during a restart: all stored after {took_s:.0f} s")
    assert count > len(jobs) * 0.8


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


def test_without_a_free_account_who_waits_is_refused_and_who_does_not_is_queued(site):
    wanted = {"prompt": "waves", "model": "spent-film"}
    for _ in range(2):
        answer = site.post(VIDEO, wanted)
        assert answer.json()["error"]["code"] == "no_account_available"
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert "x-should-retry" not in answer.headers
    job_id = ordered(site, **wanted)
    time.sleep(1)
    assert job(site, job_id)["status"] == "queued"
    assert delete(site, f"{JOBS}/{job_id}").json()["status"] == "cancelled"


def test_what_cannot_be_stored_now_is_stored_later(site, vendors):
    folder = site.directory / "var" / "media"
    aside = folder.with_name("aside")
    assert site.get("/ready").status_code == 200
    folder.rename(aside)
    folder.write_text("no folder")
    made = {
        path: (key, ordered(site, path, key=key))
        for path in (VIDEO, IMAGES)
        for key in [f"ark-video1-unstored-{path.split('/')[2]}"]
    }
    for key, job_id in made.values():
        until(lambda key=key, job_id=job_id: job(site, job_id, key)["progress"] == 99)
    assert site.chat("Hello", model="test-model").status_code == 200
    folder.unlink()
    aside.rename(folder)
    for path, (key, job_id) in made.items():
        found = ended(site, job_id, key)
        assert found["status"] == "completed"
        message = found["result"]["choices"][0]["message"]
        url = message["videos"][0]["url"] if path == VIDEO else message["images"][0]
        assert requests.get(url, timeout=10).status_code == 200
        creations = [name for name in vendors.operations(key) if name != "ark.videos.get"]
        assert sum(vendors.operations(key)[name] for name in creations) == 1
