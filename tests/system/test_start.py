"""What stops the start, with one line that names the setting, and what does not stop what runs."""

from __future__ import annotations

import signal

import pytest

from tests.support.process import BIN, ROOT, clean_env, run
from tests.worker.serving import until

ACCOUNT = {"ARK_API_KEYS": "ark-start"}


def start(folder, **settings: str) -> str:
    """What gunicorn says when it does not start, without its own log."""
    env = clean_env({"PORT": "0", "HOST": "127.0.0.1", "WEB_CONCURRENCY": "1"} | settings)
    done = run([BIN / "gunicorn", "-c", ROOT / "gunicorn.conf.py", "wsgi:app"], env=env, cwd=folder)
    assert done.returncode != 0
    return "\n".join(line for line in done.stderr.splitlines() if not line.startswith("["))


@pytest.mark.parametrize(
    "settings",
    [
        {"REDIS_URL": "redis://127.0.0.1:6379?db=x", **ACCOUNT},
        {"DATABASE_URL": "postgresql://127.0.0.1:9/none"},
        {"DATABASE_URL": "postgresql://127.0.0.1:9/none", **ACCOUNT},
    ],
    ids=lambda settings: "+".join(settings),
)
def test_a_setting_that_cannot_serve_stops_the_start_with_one_line(tmp_path, settings):
    (line,) = start(tmp_path, **settings).splitlines()
    assert line.startswith(f"gateway: {next(iter(settings))}: ")


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


def test_a_worker_that_finds_broken_settings_ends_the_server_instead_of_being_born_for_ever(
    gateway_factory,
):
    with gateway_factory.started(workers=1, toml="") as gateway:
        (gateway.directory / "gateway.toml").write_text("[[accounts]")
        gateway.workers()[0].kill()
        assert gateway.process.wait(60) == 3
        assert "gateway: gateway.toml" in gateway.log.read_text()
