"""Checks of `doctor`. Each says what it found and, unless all is well, what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from gateway.bootstrap import vendors
from gateway.config.deployment import DeploymentEnvironment
from gateway.config.settings import Settings
from gateway.config.tables import SettingsError
from gateway.config.toml import service_account
from gateway.domain.accounts import Account
from gateway.domain.errors import Fault, GatewayError, StorageUnavailable
from gateway.services.pool.pooled_account import state_key
from gateway.storage.db.engine import Database
from gateway.storage.media.open import open_media_store
from gateway.storage.rate_counters import ping_redis
from gateway.storage.records.account_states import AccountStateStore
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.api_keys import KeyStore
from gateway.upstreams.base import Upstream
from gateway.upstreams.registry import VENDORS

_SHORTEST_SECRET = 16  # characters
_AS_ONE = "may use your accounts, and read and delete what others without a key leave here"
_KEYS = "Set GATEWAY_POOL_ACCESS=keys and make keys: flask --app wsgi keys create NAME."
_EVER_S = 10 * 365 * 86_400.0  # nothing that is so old is removed by asking for it

Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    about: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """Contents of the database, as far as it could be read."""

    accounts: tuple[Account, ...] = ()
    locked: tuple[str, ...] = ()  # accounts whose secret cannot be decrypted
    outdated: tuple[str, ...] = ()  # accounts that the first secret key does not open
    keys: int = 0
    rejected: frozenset[str] = frozenset()  # `state_key`s of refused credentials


@dataclass(frozen=True, slots=True)
class Case:
    settings: Settings
    environment: DeploymentEnvironment
    stored: Stored

    @property
    def accounts(self) -> tuple[Account, ...]:
        return (*self.settings.accounts, *self.stored.accounts)

    @property
    def demo(self) -> bool:
        return not self.accounts and not self.stored.locked

    @property
    def several(self) -> bool:
        return self.settings.several_machines or self.environment.platform is not None


def findings(settings: Settings, environment: DeploymentEnvironment) -> Iterator[Finding]:
    yield from unknown_settings(environment)
    stored, found = database(settings, environment)
    yield from found
    case = Case(settings, environment, stored)
    for check in (access, own_credentials, accounts, secret_key, media, redis, addresses, links):
        yield from check(case)


def unknown_settings(environment: DeploymentEnvironment) -> Iterator[Finding]:
    for name, meant in environment.unknown_settings:
        advice = f"Did you mean {meant}?" if meant else "Remove it, or see the README for settings."
        yield Finding("bad", "settings", f"{name} is no setting and has no effect.", advice)
    if not environment.unknown_settings:
        yield Finding("ok", "settings", "All settings can be read.")


def database(
    settings: Settings, environment: DeploymentEnvironment
) -> tuple[Stored, list[Finding]]:
    url = settings.database_url
    found = []
    if url.startswith("sqlite:") and environment.platform:
        found.append(
            Finding(
                "bad",
                "database",
                f"SQLite is lost at every restart on {environment.platform}.",
                "Set DATABASE_URL to a PostgreSQL database.",
            )
        )
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:") and not path.exists():
        found.append(_writable("database", path, f"SQLite will be made at {path}."))
        return Stored(), found
    opened = Database(url)
    try:
        began = time.monotonic()
        opened.ping()
        took_ms = (time.monotonic() - began) * 1000
        kind = "SQLite" if url.startswith("sqlite:") else "PostgreSQL"
        found.append(Finding("ok", "database", f"{kind} answers in {took_ms:.0f} ms."))
        if not opened.is_current():
            found.append(_old_schema())
            return Stored(), found
        return _read(opened, settings), found
    except StorageUnavailable as err:
        advice = "Check DATABASE_URL, and that the database runs and lets this machine in."
        message = f"The database does not answer: {err.why}."
        found.append(Finding("bad", "database", message, advice))
        return Stored(), found
    finally:
        opened.close()


def _old_schema() -> Finding:
    advice = "Run: flask --app wsgi migrate (a start does so, too)."
    return Finding("warn", "database", "The schema is not up to date.", advice)


def _read(opened: Database, settings: Settings) -> Stored:
    secret_keys = settings.known_secret_keys()
    store = AccountStore(opened, secret_keys=secret_keys)
    unlocked, locked, outdated = [], [], []
    for record in store.list():
        try:
            if not secret_keys:
                raise StorageUnavailable("There is no secret key.")
            unlocked.append(store.unlock(record))
            if not store.is_current(record):
                outdated.append(record.name)
        except StorageUnavailable:
            locked.append(record.name)
    return Stored(
        accounts=tuple(unlocked),
        locked=tuple(locked),
        outdated=tuple(outdated),
        keys=len(KeyStore(opened).valid()),
        rejected=frozenset(
            state.account
            for _, state in AccountStateStore(opened).changes(0)
            if state.eject_reason == Fault.ACCOUNT.value
        ),
    )


def access(case: Case) -> Iterator[Finding]:
    settings, about = case.settings, "access"
    keys = len(settings.keys) + case.stored.keys
    open_ = settings.pool_access == "open" or (settings.pool_access is None and case.demo)
    if open_ and case.demo:
        level: Level = "warn" if case.environment.public else "ok"
        advice = "Add accounts: see the README." if case.environment.public else ""
        yield Finding(level, about, "Demo mode: simulators answer, for everybody.", advice)
    elif open_ and case.environment.public:
        yield Finding("bad", about, f"Anybody who finds the address {_AS_ONE}.", _KEYS)
    elif open_:
        yield Finding("warn", about, f"Everybody on this machine {_AS_ONE}.", _KEYS)
    elif not keys:
        level = "warn" if settings.own_credentials else "bad"
        who = "Only callers with their own credential" if settings.own_credentials else "Nobody"
        advice = "Make keys: flask --app wsgi keys create NAME."
        yield Finding(level, about, f"{who} may call: there is no gateway key.", advice)
    else:
        yield Finding("ok", about, f"The pool is for the holders of {keys} keys.")
    if settings.allow_private_urls == "on" and case.environment.public:
        advice = "Name the hosts that callers' links may reach in GATEWAY_ALLOW_PRIVATE_URLS."
        yield Finding("bad", about, "Callers can reach every host of your network.", advice)


def own_credentials(case: Case) -> Iterator[Finding]:
    if not case.settings.own_credentials:
        return
    for name, upstream in vendors(case.settings).items():
        url = case.settings.base_urls.get(name)
        if url and not upstream.checks_credentials:
            advice = "Unless the server itself checks who asks, set GATEWAY_OWN_CREDENTIALS=off."
            message = f"Callers may send {url} any text for a credential of their own."
            yield Finding("warn", "access", message, advice)


def accounts(case: Case) -> Iterator[Finding]:
    about = "accounts"
    for name in case.stored.locked:
        advice = "Set the GATEWAY_SECRET_KEY it was added with, or remove it and add it again."
        yield Finding("bad", about, f"{name} cannot be decrypted.", advice)
    for name in case.stored.outdated:
        advice = "Restart the gateway, which encrypts it anew, before that key is taken away."
        message = f"{name} is encrypted with a later key of GATEWAY_SECRET_KEY than the first."
        yield Finding("warn", about, message, advice)
    upstreams = vendors(case.settings)
    for account in case.accounts:
        if not _has_form(account, upstreams[account.upstream]):
            advice = "Check which vendor issued this credential."
            message = f"The credential of {account.name} is not of {account.upstream}'s form."
            yield Finding("bad", about, message, advice)
    for account in case.accounts:
        if state_key(account) in case.stored.rejected:
            advice = f"Renew its credential, or: flask --app wsgi accounts reset {account.name}."
            message = f"The vendor refuses the credential of {account.name}."
            yield Finding("warn", about, message, advice)
    if not case.demo:
        yield Finding("ok", about, f"{len(case.accounts)} accounts.")


def _has_form(account: Account, upstream: Upstream) -> bool:
    """Tell whether a pooled credential has its vendor's form; callers' own may have another."""
    secret = account.secret.reveal()
    if not VENDORS[account.upstream].service_account:
        return account.base_url is not None or upstream.takes(secret)
    try:
        service_account(secret, account.name)
    except SettingsError:
        return False
    return True


def secret_key(case: Case) -> Iterator[Finding]:
    about = "secret key"
    if any(len(key.reveal()) < _SHORTEST_SECRET for key in case.settings.secret_keys):
        advice = "Use a long random text, such as: openssl rand -hex 32."
        yield Finding("bad", about, "GATEWAY_SECRET_KEY is short enough to be guessed.", advice)
    elif case.settings.secret_keys:
        yield Finding("ok", about, "Links are signed with GATEWAY_SECRET_KEY.")
    elif case.several:
        advice = "Set GATEWAY_SECRET_KEY to a long random text, the same on all machines."
        yield Finding("bad", about, "Each machine signs links with a key of its own.", advice)
    else:
        where = case.settings.state_dir / "secret_key"
        yield Finding("ok", about, f"Links are signed with the key in {where}.")


def media(case: Case) -> Iterator[Finding]:
    about, location = "media", case.settings.media
    if location.startswith("file:"):
        if case.environment.platform:
            message = f"Files are lost at every restart on {case.environment.platform}."
            yield Finding("bad", about, message, "Set GATEWAY_MEDIA to s3://BUCKET/PREFIX.")
        elif case.several:
            advice = "If there are several, set GATEWAY_MEDIA to s3://BUCKET/PREFIX."
            yield Finding("warn", about, "Files are kept by each machine for itself.", advice)
        path = Path(location.removeprefix("file:"))
        yield _writable(about, path, f"Media are kept in {path}.")
        return
    store = open_media_store(location)
    answers = _tried(
        about,
        store.ping,
        f"{location} answers.",
        "Check GATEWAY_MEDIA, the AWS variables, and what the bucket's policy allows.",
    )
    yield answers
    if answers.level == "ok":
        message = f"{location} does not tell of broken-off uploads: what they leave there stays."
        advice = "Allow s3:ListBucketMultipartUploads; deploy/README.md has all rights."
        if _tried(about, partial(store.sweep, older_than_s=_EVER_S), "", advice).level != "ok":
            yield Finding("warn", about, message, advice)


def redis(case: Case) -> Iterator[Finding]:
    about, url = "redis", case.settings.redis_url
    if url is None:
        if case.several:
            advice = "If there are several, set REDIS_URL."
            yield Finding("warn", about, "Each machine counts limits for itself.", advice)
        else:
            yield Finding("ok", about, "None: the workers of this machine count limits together.")
        return
    try:
        answers = ping_redis(url)
    except ValueError as err:
        yield Finding("bad", about, f"REDIS_URL: {err}.", "Correct REDIS_URL.")
        return
    if answers:
        yield Finding("ok", about, "Redis answers.")
    else:
        advice = "Check REDIS_URL; until it answers each machine counts limits for itself."
        yield Finding("bad", about, "Redis does not answer within 250 ms.", advice)


def addresses(case: Case) -> Iterator[Finding]:
    about, proxies = "proxies", case.settings.trusted_proxies
    if case.environment.platform and not proxies:
        message = f"All callers look like {case.environment.platform}'s router."
        yield Finding("bad", about, message, "Set GATEWAY_TRUSTED_PROXIES=1.")
    else:
        yield Finding("ok", about, f"{proxies} trusted proxies in front.")


def links(case: Case) -> Iterator[Finding]:
    about, url = "public URL", case.settings.public_url
    if url is not None:
        yield Finding("ok", about, f"Links begin with {url}.")
    elif case.environment.public:
        advice = "Set GATEWAY_PUBLIC_URL to the address that callers use, with https."
        yield Finding("bad", about, "Links are made of what each caller says the host is.", advice)
    else:
        yield Finding("ok", about, "Links begin with the address of the request.")


def _writable(about: str, path: Path, message: str) -> Finding:
    """Check that the path, or the nearest folder above it, can be written to."""
    nearest = next(found for found in (path, *path.absolute().parents) if found.exists())
    if os.access(nearest, os.W_OK) and (nearest == path or nearest.is_dir()):
        return Finding("ok", about, message)
    return Finding("bad", about, f"{nearest} cannot be written to.", "Make it a folder of ours.")


def _tried(about: str, work: Callable[[], object], message: str, advice: str) -> Finding:
    try:
        work()
    except StorageUnavailable as err:
        return Finding("bad", about, err.explained, advice)
    except GatewayError as err:
        return Finding("bad", about, err.message, advice)
    return Finding("ok", about, message)
