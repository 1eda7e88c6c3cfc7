"""Conversations prefer one account, as long as it is usable and not overloaded."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.services.pools import account, call, end, exhausted, lend, weighted

CONVERSATIONS = [f"conversation {n}" for n in range(50)]


@pytest.mark.parametrize("count", [10, 300])
def test_a_conversation_stays_with_one_account_in_every_process(world, count):
    everyone = [account(f"n{n}") for n in range(count)]
    here, there = world.pool(*everyone), world.pool(*reversed(everyone))
    for conversation in CONVERSATIONS:
        served = {call(pool, conversation=conversation) for pool in (here, there) for _ in range(3)}
        assert len(served) == 1


def test_conversations_are_spread_by_the_weights(world):
    pool = world.pool(*weighted([4, 2, 1, 1]))
    counts = Counter(call(pool, conversation=f"c{n}") for n in range(2000))
    for name, share in {"a": 0.5, "b": 0.25, "c": 0.125, "d": 0.125}.items():
        assert counts[name] / 2000 == pytest.approx(share, abs=0.05)


def test_an_account_that_goes_moves_only_its_own_conversations(world):
    everyone = [account(f"n{n}") for n in range(10)]
    before, after = world.pool(*everyone), world.pool(*everyone[1:])
    for conversation in CONVERSATIONS:
        name = call(before, conversation=conversation)
        if name != "n0":
            assert call(after, conversation=conversation) == name


def test_a_conversation_moves_while_its_account_cools_down_and_comes_back(world):
    pool = world.pool(*[account(f"n{n}") for n in range(10)])
    home = call(pool, conversation="c")
    end(lend(pool, conversation="c"), exhausted(60))
    away = {call(pool, conversation="c") for _ in range(5)}
    assert len(away) == 1
    assert home not in away
    world.clock.pass_s(61)
    assert call(pool, conversation="c") == home


def test_a_conversation_moves_while_its_account_is_full(world):
    pool = world.pool(*[account(f"n{n}", max_in_flight=1) for n in range(4)])
    held = lend(pool, conversation="c")
    assert call(pool, conversation="c") != held.account.name
    end(held)
    assert call(pool, conversation="c") == held.account.name


def test_an_account_above_the_mean_load_gives_its_conversation_up(world):
    pool = world.pool(*[account(f"n{n}") for n in range(10)])
    leases = [lend(pool, conversation="everybody's") for _ in range(40)]
    counts = Counter(lease.account.name for lease in leases)
    assert max(counts.values()) <= 6, "1.25 times the mean of 4, and one"
