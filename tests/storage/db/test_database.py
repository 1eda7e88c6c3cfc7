"""The door to the database: schema, failures, greenlets and forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from gateway.domain.errors import StorageUnavailable
from gateway.domain.jobs import Job
from gateway.storage.db import migrations
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.db.schema import REVISION, metadata
from gateway.storage.db.sqlite import Sqlite
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.usage import UsageRow, UsageStore
from tests.storage import greenlets
from tests.support.process import BIN, ROOT, clean_env

WAIT_S = 0.5


def run(script: str, *arguments: str) -> str:
    """What a program of its own prints."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_env({}), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def own(own_url: str):
    with closing(Database(own_url)) as opened:
        yield opened


@pytest.fixture
def impatient(url: str):
    with closing(Database(url, wait_s=WAIT_S)) as opened:
        yield opened


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:"]
)
def test_a_url_that_cannot_serve_is_refused(url):
    with pytest.raises(ValueError, match=r"database|supported"):
        Database(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_is_understood_and_the_password_never_shown(scheme):
    shown = repr(Database(f"{scheme}://me:secret@db.example/name"))
    assert "db.example" in shown
    assert "secret" not in shown


def schema(database: Database) -> dict[str, object]:
    """Everything that the database knows of its tables, in no order."""
    with database.read() as connection:
        seen = inspect(connection)
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return {
            "differs": compare_metadata(context, metadata),
            "versions": connection.execute(text("SELECT * FROM alembic_version")).all(),
            "keys": seen.get_multi_pk_constraint(),
            "columns": {
                name: sorted((c["name"], str(c["type"]), c["nullable"], c["default"]) for c in each)
                for name, each in seen.get_multi_columns().items()
            },
            "rest": {
                (kind, name): sorted(repr(sorted(one.items())) for one in each)
                for kind in ("foreign_keys", "indexes", "unique_constraints", "check_constraints")
                for name, each in getattr(seen, f"get_multi_{kind}")().items()
            },
        }


def test_the_schema_that_the_migrations_make_is_the_one_that_a_new_database_gets(empty_url):
    with closing(Database(empty_url)) as database:
        database.migrate()
        new = schema(database)
        with database.migrating() as connection:
            migrations.downgrade(connection, "base")
            migrations.upgrade(connection)
        assert new["differs"] == []
        assert schema(database) == new


def test_the_revision_that_the_code_wants_is_the_newest_there_is():
    assert ScriptDirectory(migrations.__path__[0]).get_heads() == [REVISION]


def test_the_schema_can_be_taken_down_and_put_up_again(own):
    with own.migrating() as connection:
        migrations.downgrade(connection, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    own.migrate()
    with own.read() as connection:
        assert set(inspect(connection).get_table_names()) > set(metadata.tables)


def test_a_migration_that_fails_leaves_everything_as_it_was(own):
    def fail() -> None:
        with own.migrating() as connection:
            migrations.downgrade(connection, "base")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    UsageStore(own).add_many([UsageRow(requests=1)])


def test_a_newer_schema_is_left_alone_during_a_rolling_deploy(own):
    with own.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    own.migrate()
    with own.read() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_the_schema_can_be_migrated_from_the_command_line(empty_url, tmp_path):
    env = clean_env({"DATABASE_URL": empty_url, "GATEWAY_STATE_DIR": str(tmp_path)})
    alembic = [str(BIN / "alembic"), "-c", "gateway/storage/db/alembic.ini"]
    for command in (["upgrade", "head"], ["check"]):
        done = subprocess.run([*alembic, *command], cwd=ROOT, env=env, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()


def test_a_sqlite_file_can_be_read_by_its_owner_only(tmp_path):
    path = tmp_path / "deep" / "folder" / "gateway.db"
    with closing(Database(f"sqlite:///{path}")) as database:
        database.migrate()
        UsageStore(database).add_many([UsageRow(requests=1)])
        files = list(path.parent.iterdir())
        assert len(files) > 1  # with the log of SQLite
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    database.close()


def test_statements_of_one_transaction_take_effect_together_or_not_at_all(database):
    def insert(*topics: str, then: type[Exception] | None = None) -> None:
        with database.begin() as connection:
            for topic in topics:
                connection.execute(text("INSERT INTO changes VALUES (:t, 1)"), {"t": topic})
            if then is not None:
                raise then

    with pytest.raises(ZeroDivisionError):
        insert("a", then=ZeroDivisionError)
    insert("b", "c")
    with pytest.raises(IntegrityError):
        insert("d", "b")
    with database.read() as connection:
        assert connection.scalars(text("SELECT topic FROM changes")).all() == ["b", "c"]


@pytest.fixture
def patient(url: str):
    """For crowds on slow machines."""
    with closing(Database(url, wait_s=60)) as opened:
        yield opened


def test_many_threads_share_the_few_connections(patient):
    usage = UsageStore(patient)

    def work(number: int) -> None:
        for _ in range(10):
            usage.add_many([UsageRow(requests=1)])
            usage.report(since=0, until=1)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))
    assert [row.requests for row in usage.report(since=0, until=1)] == [200]


@pytest.mark.parametrize(
    "url", ["sqlite:////dev/null/gateway.db", "postgresql://u@/n?host=/nowhere&connect_timeout=2"]
)
def test_a_database_that_is_away_is_reported_as_such(url):
    database = Database(url)
    for use in (database.migrate, database.ping):
        with pytest.raises(StorageUnavailable) as caught:
            use()
        assert caught.value.status == 503
        assert "/n" not in caught.value.message


def test_a_file_that_is_no_database_is_reported_as_such(tmp_path):
    path = tmp_path / "gateway.db"
    path.write_text("something else entirely, and long enough to be looked at" * 100)
    with closing(Database(f"sqlite:///{path}")) as opened, pytest.raises(StorageUnavailable):
        opened.migrate()


def test_a_lock_that_is_held_too_long_is_reported_as_such(database, impatient):
    usage = UsageStore(impatient)
    usage.add_many([UsageRow(requests=1)])
    with database.begin() as connection:
        connection.execute(text("UPDATE usage SET requests = 5"))
        with pytest.raises(StorageUnavailable):
            usage.add_many([UsageRow(requests=1)])
        assert [row.requests for row in usage.report(since=0, until=1)] == [1]
    usage.add_many([UsageRow(requests=1)])
    assert [row.requests for row in usage.report(since=0, until=1)] == [6]


def test_threads_make_do_with_the_connections_that_the_server_gives(postgres):
    url = postgres.limited(3)
    with closing(Database(url, wait_s=60)) as database, ThreadPoolExecutor(20) as threads:
        database.migrate()
        usage = UsageStore(database)
        list(threads.map(lambda _: usage.add_many([UsageRow(requests=1)]), range(200)))
        assert [row.requests for row in usage.report(since=0, until=1)] == [200]


def test_a_connection_that_the_server_closed_is_not_noticed_by_the_next_user(postgres):
    name = postgres.create()
    with closing(Database(postgres.url(name))) as database:
        with database.read() as one, database.read() as two:
            for connection in (one, two):
                connection.execute(text("SELECT 1"))
        _end_connections(postgres, name)
        database.ping()


@pytest.mark.parametrize("asked", ["", "&target_session_attrs=any"])
def test_a_database_that_was_read_only_for_a_while_takes_the_next_write(postgres, asked):
    name = postgres.create()
    row = [UsageRow(requests=1)]
    with closing(Database(postgres.url(name) + asked, backoff_s=0)) as database:
        database.migrate()
        usage = UsageStore(database)
        usage.add_many(row)
        postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        _end_connections(postgres, name)
        for use in (database.ping, lambda: usage.add_many(row), database.ping):
            with pytest.raises(StorageUnavailable):
                use()
        postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        usage.add_many(row)
        database.ping()


def _end_connections(postgres, name: str) -> None:
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = "
    assert (True,) in postgres.execute(f"{ended}'{name}'")


def test_a_server_that_falls_silent_is_given_up(postgres):
    with closing(Database(postgres.url("postgres"), wait_s=WAIT_S)) as database:
        with database.read() as connection:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
        os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(StorageUnavailable):
                database.ping()
            assert time.monotonic() - started < 30
            database.ping()  # on another connection
        finally:
            os.kill(pid, signal.SIGCONT)


def test_greenlets_run_on_while_one_of_them_waits_for_the_database(url):
    assert run(greenlets.__file__, "wait", url) == "others ran"


def test_a_greenlet_killed_in_the_middle_of_a_query_costs_no_connection(postgres):
    assert run(greenlets.__file__, "kill", postgres.url("postgres")) == "still served"


def test_a_forked_process_uses_connections_of_its_own(url):
    assert run(greenlets.__file__, "fork", url) == "200"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_only_what_is_durable_waits_for_the_disk(database):
    """`FULL` has SQLite synchronise its log with every commit, and what was logged before."""
    normal, full = 1, 2
    for durable in (False, True, True, False):
        with database.write(durable=durable) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == (
                full if durable else normal
            )


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_job_is_on_disk_before_its_vendor_is_asked(database, monkeypatch):
    """A power cut must not bring back a job as it was before it was submitted."""
    asked = []
    begin = Sqlite.begin

    def listening(self, connection, *, durable):
        asked.append(durable)
        begin(self, connection, durable=durable)

    monkeypatch.setattr(Sqlite, "begin", listening)
    jobs = JobStore(database, Processes(database))
    made = jobs.create(Job(id="a", kind="video", owner="ann", model="m", request={}))
    with jobs.claim("a"):
        asked.clear()
        for change in (
            {"status": "submitting"},
            {"status": "in_progress", "task_id": "t"},
            {"progress": 5},
            {"status": "storing"},
            {"status": "completed"},
        ):
            made = jobs.save(replace(made, **change))
    submitting, named, progress, storing, completed, released = asked
    assert all((submitting, named, storing, completed))
    assert not any((progress, released))


def test_after_a_failed_attempt_to_connect_none_is_made_for_a_while(tmp_path):
    path = tmp_path / "folder" / "gateway.db"
    path.parent.write_text("in the way")
    with closing(Database(f"sqlite:///{path}", backoff_s=30)) as database:
        with pytest.raises(StorageUnavailable):
            database.migrate()
        path.parent.unlink()
        with pytest.raises(StorageUnavailable):
            database.migrate()
    with closing(Database(f"sqlite:///{path}", backoff_s=0)) as database:
        database.migrate()
