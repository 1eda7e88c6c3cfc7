"""Periodic tasks of a process: moving jobs, renewing leases, sweeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread

from gateway.domain.errors import GatewayError
from gateway.runtime.logs import log


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A call repeated every `every_s` seconds; its failure is logged and it is called again.

    `during_drain`: repeated while the process drains, too.
    """

    name: str
    every_s: float
    work: Callable[[], object]
    during_drain: bool = False


class BackgroundTasks:
    def __init__(
        self, tasks: Sequence[PeriodicTask], at_stop: Sequence[Callable[[], object]]
    ) -> None:
        self._tasks = tasks
        self._at_stop = at_stop
        self._stopping = Event()
        self._never = Event()

    def start(self) -> None:
        """Start the tasks; called once in every serving process, after its fork."""
        for task in self._tasks:
            Thread(target=self._repeat, args=(task,), name=task.name, daemon=True).start()

    def stop(self) -> None:
        """Stop the tasks and release what other processes may take over."""
        self._stopping.set()
        for step in self._at_stop:
            _run_logged("stop", step)

    def _repeat(self, task: PeriodicTask) -> None:
        end = self._never if task.during_drain else self._stopping
        while not end.wait(task.every_s):
            _run_logged(task.name, task.work)


def _run_logged(name: str, work: Callable[[], object]) -> None:
    try:
        work()
    except GatewayError as err:
        log.warning("periodic_task_failed", task=name, code=err.code, message=err.message)
    except Exception as err:  # noqa: BLE001  # the boundary of work that has no caller
        log.error("periodic_task_crashed", task=name, error=err)
