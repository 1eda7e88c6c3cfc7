from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.process import BIN, ROOT, clean_env


def gunicorn(*options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """What gunicorn makes of the project's configuration."""
    command = [str(BIN / "gunicorn"), "-c", str(ROOT / "tests/server/conf.py"), *options]
    return subprocess.run(
        [*command, "tests.server.app:app"],
        env=clean_env(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def settings(*options: str, **env: str) -> dict[str, str]:
    done = gunicorn("--print-config", *options, **env)
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^(\w+)\s+= (.*)$", done.stdout, re.MULTILINE))


@pytest.mark.parametrize(
    ("env", "bind"),
    [
        ({}, "127.0.0.1:8000"),
        ({"PORT": "9000"}, "0.0.0.0:9000"),
        ({"HOST": "127.0.0.2", "PORT": "9000"}, "127.0.0.2:9000"),
        ({"HOST": "::1"}, "[::1]:8000"),
    ],
)
def test_address_follows_host_and_port(env, bind):
    assert settings(**env)["bind"] == f"['{bind}']"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("PORT", "70000"), ("HOST", "http://x"), ("WEB_CONCURRENCY", "0")],
)
def test_invalid_setting_stops_the_start_with_one_line_that_names_it(name, value):
    done = gunicorn("--print-config", **{name: value})
    assert done.returncode != 0
    *_, line = done.stderr.strip().splitlines()
    assert line.startswith(name)
    assert repr(value) in line


def test_settings_leave_time_for_slow_answers_and_for_an_orderly_end():
    found = settings(WEB_CONCURRENCY="3")
    assert found["workers"] == "3"
    assert found["keepalive"] == "95"
    assert found["graceful_timeout"] == "28"
    assert found["limit_request_line"] == "8190"
    assert found["control_socket_disable"] == "True"
    assert found["max_requests"] == "0"


def test_client_cannot_rewrite_the_path_where_all_proxies_are_trusted(serve):
    with serve(FORWARDED_ALLOW_IPS="*") as server:
        environ = server.get("/environ", "SCRIPT_NAME: /environ", "PATH_INFO: /plain").json()
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/environ")
        forwarded = server.get("/environ", "X-Forwarded-Proto: https").json()
        assert forwarded["wsgi.url_scheme"] == "http"


def test_no_access_log_is_written_even_where_the_platform_turns_it_on(serve):
    with serve(GUNICORN_CMD_ARGS="--access-logfile -") as server:
        server.get("/plain?key=in-the-query")
        assert "in-the-query" not in server.log()
        assert "GET" not in server.log()


def test_app_may_be_loaded_before_the_workers_are_made(serve):
    with serve("--preload", workers=2) as server:
        assert server.get("/heartbeat?wait=1").json() == {"started": True}


def test_port_in_use_stops_the_start(server):
    done = gunicorn("--bind", f"127.0.0.1:{server.port}")
    assert done.returncode != 0
    assert "in use" in done.stderr


def test_certificates_are_refused_rather_than_ignored(tmp_path):
    (tmp_path / "cert.pem").touch()
    done = gunicorn("--certfile", str(tmp_path / "cert.pem"), "--bind", "127.0.0.1:0")
    assert done.returncode != 0
    assert "let a proxy end TLS" in done.stderr
