"""A setting that cannot be meant stops the start, with one line that names it."""

from __future__ import annotations

import subprocess

import pytest

from gateway.config.settings import Settings
from gateway.config.tables import SettingsError
from tests.support.process import BIN, ROOT, clean_env

ENGINE = "projects/p/locations/global/collections/c/engines/e"
KEY = "0123456789abcdef"
ACCOUNT = '[[accounts]]\nname = "a"\nupstream = "ark"\ncredential = "k"\n'
KEYS = f'[[keys]]\nname = "a"\nkey = "{KEY}"\n'
MODEL = '[models."m"]\nkind = "chat"\nroutes = [{ upstream = "ark", model = "x" }]\n'


def complaint(variables, toml=None, tmp_path=None):
    if toml is not None:
        (tmp_path / "gateway.toml").write_text(toml, "utf-8")
        variables = {**variables, "GATEWAY_CONFIG": str(tmp_path / "gateway.toml")}
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(variables)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://h/d"),
        ("DATABASE_URL", "sqlite:gateway.db"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "postgresql://u:secret@h:port/d"),
        ("REDIS_URL", "http://h"),
        ("GATEWAY_MEDIA", "ftp:x"),
        ("GATEWAY_MEDIA", "file:"),
        ("GATEWAY_MEDIA", "s3://"),
        ("GATEWAY_MEDIA", "s3://Bad_Bucket/x"),
        ("GATEWAY_PUBLIC_URL", "gateway.example"),
        ("GATEWAY_PUBLIC_URL", "https://"),
        ("GATEWAY_PUBLIC_URL", "https://h/?a=b"),
        ("GATEWAY_PUBLIC_URL", "https://u:secret@h"),
        ("GATEWAY_PUBLIC_URL", "https://h/\r\nX: y"),
        ("GATEWAY_POOL_ACCESS", "public"),
        ("GATEWAY_KEYS", "a=short"),
        ("GATEWAY_KEYS", "a-secret-key-without-a-name"),
        ("GATEWAY_KEYS", f"={KEY}"),
        ("GATEWAY_OWN_CREDENTIALS", "perhaps"),
        ("GATEWAY_TRUSTED_PROXIES", "-1"),
        ("GATEWAY_TRUSTED_PROXIES", "one"),
        ("GATEWAY_RATE_LIMIT", "fast"),
        ("GATEWAY_RATE_LIMIT", "0/minute"),
        ("GATEWAY_MAX_BODY_MB", "0"),
        ("GATEWAY_MAX_BODY_MB", "1G"),
        ("GATEWAY_HEARTBEAT_S", "nan"),
        ("GATEWAY_HEARTBEAT_S", "inf"),
        ("GATEWAY_HOLD_S", "-1"),
        ("GATEWAY_ALLOW_PRIVATE_URLS", "10.0.0.0/99"),
        ("GATEWAY_ALLOW_PRIVATE_URLS", "http://h"),
        ("GATEWAY_ALLOW_PRIVATE_URLS", "h:8080"),
        ("GATEWAY_ALLOW_PRIVATE_URLS", "yes"),
        ("GATEWAY_CHAT_MEDIA", "html"),
        ("GATEWAY_MEDIA_URL_TTL_S", "0"),
        ("GATEWAY_MEDIA_TTL_DAYS", "-1"),
        ("GATEWAY_MEDIA_MAX_GB", "x"),
        ("GATEWAY_METRICS", "x"),
        ("GATEWAY_LOG_LEVEL", "loud"),
        ("GATEWAY_CONFIG", "/nowhere/gateway.toml"),
        ("GEMINI_ENTERPRISE_ENGINE", "engine"),
        ("GEMINI_ENTERPRISE_CREDENTIALS", "/nowhere.json"),
        ("GEMINI_ENTERPRISE_CREDENTIALS", '{"a": 1}'),
        ("GEMINI_ENTERPRISE_CREDENTIALS", "{"),
        ("ARK_BASE_URL", "h"),
        ("GEMINI_BASE_URL", "https://"),
        ("GEMINI_ENTERPRISE_BASE_URL", "ftp://h"),
        ("OPENAI_BASE_URL", "http://h:port"),
        ("ARK_API_KEYS", "a\nb"),
        ("GEMINI_API_KEYS", "a,b c"),
        ("OPENAI_API_KEYS", "clé"),
    ],
)
def test_a_bad_variable_is_named(name, value):
    others = {} if name == "GEMINI_ENTERPRISE_ENGINE" else {"GEMINI_ENTERPRISE_ENGINE": ENGINE}
    text = complaint({**others, name: value})
    assert text.startswith(f"{name}: ")
    assert "secret" not in text


@pytest.mark.parametrize("keys", [f"a={KEY},a={KEY}2", f"a={KEY},b={KEY}"], ids=["name", "key"])
def test_keys_that_are_given_twice_are_named_with_their_variable(keys):
    text = complaint({"GATEWAY_KEYS": keys})
    assert text.startswith("GATEWAY_KEYS ")
    assert KEY not in text


def test_a_key_that_is_given_without_a_name_is_not_shown():
    key = "c29tZSBrZXkgaW4gYmFzZTY0"
    for end in ("=", "=="):
        text = complaint({"GATEWAY_KEYS": f"a={KEY},{key}{end}"})
        assert text == "GATEWAY_KEYS: number 2: must be NAME=KEY"
    assert key not in complaint({"GATEWAY_KEYS": f"{key}=short"})


def test_an_engine_is_required_with_its_credentials():
    text = complaint({"GEMINI_ENTERPRISE_CREDENTIALS": "service-account.json"})
    assert text.startswith("GEMINI_ENTERPRISE_ENGINE: ")


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("x =", "gateway.toml"),
        ("[acounts]\n", "'acounts'"),
        ('accounts = "a"', "accounts"),
        ('[accounts]\nname = "a"', "[[accounts]]"),
        (ACCOUNT.replace('"a"', "5"), "name"),
        (ACCOUNT.replace('"a"', '"own"'), "name"),
        (ACCOUNT.replace('"a"', '"a\\r\\nb"'), "name"),
        (ACCOUNT.replace('"a"', '"账号"'), "name"),
        (ACCOUNT.replace('"ark"', '"arc"'), "upstream"),
        (ACCOUNT.replace('"ark"', '["ark"]'), "upstream"),
        (ACCOUNT.replace('"ark"', '"gemini-enterprise"'), "credential"),
        (ACCOUNT.replace('"k"', '"env:NOWHERE"'), "credential: the variable 'NOWHERE'"),
        (ACCOUNT.replace('"k"', '"file:/dev/null"'), "credential"),
        (ACCOUNT.replace('"k"', '"file:/nowhere"'), "credential"),
        (ACCOUNT.replace('"k"', '"a b"'), "credential"),
        (ACCOUNT.replace('"k"', "5"), "credential"),
        (ACCOUNT + "weight = 0", "weight"),
        (ACCOUNT + "weight = true", "weight"),
        (ACCOUNT + f"weight = {10**400}", "weight"),
        (ACCOUNT + f"max_in_flight = {2**63}", "max_in_flight"),
        (ACCOUNT + f'limits = {{ chat = "{2**64}/minute" }}', "limits"),
        (ACCOUNT + f'limits = {{ chat = "5/{10**300} years" }}', "limits"),
        (ACCOUNT + "max_in_flight = 0.5", "max_in_flight"),
        (ACCOUNT + 'limits = { chat = "often" }', "limits"),
        (ACCOUNT + "limits = { chat = 5 }", "limits"),
        (ACCOUNT + 'limits = { talk = "5/minute" }', "limits"),
        (ACCOUNT + 'models = "doubao"', "models"),
        (ACCOUNT + "models = [1]", "models"),
        (ACCOUNT + 'base_url = "h"', "base_url"),
        (ACCOUNT + "engine = 5", "engine"),
        (ACCOUNT + "wait = 5", "'wait'"),
        (ACCOUNT + ACCOUNT, "'a' is used twice"),
        (KEYS.replace('"a"', "5"), "name"),
        (KEYS.replace(KEY, "short"), "16 characters"),
        (KEYS + 'limits = "often"', "limits"),
        (KEYS + 'models = "doubao"', "models"),
        (KEYS + 'expires = "tomorrow"', "expires"),
        (KEYS + KEYS.replace('"a"', '"b"'), "'a' and 'b'"),
        ("[keys]\na = 1", "[[keys]]"),
        ('models = ["m"]', "models"),
        (MODEL.replace('"chat"', '"audio"'), "kind"),
        (MODEL.replace('"chat"', '"video"').replace('"ark"', '"openai"'), "videos"),
        (MODEL.replace('"ark"', '"arc"'), "'arc'"),
        (MODEL.replace('"x"', "5"), "model"),
        (MODEL.replace('"x" }', '"x", y = 1 }'), "routes"),
        ('[models."m"]\nkind = "chat"', "routes"),
        ('[models."m"]\nkind = "chat"\nroutes = ["ark"]', "routes"),
        (MODEL.replace('"m"', '""'), "name"),
        ("[timeouts.arc]\nidle_s = 1", "'arc'"),
        ("[timeouts.ark]\nidle = 1", "'idle'"),
        ("[timeouts.ark]\nidle_s = true", "idle_s"),
        ("[timeouts.ark]\nidle_s = nan", "idle_s"),
        (f"[timeouts.ark]\nidle_s = {10**400}", "idle_s"),
        (ACCOUNT + f"weight = {'9' * 5000}", "gateway.toml"),
        (f"x = {'[' * 5000}{']' * 5000}", "gateway.toml"),
        (ACCOUNT.replace('"k"', '"file:a\\u0000b"'), "credential"),
        ("timeouts = 5", "timeouts"),
        ("[proxies]\narc = ''", "'arc'"),
        ("[proxies]\nark = 'https://proxy:3128'", "ark"),
        ("[proxies]\nark = 'http://proxy'", "ark"),
        ("proxies = 5", "proxies"),
    ],
)
def test_a_bad_table_is_named(tmp_path, toml, named):
    assert named in complaint({}, toml, tmp_path)


def test_a_credential_that_is_no_text_is_named(tmp_path):
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    toml = ACCOUNT.replace('"k"', f'"file:{tmp_path}/key"')
    assert f"credential: {tmp_path}/key is no text" in complaint({}, toml, tmp_path)


def test_good_settings_are_taken(tmp_path):
    timeouts = "[timeouts.gemini-enterprise]\nidle_s = 90.5\n"
    timeouts += "[proxies]\nark = 'http://u:p@proxy.example:3128'\ngemini = ''\n"
    (tmp_path / "gateway.toml").write_text("\ufeff" + ACCOUNT + KEYS + MODEL + timeouts, "utf-8")
    settings = Settings.from_env(
        {
            "GATEWAY_CONFIG": str(tmp_path / "gateway.toml"),
            "GATEWAY_KEYS": "b=a key made of words, c = 0123456789abcdef=",
            "GATEWAY_PUBLIC_URL": "https://ai.example/gateway/",
            "GATEWAY_MEDIA": "s3://my-bucket/some/prefix",
            "GATEWAY_ALLOW_PRIVATE_URLS": "files.local, 10.0.0.0/8, [::1], 127.0.0.1",
            "GATEWAY_OWN_CREDENTIALS": "OFF",
            "GATEWAY_RATE_LIMIT": "20/second; 600/minute",
            "ARK_API_KEYS": " k1 , k2,",
            "DATABASE_URL": "postgres://u:p%40ss@h:5432/d?sslmode=require",
            "GATEWAY_HOLD_S": "  ",
        }
    )
    assert [account.name for account in settings.accounts] == ["ark-1", "ark-2", "a"]
    assert [key.name for key in settings.keys] == ["b", "c", "a"]
    assert settings.public_url == "https://ai.example/gateway"
    assert not settings.own_credentials
    assert settings.hold_s == 20
    assert settings.proxies == {"ark": "http://u:p@proxy.example:3128", "gemini": ""}
    patience = settings.timeouts_of("gemini-enterprise")
    assert (patience.first_byte_s, patience.idle_s) == (600, 90.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_CHAT_MEDIA", "html"),
        ("GATEWAY_STATE_DIR", "/proc/nowhere"),
        ("DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/d"),
        ("GATEWAY_KEYS", "a-secret-key-without-a-name"),
    ],
)
def test_gunicorn_ends_with_one_line(tmp_path, name, value):
    command = [str(BIN / "gunicorn"), "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    env = clean_env({"PORT": "0", "HOST": "127.0.0.1", "WEB_CONCURRENCY": "1", name: value})
    ended = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    said = [line for line in ended.stderr.splitlines() if "[INFO]" not in line]
    assert ended.returncode != 0
    assert len(said) == 1
    assert said[0].startswith(f"gateway: {name}: ")
    assert "secret" not in ended.stderr
