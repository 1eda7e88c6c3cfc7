"""What is left behind with credentials that no vendor has accepted."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from limits.strategies import MovingWindowRateLimiter

from gateway.domain.accounts import Caller, Secret
from gateway.domain.errors import NotFound, RequestTooLarge
from gateway.services.access.strangers import Strangers
from gateway.services.media.files import FileService
from gateway.services.media.resolve import MediaLimits
from gateway.storage.db.engine import Database
from gateway.storage.rate_counters import MachineCounters
from gateway.storage.records.files import FileStore
from gateway.storage.records.media_index import MediaIndex
from gateway.storage.redis_counters import SCHEME, SharedCounters
from tests.services.media.kit import ALICE, DAY, Source, picture
from tests.support.redis import RedisServer

EVE = Caller("own:eve", credential=Secret("any text"), stranger="192.0.2.1")
MALLORY = Caller("own:mallory", credential=Secret("other text"), stranger="192.0.2.1")
RED, BLUE, GREEN = (picture(colour=colour) for colour in ("red", "blue", "green"))


@pytest.fixture
def index(records):
    return records[0]


@pytest.fixture
def upload(files):
    def create(data=RED, caller=EVE, **options):
        return files.create([data], filename="a.png", purpose="vision", caller=caller, **options)

    return create


@pytest.mark.parametrize(("asked_s", "told_s"), [(None, DAY), (7 * DAY, DAY), (3600, 3600)])
def test_a_strangers_file_expires_after_a_day_at_most(
    upload, files, media, store, clock, asked_s, told_s
):
    made = upload(expires_after_s=asked_s)
    assert made.expires_at == pytest.approx(clock.now + told_s)
    clock.now += told_s - 1
    assert files.get(made.id, EVE) == made
    assert files.list(EVE) == ([made], False)
    media.sweep()
    assert files.content(made.id, EVE)
    clock.now += 2
    with pytest.raises(NotFound):
        files.get(made.id, EVE)
    assert files.list(EVE) == ([], False)
    clock.now += DAY
    assert media.sweep() == 1
    assert list(store.entries()) == []


@pytest.mark.parametrize("asked_s", [None, 7 * DAY])
def test_who_uploads_first_and_is_accepted_then_keeps_the_file(
    upload, files, index, media, clock, asked_s
):
    made = upload(expires_after_s=asked_s)
    index.prove(EVE.owner)
    kept = files.get(made.id, EVE)
    assert kept.expires_at == (None if asked_s is None else pytest.approx(clock.now + asked_s))
    clock.now += 6 * DAY
    assert media.sweep() == 0
    assert files.content(made.id, EVE)
    again = upload()
    assert again.expires_at is None, "equal bytes are the owner's already"


def test_strangers_files_make_room_first_the_oldest_before_the_newer(
    make, upload, files, store, clock
):
    media = make(max_bytes=len(GREEN) + len(BLUE))
    lasting = upload(GREEN, ALICE)
    old = upload(RED)
    clock.now += 3600
    new = upload(BLUE)
    assert media.sweep() == 1
    clock.now += 3600
    assert media.sweep() == 0
    with pytest.raises(NotFound):
        files.get(old.id, EVE)
    assert files.content(new.id, EVE)
    assert files.content(lasting.id, ALICE)
    assert make(max_bytes=1).sweep() == 1
    assert {entry.media.id for entry in store.entries()} == {lasting.media_id}


def test_what_a_stranger_has_just_sent_is_not_taken_away(make, upload, clock):
    upload()
    clock.now += 60
    assert make(max_bytes=1).sweep() == 0


def test_what_others_have_too_stays(make, upload, files, clock):
    upload(RED)
    theirs = upload(RED, ALICE)
    clock.now += 2 * DAY
    assert make(max_bytes=1).sweep() == 0
    assert files.content(theirs.id, ALICE)


def test_links_of_strangers_keep_nothing(make, upload, files, media, clock):
    made = upload()
    media.sign(files.content(made.id, EVE)[1])
    media.note_links()
    clock.now += DAY + 1
    assert media.sweep() == 1


def test_strangers_of_one_network_share_their_quota(make, make_files):
    media, files = make(limits=MediaLimits(strangers=2000)), make_files(owner_bytes=2000)
    for caller, size in ((EVE, 1200), (MALLORY, 700)):
        files.create([bytes(size)], filename="a", purpose="p", caller=caller)
    with pytest.raises(RequestTooLarge, match="100 are left"):
        files.create([bytes(101)], filename="a", purpose="p", caller=MALLORY)
    files.create([bytes(101)], filename="a", purpose="p", caller=ALICE)
    files.create([bytes(99)], filename="a", purpose="p", caller=EVE)
    media.archive(Source([RED]), EVE.owner, stranger=EVE.stranger)
    with pytest.raises(RequestTooLarge, match="your network"):
        media.archive(Source([BLUE]), MALLORY.owner, stranger=MALLORY.stranger)
    media.archive(Source([BLUE]), ALICE.owner)


class Machine:
    """What one gateway knows of strangers; several may have one database."""

    def __init__(self, directory, store, counters=None):
        database = Database(f"sqlite:///{directory / 'gateway.db'}", wait_s=0.1)
        rates = MovingWindowRateLimiter(counters or MachineCounters())
        self.strangers = Strangers(rates, MediaIndex(database), {"ark"})
        index = MediaIndex(database, accepted=self.strangers.accepted)
        self.files = FileService(store=store, index=index, files=FileStore(database))

    def authenticated(self):
        network = self.strangers.network(EVE.owner, "192.0.2.1")
        return Caller(EVE.owner, credential=EVE.credential, stranger=network)

    def upload(self, caller):
        return self.files.create([RED], filename="a.png", purpose="vision", caller=caller)

    def answered(self):
        self.strangers.answered(EVE.owner, "ark")


def test_who_is_accepted_during_an_upload_keeps_the_file(files, tmp_path, store):
    machine = Machine(tmp_path, store)
    caller = machine.authenticated()
    assert caller.stranger is not None
    machine.answered()
    assert machine.upload(caller).expires_at is None


def test_who_was_accepted_on_another_machine_keeps_what_is_left_here(files, tmp_path, store):
    with RedisServer.started(tmp_path) as redis:
        one, other = (
            Machine(
                tmp_path, store, SharedCounters(SCHEME + redis.url, path=str(tmp_path / name / "c"))
            )
            for name in "ab"
        )
        one.answered()
        made = other.upload(other.authenticated())
        other.answered()
        assert other.files.get(made.id, EVE).expires_at is None
        assert other.authenticated().stranger is None


def test_an_acceptance_that_could_not_be_stored_is_stored_with_the_next(files, tmp_path, store):
    machine = Machine(tmp_path, store)
    made = machine.upload(machine.authenticated())
    assert made.expires_at is not None
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        machine.answered()
        other.rollback()
    machine.answered()
    assert machine.files.get(made.id, EVE).expires_at is None
