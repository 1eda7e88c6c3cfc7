"""One access token for all processes, of which one fetches the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from gateway.domain.errors import StorageUnavailable
from gateway.runtime.interruption import shielded
from gateway.storage.records.tokens import TokenStore
from gateway.upstreams.base import Token

_CLAIM_S = 30.0  # to fetch a token in
_LOOK_S = 0.05


class SharedTokens:
    """See `upstreams.base.ShareToken`. Without the database every process fetches its own."""

    def __init__(self, store: TokenStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock

    def __call__(
        self, key: str, fetch: Callable[[], Token], usable: Callable[[Token], bool]
    ) -> Token:
        with _Claim(self._store, key) as claim:
            try:
                token = self._shared(key, claim, usable)
            except StorageUnavailable:
                return fetch()
            if token is None:
                token = fetch()
                claim.fulfil(token)
            return token

    def _shared(self, key: str, claim: _Claim, usable: Callable[[Token], bool]) -> Token | None:
        """Another process's token; None once this one is to fetch it."""
        give_up_at = self._clock() + _CLAIM_S
        while True:
            found = self._store.get(key)
            if found is not None and usable(token := Token(*found)):
                return token
            # Looked up once more after the claim: the one before may just have ended.
            if claim.held or self._clock() > give_up_at:
                return None
            claim.take()
            if not claim.held:
                time.sleep(_LOOK_S)


class _Claim:
    """The right to fetch the next token, given up where the block ends without one."""

    __slots__ = ("_key", "_store", "held")

    def __init__(self, store: TokenStore, key: str) -> None:
        self._store = store
        self._key = key
        self.held = False

    def take(self) -> None:
        with shielded():  # whoever leaves meanwhile leaves when it is known
            self.held = self._store.claim(self._key, ttl_s=_CLAIM_S)

    def fulfil(self, token: Token) -> None:
        with suppress(StorageUnavailable):
            self._store.put(self._key, token.text, left_s=token.left_s)
            self.held = False

    def __enter__(self) -> _Claim:
        return self

    def __exit__(self, *_: object) -> None:
        if self.held:
            with shielded(), suppress(StorageUnavailable):
                self._store.give_up(self._key)
