"""Media in a folder of this machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateway.domain.errors import NotFound, StorageUnavailable
from gateway.domain.media import StoredMedia
from gateway.storage.media.open import open_media_store
from gateway.storage.media.store import MediaStore
from tests.storage.media.kit import MB, content, picture, pieces
from tests.support.disk import small_disk


@pytest.fixture
def local(tmp_path) -> MediaStore:
    return open_media_store(f"file:{tmp_path / 'media'}")


def test_a_full_disk_is_reported_and_no_part_of_a_file_stays(tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk):
        store = open_media_store(f"file:{disk / 'media'}")
        small = store.put([picture()], limit=MB)
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                store.put(pieces(os.urandom(2 * MB), 100_000), limit=10 * MB)
        assert [path.name for path in disk.rglob("*") if path.is_file()] == [small.name]
        assert content(store, small) == picture()
        # There is room again as soon as something goes.
        assert store.put([os.urandom(100_000)], limit=MB).size == 100_000


def test_nobody_else_on_the_machine_can_read_what_is_kept(local, tmp_path):
    local.put([b"secret"], limit=MB)
    made = [path for path in tmp_path.rglob("*")]
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_file()} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_dir()} == {"0o700"}


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = open_media_store(f"file:{tmp_path / 'file' / 'media'}")
    for act in (store.ping, lambda: store.put([b"x"], limit=10)):
        with pytest.raises(StorageUnavailable):
            act()


def test_a_link_in_the_directory_is_not_followed(local, tmp_path):
    stored = local.put([picture()], limit=MB)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    name = "f" * 64
    (tmp_path / "media" / "ff").mkdir()
    (tmp_path / "media" / "ff" / f"{name}.png").symlink_to(secret)
    assert local.find(name, "png") is None
    with pytest.raises(NotFound):
        content(local, StoredMedia(name, "png", "image/png", 6))
    assert [entry.media.id for entry in local.entries()] == [stored.id]


def test_leftovers_of_a_killed_process_are_swept_and_never_seen(local, tmp_path):
    code = f"""
import os
from gateway.storage.media.open import open_media_store
def chunks():
    yield b"half of it" * 10_000
    os.kill(os.getpid(), 9)
open_media_store("file:{tmp_path / "media"}").put(chunks(), limit=10**9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
    assert list(local.entries()) == []
    assert local.usage() == 0
    assert local.sweep(older_than_s=3600) == 0
    assert local.sweep(older_than_s=-1) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_local_store_has_no_links_of_its_own(local):
    assert local.url(local.put([picture()], limit=MB), expires_s=60) is None


def test_a_large_put_passes_through_little_memory(tmp_path):
    code = f"""
import resource
from gateway.storage.media.open import open_media_store
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1])
store = open_media_store("file:{tmp_path}")
store.put([b"warm"], limit=10)
before = peak()
piece = b"x" * 65536
stored = store.put((piece for _ in range(1600)), limit=10**9)
blob = store.blob(stored)
for _ in blob.base64():
    pass
print(stored.size, peak() - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    size, growth_kib = map(int, result.stdout.split())
    assert size == 1600 * 65536
    assert growth_kib < 30 * 1024
