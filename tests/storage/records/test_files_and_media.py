"""Whose files and media are whose, and which media may go."""

from __future__ import annotations

import hashlib

import pytest

from gateway.domain.jobs import Job
from gateway.domain.media import StoredMedia
from gateway.storage.db.processes import Processes
from gateway.storage.records.files import FileStore
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.media_index import MediaIndex


@pytest.fixture
def index(database, clock) -> MediaIndex:
    return MediaIndex(database, clock=clock)


@pytest.fixture
def files(database, clock) -> FileStore:
    return FileStore(database, clock=clock)


def media(text: str) -> StoredMedia:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return StoredMedia(digest, "png", "image/png", size=5_000_000_000, width=2, height=None)


def upload(files: FileStore, index: MediaIndex, owner: str = "ann", **fields):
    stored = media("upload")
    index.add(stored, owner)
    values = {"filename": "a\0.png", "purpose": "vision", "mime_type": "image/png"}
    values |= {"size": stored.size, "media_id": stored.id, "owner": owner}
    return files.create(**(values | fields))


def test_media_come_back_as_they_were_added_and_to_their_owners_only(index):
    stored = media("x")
    index.add(stored, "ann")
    index.add(stored, "bob")
    index.add(stored, "bob")
    assert index.get(stored.id) == stored
    assert index.owned(stored.id, "ann") == index.owned(stored.id, "bob") == stored
    assert index.owned(stored.id, "eve") is None
    assert index.get("0") is None
    assert index.total_bytes() == stored.size


@pytest.mark.parametrize("name", ["a\0b", "\0", "\uffff", "x" * 5000, "' OR 1=1 --", "%", "_"])
def test_whatever_is_asked_for_is_at_most_not_there(index, files, database, name):
    assert index.get(name) is None
    assert index.owned(name, "ann") is None
    assert files.get(name, "ann") is None
    assert JobStore(database, Processes(database)).get_owned(name, "ann") is None
    assert files.list("ann", purpose=name, after=name) == []


def test_an_empty_index_has_no_bytes(index):
    assert index.total_bytes() == 0


def test_media_unused_for_long_are_candidates_the_longest_first(index, clock):
    for name in "abc":
        index.add(media(name), "ann")
        clock.time += 10
    index.touch([media("a").id])
    assert index.candidates(unused_since=clock.time) == [media("b"), media("c")]
    assert index.candidates(unused_since=clock.time, limit=1) == [media("b")]
    assert index.remove(media("b").id, unused_since=clock.time)
    assert not index.remove(media("b").id, unused_since=clock.time)
    assert not index.remove(media("a").id, unused_since=clock.time)
    assert index.get(media("b").id) is None
    assert index.owned(media("b").id, "ann") is None


def test_media_of_files_stay(index, files, clock):
    record = upload(files, index)
    clock.time += 10
    assert index.candidates(unused_since=clock.time) == []
    assert not index.remove(record.media_id, unused_since=clock.time)
    files.delete(record.id, "ann")
    assert index.remove(record.media_id, unused_since=clock.time)


def test_media_of_unfinished_jobs_stay_until_the_job_has_ended(index, database, clock):
    jobs = JobStore(database, Processes(database), clock=clock)
    index.add(media("x"), "ann")
    for name, needed in (("j", ["x"]), ("k", ["x", "x"]), ("l", [])):
        links = index.need(name, [media(word).id for word in needed])
        jobs.create(Job(id=name, kind="video", owner="ann", model="m", request={}), [links])
    clock.time += 10
    jobs.cancel("j", "ann")
    assert index.candidates(unused_since=clock.time) == []
    assert not index.remove(media("x").id, unused_since=clock.time)
    jobs.cancel("k", "ann")
    assert index.candidates(unused_since=clock.time) == [media("x")]
    assert index.remove(media("x").id, unused_since=clock.time)
    assert jobs.delete("j", "ann")


def test_a_file_is_its_owners_alone(files, index, clock):
    record = upload(files, index)
    assert record.id.startswith("file-")
    assert record.created_at == clock.time
    found = files.get(record.id, "ann")
    assert found.filename == "a.png"
    assert files.get(record.id, "bob") is None
    assert not files.delete(record.id, "bob")
    assert files.list("bob") == []
    assert files.delete(record.id, "ann")
    assert not files.delete(record.id, "ann")


def test_files_are_listed_by_age_and_purpose_in_pages(files, index, clock):
    made = []
    for number in range(5):
        clock.time += 1
        made.append(upload(files, index, purpose="batch" if number == 2 else "vision").id)
    upload(files, index, owner="bob")

    def ids(**options) -> list[str]:
        return [record.id for record in files.list("ann", **options)]

    assert ids() == made[::-1]
    assert ids(order="asc", limit=2) == made[:2]
    assert ids(order="asc", after=made[1]) == made[2:]
    assert ids(purpose="batch") == [made[2]]


def test_an_expired_file_is_gone_before_it_is_purged(files, index, clock):
    record = upload(files, index, expires_at=clock.time + 10)
    kept = upload(files, index)
    clock.time += 10
    assert files.get(record.id, "ann") is None
    assert not files.delete(record.id, "ann")
    assert [found.id for found in files.list("ann")] == [kept.id]
    assert files.purge() == 1
    assert files.purge() == 0


def test_temporary_media_go_with_their_files_unless_others_have_them(files, index, database, clock):
    jobs = JobStore(database, Processes(database), clock=clock)
    for name in ("alone", "shared", "needed", "adopted"):
        index.add(media(name), "own:eve", temporary=True)
    index.add(media("shared"), "ann")
    index.add(media("adopted"), "own:eve")
    index.add(media("others"), "ann")
    job = Job(id="j", kind="video", owner="own:eve", model="m", request={})
    jobs.create(job, [index.need("j", [media("needed").id])])
    fields = {"filename": "a.png", "purpose": "vision", "mime_type": "image/png", "size": 1}
    file = files.create(owner="own:eve", media_id=media("alone").id, **fields)
    assert index.temporary_bytes() == 3 * media("x").size
    since = clock.time
    clock.time += 10
    assert index.candidates(unused_since=since, temporary=True) == []
    assert index.candidates(unused_since=clock.time, temporary=True) == [media("alone")]
    assert media("alone") not in index.candidates(unused_since=clock.time)
    assert not index.remove(media("alone").id, unused_since=clock.time)
    for name in ("shared", "needed", "adopted", "others"):
        assert not index.remove(media(name).id, unused_since=clock.time, temporary=True)
    assert files.get(file.id, "own:eve")
    assert index.remove(media("alone").id, unused_since=clock.time, temporary=True)
    assert files.get(file.id, "own:eve") is None
    assert index.get(media("alone").id) is None
