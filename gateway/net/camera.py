"""Takes out of a picture what its camera wrote about place, time and owner (Exif, XMP, IPTC).

Nothing is decoded: the pixels stay as they are, and so does which side is up.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from gateway.net import heif
from gateway.net.blobs import RandomBlob, spool
from gateway.net.sniff import HEAD_BYTES, sniff

_PIECE = 256 * 1024
_MOST_PARTS = 10_000  # what has more is no photograph
_LONGEST_EXIF = 1024 * 1024
_ORIENTATION = 0x0112
_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type ")  # of PNG, in which others are welcome
_LONGEST_META = 4 * 1024 * 1024  # of HEIF
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


def _between(blob: RandomBlob, start: int, end: int) -> Iterator[bytes]:
    for offset in range(start, end, _PIECE):
        yield blob.read_at(offset, min(_PIECE, end - offset))


def _jpeg(blob: RandomBlob) -> Iterator[_Cut]:
    """Segments up to the first scan. https://www.w3.org/Graphics/JPEG/jfif3.pdf"""
    at = 2
    for _ in range(_MOST_PARTS):
        mark, kind, length = struct.unpack(">BBH", blob.read_at(at, 4))
        if mark == kind == 0xFF:  # padding
            at += 1
            continue
        if mark != 0xFF or kind == 0xDA or length < 2:
            return
        if kind in (0xE1, 0xED):  # Exif and XMP; Photoshop's, with IPTC
            data = blob.read_at(at + 4, length - 2)
            exif = _upright(data[6:]) if data.startswith(b"Exif\0\0") else b""
            whole = b"Exif\0\0" + exif
            instead = struct.pack(">BBH", 0xFF, 0xE1, len(whole) + 2) + whole if exif else b""
            yield _Cut(at, at + 2 + length, instead)
        at += 2 + length


def _png(blob: RandomBlob) -> Iterator[_Cut]:
    """https://www.w3.org/TR/png-3/"""
    at = 8
    for _ in range(_MOST_PARTS):
        length, kind = struct.unpack(">I4s", blob.read_at(at, 8))
        end = at + 12 + length
        if kind == b"eXIf":
            exif = _upright(blob.read_at(at + 8, min(length, _LONGEST_EXIF)))
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
    cuts: list[_Cut] = []
    flags = None
    at = 12
    for _ in range(_MOST_PARTS):
        if at + 8 > blob.size:
            break
        kind, length = struct.unpack("<4sI", blob.read_at(at, 8))
        end = min(at + 8 + length + length % 2, blob.size)
        if kind == b"VP8X" and at == 12:
            flags = blob.read_at(at + 8, 1)[0]
        elif kind == b"EXIF":
            data = blob.read_at(at + 8, min(length, _LONGEST_EXIF))
            exif = _upright(data.removeprefix(b"Exif\0\0"))
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
    for _ in range(_MOST_PARTS):
        size, kind = struct.unpack(">I4s", blob.read_at(at, 8))
        if kind == b"meta" and size <= _LONGEST_META:
            done = at + size
            for start, end in sorted(heif.notes(blob.read_at(at + 8, size - 8))):
                if done <= start < end <= blob.size:
                    yield _Cut(start, end, _EMPTY_EXIF.ljust(end - start, b"\0")[: end - start])
                    done = end
            return
        if size < 8:
            return
        at += size


def _upright(tiff: bytes) -> bytes:
    """Exif that says which side is up and nothing else; nothing when it is the usual one."""
    with suppress(struct.error):
        order = {b"II": "<", b"MM": ">"}.get(tiff[:2], "<")
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for index in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * index)
            if tag == _ORIENTATION and 2 <= value <= 8:
                entry = struct.pack("<HHIHH", _ORIENTATION, 3, 1, value, 0)
                return b"II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
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
