"""What the services may rely on when they keep jobs."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy import select

from gateway.domain.errors import Conflict, StorageUnavailable
from gateway.domain.jobs import Job
from gateway.storage.db import schema as tables
from gateway.storage.records.idempotency import IdempotencyStore
from gateway.storage.records.jobs import ClaimLost, JobStore


def eventually(holds) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


LAPSED = -1.0  # a claim or lease that is over as soon as it is taken


@pytest.fixture
def jobs(database, clock) -> JobStore:
    return JobStore(database, clock=clock)


def job(job_id: str, **fields) -> Job:
    values = {"kind": "video", "owner": "ann", "model": "m", "request": {"prompt": "a 🐈\0"}}
    return Job(id=job_id, **(values | fields))


def test_a_job_comes_back_as_it_was_written(jobs):
    made = jobs.create(job("a", fingerprint="f", account="x", error={"code": None}))
    assert made.created_at == 1_000_000.0
    assert jobs.get("a") == jobs.get_owned("a", "ann") == made
    assert jobs.get_owned("a", "bob") is None
    assert jobs.get("b") is None


def test_a_job_and_what_is_written_with_it_are_there_together_or_not_at_all(jobs, database):
    with pytest.raises(Conflict):
        jobs.create(job("a"), [IdempotencyStore(database).attach("lost", "a")])
    assert jobs.get("a") is None


def test_a_models_name_may_hold_what_postgresql_cannot(jobs):
    jobs.create(job("a", model="m\0n"))
    assert jobs.get("a").model == "mn"


def test_jobs_are_listed_by_owner_kind_and_age_in_pages(jobs, clock):
    for number in range(6):
        clock.time += number % 2  # two of each age
        jobs.create(job(f"j{number}", kind="image" if number == 3 else "video"))
    jobs.create(job("foreign", owner="bob"))
    ids = [found.id for found in jobs.list("ann")]
    assert ids == ["j5", "j4", "j3", "j2", "j1", "j0"]
    assert [found.id for found in jobs.list("ann", order="asc")] == ids[::-1]
    assert [found.id for found in jobs.list("ann", kinds=("video",), limit=3)] == ["j5", "j4", "j2"]
    assert [found.id for found in jobs.list("ann", after="j4", limit=2)] == ["j3", "j2"]
    assert [found.id for found in jobs.list("ann", after="j4", order="asc")] == ["j5"]
    assert jobs.list("ann", after="foreign") == []


def test_a_running_job_is_found_by_its_fingerprint(jobs, clock):
    jobs.create(job("old", fingerprint="f"))
    clock.time += 1
    jobs.create(job("new", fingerprint="f"))
    jobs.create(job("foreign", owner="bob", fingerprint="f"))
    assert jobs.find_running("ann", "f").id == "new"
    assert jobs.find_running("ann", "g") is None
    jobs.cancel("new", "ann")
    assert jobs.find_running("ann", "f").id == "old"


def test_only_one_holds_a_claim_until_it_is_given_back(jobs):
    made = jobs.create(job("a"))
    with jobs.claim("a") as claim:
        assert claim.job == made
        assert jobs.claimable() == []
        with jobs.claim("a") as second:
            assert second is None
    assert jobs.claimable() == ["a"]
    with jobs.claim("a") as again:
        assert again is not None


def test_a_claim_that_lapsed_goes_to_the_next_and_the_first_can_change_nothing(jobs):
    jobs.create(job("a"))
    with jobs.claim("a", ttl_s=LAPSED) as first:
        assert jobs.claimable() == ["a"]
        with jobs.claim("a") as second:
            with pytest.raises(ClaimLost):
                jobs.save(replace(first.job, progress=10), first)
            assert first.lost
            assert not first.renew()
            assert jobs.save(replace(second.job, progress=20), second).progress == 20
    assert jobs.get("a").progress == 20


def test_a_claim_that_lapsed_unnoticed_is_still_good(jobs):
    jobs.create(job("a"))
    with jobs.claim("a", ttl_s=LAPSED) as claim:
        jobs.save(replace(claim.job, status="submitting"), claim)
        assert claim.renew()
    assert jobs.get("a").status == "submitting"


def test_a_claim_is_kept_alive_in_the_background_until_it_is_lost(jobs, database):
    def lives_until() -> float:
        with database.read() as connection:
            return connection.execute(select(tables.jobs.c.claim_expires_at)).scalar_one()

    jobs.create(job("a"))
    with jobs.claim("a", ttl_s=0.6) as claim, claim.keep_alive():
        for _ in range(3):
            before = lives_until()
            eventually(lambda before=before: lives_until() > before)
        assert not claim.lost
        jobs.cancel("a", "ann")
        eventually(lambda: claim.lost)


def test_a_claim_that_could_not_be_renewed_is_tried_again_before_it_lapses(
    jobs, database, monkeypatch
):
    ttl_s, failures, write = 3.0, [StorageUnavailable("away")] * 3, database.write
    renewed = []

    def flaky():
        if failures:
            raise failures.pop()
        renewed.append(time.monotonic())
        return write()

    jobs.create(job("a"))
    with jobs.claim("a", ttl_s=ttl_s) as claim:
        began = time.monotonic()
        monkeypatch.setattr(database, "write", flaky)
        with claim.keep_alive():
            eventually(lambda: renewed)
    assert renewed[0] - began < ttl_s


def test_saving_an_ended_job_dates_it_and_nothing_changes_it_afterwards(jobs, clock):
    jobs.create(job("a"))
    with jobs.claim("a") as claim:
        clock.time += 5
        ended = jobs.save(replace(claim.job, status="completed", result={"n": [1]}), claim)
        assert ended.completed_at == clock.time
        with pytest.raises(ClaimLost):
            jobs.save(replace(ended, status="failed"), claim)
    assert jobs.get("a") == ended
    assert jobs.cancel("a", "ann") is None
    assert jobs.claimable() == []
    with jobs.claim("a") as claim:
        assert claim is None


def test_cancelling_ends_a_job_under_the_hands_of_who_moves_it(jobs):
    jobs.create(job("a"))
    assert jobs.cancel("a", "bob") is None
    with jobs.claim("a") as claim:
        assert jobs.cancel("a", "ann").status == "cancelled"
        with pytest.raises(ClaimLost):
            jobs.save(replace(claim.job, status="completed"), claim)
    assert jobs.get("a").status == "cancelled"


def test_abandoned_jobs_can_be_walked_page_by_page(jobs):
    for number in range(5):
        jobs.create(job(f"j{number}"))
    assert jobs.claimable(limit=2) == ["j0", "j1"]
    assert jobs.claimable(limit=2, after="j1") == ["j2", "j3"]
    assert jobs.claimable(after="j4") == []


def test_only_the_owner_deletes_and_only_what_has_ended(jobs):
    jobs.create(job("a"))
    assert not jobs.delete("a", "ann")
    jobs.cancel("a", "ann")
    assert not jobs.delete("a", "bob")
    assert jobs.delete("a", "ann")
    assert jobs.get("a") is None


def test_old_jobs_are_purged_but_never_unfinished_ones(jobs, clock):
    for number in range(3):
        jobs.create(job(f"j{number}"))
    jobs.cancel("j0", "ann")
    clock.time += 100
    jobs.cancel("j1", "ann")
    assert jobs.purge(clock.time, refused_before=0) == 1
    assert [found.id for found in jobs.list("ann", order="asc")] == ["j1", "j2"]


def test_jobs_whose_credential_was_refused_are_purged_sooner(jobs, clock):
    refused, other = {"code": "invalid_api_key"}, {"code": "job_failed"}
    for name, owner, status, error in (
        ("guessed", "own:0", "failed", refused),
        ("failed", "own:0", "failed", other),
        ("made", "own:0", "completed", None),
        ("keyed", "key:team", "failed", refused),
    ):
        made = job(name, owner=owner, status=status, error=error, completed_at=clock.time)
        jobs.create(made)
    assert jobs.purge(clock.time - 100, refused_before=clock.time) == 0
    assert jobs.purge(clock.time - 100, refused_before=clock.time + 1) == 1
    assert jobs.get("guessed") is None
