"""Counters of rate limits that all machines share through Redis, or each keeps while it is away.

A storage for the `limits` library, under the scheme `gateway+redis:` and its relatives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from redis import ConnectionPool, Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError
from redis.retry import Retry

from gateway.runtime.logs import log
from gateway.runtime.throttled_log import describe_error
from gateway.storage import rate_counters as counters
from gateway.storage.rate_counters import Counters, Limit, MachineCounters, Window

SCHEME = f"{counters.SCHEME}+"
_PREFIX = "gateway:window:"
_CONNECTIONS = 64
_WAIT_S = 0.05  # for a connection, and for each answer
_LATE_S = 2 * _WAIT_S  # a wait that took so long was prolonged by this process
_MOST_LATE = 3
_OPEN_S = 5.0

# One round trip counts hits under all of the keys, or none of them. What is known of a key is
# a list of marks as in `counters`: a time in milliseconds, and how many hits.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local amount = tonumber(ARGV[#ARGV])
local known, answer, room = {}, {}, 1
for i, key in ipairs(KEYS) do
    local limit, expiry = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
    local marks, hits, packed = {}, 0, redis.call('GET', key)
    local all = packed and cmsgpack.unpack(packed) or {}
    for n = 1, #all, 2 do
        if all[n] <= now and all[n] + expiry > now then
            marks[#marks + 1], marks[#marks + 2] = all[n], all[n + 1]
            hits = hits + all[n + 1]
        end
    end
    known[i], answer[3 * i - 2], answer[3 * i] = marks, hits, 1
    if hits + amount > limit then room, answer[3 * i] = 0, 0 end
end
for i, key in ipairs(KEYS) do
    local marks, expiry, grain = known[i], tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    local size = #marks
    if room == 1 then
        if size > 0 and marks[size] + amount <= grain then
            marks[size - 1], marks[size] = now, marks[size] + amount
        else
            marks[size + 1], marks[size + 2] = now, amount
        end
        answer[3 * i - 2] = answer[3 * i - 2] + amount
        redis.call('SET', key, cmsgpack.pack(marks), 'PX', expiry)
    end
    answer[3 * i - 1] = #marks > 0 and marks[1] + expiry - now or 0
end
return answer
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
    """Moving windows in Redis, mirrored on the machine.

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
        except RedisError as err:
            raise ValueError(str(err)) from err
        self._hidden = (str(self._pool.connection_kwargs.get("password") or ""),)
        self._redis = Redis(connection_pool=self._pool)
        self._take = self._redis.register_script(_TAKE)

    @property
    def base_exceptions(self) -> type[Exception]:
        return RedisError

    def take(self, limits: Sequence[Limit], amount: int = 1) -> list[Window]:
        before = [self.machine.window(limit).hits for limit in limits]
        began = self._clock()
        found = self._asked(limits, amount, began) if self.breaker.allows() else None
        if found is None:
            return self.machine.take(limits, amount)
        counted = all(window.room for window in found)
        if counted and any(
            window.hits < hits + amount for window, hits in zip(found, before, strict=True)
        ):
            return self.machine.take(limits, amount)  # Redis has forgotten what this machine knows
        for limit, window in zip(limits, found, strict=True):
            self.machine.learn(limit, window, at=began, amount=amount if counted else 0)
        return found

    def _asked(self, limits: Sequence[Limit], amount: int, began: float) -> list[Window] | None:
        given: list[int] = []
        for limit in limits:
            given += (limit.amount, int(limit.expiry * 1000), limit.grain)
        try:
            answer = self._take([_PREFIX + limit.key for limit in limits], [*given, amount])
        except MaxConnectionsError:
            return None  # busy, not away
        except (RedisError, OSError) as err:
            self._failed(err, late=self._clock() - began > _LATE_S)
            return None
        self._late = 0
        if self.breaker.close():
            log.info("redis_is_back")
        return [
            Window(answer[n], answer[n + 1] / 1000, bool(answer[n + 2]))
            for n in range(0, len(answer), 3)
        ]

    def window(self, limit: Limit) -> Window:
        return self.machine.window(limit)

    def check(self) -> bool:
        """Whether Redis answers."""
        return self.why_away() is None

    def why_away(self) -> str | None:
        """None when Redis answers."""
        try:
            self._redis.ping()
        except (RedisError, OSError) as err:
            return describe_error(err, hidden=self._hidden)
        return None

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
            log.warning("redis_is_away", cause=describe_error(err, hidden=self._hidden))
