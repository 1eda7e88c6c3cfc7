"""Counters of rate limits that all machines share through Redis, or each keeps while it is away.

A storage for the `limits` library, under the scheme `gateway+redis:` and its relatives.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from redis import ConnectionPool, Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError
from redis.retry import Retry

from gateway.logs import log
from gateway.stores import counters
from gateway.stores.counters import Counters, MachineCounters, Window

SCHEME = f"{counters.SCHEME}+"
_PREFIX = "gateway:limit:"
_CONNECTIONS = 64
_WAIT_S = 0.05  # for a connection, and for each answer
_LATE_S = 2 * _WAIT_S  # a wait that took so long was prolonged by this process
_MOST_LATE = 3
_OPEN_S = 5.0

# One round trip says how often a window was counted and how long it still runs.
_TAKE = """
local hits = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
    left = tonumber(ARGV[2])
    redis.call('PEXPIRE', KEYS[1], left)
end
return {hits, left}
"""


class Breaker:
    """Keeps away from what has just failed, but for one attempt every `open_s` seconds."""

    def __init__(
        self, *, open_s: float = _OPEN_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.open = False
        self._open_s = open_s
        self._clock = clock
        self._next = 0.0

    def allows(self) -> bool:
        if not self.open:
            return True
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._open_s
        return True

    def close(self) -> bool:
        """Whether it was open."""
        was, self.open = self.open, False
        return was

    def trip(self) -> bool:
        """Whether it was closed."""
        was, self.open = self.open, True
        self._next = self._clock() + self._open_s
        return not was


class SharedCounters(Counters):
    """Fixed windows in Redis, mirrored on the machine.

    The mirror answers what is only asked, and goes on counting from what Redis said last
    when Redis does not answer: at once for `breaker.open`, else after 50 ms at most.
    """

    STORAGE_SCHEME = [f"{SCHEME}{kind}" for kind in ("redis", "rediss", "unix")]  # noqa: RUF012

    def __init__(
        self,
        uri: str,
        wrap_exceptions: bool = False,
        *,
        path: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self.machine = MachineCounters(path=path)
        self.breaker = Breaker(clock=clock)
        self._clock = clock
        self._late = 0
        self._pool = ConnectionPool.from_url(
            uri.removeprefix(SCHEME),
            max_connections=_CONNECTIONS,
            socket_timeout=_WAIT_S,
            socket_connect_timeout=_WAIT_S,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # which costs two round trips to tell
        )
        try:
            self._pool.connection_class(**self._pool.connection_kwargs)
        except TypeError as err:
            raise ValueError("an option in the query is none of Redis clients") from err
        self._redis = Redis(connection_pool=self._pool)
        self._take = self._redis.register_script(_TAKE)

    @property
    def base_exceptions(self) -> type[Exception]:
        return RedisError

    def take(self, key: str, expiry: float, amount: int = 1) -> Window:
        window = self.machine.take(key, expiry, amount)
        if not self.breaker.allows():
            return window
        began = self._clock()
        try:
            hits, left_ms = self._take([_PREFIX + key], [amount, int(expiry * 1000)])
        except MaxConnectionsError:
            return window  # busy, not away
        except (RedisError, OSError) as err:
            self._failed(err, late=self._clock() - began > _LATE_S)
            return window
        self._late = 0
        if self.breaker.close():
            log.info("redis_is_back")
        if hits <= window.hits:
            return window
        shared = Window(hits, left_ms / 1000)
        self.machine.learn(key, shared)
        return shared

    def window(self, key: str) -> Window:
        return self.machine.window(key)

    def check(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._redis.ping())
        except (RedisError, OSError):
            return False

    def reset(self) -> int | None:
        return self.machine.reset()

    def clear(self, key: str) -> None:
        self.machine.clear(key)
        try:
            self._redis.delete(_PREFIX + key)
        except (RedisError, OSError) as err:
            self._failed(err)

    def _failed(self, err: Exception, *, late: bool = False) -> None:
        """`late`: a busy process may have had the answer and not looked in time."""
        if late and self._late < _MOST_LATE:
            self._late += 1
            return
        self._pool.disconnect(inuse_connections=False)  # none of them is worth another wait
        if self.breaker.trip():
            log.warning("redis_is_away", error=type(err).__name__)
