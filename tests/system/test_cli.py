"""The commands of operators, as processes: what they print, do and refuse."""

from __future__ import annotations

import json
import re
import time

import pytest

from gateway.domain.version import VERSION
from gateway.storage.db.engine import Database
from gateway.storage.records.api_keys import KeyStore
from tests.support.redis import RedisServer
from tests.support.s3 import without_the_right_to_list_uploads
from tests.support.shell import QuickShell, Shell

STRONG = "a-key-of-the-team-0123456789"
VENDOR_SECRET = "ark-cli-0123456789abcdef"


@pytest.fixture
def shell(tmp_path):
    return QuickShell(tmp_path, {})


def shell_of(gateway, **settings):
    return QuickShell(gateway.directory, settings)


# -- keys ------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_works_at_once_until_it_is_revoked(gateway_factory):
    with gateway_factory.started(workers=3, GATEWAY_POOL_ACCESS="keys") as gateway:
        shell = shell_of(gateway)
        made = shell("keys", "create", "web-team", "--limits", "50/minute", "--expires", "30d")
        key = made.stdout.strip()
        assert re.fullmatch(r"gw-[A-Za-z0-9_-]{40}", key)
        assert key not in made.stderr
        assert all(gateway.chat(key=key).status_code == 200 for _ in range(6))
        assert gateway.chat(key=key).headers["x-ratelimit-limit-requests"] == "50"
        (listed,) = shell.json("keys", "list")
        assert (listed["name"], listed["state"], listed["from"]) == ("web-team", "valid", "command")
        assert listed["ends_with"] == key[-4:]
        assert 29 * 86400 < listed["expires"] - time.time() < 31 * 86400
        assert key not in shell.ok("keys", "list")

        assert shell.ok("keys", "revoke", "web-team") == "web-team is revoked.\n"
        deadline = time.monotonic() + 20
        # Who sends wrong keys all the time hears 429 after the hundredth.
        while 200 in {gateway.get("/v1/models", key=key).status_code for _ in range(12)}:
            assert time.monotonic() < deadline, "a worker did not hear of it"
        assert shell("keys", "revoke", "web-team").returncode == 1
        assert shell("keys", "create", "web-team").returncode == 1  # the name is spent


def test_a_key_of_some_models_is_refused_the_others(gateway_factory):
    with gateway_factory.started(workers=1, GATEWAY_POOL_ACCESS="keys") as gateway:
        shell = shell_of(gateway)
        (made,) = shell.json("keys", "create", "narrow", "--models", "doubao, test-model")
        assert gateway.chat(key=made["key"]).status_code == 200
        refused = gateway.chat(key=made["key"], model="gemini-3-pro-preview")
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "model_not_allowed"
        names = [m["id"] for m in gateway.get("/v1/models", key=made["key"]).json()["data"]]
        assert sorted(names) == ["doubao", "test-model"]


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "create", "spaces are no label"),
        ("keys", "create", "k", "--limits", "often"),
        ("keys", "create", "k", "--expires", "someday"),
        ("keys", "create", "k", "--expires", "999999w"),
        ("keys", "create", "k", "--expires", "9999-12-31T23:59-23:00"),
        ("keys", "create", "k", "--limits", f"{2**64}/minute"),
        ("keys", "create", "k", "--limits", f"5/{10**300} years"),
        (
            "accounts",
            "add",
            "a",
            "--upstream",
            "ark",
            "--credential",
            "env:HOME",
            "--weight",
            str(2**63),
        ),
        ("usage", "--by", "mood"),
        ("accounts", "add", "a", "--upstream", "nobody", "--credential", "-"),
        ("accounts", "add", "a", "--upstream", "ark", "--credential", "literal-secret-000"),
        ("accounts", "disable", "nobody"),
        ("jobs", "list", "--limit", str(10**20)),
        ("sessions", "list", "--limit", "-1"),
        ("accounts", "test", "nobody"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(shell, words):
    done = shell(*words)
    assert done.returncode in (1, 2)
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_key_that_outlives_the_calendar_is_listed(shell):
    database = Database(f"sqlite:///{shell.directory}/var/gateway.db")
    shell.ok("keys", "list")
    KeyStore(database).create("old", expires_at=6e11)
    database.close()
    assert "never" in shell.ok("keys", "list")


def test_all_there_ever_was_can_be_asked_for(shell):
    assert shell.json("usage", "--since", "999999w") == []


# -- accounts --------------------------------------------------------------------------


def test_an_account_lives_from_add_to_remove_while_the_gateway_serves(gateway_factory, simulators):
    vendors = gateway_factory.vendors()
    settings = {"ARK_API_KEYS": "ark-first", "GATEWAY_SECRET_KEY": "k" * 32}
    with gateway_factory.started(workers=2, accounts=False, **settings) as gateway:
        shell = shell_of(gateway, **vendors, **settings)
        added = shell(
            *("accounts", "add", "spare", "--upstream", "ark", "--credential", "-"),
            *("--weight", "1000", "--max-in-flight", "7", "--limits", "video=20/day"),
            stdin=VENDOR_SECRET + "\n",
        )
        assert added.returncode == 0, added.stderr
        assert VENDOR_SECRET not in added.stdout + added.stderr
        listed = {row["name"]: row for row in shell.json("accounts", "list")}
        assert set(listed) == {"ark-1", "spare"}
        spare = listed["spare"]
        assert (spare["state"], spare["ends_with"]) == ("ready", "cdef")
        assert spare["max_in_flight"] == 7
        assert spare["from"] == "command"
        assert listed["ark-1"]["from"] == "settings"

        def served_by(name):
            deadline = time.monotonic() + 15
            while {gateway.chat().headers["X-Gateway-Account"] for _ in range(6)} != {name}:
                assert time.monotonic() < deadline

        shell.ok("accounts", "disable", "spare")
        served_by("ark-1")
        shell.ok("accounts", "enable", "spare")
        served_by("spare")
        (tried,) = shell.json("accounts", "test", "spare")
        assert tried["error"] is None
        assert tried["text"]
        shell.ok("accounts", "drain", "spare")
        served_by("ark-1")
        shell.ok("accounts", "remove", "spare")
        assert [row["name"] for row in shell.json("accounts", "list")] == ["ark-1"]
        assert shell("accounts", "remove", "ark-1").returncode == 1  # it is in the settings


def test_pictures_are_fetched_from_the_private_server_of_an_account_that_is_added(
    gateway_factory,
):
    vendors = gateway_factory.vendors()
    settings = {"ARK_API_KEYS": "ark-other", "GATEWAY_ALLOW_PRIVATE_URLS": "off"}
    with gateway_factory.started(workers=1, accounts=False, vendors=False, **settings) as gateway:
        shell = shell_of(gateway, **settings)
        words = ("accounts", "add", "painter", "--upstream", "openai", "--credential", "-")
        shell.ok(*words, "--base-url", vendors["OPENAI_BASE_URL"], stdin="sk-painter")
        deadline = time.monotonic() + 15
        body = {"model": "openai/dall-e-3", "prompt": "a cat"}
        while (made := gateway.post("/v1/images/generations", body)).status_code == 404:
            assert time.monotonic() < deadline
        assert made.status_code == 200, made.text


def test_an_account_of_the_settings_is_disabled_for_all_workers_and_stays_so(gateway_factory):
    settings = {"ARK_API_KEYS": "ark-one-switched,ark-two-switched"}
    shell = None
    with gateway_factory.started(workers=3, accounts=False, **settings) as gateway:
        shell = shell_of(gateway, **gateway_factory.vendors(), **settings)

        def served_by(*names):
            return {gateway.chat().headers["X-Gateway-Account"] for _ in range(12)} == {*names}

        for words in ("disable", "drain"):
            shell.ok("accounts", words, "ark-1")
            time.sleep(2)  # is what every worker may take to hear of it
            assert served_by("ark-2")
            shell.ok("accounts", "enable", "ark-1")
            time.sleep(2)
            assert served_by("ark-1", "ark-2")
        shell.ok("accounts", "disable", "ark-2")
        states = {row["name"]: row["state"] for row in shell.json("accounts", "list")}
        assert states == {"ark-1": "ready", "ark-2": "disabled"}
        directory = gateway.directory
    database = f"sqlite:///{directory}/var/gateway.db"
    again = settings | {"DATABASE_URL": database}
    with gateway_factory.started(workers=1, accounts=False, **again) as gateway:
        assert gateway.chat().headers["X-Gateway-Account"] == "ark-1"


def test_an_account_that_the_vendor_refuses_is_shown_tested_and_reset(gateway_factory):
    vendors = gateway_factory.vendors()
    settings = {"ARK_API_KEYS": "ark-wrong-listed,ark-good-listed"}
    with gateway_factory.started(workers=1, accounts=False, **settings) as gateway:
        shell = shell_of(gateway, **vendors, **settings)
        deadline = time.monotonic() + 15
        while "ejected" not in {row["state"] for row in shell.json("accounts", "list")}:
            gateway.chat()
            assert time.monotonic() < deadline
        bad = next(row for row in shell.json("accounts", "list") if row["name"] == "ark-1")
        assert bad["returns_at"] > time.time()
        assert bad["reason"] == "account"
        assert "ark-wrong" not in shell.ok("accounts", "list")
        tried = shell("accounts", "test", "ark-1", "--json")
        assert tried.returncode == 1
        assert "upstream_auth_failed" in json.loads(tried.stdout)[0]["error"]
        shell.ok("accounts", "reset", "ark-1")
        states = {row["name"]: row["state"] for row in shell.json("accounts", "list")}
        assert states == {"ark-1": "ready", "ark-2": "ready"}


def test_usage_jobs_and_sessions_are_told(gateway_factory):
    with gateway_factory.started(workers=1, GATEWAY_KEYS=f"team={STRONG}") as gateway:
        assert gateway.chat(key=STRONG).status_code == 200
        picture = gateway.post("/v1/images/generations", {"prompt": "a cat"}, key=STRONG)
        assert picture.status_code == 200
        shell = shell_of(gateway)
        deadline = time.monotonic() + 15
        while len(rows := shell.json("usage", "--since", "1h")) < 2:
            assert time.monotonic() < deadline
        assert {(row["key"], row["requests"]) for row in rows} == {("team", 1)}
        assert sum(row["images"] for row in rows) == 1
        table = shell.ok("usage", "--by", "day,upstream").splitlines()
        assert table[0].split()[:3] == ["DAY", "AT", "UPSTREAM"]
        assert table[-1].startswith("total")
        assert shell.json("jobs", "list") == []
        (job,) = shell.json("jobs", "list", "--all")
        assert (job["status"], job["owner"]) == ("completed", "key:team")
        assert shell.json("sessions", "list") == []


# -- doctor ----------------------------------------------------------------------------


def findings(shell, **more):
    done = shell("doctor", "--json", **more)
    found = json.loads(done.stdout)
    bad = {(row["about"], row["message"]) for row in found if row["level"] == "bad"}
    assert done.returncode == (1 if bad else 0)
    assert all(row["advice"] for row in found if row["level"] == "bad")
    return {about for about, _ in bad}, found


SOUND = {
    "ARK_API_KEYS": "ark-0123456789",
    "GATEWAY_KEYS": f"team={STRONG}",
    "GATEWAY_SECRET_KEY": "s" * 32,
    "GATEWAY_PUBLIC_URL": "https://gateway.example",
}


def test_doctor_is_content_with_a_fresh_checkout_and_makes_nothing(tmp_path):
    shell = Shell(tmp_path, {})
    assert findings(shell)[0] == set()
    assert "ok    database" in shell.ok("doctor")
    assert list(tmp_path.iterdir()) == []


def test_doctor_is_content_with_a_service_account(shell):
    key = {
        "client_email": "a@p.iam.gserviceaccount.com",
        "private_key": "-----BEGIN PRIVATE KEY-----",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    engine = "projects/p/locations/global/collections/c/engines/e"
    settings = SOUND | {
        "GEMINI_ENTERPRISE_ENGINE": engine,
        "GEMINI_ENTERPRISE_CREDENTIALS": json.dumps(key),
    }
    assert findings(shell, **settings)[0] == set()


def test_version_names_the_gateway(shell):
    assert shell.ok("version").strip() == f"gateway {VERSION}"


def test_doctor_is_content_with_sound_settings_behind_a_proxy(shell):
    assert findings(shell, **SOUND, HOST="0.0.0.0", GATEWAY_TRUSTED_PROXIES="1")[0] == set()


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"HOST": "0.0.0.0", "GATEWAY_POOL_ACCESS": "open"}, "access"),
        ({"GATEWAY_KEYS": "", "GATEWAY_OWN_CREDENTIALS": "off"}, "access"),
        ({"HOST": "0.0.0.0", "GATEWAY_ALLOW_PRIVATE_URLS": "on"}, "access"),
        ({"HOST": "0.0.0.0", "GATEWAY_PUBLIC_URL": ""}, "public URL"),
        ({"ARK_API_KEYS": "AIzaSy-of-another-vendor-0123456789abcdef"}, "accounts"),
        ({"GATEWAY_SECRET_KEY": f"{STRONG},hunter2"}, "settings"),
        ({"GATEWAY_TRUSTED_PROXYS": "1"}, "settings"),
        ({"ARK_API_KEY": "singular"}, "settings"),
        ({"GATEWAY_RATE_LIMIT": "often"}, "settings"),
        ({"REDIS_URL": "redis://127.0.0.1:9"}, "redis"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:9/none"}, "database"),
        ({"GATEWAY_MEDIA": "file:taken/media"}, "media"),
        (
            {
                "GATEWAY_MEDIA": "s3://nowhere",
                "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
            },
            "media",
        ),
    ],
)
def test_doctor_refuses_what_is_unsafe_or_cannot_work(shell, settings, about):
    (shell.directory / "taken").touch()
    assert findings(shell, **SOUND | settings)[0] == {about}


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, True),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "GATEWAY_OWN_CREDENTIALS": "off"}, False),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1"}, False),
    ],
)
def test_doctor_warns_of_a_server_that_anybody_may_use(shell, settings, warned):
    bad, found = findings(shell, **SOUND | settings)
    advice = [row["advice"] for row in found if row["level"] == "warn"]
    assert bad == set()
    assert any("GATEWAY_OWN_CREDENTIALS=off" in text for text in advice) == warned


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_doctor_says_that_callers_without_a_key_are_one(shell, host):
    _, found = findings(shell, **SOUND | {"GATEWAY_POOL_ACCESS": "open", "HOST": host})
    (row,) = [row for row in found if row["about"] == "access" and row["level"] != "ok"]
    assert "read and delete what others without a key leave" in row["message"]
    assert "GATEWAY_POOL_ACCESS=keys" in row["advice"]


def test_doctor_knows_what_a_platform_needs(shell):
    bare = {"DYNO": "web.1", "ARK_API_KEYS": "ark-0123456789", "GATEWAY_KEYS": f"team={STRONG}"}
    bad, _ = findings(shell, **bare)
    assert bad == {"database", "media", "secret key", "proxies", "public URL"}


def test_doctor_finds_accounts_stored_under_another_secret_key(shell):
    words = ("accounts", "add", "a", "--upstream", "ark", "--credential", "env:SECRET")
    shell.ok(*words, GATEWAY_SECRET_KEY="1" * 32, SECRET=VENDOR_SECRET)
    assert findings(shell, GATEWAY_SECRET_KEY="1" * 32)[0] == set()
    bad, found = findings(shell, GATEWAY_SECRET_KEY="2" * 32)
    assert bad == {"accounts"}
    assert VENDOR_SECRET not in json.dumps(found)


def test_a_rotated_secret_key_can_be_taken_away_once_accounts_are_encrypted_with_the_new_one(
    gateway_factory, tmp_path
):
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db"}
    shell = QuickShell(tmp_path, settings)
    old, new, other = "1" * 32, "2" * 32, "3" * 32
    words = ("accounts", "add", "a", "--upstream", "ark", "--credential", "env:SECRET")
    shell.ok(*words, GATEWAY_SECRET_KEY=old, SECRET=VENDOR_SECRET)
    bad, found = findings(shell, GATEWAY_SECRET_KEY=f"{new},{old}")
    assert bad == set()
    assert [row["message"] for row in found if "later key" in row["message"]]
    start = {"accounts": False, "workers": 1, **settings}
    shell.ok("accounts", "rotate", GATEWAY_SECRET_KEY=f"{new},{old}")
    bad, found = findings(shell, GATEWAY_SECRET_KEY=f"{new},{old}")
    assert not [row["message"] for row in found if "later key" in row["message"]]
    with gateway_factory.started(**start, GATEWAY_SECRET_KEY=new) as gateway:
        assert gateway.chat().status_code == 200
    with gateway_factory.started(**start, GATEWAY_SECRET_KEY=other) as gateway:
        assert gateway.get("/ready").status_code == 503
    (listed,) = shell.json("accounts", "list", GATEWAY_SECRET_KEY=other)
    assert (listed["name"], listed["state"], listed["ends_with"]) == ("a", "locked", "cdef")
    tried = shell("accounts", "test", "a", GATEWAY_SECRET_KEY=other)
    assert tried.returncode == 1
    assert "another secret key" in tried.stderr


def test_doctor_asks_the_redis_there_is(shell, tmp_path):
    with RedisServer.started(tmp_path) as redis:
        assert findings(shell, **SOUND, REDIS_URL=redis.url)[0] == set()


def test_doctor_tries_what_the_sweeper_needs_of_a_bucket(shell, s3):
    settings = SOUND | s3.settings()
    assert not [row for row in findings(shell, **settings)[1] if row["level"] == "warn"]
    with without_the_right_to_list_uploads(s3.url) as url:
        bad, found = findings(shell, **settings | {"AWS_ENDPOINT_URL_S3": url})
    assert bad == set()
    (warning,) = [row for row in found if row["level"] == "warn"]
    assert warning["about"] == "media"
    assert "s3:ListBucketMultipartUploads" in warning["advice"]


def test_commands_start_nothing(gateway_factory):
    with gateway_factory.started(accounts=False, vendors=False, workers=1) as gateway:  # demo
        shell = Shell(gateway.directory, {})
        made = shell("keys", "create", "web-team")
        assert gateway.get("/v1/models", key=made.stdout.strip()).status_code == 200
        assert made.stdout.strip() not in made.stderr
        assert shell.json("accounts", "list") == []
        _, found = findings(shell)
        assert any("Demo mode" in row["message"] for row in found)
        words = ("accounts", "add", "real", "--upstream", "ark", "--credential", "env:SECRET")
        assert "once it is restarted" in shell.ok(*words, SECRET=VENDOR_SECRET)
