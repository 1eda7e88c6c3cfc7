"""Configuration: the only reader of the environment and of gateway.toml."""

from __future__ import annotations

import json
import os
import secrets
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast

from gateway.domain.accounts import Account, GatewayKey, Kind, Secret

BUILT_IN_MODELS = Path(__file__).with_name("models.toml")
UPSTREAMS = ("ark", "gemini", "gemini-enterprise", "openai")
KINDS = ("chat", "image", "video")
_MB = 1024 * 1024


class SettingsError(Exception):
    """One line that names the setting and says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Route:
    upstream: str
    model: str


@dataclass(frozen=True, slots=True)
class ModelConfig:
    name: str
    kind: Kind
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class PhaseTimeouts:
    """Seconds a vendor may take: to connect, to begin, between bytes, and in all."""

    connect_s: float = 5
    first_byte_s: float = 60
    idle_s: float = 60
    total_s: float = 600


# Gemini Enterprise makes films inside the answer and is silent for minutes meanwhile.
_SLOW = PhaseTimeouts(first_byte_s=600, idle_s=600, total_s=1200)


@dataclass(frozen=True, slots=True)
class Settings:
    database_url: str = "sqlite:///var/gateway.db"
    redis_url: str | None = None
    media: str = "file:var/media"
    public_url: str | None = None
    secret_keys: tuple[Secret, ...] = ()  # the first signs, all are accepted
    pool_access: Literal["open", "keys"] | None = None  # None: open in demo mode, else keys
    keys: tuple[GatewayKey, ...] = ()
    own_credentials: bool = True
    trusted_proxies: int = 0
    rate_limit: str = "600/minute"
    max_body_bytes: int = 100 * _MB
    heartbeat_s: float = 15
    hold_s: float = 20
    allow_private_urls: str = "off"
    chat_media: Literal["parts", "markdown"] = "parts"
    media_url_ttl_s: float = 30 * 86400
    media_ttl_s: float = 90 * 86400
    media_max_bytes: int = 20 * 1024 * _MB
    log_level: str = "INFO"
    state_dir: Path = Path("var")
    accounts: tuple[Account, ...] = ()
    models: tuple[ModelConfig, ...] = ()
    openai_models: tuple[str, ...] = ()
    base_urls: Mapping[str, str] = field(default_factory=dict)  # by upstream, where set
    timeouts: Mapping[str, PhaseTimeouts] = field(default_factory=dict)  # by upstream
    engine: str | None = None
    demo_url: str | None = None  # simulators started for the demo mode

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Raises SettingsError, whose text is the one line to print."""
        env = os.environ if environ is None else environ
        document = _document(env)
        models = _models(_load(BUILT_IN_MODELS)) | _models(document)
        settings = cls(
            **_scalars(env),
            keys=tuple(_keys(env, document)),
            accounts=tuple(_accounts(env, document)),
            models=tuple(models.values()),
            openai_models=tuple(_list(env.get("OPENAI_MODELS", ""))),
            base_urls=_base_urls(env),
            timeouts=_timeouts(document),
            engine=env.get("GEMINI_ENTERPRISE_ENGINE") or None,
            secret_keys=tuple(Secret(k) for k in _list(env.get("GATEWAY_SECRET_KEY", ""))),
            demo_url=env.get("GATEWAY_DEMO_URL") or None,
        )
        _check_names(settings)
        return settings

    @property
    def demo(self) -> bool:
        return self.demo_url is not None

    def timeouts_of(self, upstream: str) -> PhaseTimeouts:
        default = _SLOW if upstream == "gemini-enterprise" else PhaseTimeouts()
        return self.timeouts.get(upstream, default)

    def with_secret_key(self) -> Settings:
        """The settings with a signing key: the configured one, or one kept in the state folder."""
        if self.secret_keys:
            return self
        return replace(self, secret_keys=(Secret(_stored_key(self.state_dir / "secret_key")),))


def announce_demo(url: str) -> None:
    """Tell the processes that will be forked where the simulators listen."""
    os.environ["GATEWAY_DEMO_URL"] = url


def _stored_key(path: Path) -> str:
    """Read the key file, or be the one process that makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(48))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass  # a sibling was first; its key is the one everybody uses
        finally:
            fresh.unlink()
    return path.read_text().strip()


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"must be between {low:g} and {high:g}")
        return value

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be a whole number between {low} and {high}")
        return value

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return parse


def _flag(text: str) -> bool:
    return _one_of("on", "off", "true", "false", "1", "0")(text) in ("on", "true", "1")


def _starts(*prefixes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not text.startswith(prefixes):
            raise ValueError(f"must begin with {' or '.join(prefixes)}")
        return text

    return parse


def _http_url(text: str) -> str:
    return _starts("http://", "https://")(text).rstrip("/")


# variable -> (field, parser)
_SCALARS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "DATABASE_URL": ("database_url", _starts("sqlite:", "postgres://", "postgresql://")),
    "REDIS_URL": ("redis_url", _starts("redis://", "rediss://", "unix://")),
    "GATEWAY_MEDIA": ("media", _starts("file:", "s3://")),
    "GATEWAY_PUBLIC_URL": ("public_url", _http_url),
    "GATEWAY_POOL_ACCESS": ("pool_access", _one_of("open", "keys")),
    "GATEWAY_OWN_CREDENTIALS": ("own_credentials", _flag),
    "GATEWAY_TRUSTED_PROXIES": ("trusted_proxies", _whole(0, 10)),
    "GATEWAY_RATE_LIMIT": ("rate_limit", str),
    "GATEWAY_MAX_BODY_MB": ("max_body_bytes", lambda t: int(_number(0.001, 10_000)(t) * _MB)),
    "GATEWAY_HEARTBEAT_S": ("heartbeat_s", _number(0.05, 50)),
    "GATEWAY_HOLD_S": ("hold_s", _number(0, 3600)),
    "GATEWAY_ALLOW_PRIVATE_URLS": ("allow_private_urls", str),
    "GATEWAY_CHAT_MEDIA": ("chat_media", _one_of("parts", "markdown")),
    "GATEWAY_MEDIA_URL_TTL_S": ("media_url_ttl_s", _number(1, 10 * 365 * 86400)),
    "GATEWAY_MEDIA_TTL_DAYS": ("media_ttl_s", lambda t: _number(0.01, 36500)(t) * 86400),
    "GATEWAY_MEDIA_MAX_GB": ("media_max_bytes", lambda t: int(_number(0.001, 1e6)(t) * 1024 * _MB)),
    "GATEWAY_LOG_LEVEL": (
        "log_level",
        lambda t: _one_of("debug", "info", "warning", "error")(t).upper(),
    ),
    "GATEWAY_STATE_DIR": ("state_dir", Path),
}
VARIABLES = (
    *_SCALARS,
    *("GATEWAY_CONFIG", "GATEWAY_SECRET_KEY", "GATEWAY_KEYS", "OPENAI_MODELS"),
    *("ARK_API_KEYS", "GEMINI_API_KEYS", "OPENAI_API_KEYS"),
    *("GEMINI_ENTERPRISE_ENGINE", "GEMINI_ENTERPRISE_CREDENTIALS"),
    *("ARK_BASE_URL", "GEMINI_BASE_URL", "GEMINI_ENTERPRISE_BASE_URL", "OPENAI_BASE_URL"),
)


def _scalars(env: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, (name, parse) in _SCALARS.items():
        text = env.get(variable, "").strip()
        if not text:
            continue
        try:
            values[name] = parse(text)
        except ValueError as exc:
            raise SettingsError(f"{variable}: {exc}") from None
    return values


def _list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise SettingsError(f"GATEWAY_CONFIG: {path}: {exc.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path.name}: {exc}") from None


def _document(env: Mapping[str, str]) -> dict[str, Any]:
    named = env.get("GATEWAY_CONFIG")
    path = Path(named or "gateway.toml")
    document = _load(path) if named or path.exists() else {}
    if unknown := document.keys() - {"accounts", "keys", "models", "timeouts"}:
        raise SettingsError(f"{path.name}: unknown table {sorted(unknown)[0]!r}")
    return document


def _secret(text: object, env: Mapping[str, str], where: str) -> str:
    """`env:NAME`, `file:PATH` or the literal."""
    if not isinstance(text, str) or not text.strip():
        raise SettingsError(f"{where}: a credential is required")
    scheme, _, rest = text.partition(":")
    if scheme == "env":
        text = env.get(rest, "")
    elif scheme == "file":
        try:
            text = Path(rest).read_text("utf-8")
        except OSError as exc:
            raise SettingsError(f"{where}: {rest}: {exc.strerror}") from None
    if not text.strip():
        raise SettingsError(f"{where}: the credential is empty")
    return text.strip()


def _base_urls(env: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for upstream in UPSTREAMS:
        variable = f"{upstream.upper().replace('-', '_')}_BASE_URL"
        if text := env.get(variable, "").strip():
            try:
                found[upstream] = _http_url(text)
            except ValueError as exc:
                raise SettingsError(f"{variable}: {exc}") from None
    return found


def _accounts(env: Mapping[str, str], document: Mapping[str, Any]) -> Iterable[Account]:
    for upstream in ("ark", "gemini", "openai"):
        for number, key in enumerate(_list(env.get(f"{upstream.upper()}_API_KEYS", "")), 1):
            yield Account(name=f"{upstream}-{number}", upstream=upstream, secret=Secret(key))
    if credentials := env.get("GEMINI_ENTERPRISE_CREDENTIALS", "").strip():
        if not env.get("GEMINI_ENTERPRISE_ENGINE"):
            raise SettingsError("GEMINI_ENTERPRISE_ENGINE: required with the credentials")
        where = "GEMINI_ENTERPRISE_CREDENTIALS"
        text = credentials if credentials.startswith("{") else f"file:{credentials}"
        secret = _service_account(_secret(text, env, where), where)
        yield Account(name="gemini-enterprise-1", upstream="gemini-enterprise", secret=secret)
    for number, table in enumerate(document.get("accounts", ()), 1):
        yield _account(table, env, f"accounts[{number}]")


def _service_account(text: str, where: str) -> Secret:
    try:
        fields_ = json.loads(text)
        missing = [f for f in ("client_email", "private_key", "token_uri") if not fields_.get(f)]
    except (ValueError, AttributeError):
        raise SettingsError(f"{where}: is no service-account JSON") from None
    if missing:
        raise SettingsError(f"{where}: the service account has no {missing[0]}")
    return Secret(text)


def _account(table: Mapping[str, Any], env: Mapping[str, str], where: str) -> Account:
    known = {f.name for f in fields(Account)} - {"secret", "own"} | {"credential"}
    if unknown := set(table) - known:
        raise SettingsError(f"{where}: unknown field {sorted(unknown)[0]!r}")
    name, upstream = table.get("name"), table.get("upstream")
    if not isinstance(name, str) or not name:
        raise SettingsError(f"{where}: name is required")
    if upstream not in UPSTREAMS:
        raise SettingsError(f"{where}: upstream must be one of {', '.join(UPSTREAMS)}")
    secret = Secret(_secret(table.get("credential"), env, f"{where} ({name}): credential"))
    if upstream == "gemini-enterprise":
        secret = _service_account(secret.reveal(), f"{where} ({name}): credential")
    weight, cap = table.get("weight", 1), table.get("max_in_flight")
    if not isinstance(weight, int) or weight < 1:
        raise SettingsError(f"{where} ({name}): weight must be a whole number from 1")
    if cap is not None and (not isinstance(cap, int) or cap < 1):
        raise SettingsError(f"{where} ({name}): max_in_flight must be a whole number from 1")
    limits = table.get("limits", {})
    if not isinstance(limits, Mapping) or set(limits) - set(KINDS):
        raise SettingsError(f"{where} ({name}): limits takes {', '.join(KINDS)}")
    return Account(
        name=name,
        upstream=upstream,
        secret=secret,
        base_url=table.get("base_url"),
        engine=table.get("engine"),
        weight=weight,
        max_in_flight=cap,
        limits=dict(limits),
        models=frozenset(table.get("models", ())),
    )


def _keys(env: Mapping[str, str], document: Mapping[str, Any]) -> Iterable[GatewayKey]:
    for item in _list(env.get("GATEWAY_KEYS", "")):
        name, _, key = item.partition("=")
        yield _key(name.strip(), key.strip(), "GATEWAY_KEYS")
    for number, table in enumerate(document.get("keys", ()), 1):
        where = f"keys[{number}]"
        if unknown := set(table) - {"name", "key", "limits", "models"}:
            raise SettingsError(f"{where}: unknown field {sorted(unknown)[0]!r}")
        made = _key(str(table.get("name", "")), _secret(table.get("key"), env, where), where)
        models = frozenset(table.get("models", ()))
        yield replace(made, limits=table.get("limits"), models=models)


def _key(name: str, key: str, where: str) -> GatewayKey:
    if not name:
        raise SettingsError(f"{where}: a key needs a name (name=key)")
    if len(key) < 16:
        raise SettingsError(f"{where} ({name}): a key needs at least 16 characters")
    return GatewayKey(name=name, digest=Secret(key).digest)


def _models(document: Mapping[str, Any]) -> dict[str, ModelConfig]:
    found = {}
    for name, table in document.get("models", {}).items():
        where = f'models."{name}"'
        if unknown := set(table) - {"kind", "routes"}:
            raise SettingsError(f"{where}: unknown field {sorted(unknown)[0]!r}")
        if table.get("kind") not in KINDS:
            raise SettingsError(f"{where}: kind must be one of {', '.join(KINDS)}")
        routes = [r for r in table.get("routes", ()) if isinstance(r, Mapping)]
        if not routes or any(set(r) != {"upstream", "model"} for r in routes):
            raise SettingsError(f"{where}: routes needs tables of upstream and model")
        if bad := [r["upstream"] for r in routes if r["upstream"] not in UPSTREAMS]:
            raise SettingsError(f"{where}: unknown upstream {bad[0]!r}")
        kind = cast(Kind, table["kind"])
        found[name] = ModelConfig(name, kind, tuple(Route(**r) for r in routes))
    return found


def _timeouts(document: Mapping[str, Any]) -> dict[str, PhaseTimeouts]:
    found = {}
    names = {f.name for f in fields(PhaseTimeouts)}
    for upstream, table in document.get("timeouts", {}).items():
        if upstream not in UPSTREAMS:
            raise SettingsError(f"timeouts: unknown upstream {upstream!r}")
        if unknown := set(table) - names:
            raise SettingsError(f"timeouts.{upstream}: unknown field {sorted(unknown)[0]!r}")
        if bad := [k for k, v in table.items() if not isinstance(v, int | float) or v <= 0]:
            raise SettingsError(f"timeouts.{upstream}: {bad[0]} must be a number of seconds")
        found[upstream] = PhaseTimeouts(**table)
    return found


def _check_names(settings: Settings) -> None:
    for what, names in (
        ("accounts", [account.name for account in settings.accounts]),
        ("keys", [key.name for key in settings.keys]),
    ):
        if twice := {name for name in names if names.count(name) > 1}:
            raise SettingsError(f"{what}: the name {sorted(twice)[0]!r} is used twice")
