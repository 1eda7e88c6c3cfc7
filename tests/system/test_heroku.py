"""The Procfile with the environment of Heroku's Python buildpack, on real stores."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from sqlalchemy import update

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import versions
from tests.net.certificates import Authority
from tests.server.serving import Client, until
from tests.storage.postgres import PostgresServer
from tests.support.process import BIN, ROOT, clean_env, free_port, run, running, wait_for
from tests.support.redis import RedisServer
from tests.support.router import Router
from tests.support.shell import Shell

CHAT, IMAGES, VIDEO = "/v1/chat/completions", "/v1/images/generations", "/v1/video/generations"
KEY = "a-key-of-the-web-team"
SLUG = ("gateway", "wsgi.py", "gunicorn.conf.py", "Procfile")


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """As Heroku's: over TLS, with a certificate that nobody can verify."""
    folder = tmp_path_factory.mktemp("redis")
    certificate = Authority(folder).server_file("redis.example")
    with RedisServer.started(folder, certificate=certificate) as running:
        yield running


@pytest.fixture(scope="module")
def config(s3, own_factory, redis):
    """What `heroku config` would show, and what the buildpack exports."""
    with PostgresServer.started() as postgres:
        url = postgres.url(postgres.create())
        yield (
            own_factory.vendors()
            | s3.settings()
            | {
                "DATABASE_URL": url.replace("postgresql://", "postgres://"),
                "REDIS_URL": redis.url,
                "GATEWAY_SECRET_KEY": "kept in the config",
                "GATEWAY_KEYS": f"web-team={KEY}",
                "GATEWAY_TRUSTED_PROXIES": "1",
                "GATEWAY_ALLOW_PRIVATE_URLS": "127.0.0.1",
                "ARK_API_KEYS": "ark-heroku-video2",
                "DYNO": "web.1",
                "WEB_CONCURRENCY": "2",
                "FORWARDED_ALLOW_IPS": "*",
                "GUNICORN_CMD_ARGS": "--access-logfile -",
                "PYTHONUNBUFFERED": "true",
            }
        )


def honcho(config, directory: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    """A command that runs the Procfile in a folder, and its environment."""
    for name in SLUG:
        if not (directory / name).exists():
            (directory / name).symlink_to(ROOT / name)
    env = clean_env(config) | {
        "PYTHONPATH": str(directory),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    procfile = str(directory / "Procfile")
    return [str(BIN / "honcho"), "--no-colour", "-f", procfile, "start", *words], env


def release(config, directory: Path):
    command, env = honcho(config, directory, "release")
    done = run(command, env=env, cwd=directory)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def dyno(config, directory: Path):
    """A fresh disk, the release phase, then the web process on a port of Heroku's choice."""
    release(config, directory)
    log = directory / "dyno.log"
    port = free_port()
    command, env = honcho(config, directory, "-p", str(port), "web")
    with (
        running(command, env=env, cwd=directory, log=log) as web,
        Router.started(f"http://127.0.0.1:{port}") as router,
    ):
        wait_for(f"http://127.0.0.1:{port}/ready", web, log)
        yield router, web, log


@pytest.fixture(scope="module")
def app(config, tmp_path_factory):
    with dyno(config, tmp_path_factory.mktemp("slug")) as running:
        yield running


def post(router, path, body, **headers):
    headers = {"Authorization": f"Bearer {KEY}", **headers}
    return requests.post(router.url + path, json=body, headers=headers, timeout=60)


def get(router, path, **headers):
    headers = {"Authorization": f"Bearer {KEY}", **headers}
    return requests.get(router.url + path, headers=headers, timeout=60)


def hello(**more):
    return {"model": "doubao", "messages": [{"role": "user", "content": "Hello"}], **more}


def test_the_release_phase_migrates_and_the_web_process_is_ready(app):
    router, _, _ = app
    answer = get(router, "/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert get(router, "/v1/models", Authorization="Bearer pooled").status_code == 401


def test_the_release_phase_of_an_older_gateway_leaves_a_newer_schema_alone(
    config, postgres, tmp_path
):
    """As after `heroku rollback`."""
    url = postgres.url(postgres.create())
    newer = config | {"DATABASE_URL": url}
    release(newer, tmp_path)
    with closing(Database(url)) as database, database.begin() as connection:
        connection.execute(update(versions).values(version_num="9999"))
    release(newer, tmp_path)


def test_limits_are_counted_in_redis(app, redis):
    router, _, log = app
    assert get(router, "/v1/models").status_code == 200
    until(lambda: redis.ask("DBSIZE") not in ("", ":0"))
    assert "redis_is_away" not in log.read_text()


def test_chat_is_served_whole_and_streamed(app):
    router, _, _ = app
    assert post(router, CHAT, hello()).json()["choices"][0]["message"]["content"]
    assert post(router, CHAT, hello(stream=True)).text.endswith("data: [DONE]\n\n")
    assert router.codes == []


def test_a_picture_is_kept_in_the_bucket_and_its_link_leads_here(app):
    router, _, _ = app
    url = post(router, IMAGES, {"prompt": "a cat"}).json()["data"][0]["url"]
    assert "/media/" in url
    link = router.url + "/media/" + url.split("/media/")[1]
    assert requests.get(link, timeout=30).headers["Content-Type"] == "image/jpeg"


def test_a_callers_script_name_changes_nothing(app):
    router, _, _ = app
    plain = get(router, "/v1/models")
    for name in ("/v1", "/zzz"):
        answer = get(router, "/v1/models", SCRIPT_NAME=name)
        assert (answer.status_code, answer.json()) == (200, plain.json())
        assert get(router, "/foo/v1/models", SCRIPT_NAME="/foo").status_code == 404


def test_made_up_addresses_are_one_address(app):
    """The router appends the real one at the right; what stands left of it counts for nothing."""
    router, _, log = app
    statuses = [
        get(
            router,
            "/v1/models",
            **{"Authorization": f"Bearer gw-wrong-{n}", "X-Forwarded-For": f"9.9.9.{n}, 8.8.8.8"},
        ).status_code
        for n in range(130)
    ]
    assert set(statuses) == {401, 429}, "wrong keys are counted by address"
    assert "gw-wrong" not in log.read_text()


def test_the_access_log_of_the_buildpack_shows_no_query(app):
    router, _, log = app
    get(router, "/v1/models?key=in-the-query")
    until(lambda: '"path":"/v1/models"' in log.read_text())
    assert "in-the-query" not in log.read_text()


def test_doctor_finds_nothing_bad_in_what_is_documented(config, s3, tmp_path):
    guide = (ROOT / "docs/deployment.md").read_text().partition("## Heroku")[2]
    asked = json.loads((ROOT / "deploy/app.json").read_text())["env"]
    for names in (re.findall(r"\b([A-Z][A-Z0-9_]+)=", guide), asked):
        values = config | {"GATEWAY_PUBLIC_URL": "https://gateway.example/"}
        given = {name: values[name] for name in names if name in values}
        given |= {name: config[name] for name in ("DATABASE_URL", "DYNO")} | s3.settings()
        found = Shell(tmp_path, given).json("doctor")
        assert [row for row in found if row["level"] == "bad"] == []


def test_app_json_names_settings_that_exist():
    from gateway.config.settings import VARIABLES

    named = json.loads((ROOT / "deploy/app.json").read_text())["env"]
    assert {name for name in named if not name.startswith("AWS_")} <= set(VARIABLES)


def test_a_restart_loses_neither_jobs_nor_films_though_the_disk_is_lost(config, tmp_path_factory):
    with dyno(config, tmp_path_factory.mktemp("slug")) as (router, web, _):
        job = post(router, VIDEO, {"prompt": "waves"}, Prefer="respond-async").json()
        until(lambda: get(router, f"/v1/jobs/{job['id']}").json()["status"] == "in_progress")
        with Client(router.app[1]) as idle:
            idle.get("/health").answer()
            began = time.monotonic()
            for _ in range(2):
                for process in [*psutil.Process(web.pid).children(recursive=True), web]:
                    process.send_signal(signal.SIGTERM)
            web.wait(25)
            assert time.monotonic() - began < 10
    with dyno(config, tmp_path_factory.mktemp("slug")) as (router, _, _):

        def ended():
            found = get(router, f"/v1/jobs/{job['id']}").json()
            return found["status"] == "completed" and found

        url = until(ended, within_s=60)["result"]["choices"][0]["message"]["videos"][0]["url"]
        link = router.url + "/media/" + url.split("/media/")[1]
        assert requests.get(link, timeout=30).content[4:8] == b"ftyp"
