"""What the services may rely on when they keep jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.errors import Conflict, StorageUnavailable
from gateway.domain.jobs import Job
from gateway.storage.db.processes import Processes
from gateway.storage.db.schema import processes
from gateway.storage.records.idempotency import Claim, IdempotencyStore
from gateway.storage.records.jobs import ClaimLost, JobStore


@pytest.fixture
def jobs(database, clock) -> JobStore:
    return JobStore(database, Processes(database, host="here"), clock=clock)


@pytest.fixture
def others(database, clock) -> JobStore:
    """The store of a process of another host."""
    return JobStore(database, Processes(database, host="there"), clock=clock)


def end(database, host: str) -> None:
    with database.write() as connection:
        connection.execute(processes.delete().where(processes.c.host == host))


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
        jobs.create(
            job("a"), [IdempotencyStore(database, Processes(database)).attach(Claim("s", "k"), "a")]
        )
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


def test_only_one_claims_a_job_until_it_is_given_back(jobs, others):
    made = jobs.create(job("a"))
    with jobs.claim("a") as claimed:
        assert claimed == made
        assert jobs.claimable() == others.claimable() == []
        for store in (jobs, others):
            with store.claim("a") as second:
                assert second is None
    assert jobs.claimable() == ["a"]
    with others.claim("a") as again:
        assert again is not None


def test_a_job_may_be_created_as_claimed(jobs, others):
    made = jobs.create(job("a"), claimed=True)
    assert others.claimable() == []
    jobs.save(replace(made, progress=5))
    jobs.release("a")
    assert others.claimable() == ["a"]


def test_a_job_of_a_dead_process_goes_to_the_next_and_the_first_can_change_nothing(
    jobs, others, database
):
    jobs.create(job("a"))
    with jobs.claim("a") as first:
        end(database, "here")
        assert others.claimable() == ["a"]
        with others.claim("a") as second:
            with pytest.raises(ClaimLost):
                jobs.save(replace(first, progress=10))
            assert others.save(replace(second, progress=20)).progress == 20
    assert jobs.get("a").progress == 20


def test_the_claim_of_a_process_that_was_taken_for_dead_is_still_good(jobs, database):
    jobs.create(job("a"))
    with jobs.claim("a") as claimed:
        end(database, "here")
        jobs.save(replace(claimed, status="submitting"))
    assert jobs.get("a").status == "submitting"


def test_a_claim_that_could_not_be_given_back_is_given_back_later(
    jobs, others, database, monkeypatch
):
    def away(**options):
        raise StorageUnavailable("away")

    jobs.create(job("a"), claimed=True)
    with monkeypatch.context() as patch:
        patch.setattr(database, "write", away)
        jobs.release("a")
    assert others.claimable() == []
    assert jobs.claimable() == others.claimable() == ["a"]


def test_saving_an_ended_job_dates_it_and_nothing_changes_it_afterwards(jobs, clock):
    jobs.create(job("a"))
    with jobs.claim("a") as claim:
        clock.time += 5
        ended = jobs.save(replace(claim, status="completed", result={"n": [1]}))
        assert ended.completed_at == clock.time
        with pytest.raises(ClaimLost):
            jobs.save(replace(ended, status="failed"))
    assert jobs.get("a") == ended
    assert jobs.cancel("a", "ann") is None
    assert jobs.claimable() == []
    with jobs.claim("a") as claim:
        assert claim is None


def test_cancelling_ends_a_job_while_a_process_works_on_it(jobs):
    jobs.create(job("a"))
    assert jobs.cancel("a", "bob") is None
    with jobs.claim("a") as claim:
        assert jobs.cancel("a", "ann").status == "cancelled"
        with pytest.raises(ClaimLost):
            jobs.save(replace(claim, status="completed"))
    assert jobs.get("a").status == "cancelled"


def test_abandoned_jobs_are_listed_page_by_page(jobs):
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
