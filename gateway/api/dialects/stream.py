"""One stream of a dialect: its opening, a piece for each batch, and its ending."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, Protocol

import orjson

from gateway.api.dialects.base import ErrorFrame
from gateway.domain.errors import GatewayError
from gateway.domain.events import Event, Events
from gateway.net.codecs.sse import unbroken
from gateway.runtime.interruption import DrainExit


class StreamWriter(Protocol):
    """The frames of one answer."""

    def opening(self) -> bytes:
        """The frames before the first event; empty when a heartbeat has sent them already."""
        ...

    def batch(self, batch: list[Event]) -> bytes: ...

    def ending(self) -> bytes: ...

    def failed(self, err: GatewayError) -> bytes:
        """The frames that end a stream which breaks off."""
        ...

    def heartbeat(self) -> bytes:
        """Bytes for a silence. Called in the hub: must not wait."""
        ...


def event_frame(name: str, payload: Any) -> bytes:
    """An event of a name; `payload` may be JSON text already."""
    data = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def frames(
    batches: Events, writer: StreamWriter, error_frame: ErrorFrame
) -> Generator[bytes, None, None]:
    """Yield the frames of one stream, one piece per batch.

    Nothing is yielded before the first batch arrives, so an error until then can still
    be an HTTP status; a later one is the last frame (`error_frame`), and there is no ending.
    """
    with closing(batches):
        first = next(batches, None)
        try:
            yield writer.opening() + (unbroken(writer.batch(first)) if first else b"")
            for batch in batches:
                if written := writer.batch(batch):
                    yield unbroken(written)
        except (GatewayError, DrainExit) as err:
            yield error_frame(err)
            return
    yield writer.ending()
