"""Sessions of one process: deleted with their block, or by this process later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.errors import UpstreamError, UpstreamTimeout
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.processes import Processes


@pytest.fixture
def sessions(database, enterprise, clock) -> Sessions:
    processes = Processes(database)
    return Sessions(processes, lambda _: enterprise, installation="here", clock=clock)


def refuse(name: str) -> None:
    raise UpstreamError("The vendor is away.")


def labels(enterprise, account) -> set[str]:
    return set(enterprise.session_labels(account, ""))


def test_a_session_is_deleted_with_its_block_however_it_is_left(
    sessions, enterprise, account, client
):
    def fail() -> None:
        with sessions.session(account, create=client.create_session, delete=client.delete_session):
            assert sessions.open == len(labels(enterprise, account)) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert labels(enterprise, account) == set()
    assert (sessions.open, sessions.undeleted) == (0, 0)


def test_a_label_names_installation_and_process(database, enterprise, account, client):
    processes = Processes(database)
    sessions = Sessions(processes, lambda _: enterprise, installation="here")
    with sessions.session(account, create=client.create_session, delete=client.delete_session):
        (label,) = labels(enterprise, account)
        assert label.startswith(f"gw-here-{processes.id}-")
        assert processes.id in Processes(database).alive()


def test_a_session_that_is_to_stay_has_a_label_that_no_reaper_looks_for(
    sessions, enterprise, account, client
):
    keep = {"create": client.create_session, "delete": client.delete_session, "keep": True}
    with sessions.session(account, **keep) as name:
        pass
    (label,) = labels(enterprise, account)
    assert label.startswith("kept-")
    client.delete_session(name)


def test_a_deletion_that_fails_is_tried_again(sessions, enterprise, account, client):
    with sessions.session(account, create=client.create_session, delete=refuse):
        pass
    assert sessions.undeleted == len(labels(enterprise, account)) == 1
    assert sessions.retry() == 1
    assert labels(enterprise, account) == set()
    assert (sessions.undeleted, sessions.leaked) == (0, 0)


def test_a_session_whose_creation_was_interrupted_is_looked_for_by_its_label(
    sessions, enterprise, account, client, clock
):
    def create(label: str) -> str:
        made.append(label)
        raise UpstreamTimeout("no answer", sent=True)

    made: list[str] = []
    with pytest.raises(UpstreamTimeout), sessions.session(account, create=create, delete=refuse):
        pass
    assert sessions.retry() == 0
    client.create_session(made[0])  # the vendor is slow
    clock.time += 10
    assert sessions.retry() == 1
    assert labels(enterprise, account) == set()


def test_a_session_that_was_never_created_is_not_looked_for_for_long(sessions, account, clock):
    def lost(label: str) -> str:
        raise UpstreamTimeout("no answer", sent=True)

    def unsent(label: str) -> str:
        raise UpstreamError("no connection", sent=False)

    for create, undeleted in ((unsent, 0), (lost, 1)):
        with pytest.raises(UpstreamError), sessions.session(account, create=create, delete=refuse):
            pass
        assert sessions.undeleted == undeleted
    for _ in range(6):
        sessions.retry()
        clock.time += 100
    assert (sessions.undeleted, sessions.leaked) == (0, 0)


def test_a_process_that_ends_tries_once_more(sessions, enterprise, account, client):
    with sessions.session(account, create=client.create_session, delete=refuse):
        pass
    sessions.stop()
    assert labels(enterprise, account) == set()


def test_a_session_is_given_up_once_its_credential_is_refused(
    sessions, enterprise, account, client
):
    wrong = replace(account, secret=type(account.secret)("own-wrong"), name="own", own=True)
    with sessions.session(wrong, create=client.create_session, delete=refuse) as name:
        pass
    assert sessions.retry() == 1
    assert (sessions.undeleted, sessions.leaked) == (0, 1)
    client.delete_session(name)


def test_deletions_are_tried_less_and_less_often_and_not_for_ever(
    database, enterprise, account, client, clock
):
    class Away:
        name = "away"

        def session_labels(self, account, prefix):
            return ()

        def __init__(self) -> None:
            self.asked_at: list[float] = []

        def sweep_sessions(self, account, label):
            self.asked_at.append(clock.time - began)
            raise UpstreamError("The vendor is away.")

    away, began = Away(), clock.time
    sessions = Sessions(Processes(database), lambda _: away, installation="here", clock=clock)
    with sessions.session(account, create=client.create_session, delete=refuse) as name:
        pass
    while not sessions.leaked:
        sessions.retry()
        clock.time += 1 if clock.time - began < 60 else 30
    assert away.asked_at[:5] == [0, 2, 7, 22, 52]
    assert 3600 < away.asked_at[-1] < 7200
    client.delete_session(name)
