"""The tables of gateway.toml, and the variables that stand for a table each."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from limits import RateLimitItem, parse_many

from gateway.domain.accounts import Account, GatewayKey, Kind, Secret

UPSTREAMS = ("ark", "gemini", "gemini-enterprise", "openai")
KINDS = ("chat", "image", "video")


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


def parse_limits(text: str) -> tuple[RateLimitItem, ...]:
    """Limits such as `600/minute` or `20/hour; 100/day`, the shortest first.

    Raises ValueError. https://limits.readthedocs.io/en/stable/quickstart.html#rate-limit-string-notation
    """
    try:
        items = sorted(parse_many(text))
    except ValueError:
        items = []
    if not items or any(item.amount < 1 or item.multiples < 1 for item in items):
        raise ValueError(f"{text!r} is no limit such as 600/minute or 20/hour; 100/day")
    return tuple(items)


def _limits(text: object, where: str) -> str:
    """The text, once it is known to be a limit."""
    try:
        if not isinstance(text, str):
            raise ValueError("must be a text such as 600/minute")
        parse_limits(text)
    except ValueError as exc:
        raise SettingsError(f"{where}: limits: {exc}") from None
    return text


def split_list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise SettingsError(f"GATEWAY_CONFIG: {path}: {exc.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{path.name}: {exc}") from None


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


def accounts_of(env: Mapping[str, str], document: Mapping[str, Any]) -> Iterable[Account]:
    for upstream in ("ark", "gemini", "openai"):
        for number, key in enumerate(split_list(env.get(f"{upstream.upper()}_API_KEYS", "")), 1):
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
        limits={kind: _limits(text, f"{where} ({name})") for kind, text in limits.items()},
        models=frozenset(table.get("models", ())),
    )


def keys_of(env: Mapping[str, str], document: Mapping[str, Any]) -> Iterable[GatewayKey]:
    for item in split_list(env.get("GATEWAY_KEYS", "")):
        name, _, key = item.partition("=")
        yield _key(name.strip(), key.strip(), "GATEWAY_KEYS")
    for number, table in enumerate(document.get("keys", ()), 1):
        where = f"keys[{number}]"
        if unknown := set(table) - {"name", "key", "limits", "models", "expires"}:
            raise SettingsError(f"{where}: unknown field {sorted(unknown)[0]!r}")
        made = _key(str(table.get("name", "")), _secret(table.get("key"), env, where), where)
        where = f"{where} ({made.name})"
        yield replace(
            made,
            limits=_limits(table["limits"], where) if "limits" in table else None,
            models=frozenset(table.get("models", ())),
            expires_at=_time(table["expires"], where) if "expires" in table else None,
        )


def _time(value: object, where: str) -> float:
    """A date or a time of TOML as unix seconds; what has no zone is in UTC."""
    if not isinstance(value, date):
        raise SettingsError(f"{where}: expires must be a date or a time")
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _key(name: str, key: str, where: str) -> GatewayKey:
    if not name:
        raise SettingsError(f"{where}: a key needs a name (name=key)")
    if len(key) < 16:
        raise SettingsError(f"{where} ({name}): a key needs at least 16 characters")
    return GatewayKey(name=name, digest=Secret(key).digest)


def models_of(document: Mapping[str, Any]) -> dict[str, ModelConfig]:
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


def timeouts_of(document: Mapping[str, Any]) -> dict[str, PhaseTimeouts]:
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
