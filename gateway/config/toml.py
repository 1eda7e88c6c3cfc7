"""The tables of gateway.toml, and the variables that stand for a table each."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from limits import RateLimitItem, parse_many

from gateway.config import fields as values
from gateway.config.money import budget_of
from gateway.config.tables import (
    SettingsError,
    checked,
    count,
    flag,
    names,
    only,
    optional,
    subtables,
    tables,
)
from gateway.domain.accounts import Account, GatewayKey, Kind, Secret
from gateway.domain.models import ModelFacts
from gateway.domain.timeouts import Timeouts
from gateway.upstreams.registry import VENDORS

KINDS = ("chat", "image", "video", "embedding")
_LABEL = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")  # it becomes a header
_OWN = "own"  # the label of callers' own credentials
_SHORTEST_KEY = 16
_MOST_CALLS, _LONGEST_S = 10**9, 10 * 366 * 86400  # of a limit
_LONGEST_WAIT_S = 86400  # for a vendor
_KEY_FIELDS = (
    *("name", "key", "limits", "models", "expires"),
    *("team", "budget", "max_in_flight", "keep_prompts"),
)
_PROXY = re.compile(r"http://(?:[^@/\s]+@)?[^@/\s]+:[0-9]{1,5}/?")


@dataclass(frozen=True, slots=True)
class Route:
    upstream: str
    model: str


@dataclass(frozen=True, slots=True)
class ModelConfig:
    name: str
    kind: Kind
    routes: tuple[Route, ...]


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
    if any(item.amount > _MOST_CALLS or item.get_expiry() > _LONGEST_S for item in items):
        raise ValueError(f"{text!r} is more than {_MOST_CALLS}, or longer than ten years")
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
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as exc:
        raise SettingsError(f"GATEWAY_CONFIG: {path}: {exc.strerror}") from None
    except ValueError as exc:  # also of numbers of thousands of digits
        raise SettingsError(f"{path.name}: {exc}") from None
    except RecursionError:
        raise SettingsError(f"{path.name}: is nested too deeply") from None


def _secret(text: object, env: Mapping[str, str], where: str) -> str:
    """`env:NAME`, `file:PATH` or the literal."""
    if not isinstance(text, str) or not text.strip():
        raise SettingsError(f"{where}: a credential is required")
    scheme, _, rest = text.partition(":")
    if scheme == "env":
        text = env.get(rest, "")
        if not text.strip():
            raise SettingsError(f"{where}: the variable {rest!r} is not set")
    elif scheme == "file":
        try:
            text = Path(rest).read_text("utf-8")
        except OSError as exc:
            raise SettingsError(f"{where}: {rest}: {exc.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{where}: {rest} is no text") from None
        except ValueError as exc:
            raise SettingsError(f"{where}: {rest!r}: {exc}") from None
    if not text.strip():
        raise SettingsError(f"{where}: the credential is empty")
    return text.strip()


def accounts_of(
    env: Mapping[str, str], document: Mapping[str, Any], engines: Mapping[str, str]
) -> Iterable[Account]:
    for upstream, spec in VENDORS.items():
        variable = spec.credentials_variable
        text = env.get(variable, "").strip()
        if text and spec.engine_variable and upstream not in engines:
            raise SettingsError(f"{spec.engine_variable}: required with {variable}")
        if spec.service_account:
            secrets = [_key_file(text, env, variable)] if text else []
        else:
            secrets = [
                checked(values.credential, key, f"{variable}: number {number}")
                for number, key in enumerate(split_list(text), 1)
            ]
        for number, secret in enumerate(secrets, 1):
            yield Account(name=f"{upstream}-{number}", upstream=upstream, secret=Secret(secret))
    for where, table in tables(document, "accounts"):
        yield account_of(table, env, where, engines)


def _key_file(text: str, env: Mapping[str, str], where: str) -> str:
    """A service account's JSON, given as it is or as the path of a file."""
    source = text if text.startswith("{") else f"file:{text}"
    return service_account(_secret(source, env, where), where)


def service_account(text: str, where: str) -> str:
    """The text, once it is known to be the JSON of a service account."""
    try:
        fields_ = json.loads(text)
        missing = [f for f in ("client_email", "private_key", "token_uri") if not fields_.get(f)]
    except (ValueError, AttributeError, RecursionError):
        raise SettingsError(f"{where}: is no service-account JSON") from None
    if missing:
        raise SettingsError(f"{where}: the service account has no {missing[0]}")
    return text


def account_of(
    table: Mapping[str, Any], env: Mapping[str, str], where: str, engines: Mapping[str, str]
) -> Account:
    """The account that a table describes. Raises SettingsError."""
    known = {f.name for f in fields(Account)} - {"secret", "own"} | {"credential"}
    only(table, known, where)
    name, upstream = table.get("name"), table.get("upstream")
    if not isinstance(name, str) or not _LABEL.fullmatch(name) or name == _OWN:
        raise SettingsError(f"{where}: name must be up to 64 ASCII characters, and not {_OWN!r}")
    spec = VENDORS.get(upstream) if isinstance(upstream, str) else None
    if spec is None:
        raise SettingsError(f"{where}: upstream must be one of {', '.join(VENDORS)}")
    where = f"{where} ({name})"
    secret = _secret(table.get("credential"), env, f"{where}: credential")
    if spec.service_account:
        service_account(secret, f"{where}: credential")
    else:
        checked(values.credential, secret, f"{where}: credential")
    if spec.engine_variable and spec.name not in engines and "engine" not in table:
        raise SettingsError(f"{where}: engine is required, here or as {spec.engine_variable}")
    limits = table.get("limits", {})
    if not isinstance(limits, Mapping) or set(limits) - set(KINDS):
        raise SettingsError(f"{where}: limits takes {', '.join(KINDS)}")
    return Account(
        name=name,
        upstream=spec.name,
        secret=Secret(secret),
        base_url=optional(table, "base_url", values.http_url, where),
        engine=optional(table, "engine", values.engine, where),
        weight=count(table, "weight", where) or 1,
        max_in_flight=count(table, "max_in_flight", where),
        limits={kind: _limits(text, where) for kind, text in limits.items()},
        models=names(table, where),
        stream_options=flag(table, "stream_options", where),
    )


def keys_of(env: Mapping[str, str], document: Mapping[str, Any]) -> Iterable[GatewayKey]:
    yield from _named_keys(env, "GATEWAY_KEYS")
    for where, table in tables(document, "keys"):
        only(table, _KEY_FIELDS, where)
        made = _key(table.get("name"), _secret(table.get("key"), env, where), where)
        where = f"{where} ({made.name})"
        yield replace(
            made,
            limits=_limits(table["limits"], where) if "limits" in table else None,
            models=names(table, where),
            expires_at=_time(table["expires"], where) if "expires" in table else None,
            team=_team(table, where),
            budget=budget_of(table, where),
            max_in_flight=count(table, "max_in_flight", where),
            keep_prompts=flag(table, "keep_prompts", where, default=False),
        )


def admin_keys_of(env: Mapping[str, str]) -> Iterable[GatewayKey]:
    """Keys of operators: for the console and /v1/admin, and as any other key."""
    return (replace(key, admin=True) for key in _named_keys(env, "GATEWAY_ADMIN_KEYS"))


def _named_keys(env: Mapping[str, str], variable: str) -> Iterable[GatewayKey]:
    for number, item in enumerate(split_list(env.get(variable, "")), 1):
        name, _, key = item.partition("=")
        where = f"{variable}: number {number}"
        if not key.strip("= "):  # the name may be the key, in base64
            raise SettingsError(f"{where}: must be NAME=KEY")
        yield _key(name.strip(), key.strip(), where)


def _team(table: Mapping[str, Any], where: str) -> str | None:
    team = table.get("team")
    if team is not None and not (isinstance(team, str) and 1 <= len(team) <= 64):
        raise SettingsError(f"{where}: team must be a name of up to 64 characters")
    return team


def _time(value: object, where: str) -> float:
    """A date or a time of TOML as unix seconds; what has no zone is in UTC."""
    if not isinstance(value, date):
        raise SettingsError(f"{where}: expires must be a date or a time")
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _key(name: object, key: str, where: str) -> GatewayKey:
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= 64:
        raise SettingsError(f"{where}: a key needs a name of up to 64 characters")
    if len(key) < _SHORTEST_KEY or not key.isprintable():
        raise SettingsError(f"{where}: a key needs {_SHORTEST_KEY} characters or more")
    return GatewayKey(name=name, digest=Secret(key).digest)


def models_of(document: Mapping[str, Any]) -> dict[str, ModelConfig]:
    found = {}
    for name, table in subtables(document, "models"):
        where = f'models."{name}"'
        if not name.strip() or not name.isprintable() or len(name) > 256:
            raise SettingsError(f"{where}: a model needs a name of up to 256 characters")
        only(table, ("kind", "routes"), where)
        kind = table.get("kind")
        if kind not in KINDS:
            raise SettingsError(f"{where}: kind must be one of {', '.join(KINDS)}")
        routes = table.get("routes")
        if not isinstance(routes, list) or not routes:
            raise SettingsError(f"{where}: routes must be a list of {{ upstream, model }}")
        found[name] = ModelConfig(
            name, cast(Kind, kind), tuple(_route(route, kind, where) for route in routes)
        )
    return found


def facts_of(document: Mapping[str, Any]) -> list[ModelFacts]:
    """Facts about vendors' models, in the order in which they count."""
    known = {f.name: f for f in fields(ModelFacts)}
    found = []
    for where, table in tables(document, "facts"):
        only(table, known, where)
        if table.get("upstream") not in VENDORS:
            raise SettingsError(f"{where}: upstream must be one of {', '.join(VENDORS)}")
        if table.get("kind") not in KINDS:
            raise SettingsError(f"{where}: kind must be one of {', '.join(KINDS)}")
        values_ = {name: _fact(name, value, where) for name, value in table.items()}
        try:
            re.compile(values_["pattern"])
            found.append(ModelFacts(**values_))
        except (KeyError, TypeError, re.error) as exc:
            raise SettingsError(f"{where}: {exc}") from None
    return found


def _fact(name: str, value: object, where: str) -> Any:
    """The value of one field of ModelFacts, by the type of its default."""
    if name in ("ignored", "refused", "options"):
        value = frozenset(value) if isinstance(value, list) else None
    elif isinstance(value, list):
        value = tuple(value)
    expected = _FACT_TYPES.get(name, (tuple, frozenset, dict))
    if not isinstance(value, expected):
        raise SettingsError(f"{where}: {name} has a value of the wrong type")
    return value


_FACT_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("upstream", "pattern", "kind", "example", "successor", "source"), str),
    **dict.fromkeys(("prefill", "frames_set_ratio"), bool),
    **dict.fromkeys(("shutdown", "checked"), date),
    **dict.fromkeys(("output_tokens", "group", "layers"), int),
    **dict.fromkeys(("total_s", "aspect"), (int, float)),
}


def _route(route: object, kind: str, where: str) -> Route:
    if not isinstance(route, Mapping) or set(route) != {"upstream", "model"}:
        raise SettingsError(f"{where}: routes must be a list of {{ upstream, model }}")
    upstream, model = route["upstream"], route["model"]
    if upstream not in VENDORS:
        raise SettingsError(f"{where}: unknown upstream {upstream!r}")
    if kind not in VENDORS[upstream].kinds:
        raise SettingsError(f"{where}: {upstream} makes no {kind}s")
    if not isinstance(model, str) or not model.strip():
        raise SettingsError(f"{where}: model must be the vendor's name for it")
    return Route(upstream, model)


def proxies_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Proxies by upstream; an empty text is for none, whatever the environment says."""
    found = document.get("proxies", {})
    if not isinstance(found, Mapping):
        raise SettingsError("proxies: must be a table of upstreams and their proxies")
    for upstream, url in found.items():
        if upstream not in VENDORS:
            raise SettingsError(f"proxies: unknown upstream {upstream!r}")
        if url != "" and not (isinstance(url, str) and _PROXY.fullmatch(url)):
            raise SettingsError(f"proxies: {upstream} must be http://[user:password@]host:port")
    return dict(found)


def timeouts_of(document: Mapping[str, Any]) -> dict[str, Timeouts]:
    found = {}
    for upstream, table in subtables(document, "timeouts"):
        if upstream not in VENDORS:
            raise SettingsError(f"timeouts: unknown upstream {upstream!r}")
        where = f"timeouts.{upstream}"
        only(table, [f.name for f in fields(Timeouts)], where)
        for name, value in table.items():
            if type(value) not in (int, float) or not 0 < value <= _LONGEST_WAIT_S:
                known = f"a number of seconds, at most {_LONGEST_WAIT_S}"
                raise SettingsError(f"{where}: {name} must be {known}")
        found[upstream] = replace(VENDORS[upstream].timeouts, **table)
    return found
