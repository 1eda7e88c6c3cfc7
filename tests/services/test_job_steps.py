"""Films and pictures that are paid for, in front of vendors and stores that fail."""

from __future__ import annotations

import base64

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.stores.jobs import JobStore
from gateway.stores.media_index import MediaIndex
from tests.services.media.kit import MP4, picture
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
    class Index(MediaIndex):
        failures = 1

        def add(self, stored, owner):
            if self.failures:
                self.failures -= 1
                raise StorageUnavailable("away")
            super().add(stored, owner)

    process = works(index=Index(world.database))
    job = process.moved(process.film("gemini"))
    assert job.status == "completed"
    assert job.result["usage"]["completion_tokens"] == 5


def test_a_film_whose_process_dies_before_it_is_written_down_is_made_by_another(
    works, world, gemini
):
    class Dying(JobStore):
        def save(self, job, claim):
            if job.status == "completed":
                raise SystemExit
            return super().save(job, claim)

    first = works(jobs=Dying(world.database))
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


@pytest.mark.parametrize("cover", [404, 500, b"no picture"])
def test_a_film_whose_cover_cannot_be_read_has_none(works, ark, cover):
    process = works()
    job = process.moved(process.film("ark"))
    assert job.result["media"][0]["cover"]["mime_type"] == "image/png"
    ark.says["GET /cover"] = cover
    job = process.moved(process.film("ark"))
    assert (job.status, job.result["media"][0]["cover"]) == ("completed", None)
