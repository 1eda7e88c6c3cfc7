"""Preferred accounts of a conversation, because vendors' prompt caches are per account.

Weighted rendezvous hashing: a conversation ranks the same accounts first in every process,
and an account that comes or goes moves only its own share of the conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from heapq import nlargest
from math import log
from typing import NamedTuple

from gateway.services.pool.pooled_account import PooledAccount

_RANKS = 3  # accounts of a conversation that are tried before the choice by load
_MAX_KNOWN = 10_000  # conversations whose ranking is kept
_MAX_MEMBERS = 64
_GROUPS = 16
_HASH_BITS = 64
_MASK = 2**64 - 1
_MULTIPLIER = 0x9E3779B97F4A7C15  # of Fibonacci hashing


class _Group(NamedTuple):
    seed: int
    weight: int
    members: Sequence[_Group | _Member]


class _Member(NamedTuple):
    seed: int
    weight: int
    pooled: PooledAccount


class Affinity:
    """Ranking of accounts by conversation; of many accounts, within groups of groups."""

    __slots__ = ("_known", "_root")

    def __init__(self, accounts: Sequence[PooledAccount]) -> None:
        self._known: dict[str, tuple[PooledAccount, ...]] = {}
        members = [_Member(hash_of(p.name), p.account.weight, p) for p in accounts]
        self._root = _grouped(members, seed=0, shift=0)

    def ranked(self, conversation: str) -> tuple[PooledAccount, ...]:
        """The first few accounts of a conversation, best first."""
        known = self._known.get(conversation)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[conversation] = self._rank(hash_of(conversation))
        return known

    def _rank(self, key: int) -> tuple[PooledAccount, ...]:
        group = self._root
        while group.members and isinstance(group.members[0], _Group):
            group = max(group.members, key=lambda found: _score(key, found))  # type: ignore[assignment]
        best = nlargest(_RANKS, group.members, key=lambda found: _score(key, found))
        return tuple(member.pooled for member in best if isinstance(member, _Member))


def _grouped(members: Sequence[_Member], *, seed: int, shift: int) -> _Group:
    """The members as they are or, of many, grouped by the next digit of their hash."""
    weight = sum(member.weight for member in members)
    if len(members) <= _MAX_MEMBERS or shift >= _HASH_BITS:
        return _Group(seed, weight, members)
    split: dict[int, list[_Member]] = {}
    for member in members:
        split.setdefault((member.seed >> shift) % _GROUPS, []).append(member)
    groups = [
        _grouped(found, seed=seed * _GROUPS + digit + 1, shift=shift + _GROUPS.bit_length() - 1)
        for digit, found in sorted(split.items())
    ]
    return _Group(seed, weight, groups)


def hash_of(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)


def _score(key: int, found: _Group | _Member) -> float:
    """Score for a key: the highest wins as often as its weight says."""
    mixed = ((key ^ found.seed) * _MULTIPLIER) & _MASK
    mixed = ((mixed ^ (mixed >> 32)) * _MULTIPLIER) & _MASK
    return -found.weight / log((mixed + 0.5) / 2**64)
