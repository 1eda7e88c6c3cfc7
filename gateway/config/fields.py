"""Settings of one value, read from text: a ValueError says what is wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import ip_network
from urllib.parse import SplitResult, parse_qsl, urlsplit

_FLAGS = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?", re.IGNORECASE)
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[\w./-]*)?", re.ASCII)
_ENGINE = re.compile(r"projects/[^/\s]+/locations/[a-z0-9-]+/collections/[^/\s]+/engines/[^/\s]+")
_CREDENTIAL = re.compile(r"[!-~]+")


def number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"must be a number between {low:.15g} and {high:.15g}")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else low - 1
        if not low <= value <= high:
            raise ValueError(f"must be a whole number between {low} and {high}")
        return value

    return read


def one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return read


def flag(text: str) -> bool:
    return _FLAGS[one_of(*_FLAGS)(text)]


def url(*prefixes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        _split(text, prefixes)
        return text

    return read


def self_signed(redis_url: str) -> str:
    """For Heroku's Redis, whose certificates nobody can verify, unless the URL says otherwise."""
    parts = urlsplit(redis_url)
    if parts.scheme != "rediss" or "ssl_cert_reqs" in dict(parse_qsl(parts.query)):
        return redis_url
    return parts._replace(query=f"{parts.query}&ssl_cert_reqs=none".lstrip("&")).geturl()


def http_url(text: str) -> str:
    """A base for paths, without a slash at its end."""
    parts = _split(text, ("http://", "https://"))
    if not parts.hostname:
        raise ValueError("names no host")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must have no user name, no query and no fragment")
    return text.rstrip("/")


def _split(text: str, prefixes: tuple[str, ...]) -> SplitResult:
    try:
        if not text.startswith(prefixes) or not text.isprintable() or " " in text:
            raise ValueError
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # What cannot be read may hold a password, so it is not repeated.
        raise ValueError(f"must be a URL that begins with {' or '.join(prefixes)}") from None
    return parts


def database(text: str) -> str:
    parts = _split(text, ("sqlite:///", "postgres://", "postgresql://"))
    if parts.scheme != "sqlite":
        _check_options(parts.query)
    elif parts.path in ("/", "/:memory:"):
        raise ValueError("must name a file: sqlite:///PATH")
    return text


def _check_options(query: str) -> None:
    """Other clients know options that the driver does not, and it refuses to connect with them."""
    from psycopg import ProgrammingError  # a tenth of a worker
    from psycopg.conninfo import make_conninfo

    for name, _ in parse_qsl(query, keep_blank_values=True):
        try:
            make_conninfo("", **{name: "1"})
        except (ProgrammingError, TypeError):
            raise ValueError(f"{name!r} is no option of PostgreSQL's connections") from None


def media(text: str) -> str:
    if _BUCKET.fullmatch(text) or (text.startswith("file:") and text.removeprefix("file:").strip()):
        return text
    raise ValueError("must be file:DIR or s3://BUCKET/PREFIX")


def private_urls(text: str) -> str:
    """`on`, `off`, or hosts and networks, which have neither ports nor paths."""
    if text.lower() in ("on", "off"):
        return text.lower()
    for word in text.split(","):
        if not _names_hosts(word.strip()):
            raise ValueError("must be on, off, or a comma list of hosts and networks (CIDR)")
    return text


def _names_hosts(word: str) -> bool:
    try:
        ip_network(word.removeprefix("[").removesuffix("]"), strict=False)
    except ValueError:
        mistaken = word.lower() in (*_FLAGS, "yes", "no")
        return _HOST.fullmatch(word) is not None and not mistaken
    return True


def engine(text: str) -> str:
    if not _ENGINE.fullmatch(text):
        raise ValueError("must be projects/P/locations/L/collections/C/engines/E")
    return text


def credential(text: str) -> str:
    if not _CREDENTIAL.fullmatch(text):
        raise ValueError("has characters that no credential has, such as spaces")
    return text
