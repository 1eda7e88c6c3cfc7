"""The state behind one app of simulated vendors."""

from __future__ import annotations

from threading import Lock
from typing import Protocol, TypeVar, cast

from flask import Flask, current_app

from gateway.simulators.gates import Gates
from gateway.simulators.ledger import Ledger
from gateway.simulators.media.object_store import Media

_EXTENSION = "simulators"


class Store(Protocol):
    """State that a vendor keeps between requests."""

    def __init__(self, ledger: Ledger) -> None: ...

    def update_ledger(self) -> None:
        """Bring states that change with time up to date in the ledger."""


S = TypeVar("S", bound=Store)


class State:
    """Everything the vendors of one app share."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.gates = Gates()
        self.media = Media()
        self._lock = Lock()
        self._stores: dict[type, Store] = {}

    def store(self, kind: type[S]) -> S:
        """Return a vendor's store, made when it is first asked for."""
        with self._lock:
            found = self._stores.get(kind)
            if found is None:
                found = self._stores[kind] = kind(self.ledger)
            return cast(S, found)

    def snapshot(self, *, requests: bool) -> dict[str, object]:
        """Return the ledger with every lazily computed state up to date."""
        with self._lock:
            stores = list(self._stores.values())
        for store in stores:
            store.update_ledger()
        return self.ledger.snapshot(requests=requests)

    def reset(self) -> None:
        """Forget all state."""
        with self._lock:
            self._stores.clear()
        self.gates.reset()
        self.media.reset()
        self.ledger.reset()


def install(app: Flask) -> State:
    """Give an app its state."""
    state = State()
    app.extensions[_EXTENSION] = state
    return state


def current_state() -> State:
    """Return the state of the app that serves the current request."""
    return cast(State, current_app.extensions[_EXTENSION])
