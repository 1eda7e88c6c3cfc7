"""What every process does beside answering: moving jobs, renewing leases, sweeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event as Signal
from threading import Thread

from gateway.domain.errors import GatewayError
from gateway.runtime.logs import log


@dataclass(frozen=True, slots=True)
class Chore:
    """`work` is called every `every_s` seconds; its failure is logged and it is called again.

    `to_the_end`: also while the process drains, for what its last requests still hold.
    """

    name: str
    every_s: float
    work: Callable[[], object]
    to_the_end: bool = False


class Background:
    def __init__(self, chores: Sequence[Chore], at_stop: Sequence[Callable[[], object]]) -> None:
        self._chores = chores
        self._at_stop = at_stop
        self._stopping = Signal()
        self._never = Signal()

    def start(self) -> None:
        """Once in every serving process, after it was forked."""
        for chore in self._chores:
            Thread(target=self._repeat, args=(chore,), name=chore.name, daemon=True).start()

    def stop(self) -> None:
        """Put everything down, for other processes to take over; returns when that is done."""
        self._stopping.set()
        for step in self._at_stop:
            _guarded("stop", step)

    def _repeat(self, chore: Chore) -> None:
        end = self._never if chore.to_the_end else self._stopping
        while not end.wait(chore.every_s):
            _guarded(chore.name, chore.work)


def _guarded(name: str, work: Callable[[], object]) -> None:
    try:
        work()
    except GatewayError as err:
        log.warning("chore_failed", chore=name, code=err.code, message=err.message)
    except Exception as err:  # noqa: BLE001  # the boundary of what nobody waits for
        log.error("chore_crashed", chore=name, error=err)
