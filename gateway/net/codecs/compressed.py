"""gzip and deflate, decompressed in bounded steps."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_STEP_BYTES = 65536
_GZIP_OR_ZLIB = 47  # window bits: the format is detected
_RAW_DEFLATE = -15  # sent by some servers under the name deflate


class Decompressor:
    """A body that arrives in pieces. Raises ValueError for broken data.

    `complete` tells whether the compressed data have ended.
    """

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._begun = False

    @property
    def complete(self) -> bool:
        return self._inflate.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompressed pieces of at most 64 KiB, made as they are taken."""
        while data:
            if self._inflate.eof:  # a second gzip member, or padding
                if not data.strip(b"\0"):
                    return
                self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                piece = self._inflate.decompress(data, _STEP_BYTES)
            except zlib.error as err:
                if self._begun:
                    raise ValueError("broken compressed data") from err
                self._begun = True
                self._inflate = zlib.decompressobj(_RAW_DEFLATE)
                continue
            self._begun = True
            if piece:
                yield piece
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
