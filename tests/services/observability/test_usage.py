"""Usage: whose it is, that it is counted once, and that none is lost while the database is away."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest

from gateway.domain.errors import InvalidRequest, StorageUnavailable
from gateway.domain.events import Usage
from gateway.domain.jobs import Job
from gateway.services.observability.usage import OTHER, UsageLog
from gateway.services.routing.dispatch import Trace
from gateway.storage.db.engine import Database
from gateway.storage.records.usage import UsageRow, UsageStore

KEY = "usage-key-0123456789"
HOUR = 1_700_000_000 // 3600 * 3600
GROUPS = ("key", "model", "upstream", "account")


@pytest.fixture
def store(world):
    return UsageStore(world.database)


@pytest.fixture
def log(store):
    return UsageLog(store, ["doubao"], clock=lambda: HOUR + 60.0)


def answered(**options):
    trace = Trace("id", model="doubao", upstream="ark", account="ark-1", attempts=1)
    for name, value in options.items():
        setattr(trace, name, value)
    return trace


def report(store):
    return store.report(since=0, until=2**40, group_by=("hour", *GROUPS))


def test_requests_add_up_by_key_model_and_account(log, store):
    usage = Usage(prompt_tokens=3, completion_tokens=5)
    log.add_request("key:team", answered(usage=usage))
    log.add_request("key:team", answered(usage=usage, images=1))
    log.flush()
    log.add_request("key:team", answered(usage=Usage(1, 1, estimated=True)))
    log.add_request("anonymous", answered(error=InvalidRequest("no")))
    log.flush()
    log.flush()
    assert report(store) == [
        UsageRow(HOUR, "(no key)", "doubao", "ark", "ark-1", requests=1, errors=1),
        UsageRow(HOUR, "team", "doubao", "ark", "ark-1", 3, 0, 7, 11, 1, 0, 1),
    ]


def test_own_credentials_leave_no_trace_of_themselves(log, store):
    log.add_request("own:0123456789abcdef", answered(account="own"))
    log.flush()
    (row,) = report(store)
    assert row.key == "(own credential)"


def test_invented_models_are_written_down_only_when_they_work(log, store):
    failed = answered(model="doubao-invented", error=InvalidRequest("no"))
    log.add_request("anonymous", failed)
    log.add_request("anonymous", answered(model="doubao-real-1"))
    log.flush()
    assert [row.model for row in report(store)] == [OTHER, "doubao-real-1"]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_invented_models_of_jobs_too(log, store, status):
    log.add_job(Job("1", "image", "own:0", "doubao-invented", {}, status, "ark", "own"), Usage())
    log.add_job(Job("2", "image", "own:0", "doubao", {}, status, "ark", "own"), Usage())
    log.add_job(Job("3", "image", "own:0", "doubao-real-1", {}, "completed", "ark", "own"), Usage())
    log.flush()
    assert [row.model for row in report(store)] == [OTHER, "doubao", "doubao-real-1"]


def test_what_began_a_job_is_counted_by_the_job(log, store):
    log.add_request("key:team", answered(job="video_1", usage=Usage(videos=1), videos=1))
    log.add_request("key:team", Trace("refused before any vendor heard of it"))
    job = Job("video_1", "video", "key:team", "doubao-video", {}, "completed", "ark", "ark-1")
    log.add_job(job, Usage(completion_tokens=9, videos=1))
    log.flush()
    assert report(store) == [
        UsageRow(
            HOUR,
            "team",
            "doubao-video",
            "ark",
            "ark-1",
            requests=1,
            completion_tokens=9,
            videos=1,
        )
    ]


def test_nothing_is_lost_while_the_database_is_away(tmp_path):
    away = Database(f"sqlite:///{tmp_path}/missing/gateway.db", wait_s=0.1, backoff_s=0)
    (tmp_path / "missing").touch()  # where the folder should be
    log = UsageLog(UsageStore(away), ["doubao"], clock=lambda: HOUR + 60.0)
    log.add_request("key:team", answered())
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            log.flush()
    (tmp_path / "missing").unlink()
    (tmp_path / "missing").mkdir()
    away.migrate()
    log.add_request("key:team", answered())
    log.flush()
    assert [row.requests for row in report(UsageStore(away))] == [2]
    away.close()


def test_nothing_is_lost_when_writing_fails_in_any_other_way(store):
    class Full(UsageStore):
        def add_many(self, rows):
            raise OverflowError("int too large")

    log = UsageLog(Full(None), ["doubao"], clock=lambda: HOUR + 60.0)
    log.add_request("key:team", answered())
    with pytest.raises(OverflowError):
        log.flush()
    log._store = store
    log.flush()
    assert [row.requests for row in report(store)] == [1]


@contextmanager
def usage_of(gateway):
    database = Database(f"sqlite:///{gateway.directory}/var/gateway.db")
    try:
        store = UsageStore(database)
        yield lambda: store.report(since=0, until=2**40, group_by=GROUPS)
    finally:
        database.close()


def until(condition, within_s=30):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_gateway_writes_down_what_each_key_used_until_it_ends(gateway_factory, simulators):
    key = "ark-gated-usage"
    settings = {"GATEWAY_KEYS": f"team={KEY}", "ARK_API_KEYS": key, "GATEWAY_POOL_ACCESS": "keys"}
    with gateway_factory.started(workers=2, **settings) as gateway, usage_of(gateway) as rows:
        with gateway.post(
            "/v1/chat/completions",
            {
                "model": "doubao",
                "stream": True,
                "messages": [{"role": "user", "content": "Hi " * 40}],
            },
            key=KEY,
            stream=True,
        ) as answer:
            simulators.release(key, 4)
            next(answer.iter_content(256))
        # Its reader left before the vendor had counted, so the tokens are estimated.
        until(lambda: [row.estimated for row in rows()] == [1])
        (row,) = rows()
        assert (row.key, row.model, row.upstream, row.account) == ("team", "doubao", "ark", "ark-1")
        assert row.prompt_tokens == 30
        assert row.completion_tokens > 0

        simulators.release(key, 1000)
        answer = gateway.chat(key=KEY, model="doubao")
        counted = answer.json()["usage"]
        gateway.process.terminate()  # before the next batch is due
        gateway.process.wait(30)
        (both,) = rows()
        assert both.requests == 2
        assert both.prompt_tokens == row.prompt_tokens + counted["prompt_tokens"]
