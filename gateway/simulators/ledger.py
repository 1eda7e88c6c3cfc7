"""Record of the requests to all vendors, for tests and for a user's own CI."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

_KEPT_REQUESTS = 1000
_KEPT_VIOLATIONS = 1000
_KEPT_CHARACTERS = 200
_HEADERS = (
    "User-Agent",
    "X-Goog-User-Project",
    "X-Client-Request-Id",
    "Accept",
    "Accept-Encoding",
)
_EVENTS: Mapping[str, tuple[str, ...]] = {
    "sessions": ("created", "deleted"),
    "files": ("created", "deleted", "expired"),
    "tasks": ("created", "succeeded", "failed", "expired", "cancelled", "deleted"),
}


@dataclass(slots=True)
class Entry:
    """One request as `/_ledger` lists it."""

    operation: str
    credential: str
    at: float
    body: object
    headers: dict[str, str]
    status: int | None = None

    def view(self) -> dict[str, object]:
        return {
            "operation": self.operation,
            "credential": self.credential,
            "at": self.at,
            "status": self.status,
            "body": self.body,
            "headers": self.headers,
        }


@dataclass(slots=True)
class _Tally:
    """Open things of one kind, and the number of each event."""

    open: dict[str, None] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)

    def view(self, kind: str) -> dict[str, object]:
        counts = {event: self.events[event] for event in _EVENTS[kind]}
        return {"open": len(self.open), **counts, "names": list(self.open)}


class Ledger:
    """Thread-safe counters shared by all vendors of one app."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._tallies = {kind: _Tally() for kind in _EVENTS}
            self._calls: Counter[str] = Counter()
            self._operations: defaultdict[str, Counter[str]] = defaultdict(Counter)
            self._in_flight: Counter[str] = Counter()
            self._max_in_flight: Counter[str] = Counter()
            self._streams: Counter[str] = Counter()
            self._tokens = 0
            self._violations: deque[str] = deque(maxlen=_KEPT_VIOLATIONS)
            self._requests: deque[Entry] = deque(maxlen=_KEPT_REQUESTS)

    def begin(
        self,
        operation: str,
        credential: str,
        body: object,
        headers: Mapping[str, str],
        *,
        in_flight: bool,
    ) -> Entry:
        """Write down a request; `finish` must follow when it counts as in flight."""
        chosen = {name.lower(): headers[name] for name in _HEADERS if name in headers}
        entry = Entry(operation, credential, time.time(), shorten(body), chosen)
        with self._lock:
            self._calls[credential] += 1
            self._operations[credential][operation] += 1
            self._requests.append(entry)
            if in_flight:
                now = self._in_flight[credential] + 1
                self._in_flight[credential] = now
                self._max_in_flight[credential] = max(now, self._max_in_flight[credential])
        return entry

    def finish(self, credential: str) -> None:
        """Take a request out of those in flight."""
        with self._lock:
            # A reset may have come between: what it forgot cannot end any more.
            if self._in_flight[credential] > 0:
                self._in_flight[credential] -= 1

    def add(self, kind: str, name: str) -> None:
        """Count a session, file or task as created, and as open until it is settled."""
        with self._lock:
            tally = self._tallies[kind]
            tally.open[name] = None
            tally.events["created"] += 1

    def record_end(self, kind: str, name: str, event: str) -> None:
        """Record the end of a session, file or task; it is no longer open."""
        with self._lock:
            tally = self._tallies[kind]
            tally.open.pop(name, None)
            tally.events[event] += 1

    def token_issued(self) -> None:
        """Count an access token."""
        with self._lock:
            self._tokens += 1

    def violation(self, text: str) -> None:
        """Record a violation of the vendor's rules by the client."""
        with self._lock:
            self._violations.append(text)

    def stream(self, event: str) -> None:
        """Count a stream that `opened`, or one that is `finished`, `aborted` or `cut`."""
        with self._lock:
            self._streams[event] += 1
            if event != "opened" and self._streams["open"] > 0:
                self._streams["open"] -= 1
            elif event == "opened":
                self._streams["open"] += 1

    def snapshot(self, *, requests: bool = True) -> dict[str, object]:
        """Return everything as plain values."""
        with self._lock:
            page: dict[str, object] = {
                kind: tally.view(kind) for kind, tally in self._tallies.items()
            }
            page |= {
                "calls": dict(self._calls),
                "operations": {key: dict(value) for key, value in self._operations.items()},
                "tokens": self._tokens,
                "in_flight": {key: value for key, value in self._in_flight.items() if value},
                "max_in_flight": dict(self._max_in_flight),
                "streams": {
                    event: self._streams[event] for event in ("open", "aborted", "finished", "cut")
                },
                "violations": list(self._violations),
            }
            if requests:
                page["requests"] = [entry.view() for entry in self._requests]
            return page


def shorten(value: object) -> object:
    """Return a JSON value with its long strings cut, so that media do not pile up."""
    if isinstance(value, str):
        return value if len(value) <= _KEPT_CHARACTERS else value[:_KEPT_CHARACTERS] + "…"
    if isinstance(value, dict):
        return {key: shorten(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shorten(item) for item in value]
    return value
