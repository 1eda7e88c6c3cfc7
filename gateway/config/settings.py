"""Configuration: the only reader of the environment and of gateway.toml."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from gateway.config import fields as values
from gateway.config.deployment import DeploymentEnvironment
from gateway.config.money import money_of
from gateway.config.tables import SettingsError
from gateway.config.toml import (
    ModelConfig,
    account_of,
    accounts_of,
    admin_keys_of,
    facts_of,
    keys_of,
    load,
    models_of,
    parse_limits,
    proxies_of,
    split_list,
    timeouts_of,
)
from gateway.domain.accounts import Account, GatewayKey, Secret
from gateway.domain.models import ModelFacts
from gateway.domain.money import Money
from gateway.domain.timeouts import Timeouts
from gateway.upstreams.registry import VENDORS, VendorSpec

T = TypeVar("T")
BUILT_IN_MODELS = Path(__file__).with_name("models.toml")
BUILT_IN_PRICES = Path(__file__).with_name("prices.toml")
_MB = 1024 * 1024
_SHORTEST_SECRET_KEY = 16


@dataclass(frozen=True, slots=True)
class Settings:
    database_url: str = field(default="sqlite:///var/gateway.db", repr=False)  # has a password
    redis_url: str | None = field(default=None, repr=False)  # as well
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
    affinity: bool = True
    media_url_ttl_s: float = 30 * 86400
    responses_ttl_s: float = 86400
    media_ttl_s: float = 90 * 86400
    usage_ttl_s: float = 400 * 86400
    media_max_bytes: int = 20 * 1024 * _MB
    metrics: bool = True
    metrics_dir: str | None = None  # files that prometheus_client shares between processes
    log_level: str = "INFO"
    state_dir: Path = Path("var")
    accounts: tuple[Account, ...] = ()
    models: tuple[ModelConfig, ...] = ()
    model_facts: tuple[ModelFacts, ...] = ()
    vendor_models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by upstream
    base_urls: Mapping[str, str] = field(default_factory=dict)  # by upstream, where set
    timeouts: Mapping[str, Timeouts] = field(default_factory=dict)  # by upstream, where set
    proxies: Mapping[str, str] = field(default_factory=dict)  # by upstream, where set
    engines: Mapping[str, str] = field(default_factory=dict)  # by upstream, where set
    money: Money = field(default_factory=Money)
    demo_url: str | None = None  # simulators started for the demo mode

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Raises SettingsError, whose text is the one line to print."""
        env = os.environ if environ is None else environ
        document = _document(env)
        scalars = _scalars(env)
        if "DYNO" in env and "redis_url" in scalars:
            scalars["redis_url"] = values.self_signed(scalars["redis_url"])
        built_in = load(BUILT_IN_MODELS)
        models = models_of(built_in) | models_of(document)
        engines = _by_upstream(env, lambda spec: spec.engine_variable, values.engine)
        settings = cls(
            **scalars,
            keys=(*keys_of(env, document), *admin_keys_of(env)),
            accounts=tuple(accounts_of(env, document, engines)),
            models=tuple(models.values()),
            model_facts=(*facts_of(document), *facts_of(built_in)),
            vendor_models=_by_upstream(env, lambda spec: spec.models_variable, _names),
            base_urls=_by_upstream(env, lambda spec: spec.base_url_variable, values.http_url),
            timeouts=timeouts_of(document),
            proxies=proxies_of(document),
            engines=engines,
            money=money_of(document, load(BUILT_IN_PRICES)),
            secret_keys=_secret_keys(env.get("GATEWAY_SECRET_KEY", "")),
            demo_url=env.get("GATEWAY_DEMO_URL") or None,
            metrics_dir=env.get("PROMETHEUS_MULTIPROC_DIR") or None,
        )
        _check_names(settings)
        if settings.media.startswith("s3:"):
            _check_endpoints(env)
        return settings

    @property
    def demo(self) -> bool:
        return self.demo_url is not None

    def timeouts_of(self, upstream: str) -> Timeouts:
        return self.timeouts.get(upstream) or VENDORS[upstream].timeouts

    def with_secret_key(self) -> Settings:
        """The settings with a signing key: the configured one, or one kept in the state folder.

        Raises SettingsError when that cannot be read.
        """
        if self.secret_keys:
            return self
        return replace(self, secret_keys=(Secret(_stored_key(self.state_dir / "secret_key")),))

    @property
    def several_machines(self) -> bool:
        """True if the database is one that several machines may share."""
        return not self.database_url.startswith("sqlite:")

    def known_secret_keys(self) -> tuple[Secret, ...]:
        """Return the keys that `with_secret_key` would use, without creating one."""
        path = self.state_dir / "secret_key"
        if self.secret_keys or not path.exists():
            return self.secret_keys
        return (Secret(_read_key(path)),)

    def make_state_dir(self) -> None:
        """Raises SettingsError when the folder cannot be made or written to."""
        try:
            self.state_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.state_dir):
                pass
        except OSError as exc:
            raise SettingsError(f"GATEWAY_STATE_DIR: {self.state_dir}: {exc.strerror}") from None


def deployment_environment(environ: Mapping[str, str] | None = None) -> DeploymentEnvironment:
    return DeploymentEnvironment.of(os.environ if environ is None else environ, VARIABLES)


def account_from(table: Mapping[str, Any], settings: Settings) -> Account:
    """An account that was described by command. Raises SettingsError."""
    return account_of(table, os.environ, "account", settings.engines)


def _secret_keys(text: str) -> tuple[Secret, ...]:
    keys = split_list(text)
    if any(len(key) < _SHORTEST_SECRET_KEY for key in keys):
        raise SettingsError(
            f"GATEWAY_SECRET_KEY: a key must have at least {_SHORTEST_SECRET_KEY} characters"
        )
    return tuple(map(Secret, keys))


def _stored_key(path: Path) -> str:
    """Read the key file, or be the one process that makes it."""
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(48))
            os.link(fresh, path)
        except FileExistsError:
            pass  # a sibling was first; its key is the one that all processes use
        except OSError as exc:
            raise SettingsError(f"GATEWAY_STATE_DIR: {path.parent}: {exc.strerror}") from None
        finally:
            fresh.unlink(missing_ok=True)
    return _read_key(path)


def _read_key(path: Path) -> str:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError) as exc:
        raise SettingsError(f"GATEWAY_SECRET_KEY: {path} cannot be read: {exc}") from None
    if not text:
        advice = "remove it, and a new one is made, or restore it"
        raise SettingsError(f"GATEWAY_SECRET_KEY: {path} is empty; {advice}")
    return text


def _rate_limit(text: str) -> str:
    parse_limits(text)
    return text


# variable -> (field, reader)
_SCALARS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "DATABASE_URL": ("database_url", values.database),
    "REDIS_URL": ("redis_url", values.url("redis://", "rediss://", "unix://")),
    "GATEWAY_MEDIA": ("media", values.media),
    "GATEWAY_PUBLIC_URL": ("public_url", values.http_url),
    "GATEWAY_POOL_ACCESS": ("pool_access", values.one_of("open", "keys")),
    "GATEWAY_OWN_CREDENTIALS": ("own_credentials", values.flag),
    "GATEWAY_TRUSTED_PROXIES": ("trusted_proxies", values.whole(0, 10)),
    "GATEWAY_RATE_LIMIT": ("rate_limit", _rate_limit),
    "GATEWAY_MAX_BODY_MB": ("max_body_bytes", lambda t: int(values.number(0.001, 10_000)(t) * _MB)),
    "GATEWAY_HEARTBEAT_S": ("heartbeat_s", values.number(0.05, 50)),
    "GATEWAY_HOLD_S": ("hold_s", values.number(0, 3600)),
    "GATEWAY_ALLOW_PRIVATE_URLS": ("allow_private_urls", values.private_urls),
    "GATEWAY_AFFINITY": ("affinity", values.flag),
    "GATEWAY_CHAT_MEDIA": ("chat_media", values.one_of("parts", "markdown")),
    "GATEWAY_MEDIA_URL_TTL_S": ("media_url_ttl_s", values.number(1, 10 * 365 * 86400)),
    "GATEWAY_RESPONSES_TTL_H": ("responses_ttl_s", lambda t: values.number(0.01, 8760)(t) * 3600),
    "GATEWAY_MEDIA_TTL_DAYS": ("media_ttl_s", lambda t: values.number(0.01, 36500)(t) * 86400),
    "GATEWAY_USAGE_TTL_DAYS": ("usage_ttl_s", lambda t: values.number(1, 36500)(t) * 86400),
    "GATEWAY_MEDIA_MAX_GB": (
        "media_max_bytes",
        lambda t: int(values.number(0.001, 1e6)(t) * 1024 * _MB),
    ),
    "GATEWAY_METRICS": ("metrics", values.flag),
    "GATEWAY_LOG_LEVEL": (
        "log_level",
        lambda t: values.one_of("debug", "info", "warning", "error")(t).upper(),
    ),
    "GATEWAY_STATE_DIR": ("state_dir", Path),
}
VARIABLES = (
    *_SCALARS,
    *("GATEWAY_CONFIG", "GATEWAY_SECRET_KEY", "GATEWAY_KEYS", "GATEWAY_ADMIN_KEYS"),
    *(variable for spec in VENDORS.values() for variable in spec.variables),
)


def _scalars(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, (name, read) in _SCALARS.items():
        text = env.get(variable, "").strip()
        if not text:
            continue
        try:
            found[name] = read(text)
        except ValueError as exc:
            raise SettingsError(f"{variable}: {exc}") from None
    return found


def _document(env: Mapping[str, str]) -> dict[str, Any]:
    named = env.get("GATEWAY_CONFIG")
    path = Path(named or "gateway.toml")
    document = load(path) if named or path.exists() else {}
    known = {
        *("accounts", "facts", "keys", "models", "proxies", "timeouts"),
        *("budget", "prices", "teams"),
    }
    if unknown := document.keys() - known:
        raise SettingsError(f"{path.name}: unknown table {sorted(unknown)[0]!r}")
    return document


def _by_upstream(
    env: Mapping[str, str],
    variable_of: Callable[[VendorSpec], str | None],
    read: Callable[[str], T],
) -> dict[str, T]:
    """Values of one variable of each vendor, where it has one and it is set."""
    found = {}
    for upstream, spec in VENDORS.items():
        variable = variable_of(spec)
        if variable and (text := env.get(variable, "").strip()):
            try:
                found[upstream] = read(text)
            except ValueError as exc:
                raise SettingsError(f"{variable}: {exc}") from None
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(split_list(text))


def _check_endpoints(env: Mapping[str, str]) -> None:
    """Check the endpoints that boto3 reads itself, and would reject only at the first upload."""
    for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if text := env.get(variable):
            try:
                values.http_url(text)
            except ValueError as exc:
                raise SettingsError(f"{variable}: {exc}") from None


def _check_names(settings: Settings) -> None:
    for what, names in (
        ("[[accounts]]", [account.name for account in settings.accounts]),
        ("GATEWAY_KEYS and [[keys]]", [key.name for key in settings.keys]),
    ):
        if twice := {name for name in names if names.count(name) > 1}:
            raise SettingsError(f"{what}: the name {sorted(twice)[0]!r} is used twice")
    owners: dict[str, str] = {}
    for key in settings.keys:
        if key.digest in owners:
            raise SettingsError(
                f"GATEWAY_KEYS and [[keys]]: {owners[key.digest]!r} and {key.name!r} "
                "are the same key"
            )
        owners[key.digest] = key.name
