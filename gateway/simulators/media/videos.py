"""Videos that a simulated model makes: real MP4 files, playable and seekable, a few kB each."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from gateway.simulators.media import h264

_BARS = 6
_TICKS_PER_FRAME = 512


@lru_cache(maxsize=64)
def generate_video(
    width: int, height: int, seconds: float, fps: int = 24, *, seed: str = ""
) -> bytes:
    """Return a video of colour bars that wander once a second; sides in pixels, even.

    It starts with its index (`moov` before `mdat`), has a key image each
    second and no sound. The colours come from `seed`.
    """
    if width % 2 or height % 2:
        raise ValueError("a video has even sides")
    frames = max(1, round(seconds * fps))
    samples = [_sample(width, height, at, fps, seed) for at in range(frames)]
    sets = h264.sequence_parameters(width, height, fps), h264.picture_parameters()
    brands = _box(b"ftyp", b"isom", _u32(0x200), b"isomiso2avc1mp41")
    # The index holds the place of the data, which depends on the size of the index.
    size = len(brands) + len(_moov(width, height, fps, samples, sets, 0)) + 8
    index = _moov(width, height, fps, samples, sets, size)
    return brands + index + _box(b"mdat", *samples)


def _sample(width: int, height: int, at: int, fps: int, seed: str) -> bytes:
    second, since_key = divmod(at, fps)
    if since_key:
        unit = h264.repeated_picture(width, height, since_key)
    else:
        bars = _colours(seed)
        shift = second % _BARS
        unit = h264.key_picture(width, height, bars[shift:] + bars[:shift], second)
    return _u32(len(unit)) + unit


def _colours(seed: str) -> list[h264.Colour]:
    digest = hashlib.sha256(seed.encode()).digest()
    triples = (digest[at * 3 : at * 3 + 3] for at in range(_BARS))
    return [(48 + y // 2, 32 + cb * 3 // 4, 32 + cr * 3 // 4) for y, cb, cr in triples]


def _moov(
    width: int,
    height: int,
    fps: int,
    samples: list[bytes],
    sets: tuple[bytes, bytes],
    data_at: int,
) -> bytes:
    scale = fps * _TICKS_PER_FRAME
    length = len(samples) * _TICKS_PER_FRAME
    unity = _u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    movie = _full(
        b"mvhd", 0, _u32(0, 0, scale, length, 0x10000), _u16(0x100), bytes(10), unity,
        bytes(24), _u32(2),
    )  # fmt: skip
    track = _full(
        b"tkhd", 3, _u32(0, 0, 1, 0, length, 0, 0), bytes(8), unity,
        _u32(width << 16, height << 16),
    )  # fmt: skip
    media = _box(
        b"mdia",
        _full(b"mdhd", 0, _u32(0, 0, scale, length), _u16(0x55C4, 0)),
        _full(b"hdlr", 0, _u32(0), b"vide", bytes(12), b"VideoHandler\0"),
        _box(
            b"minf",
            _full(b"vmhd", 1, bytes(8)),
            _box(b"dinf", _full(b"dref", 0, _u32(1), _full(b"url ", 1))),
            _sample_table(width, height, fps, samples, sets, data_at),
        ),
    )
    return _box(b"moov", movie, _box(b"trak", track, media))


def _sample_table(
    width: int,
    height: int,
    fps: int,
    samples: list[bytes],
    sets: tuple[bytes, bytes],
    data_at: int,
) -> bytes:
    sequence, image = sets
    configuration = _box(
        b"avcC",
        bytes((1, *sequence[1:4], 0xFF, 0xE1)),
        _u16(len(sequence)), sequence, b"\x01", _u16(len(image)), image,
    )  # fmt: skip
    entry = _box(
        b"avc1", bytes(6), _u16(1), bytes(16), _u16(width, height),
        _u32(0x480000, 0x480000, 0), _u16(1), bytes(32), _u16(0x18, 0xFFFF), configuration,
    )  # fmt: skip
    keys = range(1, len(samples) + 1, fps)
    return _box(
        b"stbl",
        _full(b"stsd", 0, _u32(1), entry),
        _full(b"stts", 0, _u32(1, len(samples), _TICKS_PER_FRAME)),
        _full(b"stss", 0, _u32(len(keys), *keys)),
        _full(b"stsc", 0, _u32(1, 1, len(samples), 1)),
        _full(b"stsz", 0, _u32(0, len(samples), *map(len, samples))),
        _full(b"stco", 0, _u32(1, data_at)),
    )


def _box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return _u32(len(data) + 8) + kind + data


def _full(kind: bytes, flags: int, *content: bytes) -> bytes:
    return _box(kind, _u32(flags), *content)


def _u32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


def _u16(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)
