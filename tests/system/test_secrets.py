"""Secrets are planted in every setting; none may appear in anything that comes out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import requests

from tests.support.process import BIN, clean_env, run
from tests.support.redis import RedisServer
from tests.support.shell import QuickShell
from tests.support.simulators import ENGINE

LENGTH = 12  # no piece of a secret of this length may be seen
# A piece of a secret for each of its owners: of no vendor's vocabulary, and told apart at a glance.
CANARY = {
    name: f"{name[:2]}Q7zx{number}kV9mW3pT8rB5nH2cJ6dF4gL1sY0"
    for number, name in enumerate(
        (
            *("ark", "gemini", "openai", "stored", "own", "team", "made"),
            *("redis", "database", "secret", "s3", "guess"),
        )
    )
}
# What the vendors' simulators do with a credential that says so; `echo` repeats it in errors.
BEHAVIOURS = (
    *("fine", "wrong", "denied", "overdue", "empty", "daily", "overloaded", "broken", "blocked"),
    *("filtered", "cut", "ended", "truncated", "html", "malformed", "failed", "expired", "gone"),
)
PREFIX = {"ark": "ark-", "gemini": "AIza", "openai": "sk-"}
MODEL = {
    "ark": "doubao-seed-1-6-251015",
    "gemini": "gemini-3-pro-preview",
    "openai": "test-model",
}

PAID = {"image": "doubao-seedream-4-0-250828", "video": "doubao-seedance-1-0-pro-250528"}


@dataclass
class Seen:
    """Everything that came out, by where it did."""

    pieces: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where, text):
        self.pieces.append((where, text if isinstance(text, str) else text.decode("latin-1")))

    def answer(self, where, answer):
        self.add(f"headers of {where}", json.dumps(dict(answer.headers)))
        self.add(f"body of {where}", answer.content)

    def leaks(self, secrets):
        """Where pieces of secrets were seen, and the first of each around what it was in."""
        windows = {
            secret[at : at + LENGTH]: name
            for name, secret in secrets.items()
            for at in range(len(secret) - LENGTH + 1)
        }
        found = {}
        for where, text in self.pieces:
            for at in range(len(text) - LENGTH + 1):
                if name := windows.get(text[at : at + LENGTH]):
                    found.setdefault((name, where), text[max(0, at - 60) : at + 60])
        return found


def credential(upstream, behaviour):
    return f"{PREFIX[upstream]}echo-{behaviour}-{CANARY[upstream]}"


def toml(service_account):
    """An account for each vendor and behaviour, and a model that only it serves."""
    lines = []
    for upstream in PREFIX:
        for behaviour in BEHAVIOURS:
            name = f"{upstream}-{behaviour}"
            lines += [
                f'[models."{name}"]\nkind = "chat"',
                f'routes = [{{ upstream = "{upstream}", model = "{MODEL[upstream]}" }}]',
                f'[[accounts]]\nname = "{name}"\nupstream = "{upstream}"\nmodels = ["{name}"]',
                f'credential = "{credential(upstream, behaviour)}"',
            ]
    for kind, model in (
        ("image", "doubao-seedream-4-0-250828"),
        ("video", "doubao-seedance-1-0-pro-250528"),
    ):
        for behaviour in ("fine", "failed", "broken", "wrong"):
            name = f"{kind}-{behaviour}"
            lines += [
                f'[models."{name}"]\nkind = "{kind}"',
                f'routes = [{{ upstream = "ark", model = "{model}" }}]',
                f'[[accounts]]\nname = "{name}"\nupstream = "ark"\nmodels = ["{name}"]',
                f'credential = "{credential("ark", behaviour)}-{kind}"',
            ]
    lines += [
        '[[accounts]]\nname = "enterprise"\nupstream = "gemini-enterprise"',
        f"credential = '''{service_account}'''",
    ]
    return "\n".join(lines)


def drive(gateway, seen, key):
    """Use the gateway in every way that may make it say what it should not."""
    for upstream in PREFIX:
        for behaviour in BEHAVIOURS:
            for stream in (False, True):
                model = f"{upstream}-{behaviour}"
                seen.answer(model, gateway.chat(model=model, key=key, stream=stream))
        own = credential(upstream, "wrong").replace(CANARY[upstream], CANARY["own"])
        for model in (MODEL[upstream], "no-such-model"):
            seen.answer(f"own {upstream}", gateway.chat(model=model, key=own))
        for word in ("broken", "fine"):
            own = credential(upstream, word).replace(CANARY[upstream], CANARY["own"])
            seen.answer(f"own {upstream}", gateway.chat(model=MODEL[upstream], key=own))
    own = f"ya29.echo-wrong-{CANARY['own']}"
    for stream in (False, True):
        answer = gateway.chat(model="gemini-enterprise", key=key, stream=stream)
        seen.answer("enterprise", answer)
        seen.answer("own ya29", gateway.chat(model="gemini-enterprise", key=own, stream=stream))
    for behaviour in ("fine", "failed", "broken", "wrong"):
        for path, kind in (("images", "image"), ("video", "video")):
            body = {"prompt": "a cat", "model": f"{kind}-{behaviour}"}
            made = gateway.post(f"/v1/{path}/generations", body, key=key)
            seen.answer(f"{kind} {behaviour}", made)
            url = (made.json().get("data") or [{}])[0].get("url")
            if url:
                moved = requests.get(url, allow_redirects=False, timeout=30)
                seen.answer("media", moved)
    seen.answer("plan", gateway.chat(key=key, model="ark-fine", headers={"X-Gateway-Dry-Run": "1"}))
    seen.answer("jobs", gateway.get("/v1/jobs?limit=100", key=key))
    seen.answer("models", gateway.get("/v1/models", key=key))
    guess = f"gw-{CANARY['guess']}"
    seen.answer("guess", gateway.chat(key=guess))
    seen.answer("query", gateway.get(f"/v1/models?key={guess}"))
    seen.answer("path", gateway.get("/nowhere", headers={"Authorization": f"Basic {guess}"}))
    bad = gateway.post(
        "/v1/chat/completions", key=key, data=b"{", headers={"Content-Type": "application/json"}
    )
    seen.answer("bad JSON", bad)
    for path in ("/", "/health", "/ready", "/metrics", "/openapi.json", "/docs"):
        seen.answer(path, gateway.get(path))


def use_commands(gateway, seen, settings):
    shell = QuickShell(gateway.directory, settings)

    def command(*words, **kw):
        done = shell(*words, **kw)
        seen.add(f"output of {words}", done.stdout + done.stderr)

    stored = f"ark-echo-wrong-{CANARY['stored']}"
    add = ("accounts", "add", "stored", "--upstream", "ark", "--credential")
    command(*add, "-", stdin=stored)
    command(*add, stored)
    for name in ("stored", "ark-wrong", "ark-broken", "enterprise"):
        command("accounts", "test", name)
    for words in (("accounts", "list"), ("keys", "list"), ("jobs", "list", "--all"), ("doctor",)):
        command(*words)
        command(*words, "--json")
    command("usage", "--by", "key,model,account")
    command("doctor", DATABASE_URL=f"mysql://u:{CANARY['database']}@h/d")
    command("doctor", DATABASE_URL=f"postgresql://u:{CANARY['database']}@127.0.0.1:9/d")
    command("doctor", REDIS_URL=f"redis://:{CANARY['redis']}@127.0.0.1:9")
    command("keys", "list", GATEWAY_KEYS=CANARY["team"])


def everything_in(postgres, name):
    tables = postgres.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name
    )
    return "\n".join(
        str(row)
        for (table,) in tables
        for row in postgres.execute(f"SELECT t::text FROM {table} t", database=name)
    )


def take_away(postgres, name):
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )


REPRS = """
import gc, sys
import wsgi
from gateway.config.settings import Settings
for thing in (Settings.from_env(), wsgi.app.extensions["gateway"], wsgi.app):
    print(repr(thing))
for thing in gc.get_objects():
    if str(type(thing).__module__).partition(".")[0] == "gateway":
        print(repr(thing)[:20000])
"""


def test_no_secret_is_seen_anywhere(own_factory, vendors, postgres, s3, tmp_path):
    seen = Seen()
    account = json.loads(vendors.service_account("canary@test.iam.gserviceaccount.com"))
    private = "".join(account["private_key"].splitlines()[2:-2])
    with RedisServer.started(tmp_path, password=CANARY["redis"]) as redis:
        name = postgres.create()
        settings = s3.settings(secret=CANARY["s3"]) | {
            "DATABASE_URL": postgres.url(name).replace("@/", f":{CANARY['database']}@/"),
            "REDIS_URL": redis.url,
            "GATEWAY_SECRET_KEY": CANARY["secret"],
            "GATEWAY_KEYS": f"team={CANARY['team']}",
            "GEMINI_ENTERPRISE_ENGINE": ENGINE,
            "OPENAI_MODELS": "test-model",
            "GATEWAY_LOG_LEVEL": "debug",
        }
        with own_factory.started(
            accounts=False, workers=2, toml=toml(json.dumps(account)), **settings
        ) as gateway:
            drive(gateway, seen, CANARY["team"])
            everything = own_factory.vendors() | settings
            use_commands(gateway, seen, everything)
            command, env = [BIN / "python", "-c", REPRS], clean_env(everything)
            reprs = run(command, env=env, cwd=gateway.directory)
            assert reprs.returncode == 0, reprs.stderr[-2000:]
            assert "Secret(****)" in reprs.stdout
            seen.add("repr", reprs.stdout + reprs.stderr)
            redis.kill()
            for stream in (False, True):
                answer = gateway.chat(key=CANARY["team"], model="ark-fine", stream=stream)
                seen.answer("without Redis", answer)
            seen.add("database", everything_in(postgres, name))
            take_away(postgres, name)
            seen.answer("without the database", gateway.chat(key=f"gw-{CANARY['guess']}"))
            seen.answer("without the database", gateway.get("/ready"))
            gateway.process.terminate()
            gateway.process.wait(30)
        seen.add("log", gateway.log.read_text())
    assert account["client_email"] in json.dumps(vendors.ledger()["calls"])
    secrets = CANARY | {"private key": private}
    assert len(seen.pieces) > 300
    assert seen.leaks(secrets) == {}
