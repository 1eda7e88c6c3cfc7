"""Calls that wait for the network at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION, Future, wait
from threading import Thread
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def concurrent_map(
    call: Callable[[A], T], items: Sequence[A], *, at_once: int, run_all: bool = False
) -> list[T]:
    """Results of `call` for each item, in their order; raises the first failure.

    A failure is raised at once, unless `run_all` is set. A caller that leaves early, by a
    failure or an interruption, does not wait for the calls under way, and no more are begun.
    Neither does the end of the process wait, as it would for the threads of an executor.
    """
    results: list[Future[T]] = [Future() for _ in items]
    todo = deque(zip(items, results, strict=True))
    for _ in range(min(len(items), at_once)):
        Thread(target=_work, args=(call, todo), name="concurrent-map", daemon=True).start()
    try:
        done, _ = wait(results, return_when=ALL_COMPLETED if run_all else FIRST_EXCEPTION)
        for result in results:
            if result in done:
                result.result()
        return [result.result() for result in results]
    finally:
        todo.clear()


def _work(call: Callable[[A], T], todo: deque[tuple[A, Future[T]]]) -> None:
    while True:
        try:
            item, result = todo.popleft()
        except IndexError:
            return
        try:
            result.set_result(call(item))
        except BaseException as error:  # noqa: BLE001  # raised in the thread that waits for it
            result.set_exception(error)
