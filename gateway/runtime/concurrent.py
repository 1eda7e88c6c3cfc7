"""Calls that wait for the network at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION, Future, wait
from threading import Thread
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


def together(
    call: Callable[[A], T], items: Sequence[A], *, at_once: int, to_the_end: bool = False
) -> list[T]:
    """What `call` returns for each item, in their order; raises the first failure.

    A failure is raised at once, unless all are to be called `to_the_end`. Who leaves early, by
    it or by an interruption, does not wait for calls under way, and no more are begun. The end
    of the process does not wait either, as it would for those of an executor.
    """
    results: list[Future[T]] = [Future() for _ in items]
    todo = deque(zip(items, results, strict=True))
    for _ in range(min(len(items), at_once)):
        Thread(target=_work, args=(call, todo), name="together", daemon=True).start()
    try:
        done, _ = wait(results, return_when=ALL_COMPLETED if to_the_end else FIRST_EXCEPTION)
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
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            result.set_exception(error)
