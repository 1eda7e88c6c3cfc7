"""Takes out of a picture what its camera wrote about place, time and owner (Exif, XMP, IPTC).

Nothing is decoded: the pixels stay as they are, and so does which side is up.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from gateway.domain.media import Blob
from gateway.formats import heif
from gateway.formats.blobs import RandomBlob, seekable, spool
from gateway.formats.sniff import HEAD_BYTES, sniff
from gateway.runtime.cooperative import Turns, let_others_run

_PIECE = 256 * 1024
_MOST_PARTS = 10_000  # what has more is no photograph
_PARTS_AT_ONCE = 256
_MOST_ENTRIES = 1000  # of the first directory
_LONGEST_EXIF = 1024 * 1024
_ORIENTATION = 0x0112
_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type ")  # of PNG, in which others are welcome
_LONGEST_META = 4 * 1024 * 1024  # of HEIF
_JPEG_BEGINS = re.compile(rb"\xff\xd8\xff")
_EXIF_MARK = b"Exif\0\0"
_BLOT = bytes(_PIECE)
_TURNED = b"II*\0\x08\0\0\0\x01\0"  # Exif of one entry: the orientation, two bytes
_FIRST_ON_ITS_SIDE = 5  # of the orientations, up to 8
_EMPTY_EXIF = bytes(4) + b"II*\0\x08\0\0\0" + bytes(6)
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04  # of WebP


@dataclass(frozen=True, slots=True)
class _Cut:
    """The bytes from `start` to `end` give way to `instead`."""

    start: int
    end: int
    instead: bytes = b""


def without_notes(chunks: Iterable[bytes], *, limit: int) -> Iterator[bytes]:
    """A file on its way into the store; all but pictures pass as they come.

    Raises RequestTooLarge beyond `limit` bytes, StorageUnavailable.
    """
    coming = iter(chunks)
    head = b""
    while len(head) < HEAD_BYTES and (chunk := next(coming, b"")):
        head += chunk
    find = _FINDERS.get(sniff(head) or "")
    if find is None:
        yield head
        yield from coming
        return
    blob, _ = spool(chain((head,), coming), limit=limit)
    found: list[_Cut] = []
    with suppress(struct.error):  # it ends within a part: the rest is the decoder's business
        for cut in find(blob):
            found.append(cut)
    at = 0
    for cut in found:
        yield from _between(blob, at, cut.start)
        yield cut.instead
        at = cut.end
    yield from _between(blob, at, blob.size)


def lies_on_its_side(blob: Blob, mime_type: str) -> bool:
    """Whether a JPEG, PNG or WebP is shown turned, so that its width becomes its height."""
    find = _FINDERS.get(mime_type)
    with suppress(struct.error):
        for cut in find(seekable(blob)) if find else ():
            if (at := cut.instead.find(_TURNED)) >= 0:
                return cut.instead[at + len(_TURNED) + 8] >= _FIRST_ON_ITS_SIDE
    return False


def _between(blob: RandomBlob, start: int, end: int) -> Iterator[bytes]:
    for offset in range(start, end, _PIECE):
        yield blob.read_at(offset, min(_PIECE, end - offset))


def _parts() -> Iterator[int]:
    """Numbers for as many parts as are looked at; others run in between."""
    for number in range(_MOST_PARTS):
        if number % _PARTS_AT_ONCE == _PARTS_AT_ONCE - 1:
            let_others_run()
        yield number


class _Upright:
    """Exif that says which side is up and nothing else, from the first Exif of a file.

    It is empty when the usual side is up; so is what replaces all Exif after the first.
    """

    def __init__(self, blob: RandomBlob) -> None:
        self._blob = blob
        self._found = False

    def instead(self, start: int, size: int) -> bytes:
        if self._found:
            return b""
        self._found = True
        return _upright(self._blob.read_at(start, min(size, _LONGEST_EXIF)))


def _jpeg(blob: RandomBlob) -> Iterator[_Cut]:
    """Segments up to the first scan, and those of later images. https://www.w3.org/Graphics/JPEG/jfif3.pdf"""
    upright = _Upright(blob)
    at = 2
    parts = _parts()
    for _ in parts:
        mark, kind, length = struct.unpack(">BBH", blob.read_at(at, 4))
        if mark == kind == 0xFF:  # padding
            at += 1
            continue
        if mark == 0xFF and kind == 0xDA:
            yield from _jpegs_behind(blob, at, parts)
            return
        if mark != 0xFF or length < 2:
            return
        if kind in (0xE1, 0xED):  # Exif and XMP; Photoshop's, with IPTC
            known = length >= 8 and blob.read_at(at + 4, 6) == _EXIF_MARK
            exif = upright.instead(at + 10, length - 8) if known else b""
            whole = _EXIF_MARK + exif
            instead = struct.pack(">BBH", 0xFF, 0xE1, len(whole) + 2) + whole if exif else b""
            yield _Cut(at, at + 2 + length, instead)
        at += 2 + length


def _jpegs_behind(blob: RandomBlob, at: int, parts: Iterator[int]) -> Iterator[_Cut]:
    """Notes of previews, gain maps and the like: blanked, as those are found by their places.

    No scan has the bytes that begin an image.
    """
    turns = Turns()
    for start in range(at, blob.size, _PIECE):
        data = blob.read_at(start, _PIECE + 2)
        turns.after(len(data))
        for found in _JPEG_BEGINS.finditer(data):
            place = start + found.start() + 2
            while place >= at and next(parts, None) is not None:
                mark, kind, length = struct.unpack(">BBH", blob.read_at(place, 4))
                if mark != 0xFF or kind < 0xC0 or 0xD0 <= kind <= 0xDA or length < 2:
                    break
                end = place + 2 + length
                if kind in (0xE1, 0xED) and end <= blob.size:
                    yield _Cut(place + 4, end, bytes(length - 2))
                    at = end
                place = end


def _png(blob: RandomBlob) -> Iterator[_Cut]:
    """https://www.w3.org/TR/png-3/"""
    upright = _Upright(blob)
    at = 8
    for _ in _parts():
        length, kind = struct.unpack(">I4s", blob.read_at(at, 8))
        end = at + 12 + length
        if kind == b"eXIf":
            exif = upright.instead(at + 8, length)
            yield _Cut(at, end, _png_chunk(kind, exif) if exif else b"")
        elif kind in (b"iTXt", b"tEXt", b"zTXt"):
            if blob.read_at(at + 8, 24).startswith(_TEXTS):
                yield _Cut(at, end)
        elif kind == b"IEND":
            return
        at = end


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _webp(blob: RandomBlob) -> Iterator[_Cut]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    upright = _Upright(blob)
    cuts: list[_Cut] = []
    flags = None
    at = 12
    for _ in _parts():
        if at + 8 > blob.size:
            break
        kind, length = struct.unpack("<4sI", blob.read_at(at, 8))
        end = min(at + 8 + length + length % 2, blob.size)
        if kind == b"VP8X" and at == 12:
            (flags,) = struct.unpack("B", blob.read_at(at + 8, 1))
        elif kind == b"EXIF":
            marked = len(_EXIF_MARK) if blob.read_at(at + 8, 6) == _EXIF_MARK else 0
            exif = upright.instead(at + 8 + marked, max(0, length - marked))
            kept = kind + struct.pack("<I", len(exif)) + exif if exif else b""
            cuts.append(_Cut(at, end, kept))
        elif kind == b"XMP ":
            cuts.append(_Cut(at, end))
        at = end
    if not cuts:
        return
    gone = sum(cut.end - cut.start - len(cut.instead) for cut in cuts)
    yield _Cut(4, 8, struct.pack("<I", blob.size - 8 - gone))
    if flags is not None:
        exif_kept = _EXIF_FLAG if any(cut.instead for cut in cuts) else 0
        yield _Cut(20, 21, bytes([flags & ~(_EXIF_FLAG | _XMP_FLAG) | exif_kept]))
    yield from cuts


def _heif(blob: RandomBlob) -> Iterator[_Cut]:
    """Notes are overwritten in place, as everything else is found by its place in the file."""
    at = 0
    for _ in _parts():
        size, kind = struct.unpack(">I4s", blob.read_at(at, 8))
        if kind == b"meta" and size <= _LONGEST_META:
            done = at + size
            for start, end in sorted(heif.notes(blob.read_at(at + 8, size - 8))):
                if done <= start < end <= blob.size:
                    yield from _blotted(start, end)
                    done = end
            return
        if size < 8:
            return
        at += size


def _blotted(start: int, end: int) -> Iterator[_Cut]:
    begun = min(end, start + len(_EMPTY_EXIF))
    yield _Cut(start, begun, _EMPTY_EXIF[: begun - start])
    for at in range(begun, end, _PIECE):
        size = min(_PIECE, end - at)
        yield _Cut(at, at + size, _BLOT if size == _PIECE else bytes(size))


def _upright(tiff: bytes) -> bytes:
    """Exif that says which side is up and nothing else; nothing when it is the usual one."""
    with suppress(struct.error):
        order = {b"II": "<", b"MM": ">"}.get(tiff[:2], "<")
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for index in range(min(count, _MOST_ENTRIES)):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * index)
            if tag == _ORIENTATION and 2 <= value <= 8:
                entry = struct.pack("<HHIHH", _ORIENTATION, 3, 1, value, 0)
                return _TURNED + entry + bytes(4)
    return b""


_FINDERS: MappingProxyType[str, Callable[[RandomBlob], Iterator[_Cut]]] = MappingProxyType(
    {
        "image/jpeg": _jpeg,
        "image/png": _png,
        "image/webp": _webp,
        "image/heic": _heif,
        "image/heif": _heif,
    }
)
