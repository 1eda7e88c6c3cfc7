"""Parsing of URLs from outside, and the addresses that they may lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urljoin

import idna

from gateway.domain.errors import UpstreamInvalidResponse

WEB_PORTS = frozenset({80, 443})
_MAX_URL = 16384

# Own tables: what `ipaddress` calls global changes with Python's patch releases, and takes
# in multicast, NAT64 and cloud metadata. From the IANA special-purpose registries.
_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier NAT; Alibaba's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's metadata
            "169.254.0.0/16",  # link-local; most clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments; Oracle's metadata
            "192.0.2.0/24",
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")  # all that is assigned to the public; not NAT64, not ULA
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments; Teredo embeds IPv4 addresses
            "2001:db8::/32",
            "2002::/16",  # 6to4 embeds IPv4 addresses
            "3fff::/20",
        ),
    )
)
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # interface identifiers that embed IPv4 addresses

_REFUSED = re.compile(r"[\x00-\x1f\x7f\\]").search
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE).match
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE).fullmatch
_AUTHORITY = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^@:%\[\]\s]+))(?::([0-9]{1,5}))?").fullmatch
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?").fullmatch
# Sub-delimiters and escapes stay as they are; the rest becomes UTF-8, percent-encoded.
_TARGET_SAFE = "!$%&'()*+,/:;=?@[]~"


def is_public(address: str) -> bool:
    """Tell whether an address is one of the public Internet's hosts."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        else:
            return (
                ip in _PUBLIC_6
                and not any(ip in network for network in _NOT_PUBLIC_6)
                and int(ip) >> 32 & 0xFFFFFFFF not in _ISATAP
            )
    return not any(ip in network for network in _NOT_PUBLIC_4)


class Exceptions:
    """Hosts allowed although they are not public: "on", "off", or a list of hosts and CIDRs."""

    def __init__(self, text: str) -> None:
        words = [word.strip().strip("[]").lower() for word in text.split(",")]
        self._everything = words == ["on"]
        self._hosts: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for word in words if words != ["off"] else ():
            try:
                self._networks.append(ip_network(word, strict=False))
            except ValueError:
                self._hosts.add(word)

    def cover_host(self, host: str) -> bool:
        return self._everything or host.rstrip(".") in self._hosts

    def cover_address(self, address: str) -> bool:
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return self._everything or any(ip in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, read in the one way it can be read."""

    scheme: str
    host: str  # ASCII, without brackets
    port: int
    path: str  # with its query

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse(url: str) -> Target:
    """Read a URL; raises UpstreamInvalidResponse for what others might read otherwise.

    Refused are user names, control characters, backslashes, escapes in the host and
    hosts that IDNA (UTS 46) does not know.
    """
    parts = None if len(url) > _MAX_URL or _REFUSED(url) else _URL(url)
    authority = parts and _AUTHORITY(parts[2])
    if not parts or not authority:
        raise _unreadable()
    scheme = parts[1].lower()
    port = int(authority[3] or (443 if scheme == "https" else 80))
    if not 0 < port < 65536:
        raise _unreadable()
    try:
        path = quote(parts[3], safe=_TARGET_SAFE)
        host = str(IPv6Address(authority[1])) if authority[1] else _ascii_name(authority[2])
    except ValueError as err:  # also idna.IDNAError and UnicodeError
        raise _unreadable() from err
    return Target(scheme, host, port, path if path.startswith("/") else f"/{path}")


def redirected(target: Target, location: str) -> Target:
    """Target of a Location header. Raises UpstreamInvalidResponse if it is not allowed."""
    try:
        # Header fields are read as Latin-1; what is not ASCII in a URL is UTF-8.
        place = location.encode("latin-1").decode()
        # Joining drops tabs without a word, and makes `http:///x` relative.
        absolute = place if _REFUSED(place) or _SCHEME(place) else urljoin(target.url, place)
        following = parse(absolute)
    except ValueError as err:
        raise _unreadable() from err
    if target.scheme == "https" and following.scheme == "http":
        raise UpstreamInvalidResponse("The URL redirects where it must not lead")
    return following


def _ascii_name(name: str) -> str:
    host = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    if not _NAME(host):
        raise ValueError
    return host


def _unreadable() -> UpstreamInvalidResponse:
    return UpstreamInvalidResponse("The URL cannot be read")
