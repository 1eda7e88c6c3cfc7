"""Sessions with their turns and files, as the vendor keeps them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any
from uuid import uuid4

from gateway.simulators.chat.replies import count_tokens
from gateway.simulators.ledger import Ledger
from gateway.simulators.media.media_info import MediaInfo, describe

_BYTES_PER_TOKEN = 4
_TOKENS_PER_MEDIUM = 258


@dataclass
class StoredFile:
    """A file of a session. A generated one is made when it is first read."""

    id: str
    name: str
    mime: str
    content: bytes | Callable[[], bytes]
    generated: bool = False
    added_at: float = field(default_factory=time.time)
    links: list[str] = field(default_factory=list)  # to it, the latest last

    @cached_property
    def data(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content()

    @cached_property
    def seen(self) -> MediaInfo:
        return describe(self.data)

    @property
    def tokens(self) -> int:
        if self.seen.kind == "text":
            return count_tokens(self.data.decode())
        if self.seen.kind == "document":
            return len(self.data) // _BYTES_PER_TOKEN
        return _TOKENS_PER_MEDIUM


@dataclass(slots=True)
class Turn:
    """A question and its answer."""

    query_id: str
    query: str
    answer_name: str
    answer: str


@dataclass(slots=True)
class Session:
    """One session; the fields that callers set are those of `given`."""

    name: str
    owner: str
    given: dict[str, Any]
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    turns: list[Turn] = field(default_factory=list)
    files: dict[str, StoredFile] = field(default_factory=dict)

    def add(self, name: str, mime: str, data: bytes) -> StoredFile:
        """Keep an uploaded file, under a decimal id."""
        return self._add(StoredFile(new_id(), name, mime, data))

    def generate(self, name: str, mime: str, content: Callable[[], bytes]) -> StoredFile:
        """Keep a generated file, under a UUID."""
        return self._add(StoredFile(str(uuid4()), name, mime, content, generated=True))

    def _add(self, file: StoredFile) -> StoredFile:
        self.files[file.id] = file
        self.updated_at = time.time()
        return file

    def view(self, *, turns: bool = False, details: bool = False) -> dict[str, Any]:
        """Return the session as the API shows it."""
        shown: dict[str, Any] = {"name": self.name, "state": "IN_PROGRESS"}
        shown |= {name: value for name, value in self.given.items() if value}
        shown["startTime"] = nanoseconds(self.created_at)
        shown["endTime"] = nanoseconds(self.updated_at)
        if turns and self.turns:
            shown["turns"] = [self._turn(turn, details) for turn in self.turns]
        return shown

    def _turn(self, turn: Turn, details: bool) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "query": {"queryId": turn.query_id, "text": turn.query},
            "answer": turn.answer_name,
        }
        if details:
            content = {"role": "model", "text": turn.answer}
            shown["detailedAssistAnswer"] = {
                "name": turn.answer_name,
                "state": "SUCCEEDED",
                "replies": [{"groundedContent": {"content": content}}],
            }
        return shown


class Sessions:
    """All sessions. Each identity has its own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._open: dict[str, Session] = {}
        self._deleted: set[str] = set()

    def update_ledger(self) -> None:
        """Nothing changes with time."""

    def create(self, name: str, owner: str, given: dict[str, Any]) -> Session | None:
        """Open a session; None when there is one of this name."""
        session = Session(name, owner, given)
        with self._lock:
            if name in self._open:
                return None
            self._open[name] = session
        self._ledger.add("sessions", name)
        return session

    def find(self, name: str) -> Session | None:
        with self._lock:
            return self._open.get(name)

    def remove(self, session: Session) -> bool:
        """Delete a session with its files; False when another request was faster."""
        with self._lock:
            removed = self._open.pop(session.name, None)
            self._deleted.add(session.name)
        if removed is None:
            return False
        self._ledger.record_end("sessions", session.name, "deleted")
        return True

    def was_deleted(self, name: str) -> bool:
        with self._lock:
            return name in self._deleted

    def of(self, engine: str, owner: str) -> list[Session]:
        """Return an identity's sessions at an engine, oldest first."""
        prefix = f"{engine}/sessions/"
        with self._lock:
            return [
                session
                for session in self._open.values()
                if session.owner == owner and session.name.startswith(prefix)
            ]

    def holder_of(self, file_id: str) -> Session | None:
        """Return the session that has a file."""
        with self._lock:
            return next((one for one in self._open.values() if file_id in one.files), None)


def new_id() -> str:
    """Return a decimal id as the vendor makes them."""
    return str(secrets.randbelow(9 * 10**18) + 10**18)


def nanoseconds(at: float) -> str:
    """Return a time in RFC 3339 with nanoseconds."""
    whole, part = divmod(round(at * 10**9), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{part:09d}Z"
