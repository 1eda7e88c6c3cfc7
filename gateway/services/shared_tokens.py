"""One access token for all processes, of which one fetches the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from gateway.domain.errors import GatewayError, StorageUnavailable
from gateway.stores.tokens import TokenStore
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
        try:
            shared = self._shared_or_claimed(key, usable)
        except StorageUnavailable:
            return fetch()
        if shared is not None:
            return shared
        try:
            token = fetch()
        except GatewayError:
            with suppress(StorageUnavailable):
                self._store.give_up(key)
            raise
        with suppress(StorageUnavailable):
            self._store.put(key, token.text, left_s=token.left_s)
        return token

    def _shared_or_claimed(self, key: str, usable: Callable[[Token], bool]) -> Token | None:
        """Another process's token; None once this one is to fetch it."""
        give_up_at = self._clock() + _CLAIM_S
        claimed = False
        while True:
            if found := self._store.get(key):
                token = Token(*found)
                if usable(token):
                    if claimed:
                        self._store.give_up(key)
                    return token
            # Looked up once more after the claim: the one before may just have ended.
            if claimed or self._clock() > give_up_at:
                return None
            claimed = self._store.claim(key, ttl_s=_CLAIM_S)
            if not claimed:
                time.sleep(_LOOK_S)
