"""Films and pictures that are paid for, in front of vendors and stores that fail."""

from __future__ import annotations

import base64
import time

import pytest

from gateway.domain.accounts import Secret
from gateway.domain.errors import StorageUnavailable
from gateway.domain.jobs import Job
from gateway.storage.db.processes import Processes
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.media_index import MediaIndex
from tests.services.media.kit import MP4, picture
from tests.services.pools import account
from tests.services.works import Vendor, opened

INTERACTIONS = "/v1beta/interactions"
GEMINI_FILM = {
    "id": "v1_1",
    "status": "completed",
    "steps": [
        {
            "type": "model_output",
            "content": [{"type": "video", "data": base64.b64encode(MP4).decode()}],
        }
    ],
    "usage": {"total_output_tokens": 5},
}
DELETION = f"DELETE {INTERACTIONS}/v1_1"


TASKS = "/contents/generations/tasks"


@pytest.fixture
def vendor():
    with Vendor.started() as running:
        yield running


class Forgetful(MediaIndex):
    """Notes nothing the first `times`."""

    def __init__(self, database, *, times):
        super().__init__(database)
        self._times = times

    def add(self, *stored, **options):
        if self._times:
            self._times -= 1
            raise StorageUnavailable("away")
        super().add(*stored, **options)


@pytest.fixture
def works(world, vendor):
    with opened(world, vendor) as make:
        yield make


@pytest.fixture
def gemini(vendor):
    """A vendor with a film that is gone once it was deleted."""

    def film():
        return 404 if DELETION in vendor.asked else GEMINI_FILM

    vendor.says = {
        f"POST {INTERACTIONS}": {"id": "v1_1", "status": "in_progress"},
        f"GET {INTERACTIONS}/v1_1": film,
        DELETION: {},
    }
    return vendor


def test_a_film_is_deleted_at_the_vendor_once_it_is_written_down(works, gemini):
    process = works()
    written = []
    gemini.says[DELETION] = lambda: written.append(process.jobs.get(job.id).status) or {}
    job = process.film("gemini")
    assert process.moved(job).status == "completed"
    assert written == ["completed"]


def test_a_film_that_the_vendor_does_not_delete_is_a_film(works, gemini):
    gemini.says[DELETION] = 500
    process = works()
    assert process.moved(process.film("gemini")).status == "completed"


def test_a_film_that_could_not_be_noted_is_fetched_again(works, world, gemini):
    process = works(index=Forgetful(world.database, times=1))
    job = process.moved(process.film("gemini"))
    assert job.status == "completed"
    assert job.result["usage"]["completion_tokens"] == 5


def test_a_film_whose_process_dies_before_it_is_written_down_is_made_by_another(
    works, world, gemini
):
    class Dying(JobStore):
        def save(self, job):
            if job.status == "completed":
                raise SystemExit
            return super().save(job)

    first = works(jobs=Dying(world.database, Processes(world.database)))
    job = first.film("gemini")
    with pytest.raises(SystemExit):
        first.moved(job)
    assert works().moved(job).status == "completed"
    assert gemini.asked.count(f"POST {INTERACTIONS}") == 1
    assert gemini.asked[-1] == DELETION


@pytest.fixture
def ark(vendor):
    """A vendor with a film and its cover."""
    content = {"video_url": f"{vendor.url}/film", "last_frame_url": f"{vendor.url}/cover"}
    vendor.says = {
        f"POST {TASKS}": {"id": "cgt-1"},
        f"GET {TASKS}/cgt-1": {"id": "cgt-1", "status": "succeeded", "content": content},
        "GET /film": MP4,
        "GET /cover": picture(),
    }
    return vendor


def test_a_film_waits_for_the_key_of_its_account_but_not_for_a_removed_account(works, world, ark):
    accounts = AccountStore(world.database, secret_keys=[Secret("another" * 5)])
    accounts.add(account("sealed", upstream="ark"))
    process = works()
    film = Job("j", "video", "alice", "m", {}, "in_progress", "ark", "sealed", task_id="cgt-1")
    film = process.jobs.create(film)
    assert process.moved(film, 20).status == "in_progress"
    accounts.remove("sealed")
    assert works().moved(film).error["code"] == "job_failed"


@pytest.mark.parametrize("cover", [404, 500, b"no picture"])
def test_a_film_whose_cover_cannot_be_read_has_none(works, ark, cover):
    process = works()
    job = process.moved(process.film("ark"))
    assert job.result["media"][0]["cover"]["mime_type"] == "image/png"
    ark.says["GET /cover"] = cover
    job = process.moved(process.film("ark"))
    assert (job.status, job.result["media"][0]["cover"]) == ("completed", None)


@pytest.mark.parametrize("content", [None, {}, {"video_url": ""}, ["https://x.example/film.mp4"]])
def test_a_finished_film_without_an_address_is_asked_for_again(works, ark, content):
    film = ark.says[f"GET {TASKS}/cgt-1"]
    ark.says[f"GET {TASKS}/cgt-1"] = {"status": "succeeded", "content": content}
    process = works()
    job = process.moved(process.film("ark"), 5)
    assert job.status == "in_progress"
    ark.says[f"GET {TASKS}/cgt-1"] = film
    assert process.moved(job).status == "completed"
    assert ark.asked.count(f"POST {TASKS}") == 1


@pytest.mark.parametrize("answer", [{"status": "dreaming"}, [], b"<html>", {"status": ["running"]}])
def test_answers_that_make_no_sense_are_borne_for_a_while(works, ark, answer):
    film = ark.says[f"GET {TASKS}/cgt-1"]
    process = works()
    answers = iter([*[answer] * 20, film])
    ark.says[f"GET {TASKS}/cgt-1"] = lambda: next(answers)
    assert process.moved(process.film("ark")).status == "completed"


def test_a_film_is_given_up_after_an_hour_of_answers_that_make_no_sense(works, ark):
    answers = iter([*[{}] * 119, {"status": "running"}, *[{}] * 120])
    ark.says[f"GET {TASKS}/cgt-1"] = lambda: next(answers)
    process = works()
    job = process.moved(process.film("ark"), 300)
    assert len(ark.asked) == 1 + 119 + 1 + 120
    code = job.error["code"]
    assert (job.status, code, job.error["sent"]) == ("failed", "upstream_invalid_response", True)


def test_a_film_that_is_no_film_is_not_fetched_for_long(works, ark):
    ark.says["GET /film"] = b"<html>no film"
    process = works()
    job = process.moved(process.film("ark"))
    assert (job.status, job.error["code"]) == ("failed", "upstream_invalid_response")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "failed", "error": "boom"},
        {"status": "failed", "error": ["boom"]},
        {"status": "failed", "error": {"code": 5, "message": {"en": "boom"}}},
    ],
)
def test_a_films_failure_is_told_however_it_is_written(works, ark, answer):
    ark.says[f"GET {TASKS}/cgt-1"] = answer
    process = works()
    job = process.moved(process.film("ark"))
    assert (job.status, job.error["code"]) == ("failed", "job_failed")
    assert "boom" in job.error["message"]


def test_a_film_is_kept_whatever_is_said_of_its_price(works, ark):
    ark.says[f"GET {TASKS}/cgt-1"] |= {"usage": 7}
    process = works()
    assert process.moved(process.film("ark")).status == "completed"


def test_a_film_at_gemini_is_kept_whatever_is_said_of_its_price(works, gemini):
    gemini.says[f"GET {INTERACTIONS}/v1_1"] = GEMINI_FILM | {"usage": ["7"]}
    process = works()
    assert process.moved(process.film("gemini")).status == "completed"


@pytest.mark.parametrize("part", [{"data": 5}, {"uri": ["x"]}, {"data": {}, "uri": 5}])
def test_a_film_at_gemini_whose_place_is_no_text_has_failed(works, gemini, part):
    steps = [{"type": "model_output", "content": [{"type": "video", **part}]}]
    gemini.says[f"GET {INTERACTIONS}/v1_1"] = GEMINI_FILM | {"steps": steps}
    process = works()
    assert process.moved(process.film("gemini")).error["code"] == "upstream_invalid_response"


@pytest.mark.parametrize("upstream", ["ark", "gemini"])
def test_a_task_that_is_not_visible_yet_is_waited_for(works, request, upstream):
    vendor = request.getfixturevalue(upstream)
    path = f"GET {TASKS}/cgt-1" if upstream == "ark" else f"GET {INTERACTIONS}/v1_1"
    film, missing = vendor.says[path], [(404, {"error": {"code": "NotFound"}})] * 2

    def task():
        if missing:
            return missing.pop()
        return film() if callable(film) else film

    vendor.says[path] = task
    process = works()
    job = process.moved(process.film(upstream))
    assert job.status == "completed"
    assert len([asked for asked in vendor.asked if asked == path]) > 2


@pytest.mark.parametrize("upstream", ["ark", "gemini"])
def test_a_task_that_stays_invisible_has_failed(works, request, clock, upstream):
    vendor = request.getfixturevalue(upstream)
    path = f"GET {TASKS}/cgt-1" if upstream == "ark" else f"GET {INTERACTIONS}/v1_1"
    vendor.says[path] = (404, {"error": {"code": "NotFound", "message": "no such task"}})
    process = works(clock=clock)
    job = process.moved(process.film(upstream), 5)
    assert job.status == "in_progress"
    clock.time += 61
    job = process.moved(job)
    assert (job.status, job.error["code"]) == ("failed", "job_failed")


@pytest.mark.parametrize(
    "data", [["https://x.example/y.png"], [None], {}, {"url": "u"}, "u", 5, [{"url": 5}], [[]]]
)
@pytest.mark.parametrize("upstream", ["ark", "openai"])
def test_pictures_that_cannot_be_read_are_said_to_be_so(works, vendor, upstream, data):
    vendor.says["POST /images/generations"] = {"created": 1, "data": data}
    process = works()
    job = process.moved(process.picture(upstream))
    assert (job.status, job.error["code"]) == ("failed", "upstream_invalid_response")
    assert len(vendor.asked) == 1


def test_pictures_that_are_stored_are_kept_when_nothing_is_made_of_the_others(works, world, ark):
    urls = [{"url": f"{ark.url}/cover"}, {"url": f"{ark.url}/lost"}]
    ark.says |= {"POST /images/generations": {"data": urls}, "GET /lost": picture()}
    process = works(index=Forgetful(world.database, times=2))
    job = process.moved(process.picture("ark"), 1)
    assert (job.status, len(job.result["waiting"])) == ("storing", 2)
    ark.says["GET /lost"] = b"<html>no picture"
    job = process.moved(job, 121)
    assert (job.status, len(job.result["media"])) == ("completed", 1)
    assert job.result["usage"]["images"] == 2


def test_pictures_that_can_be_read_are_kept_beside_others(works, ark):
    url = f"{ark.url}/cover"
    ark.says["POST /images/generations"] = {"data": [None, {"url": url}], "usage": "7"}
    process = works()
    assert len(process.moved(process.picture("ark")).result["media"]) == 1


@pytest.mark.parametrize(("status", "sent"), [("queued", False), ("in_progress", True)])
def test_a_job_that_takes_too_long_says_whether_a_vendor_had_it(works, vendor, clock, status, sent):
    process = works(clock=clock)
    old = Job("j", "video", "own:x", "m", {}, status, upstream="ark", task_id="t", created_at=1.0)
    old = process.jobs.create(old)
    assert process.steps.needs_credential(old)
    clock.time += 3601
    assert not process.steps.needs_credential(old)
    job = process.moved(old)
    assert (job.status, job.error["code"], job.error["sent"]) == (
        "failed",
        "upstream_timeout",
        sent,
    )
    assert vendor.asked == []


@pytest.mark.parametrize("days", [1, 40])
def test_a_clock_that_is_set_ahead_fails_no_video_in_progress(works, ark, days):
    wall = [time.time()]
    process = works(wall_clock=lambda: wall[0])
    done = ark.says[f"GET {TASKS}/cgt-1"]
    ark.says[f"GET {TASKS}/cgt-1"] = {"id": "cgt-1", "status": "running"}
    job = process.moved(process.film("ark"), 2)
    wall[0] += days * 86_400
    assert process.moved(job, 2).status == "in_progress"
    ark.says[f"GET {TASKS}/cgt-1"] = done
    assert process.moved(job).status == "completed"


@pytest.mark.parametrize("failure", [404, 503, b"", "cut"])
def test_an_image_whose_link_fails_at_first_is_read_again_and_ordered_once(works, ark, failure):
    answers = iter([failure, failure])
    ark.says |= {
        "POST /images/generations": {"data": [{"url": f"{ark.url}/late"}]},
        "GET /late": lambda: next(answers, picture()),
    }
    process = works()
    job = process.moved(process.picture("ark"), 1)
    assert (job.status, len(job.result["waiting"])) == ("storing", 1)
    job = process.moved(job)
    assert (job.status, len(job.result["media"])) == ("completed", 1)
    assert ark.asked.count("POST /images/generations") == 1
    assert ark.asked.count("GET /late") == 3


def test_one_image_that_waits_keeps_no_other_from_being_stored(works, ark):
    late = iter([404, 404])
    urls = [{"url": f"{ark.url}/late"}, {"url": f"{ark.url}/cover"}]
    ark.says |= {
        "POST /images/generations": {"data": urls},
        "GET /late": lambda: next(late, picture()),
    }
    process = works()
    job = process.moved(process.picture("ark"), 2)
    assert [len(job.result[name]) for name in ("media", "waiting")] == [1, 1]
    assert len(process.moved(job).result["media"]) == 2


def test_a_rate_limit_of_queries_slows_them_down_and_does_not_touch_the_account(works, ark):
    done, answers = ark.says[f"GET {TASKS}/cgt-1"], iter([429, 429])
    ark.says[f"GET {TASKS}/cgt-1"] = lambda: next(answers, done)
    process = works()
    job = process.moved(process.film("ark"), 3)
    assert job.status == "in_progress"
    assert process.steps.query_in_s(job) > 0.5
    assert {view.state for view in process.pool.snapshot()} == {"ready"}
    assert process.moved(job).status == "completed"


def test_a_job_that_meets_a_defect_fails_and_says_so(works, world, ark, capsys):
    class Defective(MediaIndex):
        def add(self, *stored, **options):
            raise ZeroDivisionError

    process = works(index=Defective(world.database))
    job = process.moved(process.film("ark"))
    assert (job.status, job.error["code"], job.error["sent"]) == ("failed", "internal_error", True)
    assert "ZeroDivisionError" in capsys.readouterr().err
