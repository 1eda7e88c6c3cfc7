"""Rows in memory that are read again when their version number has moved."""

from __future__ import annotations

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.services.versioned_cache import VersionedCache


class Table:
    """Rows with a version number; counts how often each is read."""

    def __init__(self) -> None:
        self.version = 1
        self.rows = ["a"]
        self.away = False
        self.looks = self.reads = 0

    def read_version(self) -> int:
        if self.away:
            raise StorageUnavailable("away")
        self.looks += 1
        return self.version

    def read(self) -> list[str]:
        self.reads += 1
        return list(self.rows)

    def change(self, *rows: str) -> None:
        self.rows = list(rows)
        self.version += 1


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def cache(table, clock) -> VersionedCache[list[str]]:
    return VersionedCache(table.read_version, table.read, initial=[], clock=clock)


def test_rows_are_read_when_the_version_has_moved_and_only_then(cache, table):
    assert cache.value == []
    for _ in range(3):
        assert cache.refresh() == cache.value == ["a"]
    table.change("a", "b")
    assert cache.refresh() == ["a", "b"]
    assert (table.looks, table.reads) == (4, 2)


def test_a_request_looks_by_itself_when_the_last_look_is_too_long_ago(cache, table, clock):
    assert cache.within(1.5) == ["a"]
    table.change("b")
    assert cache.within(1.5) == ["a"]
    clock.time += 1.6
    assert cache.within(1.5) == ["b"]


def test_while_the_database_is_away_the_rows_stay(cache, table, clock):
    cache.refresh()
    table.away = True
    with pytest.raises(StorageUnavailable):
        cache.refresh()
    assert cache.away
    clock.time += 1
    assert cache.within(0) == ["a"]
    table.away = False
    table.change("b")
    clock.time += 1
    assert cache.within(0) == ["b"]
    assert not cache.away
