"""What stops the start, with one line that names the setting, and what does not stop what runs."""

from __future__ import annotations

import signal
from contextlib import suppress

import pytest

from gateway.domain.version import VERSION
from tests.server.serving import until
from tests.support.disk import small_disk
from tests.support.process import BIN, ROOT, clean_env, run
from tests.support.shell import Shell

ACCOUNT = {"ARK_API_KEYS": "ark-start"}


def start(folder, **settings: str) -> str:
    """What gunicorn says when it does not start, without its own log."""
    env = clean_env({"PORT": "0", "HOST": "127.0.0.1", "WEB_CONCURRENCY": "1"} | settings)
    done = run([BIN / "gunicorn", "-c", ROOT / "gunicorn.conf.py", "wsgi:app"], env=env, cwd=folder)
    assert done.returncode != 0
    return "\n".join(line for line in done.stderr.splitlines() if not line.startswith("["))


def test_the_version_is_told_by_the_first_line_of_the_log_by_health_and_by_a_command(
    gateway, tmp_path
):
    assert gateway.log.read_text().splitlines()[0].endswith(f"[INFO] Gateway {VERSION}")
    assert gateway.get("/health").json() == {"status": "ok", "version": VERSION}
    assert Shell(tmp_path, {})("version").stdout == f"gateway {VERSION}\n"


@pytest.mark.parametrize(
    "settings",
    [
        {"REDIS_URL": "redis://127.0.0.1:6379?db=x", **ACCOUNT},
        {"REDIS_URL": "rediss://127.0.0.1:6379?ssl_cert_reqs=bogus", **ACCOUNT},
        {"DATABASE_URL": "postgresql://127.0.0.1:9/none"},
        {"DATABASE_URL": "postgresql://127.0.0.1:9/none", **ACCOUNT},
        {"DATABASE_URL": "postgresql://127.0.0.1:9/none?pgbouncer=true", **ACCOUNT},
        {"DATABASE_URL": "sqlite:///:memory:", **ACCOUNT},
        {"GATEWAY_SECRET_KEY": "fifteen letters", **ACCOUNT},
        {"GEVENT_LOOP": "libuv-cffi", **ACCOUNT},
        {"AWS_ENDPOINT_URL_S3": "minio:9000", "GATEWAY_MEDIA": "s3://bucket", **ACCOUNT},
    ],
    ids=lambda settings: "+".join(settings),
)
def test_a_setting_that_cannot_serve_stops_the_start_with_one_line(tmp_path, settings):
    (line,) = start(tmp_path, **settings).splitlines()
    assert line.startswith(f"gateway: {next(iter(settings))}: ")


def said_of(folder, settings: dict[str, str]) -> dict[str, str]:
    """What the start, the release and doctor say of the same settings."""
    shell = Shell(folder, settings)
    done = {words: shell(*words.split()) for words in ("migrate", "doctor")}
    assert {command.returncode for command in done.values()} == {1}
    return {
        "start": start(folder, **settings),
        "migrate": done["migrate"].stderr,
        "doctor": done["doctor"].stdout + done["doctor"].stderr,
    }


def test_why_a_database_is_not_available_is_said_without_its_password(tmp_path, postgres):
    server = postgres.url("postgres").partition("?")[2]
    url = f"postgresql://nobody-here:a%20password@/postgres?{server}"
    for who, text in said_of(tmp_path, {"DATABASE_URL": url, **ACCOUNT}).items():
        assert 'role "nobody-here" does not exist' in text, who
        assert "password" not in text.replace("a password", "password"), who
        assert "Traceback" not in text, who
        assert who == "doctor" or "DATABASE_URL: " in text


def test_a_user_who_may_make_no_tables_is_told_so_in_one_line(tmp_path, postgres):
    name = postgres.create()
    role = f"guest_{name}"
    postgres.execute(f"CREATE ROLE {role} LOGIN")
    postgres.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database=name)
    url = postgres.url(name).replace("//postgres@", f"//{role}@", 1)
    settings = {"DATABASE_URL": url, **ACCOUNT}
    told = (start(tmp_path, **settings), Shell(tmp_path, settings)("migrate").stderr)
    for text in told:
        assert "DATABASE_URL: " in text
        assert "InsufficientPrivilege 42501: permission denied for schema public" in text
        assert "Traceback" not in text


def test_an_empty_file_of_the_secret_key_is_told_of(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var/secret_key").touch()
    (line,) = start(tmp_path, **ACCOUNT).splitlines()
    assert line.startswith("gateway: GATEWAY_SECRET_KEY: var/secret_key is empty")


def test_settings_that_were_broken_while_serving_change_nothing_when_reloaded(gateway_factory):
    with gateway_factory.started(workers=1, toml="") as gateway:
        before = {worker.pid for worker in gateway.workers()}
        file = gateway.directory / "gateway.toml"
        file.write_text("[[accounts]")
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: "gateway: gateway.toml" in gateway.log.read_text())
        assert gateway.chat().status_code == 200
        assert {worker.pid for worker in gateway.workers()} == before
        file.write_text("")
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: gateway.workers() and not before & {w.pid for w in gateway.workers()})
        assert gateway.chat().status_code == 200


def test_a_worker_that_finds_broken_settings_leaves_the_others_serving(own_factory):
    with own_factory.started(workers=2, toml="") as gateway:
        file = gateway.directory / "gateway.toml"
        file.write_text("[[accounts]")
        first, second = gateway.workers()
        first.kill()
        until(lambda: gateway.log.read_text().count("gateway: gateway.toml") >= 2)
        assert gateway.chat().status_code == 200
        assert second in gateway.workers()
        file.write_text("")
        until(lambda: len(set(gateway.workers()) | {second}) == 2 == len(gateway.workers()))
        assert gateway.chat().status_code == 200


def test_a_full_disk_stops_the_first_start_with_one_line(tmp_path):
    state = tmp_path / "state"
    with small_disk(state):
        if not state.is_mount():
            pytest.skip("no disk can be mounted here")
        filler = state / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                pass
        (line,) = start(tmp_path, GATEWAY_STATE_DIR=str(state), **ACCOUNT).splitlines()
        assert line == f"gateway: GATEWAY_STATE_DIR: {state}: No space left on device"
        assert [path.name for path in state.iterdir()] == ["filler"]
