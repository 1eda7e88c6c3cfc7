"""Choice of the media store by its setting."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.storage.media.local import LocalMediaStore
from gateway.storage.media.s3 import S3Access, S3MediaStore
from gateway.storage.media.store import MediaStore

_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[\w./-]*))?")


def open_media_store(location: str, *, s3: S3Access | None = None) -> MediaStore:
    """The store at `file:DIR` or `s3://bucket/prefix`; ValueError for anything else.

    Nothing is made or reached before the store is used.
    """
    if location.startswith("file:") and location != "file:":
        return LocalMediaStore(Path(location.removeprefix("file:")))
    if match := _S3.fullmatch(location):
        return S3MediaStore(match["bucket"], match["prefix"] or "", access=s3)
    raise ValueError(f"media live in file:DIR or s3://bucket/prefix, not in {location!r}")
