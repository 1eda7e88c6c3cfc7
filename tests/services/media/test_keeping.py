"""What vendors make is kept for its owner, and swept in time."""

from __future__ import annotations

from contextlib import closing

import pytest

from gateway.domain.accounts import Secret
from gateway.domain.errors import (
    NotFound,
    UpstreamDisconnected,
    UpstreamInvalidResponse,
)
from gateway.domain.jobs import Job
from gateway.services.media.resolve import MediaLimits
from gateway.services.media.urls import MediaUrls
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.media.open import open_media_store
from gateway.storage.records.jobs import JobStore
from tests.services.media.kit import (
    ALICE,
    BOB,
    DAY,
    HTML,
    Source,
    content,
    digest,
    picture,
    ref,
    resolve,
)
from tests.storage.media.kit import access
from tests.support.s3 import without_the_right_to_list_uploads


def test_generated_media_are_kept_for_their_owner(media, store):
    stored = media.archive(Source([picture()[:10], picture()[10:]]), "alice")
    assert (stored.mime_type, stored.width, stored.height) == ("image/png", 64, 48)
    with media.open(stored, 1, 4) as chunks:
        assert b"".join(chunks) == b"PNG"
    assert content(media.blob(stored)) == picture()
    assert media.owned(stored.id, ALICE) == stored
    assert media.presigned(stored) is None


def test_media_of_somebody_else_do_not_exist(media, kept):
    for media_id, caller in [(kept.id, BOB), ("0" * 64, ALICE), ("../x", ALICE), ("", ALICE)]:
        with pytest.raises(NotFound, match="There is no such media"):
            media.owned(media_id, caller)
    media.archive(Source([picture()]), "bob")
    assert media.owned(kept.id, BOB) == media.owned(kept.id, ALICE)


@pytest.mark.parametrize("answer", [HTML, b"", b'{"error": "expired"}'])
def test_a_result_that_is_no_media_is_the_vendors_fault(media, answer):
    with pytest.raises(UpstreamInvalidResponse):
        media.archive(Source([answer]), "alice")
    with pytest.raises(NotFound):
        media.owned(digest(answer), ALICE)


def test_a_result_that_breaks_off_is_not_kept(media, store):
    with pytest.raises(UpstreamDisconnected):
        media.archive(Source([picture(), UpstreamDisconnected("gone")]), "alice")
    assert list(store.entries()) == []


def test_a_result_without_end_is_the_vendors_fault(make, store):
    media = make(limits=MediaLimits(generated=1000))
    with pytest.raises(UpstreamInvalidResponse):
        media.archive(Source([picture(), *[bytes(100)] * 20]), "alice")
    assert list(store.entries()) == []


def test_media_nobody_used_for_long_are_swept(make, store, clock):
    media = make(keep_s=10 * DAY, urls=MediaUrls([Secret("secret")], ttl_s=DAY, clock=clock))
    old = media.archive(Source([picture()]), "alice")
    used = media.archive(Source([picture(colour="blue")]), "alice")
    clock.now += 6 * DAY
    media.owned(used.id, ALICE)
    assert media.sweep() == 0
    clock.now += 6 * DAY
    new = media.archive(Source([picture(colour="green")]), "alice")
    assert media.sweep() == 1
    assert {entry.media.name for entry in store.entries()} == {used.name, new.name}
    with pytest.raises(NotFound):
        media.owned(old.id, ALICE)


def test_an_attachment_of_our_own_counts_as_use(make, clock, kept):
    media = make(keep_s=40 * DAY)
    clock.now += 36 * DAY
    resolve(media, ref(media.sign(kept)))
    clock.now += 36 * DAY
    assert media.sweep() == 0


def test_the_least_recently_used_media_go_when_there_is_too_much(make, store, clock):
    media = make(max_bytes=2 * len(picture()) + 10)
    stored = []
    for colour in ("red", "green", "blue", "black"):
        stored.append(media.archive(Source([picture(colour=colour)]), "alice"))
        clock.now += 11 * DAY
    assert media.sweep() == 2
    assert {entry.media.id for entry in store.entries()} < {s.id for s in stored}
    assert store.usage() <= 2 * len(picture()) + 10
    assert media.owned(stored[-1].id, ALICE)


def test_media_in_use_stay_even_when_there_is_too_much(make, store):
    media = make(max_bytes=1)
    stored = media.archive(Source([picture()]), "alice")
    assert media.sweep() == 0
    assert media.owned(stored.id, ALICE)


@pytest.mark.parametrize("limits", [{"keep_s": DAY}, {"max_bytes": 1}])
def test_what_a_working_link_leads_to_is_never_swept(make, clock, limits):
    media = make(**limits)
    stored = media.archive(Source([picture()]), "alice")
    clock.now += 20 * DAY
    query = media.sign(stored).partition("?exp=")[2]
    media.touch_links()
    clock.now += 30 * DAY - 60
    assert media.sweep() == 0
    assert media.verify(stored.id, stored.extension, *query.split("&sig=")).id == stored.id
    clock.now += DAY
    assert media.sweep() == 1


def test_what_a_job_reads_is_never_swept(make, tmp_path, clock):
    media = make(keep_s=DAY, max_bytes=1)
    stored = media.archive(Source([picture()]), "alice")
    with closing(Database(f"sqlite:///{tmp_path / 'gateway.db'}")) as database:
        jobs = JobStore(database, Processes(database))
        job = Job("j", "image", "alice", "m", request={}, created_at=clock.now)
        jobs.create(job, [media.need("j", [stored.name])])
        clock.now += 60 * DAY
        assert media.sweep() == 0
        assert jobs.cancel("j", "alice")
    assert media.sweep() == 1
    database.close()


def test_what_files_need_is_never_swept(make, files, store, clock):
    media = make(keep_s=DAY, max_bytes=1)
    file = files.create([picture()], filename="a.png", purpose="vision", caller=ALICE)
    clock.now += 40 * DAY
    assert media.sweep() == 0
    assert files.content(file.id, ALICE)[1].size == len(picture())
    files.delete(file.id, ALICE)
    assert media.sweep() == 1
    assert list(store.entries()) == []


def test_media_are_swept_also_where_broken_off_uploads_may_not_be_listed(make, s3, clock):
    with without_the_right_to_list_uploads(s3.url) as url:
        store = open_media_store(f"s3://{s3.bucket()}", s3=access(url))
        media = make(store=store, max_bytes=1)
        old = media.archive(Source([picture()]), "alice")
        clock.now += 40 * DAY
        assert media.sweep() == 1
        assert store.find(old.id, "png") is None


def test_entries_that_no_record_knows_are_swept_in_time(make, store, clock):
    media = make(keep_s=40 * DAY)
    stray = store.put([picture()], limit=10_000)
    kept = media.archive(Source([picture(colour="blue")]), "alice")
    clock.now += 30 * DAY
    media.owned(kept.id, ALICE)
    assert media.sweep() == 0
    clock.now += 11 * DAY
    assert make(keep_s=40 * DAY).sweep() == 1
    assert store.find(stray.id, "png") is None
    assert store.find(kept.id, "png")
