"""Videos that a simulated model makes: real MP4 files, playable and seekable, a few kB each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from gateway.simulators.media import h264

_BARS = 6
_TICKS_PER_FRAME = 512


_AUDIO_HZ = 24_000
_AUDIO_SAMPLES = 1024  # of one AAC frame
_SILENCE = bytes.fromhex("00c800802380")  # one AAC-LC frame, mono


@dataclass(frozen=True, slots=True)
class _Track:
    """Samples of one track, each of `ticks`; `scale` is ticks per second."""

    samples: list[bytes]
    ticks: int
    scale: int

    @property
    def duration(self) -> int:
        return len(self.samples) * self.ticks


@lru_cache(maxsize=64)
def generate_video(
    width: int,
    height: int,
    seconds: float,
    fps: int = 24,
    *,
    seed: str = "",
    sound: bool = False,
    quicktime: bool = False,
) -> bytes:
    """Return a video of colour bars that wander once a second; sides in pixels, even.

    It starts with its index (`moov` before `mdat`) and has a key picture each
    second. The colours come from `seed`; `sound` adds a silent AAC track.
    """
    if width % 2 or height % 2:
        raise ValueError("a video has even sides")
    frames = max(1, round(seconds * fps))
    pictures = [_sample(width, height, at, fps, seed) for at in range(frames)]
    picture_track = _Track(pictures, _TICKS_PER_FRAME, fps * _TICKS_PER_FRAME)
    silences = [_SILENCE] * round(frames / fps * _AUDIO_HZ / _AUDIO_SAMPLES) if sound else []
    sound_track = _Track(silences, _AUDIO_SAMPLES, _AUDIO_HZ)
    brand = b"qt  " if quicktime else b"isom"
    brands = _box(b"ftyp", brand, _u32(0x200), brand, b"iso2avc1mp41")
    picture_entry = _picture_entry(width, height, fps)

    def index(data_at: int) -> bytes:
        tracks = [
            _track(
                1, picture_track, b"vide", b"VideoHandler\0", _full(b"vmhd", 1, bytes(8)),
                picture_entry, data_at, width, height, picture_track.duration, keys_every=fps,
            )
        ]  # fmt: skip
        if sound:
            after = data_at + sum(map(len, pictures))
            tracks.append(
                _track(
                    2, sound_track, b"soun", b"SoundHandler\0", _full(b"smhd", 0, bytes(4)),
                    _sound_entry(), after, 0, 0, picture_track.duration,
                )
            )  # fmt: skip
        movie = _full(
            b"mvhd", 0, _u32(0, 0, picture_track.scale, picture_track.duration, 0x10000),
            _u16(0x100), bytes(10), _UNITY, bytes(24), _u32(3),
        )  # fmt: skip
        return _box(b"moov", movie, *tracks)

    # The index holds the place of the data, which depends on the size of the index.
    data_at = len(brands) + len(index(0)) + 8
    return brands + index(data_at) + _box(b"mdat", *pictures, *silences)


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


def _track(
    number: int,
    track: _Track,
    handler: bytes,
    name: bytes,
    header: bytes,
    entry: bytes,
    data_at: int,
    width: int,
    height: int,
    movie_ticks: int,
    *,
    keys_every: int = 0,
) -> bytes:
    """Return a `trak` whose samples stand in one chunk at `data_at`."""
    head = _full(
        b"tkhd", 3, _u32(0, 0, number, 0, movie_ticks, 0, 0),
        _u16(0, 0, 0 if width else 0x100, 0), _UNITY, _u32(width << 16, height << 16),
    )  # fmt: skip
    count = len(track.samples)
    keys = range(1, count + 1, keys_every) if keys_every else ()
    table = _box(
        b"stbl",
        _full(b"stsd", 0, _u32(1), entry),
        _full(b"stts", 0, _u32(1, count, track.ticks)),
        *((_full(b"stss", 0, _u32(len(keys), *keys)),) if keys else ()),
        _full(b"stsc", 0, _u32(1, 1, count, 1)),
        _full(b"stsz", 0, _u32(0, count, *map(len, track.samples))),
        _full(b"stco", 0, _u32(1, data_at)),
    )
    media = _box(
        b"mdia",
        _full(b"mdhd", 0, _u32(0, 0, track.scale, track.duration), _u16(0x55C4, 0)),
        _full(b"hdlr", 0, _u32(0), handler, bytes(12), name),
        _box(b"minf", header, _box(b"dinf", _full(b"dref", 0, _u32(1), _full(b"url ", 1))), table),
    )
    return _box(b"trak", head, media)


def _picture_entry(width: int, height: int, fps: int) -> bytes:
    """Return the sample entry of H.264."""
    sequence, picture = h264.sequence_parameters(width, height, fps), h264.picture_parameters()
    configuration = _box(
        b"avcC",
        bytes((1, *sequence[1:4], 0xFF, 0xE1)),
        _u16(len(sequence)), sequence, b"\x01", _u16(len(picture)), picture,
    )  # fmt: skip
    return _box(
        b"avc1", bytes(6), _u16(1), bytes(16), _u16(width, height),
        _u32(0x480000, 0x480000, 0), _u16(1), bytes(32), _u16(0x18, 0xFFFF), configuration,
    )  # fmt: skip


def _sound_entry() -> bytes:
    """Return the sample entry of AAC-LC, mono, 24 kHz (ISO/IEC 14496-1 descriptors)."""
    specific = b"\x05\x02\x13\x08"  # object type 2, frequency index 6, one channel
    decoder = b"\x04\x11\x40\x15" + bytes(3) + _u32(16_000, 16_000) + specific
    descriptor = b"\x03\x19\0\2\0" + decoder + b"\x06\x01\x02"
    return _box(
        b"mp4a", bytes(6), _u16(1), bytes(8), _u16(1, 16, 0, 0), _u32(_AUDIO_HZ << 16),
        _full(b"esds", 0, descriptor),
    )  # fmt: skip


def _box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return _u32(len(data) + 8) + kind + data


def _full(kind: bytes, flags: int, *content: bytes) -> bytes:
    return _box(kind, _u32(flags), *content)


def _u32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


def _u16(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


_UNITY = _u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
