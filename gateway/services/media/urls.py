"""Signed links to media: who holds one may fetch the bytes until it expires."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.domain.accounts import Secret
from gateway.domain.errors import Forbidden
from gateway.domain.media import StoredMedia

_ROUND_S = 3600
_SKEW_S = 60
_LONGEST = 2048  # urlsplit remembers what it was asked, so it must not see data URLs
_PATH = re.compile(r"/media/(?P<id>[0-9a-f]{64})\.(?P<extension>[a-z0-9]{2,4})")
_EXPIRY = re.compile(r"[0-9]{1,12}")
_QUERY = re.compile(r"exp=(?P<exp>[0-9]{1,12})&sig=(?P<sig>[A-Za-z0-9_-]{43})")


def derive_key(secret: Secret, purpose: str) -> bytes:
    """The key for one purpose, so that no purpose's signatures serve another (HKDF, RFC 5869)."""
    material = hmac.digest(b"gateway", secret.reveal().encode("utf-8", "surrogateescape"), "sha256")
    return hmac.digest(material, purpose.encode() + b"\x01", hashlib.sha256)


@dataclass(frozen=True, slots=True)
class OwnLink:
    """A link that has the form of ours. `ours`: we signed it; `here`: it leads nowhere else."""

    media_id: str
    extension: str
    ours: bool
    fresh: bool
    here: bool


class MediaUrls:
    """Makes and checks links. The first of `keys` signs; all of them are believed."""

    def __init__(
        self,
        keys: Sequence[Secret],
        *,
        public_url: str | None = None,
        ttl_s: float = 30 * 86400,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not keys or not all(key.reveal() for key in keys):
            raise ValueError("signing media links needs a secret key that is not empty")
        self._keys = [derive_key(key, "media links") for key in keys]
        self._public_url = public_url.rstrip("/") if public_url else None
        self._ttl_s = ttl_s
        self._round_s = min(_ROUND_S, ttl_s)
        self.longest_s = ttl_s + self._round_s + _SKEW_S  # for so long a link works at most
        self._clock = clock

    def sign(self, stored: StoredMedia, *, base: str | None = None) -> str:
        """The link below the public URL, else below `base`, else from the root of the site.

        It is the same for a whole clock hour, so that browsers find it in their cache.
        """
        hour = self._clock() // self._round_s * self._round_s
        expires = str(math.ceil(hour + self._round_s + self._ttl_s))
        root = self._public_url or (base or "").rstrip("/")
        signature = _signature(self._keys[0], stored.name, expires)
        return f"{root}/media/{stored.name}?exp={expires}&sig={signature}"

    def check(self, name: str, expires: str, signature: str) -> None:
        """Raise Forbidden unless the signature is ours and its time has not come."""
        if not self._signed(name, expires, signature):
            raise Forbidden("This media link was not made by this gateway, or was changed.")
        if not self._fresh(expires):
            raise Forbidden("This media link has expired. GET /v1/media/{id} returns a new one.")

    def recognise(self, url: str) -> OwnLink | None:
        """Parse a link that has the form of ours, below any host; None for others."""
        if len(url) > _LONGEST:
            return None
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        path = _PATH.search(parts.path)
        if path is None or path.end() != len(parts.path):
            return None
        media_id, extension = path["id"], path["extension"]
        query = _QUERY.fullmatch(parts.query)
        ours = query is not None and self._signed(
            f"{media_id}.{extension}", query["exp"], query["sig"]
        )
        here = url.startswith(("/media/", f"{self._public_url}/media/"))
        fresh = query is not None and self._fresh(query["exp"])
        return OwnLink(media_id, extension, ours, fresh, here)

    def _signed(self, name: str, expires: str, signature: str) -> bool:
        if not _EXPIRY.fullmatch(expires):
            return False
        given = signature.encode("utf-8", "surrogatepass")
        known = [
            hmac.compare_digest(_signature(key, name, expires).encode(), given)
            for key in self._keys
        ]
        return any(known)

    def _fresh(self, expires: str) -> bool:
        return self._clock() <= int(expires) + _SKEW_S


def _signature(key: bytes, name: str, expires: str) -> str:
    digest = hmac.digest(key, f"{name}\n{expires}".encode("utf-8", "surrogatepass"), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
