"""Form in which the API at a path writes its errors and heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.domain.errors import GatewayError
from gateway.net.codecs.sse import unbroken
from gateway.runtime.interruption import DrainExit

ErrorFrame = Callable[[GatewayError | DrainExit], bytes]
"""Renders the last bytes of a stream that fails after it has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """`error_body` and `error_frame` take the error and the request's id."""

    name: str
    error_body: Callable[[GatewayError, str], Mapping[str, Any]]
    error_frame: Callable[[GatewayError, str], bytes]
    """The last bytes of a stream that fails after it has begun."""
    heartbeat: bytes
    """Bytes that its clients skip, sent while a stream is silent."""
    reads_query_key: bool = False
    """The credential may be the query parameter `key`."""


def _openai_body(err: GatewayError, request_id: str) -> dict[str, Any]:
    return {
        "error": {
            "message": err.message,
            "type": err.type,
            "param": err.param,
            "code": err.code,
        }
    }


def _openai_frame(err: GatewayError, request_id: str) -> bytes:
    return unbroken(b"data: " + orjson.dumps(_openai_body(err, request_id)) + b"\n\n")


OPENAI = Dialect(
    name="openai",
    error_body=_openai_body,
    error_frame=_openai_frame,
    heartbeat=b": waiting\n\n",
)
