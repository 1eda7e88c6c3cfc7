"""Bytes in memory, on disk, or still in base64."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from gateway.domain.media import Blob

KIB = 1024


class _Stub:
    size: int

    def chunks(self) -> Iterator[bytes]:
        raise NotImplementedError

    def base64(self) -> Iterator[bytes]:
        raise NotImplementedError

    @property
    def base64_size(self) -> int:
        raise NotImplementedError


class BytesBlob(_Stub):
    def __init__(self, data: bytes) -> None:
        raise NotImplementedError


class Base64Blob(_Stub):
    def __init__(self, text: bytes | str) -> None:
        raise NotImplementedError


class FileBlob(_Stub):
    def __init__(self, source: int | str | os.PathLike[str], size: int | None = None) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def spool(chunks: Iterable[bytes], *, limit: int, memory: int = 256 * KIB) -> tuple[Blob, str]:
    raise NotImplementedError


def decode_base64(text: str | bytes, *, limit: int, memory: int = 8192 * KIB) -> tuple[Blob, str]:
    raise NotImplementedError
