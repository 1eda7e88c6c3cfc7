"""Where a HEIF file keeps its notes. ISO/IEC 14496-12 (`meta`, `iinf`, `iloc`) and 23008-12."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MOST_BOXES = 1000
_MOST_PLACES = 10_000  # and items: the numbers of either may have no bytes at all
_NOTES = (b"Exif", b"mime")  # XMP is of type `mime`; pictures are of others


@dataclass(slots=True)
class _Reader:
    """Big-endian numbers from a box's content; struct.error when there are no more."""

    data: bytes
    at: int = 0

    def take(self, size: int) -> int:
        if self.at + size > len(self.data):
            raise struct.error("the box ends")
        value = int.from_bytes(self.data[self.at : self.at + size], "big")
        self.at += size
        return value


def boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the content and end of each box."""
    at = start
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        begin, end = at + 8, at + size
        if size == 1:
            (large,) = struct.unpack_from(">Q", data, at + 8)
            begin, end = at + 16, at + large
        elif size == 0:
            end = len(data)
        if end < begin:
            return
        yield kind, begin, end
        at = end


def notes(meta: bytes) -> Iterator[tuple[int, int]]:
    """Start and end, in the file, of every piece of a note; `meta` is the content of the box."""
    parts = {kind: meta[begin:end] for kind, begin, end in boxes(meta, 4)}
    wanted = set(_items(parts.get(b"iinf", b"")))
    if wanted:
        yield from _places(parts.get(b"iloc", b""), wanted)


def _items(iinf: bytes) -> Iterator[int]:
    """The ids of the items that are notes."""
    counts = 2 if iinf[:1] == b"\0" else 4
    for kind, begin, end in boxes(iinf, 4 + counts):
        if kind != b"infe":
            continue
        entry = _Reader(iinf[begin:end])
        version = entry.take(4) >> 24
        item = entry.take(4 if version == 3 else 2)
        entry.take(2)
        if version >= 2 and entry.take(4).to_bytes(4, "big") in _NOTES:
            yield item


def _places(iloc: bytes, wanted: set[int]) -> Iterator[tuple[int, int]]:
    box = _Reader(iloc)
    version = box.take(4) >> 24
    sizes = box.take(2)
    offset_size, length_size = sizes >> 12, sizes >> 8 & 15
    base_size, index_size = sizes >> 4 & 15, sizes & 15 if version else 0
    seen = 0
    for _ in range(min(box.take(4 if version == 2 else 2), _MOST_PLACES)):
        item = box.take(4 if version == 2 else 2)
        in_file = not version or box.take(2) & 15 == 0
        box.take(2)
        base = box.take(base_size)
        for _ in range(box.take(2)):
            seen += 1
            if seen > _MOST_PLACES:
                return
            box.take(index_size)
            start = base + box.take(offset_size)
            length = box.take(length_size)
            if item in wanted and in_file:
                yield start, start + length
