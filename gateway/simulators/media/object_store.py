"""Signed, expiring result URLs, as object stores hand them out."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from urllib.parse import quote

from flask import request

_KEPT = 5000
_DAY_S = 24 * 3600


@dataclass(slots=True)
class Item:
    """One object of the store; its bytes may be made when they are first fetched.

    The first `late` fetches find nothing.
    """

    data: bytes | Callable[[], bytes]
    mime: str
    gone: bool
    late: int = 0

    def read(self) -> bytes:
        return self.data if isinstance(self.data, bytes) else self.data()


class Media:
    """The object store of all vendors. Old objects make room for new ones."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._lock = Lock()
        self._items: OrderedDict[str, Item] = OrderedDict()

    def put(
        self,
        data: bytes | Callable[[], bytes],
        mime: str,
        name: str,
        *,
        gone: bool = False,
        late: int = 0,
        expires_s: int = _DAY_S,
    ) -> str:
        """Keep an object and return its absolute URL, on the host that the request came to."""
        token = secrets.token_urlsafe(18)
        with self._lock:
            self._items[token] = Item(data, mime, gone, late)
            if len(self._items) > _KEPT:
                self._items.popitem(last=False)
        expires = int(time.time()) + expires_s
        signature = self._signature(token, name, expires)
        path = f"_media/{token}/{quote(name)}"
        return f"{request.host_url}{path}?expires={expires}&signature={signature}"

    def find(self, token: str, name: str, expires: str, signature: str) -> Item | None:
        """Return the object that a URL names; None when it is forged, expired or gone."""
        if not expires.isdecimal() or int(expires) < time.time():
            return None
        if not hmac.compare_digest(signature, self._signature(token, name, int(expires))):
            return None
        with self._lock:
            item = self._items.get(token)
        return None if item is None or item.gone else item

    def is_late(self, token: str) -> bool:
        """Return true for an object that is not there yet, and count the fetch."""
        with self._lock:
            item = self._items.get(token)
            if item is None or not item.late:
                return False
            item.late -= 1
            return True

    def reset(self) -> None:
        """Forget all objects."""
        with self._lock:
            self._items.clear()

    def _signature(self, token: str, name: str, expires: int) -> str:
        text = f"{token}/{name}?{expires}".encode()
        return hmac.new(self._secret, text, "sha256").hexdigest()
