"""Embedding vectors: deterministic, of unit length, and similar for texts with common words."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Sequence


def embed(text: str, dimensions: int) -> list[float]:
    """Return the normalized sum of one pseudo-random vector for each word."""
    total = [0.0] * dimensions
    for word in text.lower().split() or [text]:
        total = [a + b for a, b in zip(total, _direction(word, dimensions), strict=True)]
    length = math.sqrt(sum(value * value for value in total))
    return [round(value / length, 7) for value in total]


def to_base64(vector: Sequence[float]) -> str:
    """Return a vector as base64 of little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _direction(word: str, dimensions: int) -> list[float]:
    seed = hashlib.shake_128(word.encode()).digest(2 * dimensions)
    return [
        int.from_bytes(seed[at : at + 2], "big") / 32_768 - 1 for at in range(0, 2 * dimensions, 2)
    ]
