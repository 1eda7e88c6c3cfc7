"""An upgrade from the schema of the last release keeps what callers and operators have stored."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import inspect, text

from gateway.domain.accounts import Account, Secret
from gateway.storage.db import migrations
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.api_keys import KeyStore
from gateway.storage.records.files import FileStore
from gateway.storage.records.idempotency import Claim, Done, IdempotencyStore, Running
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.media_index import MediaIndex

SECRET_KEYS = [Secret("a key of the installation")]
BEFORE = "0004"
ROWS = """
INSERT INTO keys VALUES ('team', 'digest', '1234', '5/minute', '["m"]', 1.0, NULL, NULL);
INSERT INTO media VALUES ('pic', 'png', 'image/png', 5, 1, 1, 1.0, 2.0);
INSERT INTO media_owners VALUES ('pic', 'key:team', NULL), ('pic', 'own:x', '10.0.0.0/24');
INSERT INTO files VALUES
    ('file-1', 'key:team', 'pic', 'a.png', 'vision', 5, 'image/png', 3.0, NULL);
INSERT INTO jobs VALUES
    ('video_1', 'video', 'key:team', 'm', '{"prompt": "p", "images": ["pic.png"]}', 'in_progress',
     'ark', 'ark-1', 'cgt-1', 40, NULL, NULL, 4.0, NULL, 'print', 'token of a claim', 5.0),
    ('video_2', 'video', 'key:team', 'm', '{}', 'completed',
     'ark', 'ark-1', 'cgt-2', 100, '{"media": []}', NULL, 4.0, 6.0, NULL, NULL, 0.0);
INSERT INTO job_media VALUES ('video_1', 'pic');
INSERT INTO idempotency VALUES
    ('s', 'answered', 'f', 't1', 1, NULL, 200, '{}', NULL, 0.0, 9e12),
    ('s', 'job', 'f', 't2', 1, 'video_1', NULL, NULL, NULL, 0.0, 9e12),
    ('s', 'open', 'f', 't3', 1, NULL, NULL, NULL, NULL, 0.0, 9e12);
INSERT INTO sessions VALUES ('gw-1-2', 'gemini-enterprise', 'a', NULL, 'p', false, 0, 1.0, 1.0);
INSERT INTO leases VALUES ('ark-1', 0, 't', 'p', 9.0);
INSERT INTO changes VALUES ('installation', 123456);
"""


@pytest.fixture
def upgraded(empty_url):
    """A database of the last release, filled, then opened by this one."""
    with closing(Database(empty_url)) as database:
        with database.migrating() as connection:
            migrations.upgrade(connection, BEFORE)
        account = Account("mine", "ark", Secret("ark-secret"), weight=3, max_in_flight=2)
        AccountStore(database, secret_keys=SECRET_KEYS).add(account)
        with database.begin() as connection:
            for statement in ROWS.strip().split(";\n"):
                connection.execute(text(statement.replace(":", "\\:").rstrip(";")))
        database.migrate()
        yield database


def test_keys_accounts_jobs_files_and_media_are_kept(upgraded):
    jobs = JobStore(upgraded, Processes(upgraded))
    accounts = AccountStore(upgraded, secret_keys=SECRET_KEYS)
    (record,) = accounts.list()
    assert accounts.unlock(record).secret.reveal() == "ark-secret"
    assert (record.weight, record.max_in_flight) == (3, 2)
    assert [key.name for key in KeyStore(upgraded).valid()] == ["team"]
    assert jobs.get_owned("video_2", "key:team").result == {"media": []}
    assert FileStore(upgraded).get("file-1", "key:team").media_id == "pic"
    assert MediaIndex(upgraded).owned("pic", "key:team").size == 5
    assert MediaIndex(upgraded).owned("pic", "own:x").size == 5
    running = jobs.get("video_1")
    assert (running.task_id, running.progress, running.request["images"]) == (
        "cgt-1",
        40,
        ["pic.png"],
    )


def test_jobs_and_requests_that_were_claimed_before_are_free(upgraded):
    jobs = JobStore(upgraded, Processes(upgraded))
    assert jobs.claimable() == ["video_1"]
    with jobs.claim("video_1") as job:
        assert job is not None
    requests = IdempotencyStore(upgraded, Processes(upgraded))
    assert isinstance(requests.begin("s", "answered", "f"), Done)
    assert requests.begin("s", "job", "f") == Running("video_1")
    assert isinstance(requests.begin("s", "open", "f"), Claim)


def test_the_former_tables_are_gone(upgraded):
    with upgraded.read() as connection:
        tables = set(inspect(connection).get_table_names())
    assert tables.isdisjoint({"sessions", "leases", "tokens"})
    assert {"processes", "slots"} <= tables
