"""JSON request bodies with media in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.domain.media import Blob


@dataclass(frozen=True, slots=True)
class Base64:
    blob: Blob
    prefix: str = ""


class JsonBody:
    size: int

    def __init__(self, document: Any) -> None:
        raise NotImplementedError

    def chunks(self) -> Iterator[bytes]:
        raise NotImplementedError


def encode(document: Any) -> bytes | JsonBody:
    raise NotImplementedError


def redacted(document: Any) -> Any:
    raise NotImplementedError
