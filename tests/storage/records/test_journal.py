"""No vendor session is forgotten."""

from __future__ import annotations

import pytest

from gateway.storage.records.journal import JournalCounts, JournaledSession, SessionJournalStore

LAPSED = -1.0


@pytest.fixture
def journal(database, clock) -> SessionJournalStore:
    return SessionJournalStore(database, clock=clock)


def add(journal: SessionJournalStore, label: str, *, owner: str = "me", ttl_s: float = 30) -> None:
    journal.add(label, upstream="u", account="a1", owner_token=owner, ttl_s=ttl_s)


def test_an_open_session_belongs_to_its_process_while_that_renews_it(journal):
    add(journal, "a", ttl_s=LAPSED)
    add(journal, "b", owner="other", ttl_s=LAPSED)
    assert journal.renew("me") == 1
    assert journal.due()
    assert [row.label for row in journal.lapsed("sweeper")] == ["b"]
    assert not journal.due()


def test_what_a_dead_process_left_is_taken_over_once_with_what_is_known_of_it(journal, clock):
    add(journal, "a", ttl_s=LAPSED)
    journal.add("own", upstream="u", account=None, owner_token="me", ttl_s=LAPSED)
    journal.named("a", "sessions/1")
    rows = {row.label: row for row in journal.lapsed("sweeper")}
    assert rows == {
        "a": JournaledSession("a", "u", "a1", "sessions/1", 0, clock.time),
        "own": JournaledSession("own", "u", None, None, 0, clock.time),
    }
    assert journal.lapsed("another") == []


def test_a_sweeper_that_died_is_followed_by_another(journal):
    add(journal, "a", ttl_s=LAPSED)
    assert journal.lapsed("sweeper", ttl_s=LAPSED)
    assert journal.lapsed("another")


def test_a_session_that_is_gone_leaves_nothing(journal):
    add(journal, "a", ttl_s=LAPSED)
    journal.closed("a")
    journal.closed("a")
    assert journal.lapsed("sweeper") == []
    assert journal.renew("me") == 0


def test_a_session_given_up_is_renewed_no_more(journal):
    add(journal, "a")
    journal.closing("a")
    assert journal.renew("me", ttl_s=LAPSED) == 0
    add(journal, "b")
    assert journal.renew("me", ttl_s=LAPSED) == 1
    assert [row.label for row in journal.lapsed("sweeper")] == ["b"]


def test_a_deletion_that_fails_is_tried_again_later(journal):
    add(journal, "a", ttl_s=LAPSED)
    journal.lapsed("sweeper")
    assert journal.failed("a", retry_in_s=60) == 1
    assert journal.lapsed("sweeper") == []
    assert journal.failed("a", retry_in_s=LAPSED) == 2
    assert [row.attempts for row in journal.lapsed("sweeper")] == [2]
    assert journal.failed("gone", retry_in_s=60) == 0


def test_the_longest_lapsed_are_taken_first(journal):
    for number in range(5):
        add(journal, f"s{number}", ttl_s=-10.0 - number)
    assert {row.label for row in journal.lapsed("sweeper", limit=2)} == {"s4", "s3"}


def test_gauges_tell_open_lapsed_and_failing_sessions_apart(journal):
    add(journal, "open")
    add(journal, "lapsed", ttl_s=LAPSED)
    add(journal, "failing")
    journal.failed("failing", retry_in_s=60)
    assert journal.counts() == JournalCounts(open=1, lapsed=1, failing=1)


def test_an_empty_journal_counts_nothing(journal):
    assert journal.counts() == JournalCounts(open=0, lapsed=0, failing=0)
