"""Minimal H.264 encoder (ITU-T H.264, Constrained Baseline) for videos of colour bars.

A key picture states the colour of each bar once, in one raw macroblock (I_PCM)
of its first row; every other macroblock is predicted from its left neighbour
or from the one above, without residual. The pictures between key pictures
skip all macroblocks, that is, repeat the picture before them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Colour = tuple[int, int, int]

# Level, its largest frame (macroblocks) and its highest rate (macroblocks/s); table A-1.
_LEVELS = (
    (30, 1620, 40_500),
    (31, 3600, 108_000),
    (40, 8192, 245_760),
    (50, 22_080, 589_824),
    (51, 36_864, 983_040),
    (52, 36_864, 2_073_600),
)
_FRAME_NUMBERS = 256
_ZEROS = re.compile(rb"\0\0(?=[\0-\3])")

# Macroblock types of an I slice, as Exp-Golomb codes (table 7-11): without
# residual, predicted from above, from the left; and raw.
_FROM_ABOVE, _FROM_LEFT, _RAW = "010", "011", "000011010"
# intra_chroma_pred_mode: 1 is horizontal, 2 is vertical.
_CHROMA_ABOVE, _CHROMA_LEFT = "011", "010"
_NO_QP_DELTA = "1"
# coeff_token for "no coefficients" (table 9-5). Its code depends on how many
# the neighbours have: none, or the 16 that a raw macroblock counts as.
_NO_COEFFICIENTS, _NO_COEFFICIENTS_BY_RAW = "1", "000011"


def sequence_parameters(width: int, height: int, fps: int) -> bytes:
    """Return the SPS for an even size in pixels; bytes 1 to 3 go into `avcC`."""
    columns, rows = _macroblocks(width, height)
    crop_right, crop_bottom = (columns * 16 - width) // 2, (rows * 16 - height) // 2
    bits = _ue(0)  # seq_parameter_set_id
    bits += _ue(4)  # log2_max_frame_num_minus4: 256 numbers
    bits += _ue(2)  # pic_order_cnt_type: output order is decoding order
    bits += _ue(1) + "0"  # one reference picture, no gaps
    bits += _ue(columns - 1) + _ue(rows - 1)
    bits += "11"  # frame_mbs_only_flag, direct_8x8_inference_flag
    if crop_right or crop_bottom:
        bits += "1" + _ue(0) + _ue(crop_right) + _ue(0) + _ue(crop_bottom)
    else:
        bits += "0"
    bits += "0"  # no VUI
    header = bytes((0x67, 66, 0xC0, _level(columns * rows, fps)))
    return header + _escape(_rbsp(bits))


def picture_parameters() -> bytes:
    """Return the PPS: CAVLC, one slice group, deblocking under control of the slice."""
    return b"\x68" + _escape(_rbsp(_ue(0) + _ue(0) + "00" + _ue(0) * 3 + "000" + "111" + "100"))


def key_picture(width: int, height: int, bars: Sequence[Colour], number: int) -> bytes:
    """Return an IDR slice that shows vertical bars of equal width, left to right.

    `bars` are (Y, Cb, Cr), each 16 to 240; `number` tells neighbouring key pictures apart.
    """
    columns, rows = _macroblocks(width, height)
    bar_of = [at * len(bars) // columns for at in range(columns)]
    starts = {0} | {at for at in range(1, columns) if bar_of[at] != bar_of[at - 1]}
    data = _Bits()
    data.put(_ue(0) + _ue(7) + _ue(0) + f"{0:08b}" + _ue(number % 2))
    data.put("00")  # dec_ref_pic_marking of an IDR picture
    data.put(_ue(0) + _ue(1))  # slice_qp_delta; deblocking off
    for at in range(columns):
        if at in starts:
            data.put(_RAW)
            luma, cb, cr = bars[bar_of[at]]
            data.align_and_put(bytes((luma,)) * 256 + bytes((cb,)) * 64 + bytes((cr,)) * 64)
        else:
            beside = _coefficients(at - 1 in starts)
            data.put(_FROM_LEFT + _CHROMA_LEFT + _NO_QP_DELTA + beside)
    above = _FROM_ABOVE + _CHROMA_ABOVE + _NO_QP_DELTA
    if rows > 1:
        data.put("".join(above + _coefficients(at in starts) for at in range(columns)))
        data.put((above + _NO_COEFFICIENTS) * (columns * (rows - 2)))
    return b"\x65" + _escape(data.finish())


def repeated_picture(width: int, height: int, since_key: int) -> bytes:
    """Return a P slice that repeats the picture before it, the n-th since the key picture."""
    columns, rows = _macroblocks(width, height)
    bits = _ue(0) + _ue(5) + _ue(0) + f"{since_key % _FRAME_NUMBERS:08b}"
    bits += "000"  # default reference list, no reordering, sliding window
    bits += _ue(0) + _ue(1)  # slice_qp_delta; deblocking off
    return b"\x41" + _escape(_rbsp(bits + _ue(columns * rows)))


class _Bits:
    """A bit string that can be aligned for raw bytes."""

    def __init__(self) -> None:
        self._done = bytearray()
        self._open = ""

    def put(self, bits: str) -> None:
        self._open += bits

    def align_and_put(self, raw: bytes) -> None:
        self._done += _packed(self._open)
        self._done += raw
        self._open = ""

    def finish(self) -> bytes:
        return bytes(self._done) + _rbsp(self._open)


def _macroblocks(width: int, height: int) -> tuple[int, int]:
    return (width + 15) // 16, (height + 15) // 16


def _level(macroblocks: int, fps: int) -> int:
    fitting = (
        level
        for level, frame, rate in _LEVELS
        if macroblocks <= frame and macroblocks * fps <= rate
    )
    return next(fitting, _LEVELS[-1][0])


def _coefficients(raw_neighbour: bool) -> str:
    return _NO_COEFFICIENTS_BY_RAW if raw_neighbour else _NO_COEFFICIENTS


def _ue(value: int) -> str:
    """Return an unsigned Exp-Golomb code; for 0 the signed code is the same."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _packed(bits: str) -> bytes:
    padded = bits + "0" * (-len(bits) % 8)
    return int(padded, 2).to_bytes(len(padded) // 8, "big") if padded else b""


def _rbsp(bits: str) -> bytes:
    """Close a payload with its stop bit."""
    return _packed(bits + "1")


def _escape(payload: bytes) -> bytes:
    """Put the emulation prevention byte where a payload would look like a start code."""
    return _ZEROS.sub(b"\0\0\3", payload)
