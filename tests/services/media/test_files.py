"""Files that callers upload."""

from __future__ import annotations

import pytest

from gateway.domain.errors import (
    InvalidRequest,
    NotFound,
    RequestTooLarge,
)
from tests.services.media.kit import (
    ALICE,
    BOB,
    DAY,
    content,
    digest,
    picture,
)


def test_a_file_is_created_listed_read_and_deleted(files, media):
    data = picture()
    made = files.create([data], filename="cat.png", purpose="vision", caller=ALICE)
    assert made.id.startswith("file-")
    assert (made.filename, made.purpose, made.size) == ("cat.png", "vision", len(data))
    assert (made.mime_type, made.expires_at) == ("image/png", None)
    assert files.get(made.id, ALICE) == made
    assert files.list(ALICE) == ([made], False)
    record, stored = files.content(made.id, ALICE)
    with media.open(stored) as chunks:
        assert (record, b"".join(chunks)) == (made, data)
    files.delete(made.id, ALICE)
    for act in (files.get, files.content, files.delete):
        with pytest.raises(NotFound):
            act(made.id, ALICE)


def test_files_of_somebody_else_do_not_exist(files):
    made = files.create([picture()], filename="a", purpose="vision", caller=ALICE)
    for act in (files.get, files.content, files.delete):
        messages = set()
        for file_id in (made.id, "file-unknown"):
            with pytest.raises(NotFound) as caught:
                act(file_id, BOB)
            messages.add(caught.value.message.replace(file_id, "ID"))
        assert len(messages) == 1
    assert files.list(BOB) == ([], False)
    assert files.get(made.id, ALICE) == made


def test_deleting_a_file_leaves_an_equal_one_alone(files, media):
    mine = files.create([picture()], filename="a", purpose="vision", caller=ALICE)
    theirs = files.create([picture()], filename="b", purpose="vision", caller=BOB)
    files.delete(mine.id, ALICE)
    media.sweep()
    _, stored = files.content(theirs.id, BOB)
    assert content(media.blob(stored)) == picture()


def test_files_are_listed_by_age_and_page(files, clock):
    made = []
    for number in range(5):
        purpose = "vision" if number % 2 else "user_data"
        made.append(files.create([b"x%d" % number], filename="a", purpose=purpose, caller=ALICE))
        clock.now += 1
    assert files.list(ALICE, limit=2) == (made[:2:-1], True)
    assert files.list(ALICE, limit=3, after=made[3].id) == (made[2::-1], False)
    assert files.list(ALICE, order="asc", limit=5) == (made, False)
    assert files.list(ALICE, purpose="vision", order="asc") == ([made[1], made[3]], False)
    with pytest.raises(InvalidRequest) as caught:
        files.list(ALICE, order="sideways")
    assert caught.value.param == "order"


def test_a_file_expires(files, media, clock):
    made = files.create(
        [picture()], filename="a", purpose="vision", expires_after_s=3600, caller=ALICE
    )
    assert made.expires_at == pytest.approx(clock.now + 3600)
    clock.now += 3601
    media.sweep()
    with pytest.raises(NotFound):
        files.get(made.id, ALICE)


@pytest.mark.parametrize("seconds", [-1, 0, 3599, 30 * DAY + 1, 10**30])
def test_a_life_out_of_bounds_is_refused(files, seconds):
    with pytest.raises(InvalidRequest) as caught:
        files.create([b"x"], filename="a", purpose="p", expires_after_s=seconds, caller=ALICE)
    assert caught.value.param == "expires_after[seconds]"


@pytest.mark.parametrize("purpose", ["", " ", "a b", "A", "x" * 65, "\n", "<b>", "vision\n"])
def test_a_purpose_is_a_word(files, purpose):
    with pytest.raises(InvalidRequest) as caught:
        files.create([b"x"], filename="a", purpose=purpose, caller=ALICE)
    assert caught.value.param == "purpose"


def test_an_empty_file_is_refused(files):
    with pytest.raises(InvalidRequest, match="empty"):
        files.create([], filename="a", purpose="vision", caller=ALICE)
    assert files.list(ALICE) == ([], False)


def test_files_are_bounded_each_and_together(make_files, store):
    files = make_files(max_bytes=100, owner_bytes=250, owner_count=4)
    with pytest.raises(RequestTooLarge, match="larger than 100"):
        files.create([bytes(101)], filename="a", purpose="p", caller=ALICE)
    for number in range(2):
        files.create([b"%d" % number * 100], filename="a", purpose="p", caller=ALICE)
    with pytest.raises(RequestTooLarge, match="50 are left"):
        files.create([bytes(51)], filename="a", purpose="p", caller=ALICE)
    files.create([bytes(60)], filename="a", purpose="p", caller=BOB)
    for _ in range(2):
        files.create([bytes(10)], filename="a", purpose="p", caller=ALICE)
    with pytest.raises(InvalidRequest, match="4 files already"):
        files.create([b"x"], filename="a", purpose="p", caller=ALICE)
    assert store.usage() == 270


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("a\0b\r\nc.png", "abc.png"),
        ("gnp\u202e.exe", "gnp.exe"),
        ("猫 \U0001f408.png", "猫 \U0001f408.png"),
        ("x" * 10_000, "x" * 255),
        ("\ud800.png", ".png"),
    ],
)
def test_a_file_keeps_the_visible_last_part_of_its_name(files, given_name, shown):
    made = files.create([b"x"], filename=given_name, purpose="p", caller=ALICE)
    assert made.filename == shown


@pytest.mark.parametrize("nameless", ["", "..", "/", "\0", " / ", "a/."])
def test_a_file_without_a_name_is_named_by_its_content(files, nameless):
    made = files.create([b"x"], filename=nameless, purpose="p", caller=ALICE)
    assert made.filename == f"{digest(b'x')}.bin"
