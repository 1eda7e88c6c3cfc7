"""Sending a stream piece by piece, at the pace and to the end that the behaviour asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, cycle

from gateway.simulators.calls import Call
from gateway.simulators.gates import Gates
from gateway.simulators.state import current_state

_PACED = ("slow", "endless")


def stream_frames(
    call: Call,
    pieces: Sequence[bytes],
    *,
    opening: Iterable[bytes] = (),
    ending: Sequence[bytes] = (),
    garbage: bytes = b"data: {]\n\n",
) -> Iterator[bytes]:
    """Yield the frames of an answer, and record the outcome of the stream.

    Frames are complete in the transport's own framing. `opening` goes first,
    and may take its time; pieces are what `slow`, `gated`, `cut`, `ended`,
    `stall` and `endless` work on; `ending` says that the answer is complete;
    `garbage` is the frame that `malformed` puts after the first piece.
    """
    return _counted(call, _frames(call, current_state().gates, pieces, opening, ending, garbage))


def _counted(call: Call, frames: Iterator[bytes]) -> Iterator[bytes]:
    call.ledger.stream("opened")
    outcome = "aborted"
    try:
        yield from frames
        outcome = "finished"
    except ConnectionResetError:
        outcome = "cut" if "cut" in call.behaviour else "aborted"
        raise
    finally:
        call.close()
        call.ledger.stream(outcome)


def _frames(
    call: Call,
    gates: Gates,
    pieces: Sequence[bytes],
    opening: Iterable[bytes],
    ending: Sequence[bytes],
    garbage: bytes,
) -> Iterator[bytes]:
    yield from opening
    if not call.behaviour.words:
        yield from pieces
    else:
        repeated = cycle(pieces) if "endless" in call.behaviour else pieces
        for sent, piece in enumerate(repeated):
            if _over(call, sent):
                return
            _pace(call, gates, sent)
            yield piece
            if "gated" in call.behaviour:
                gates.passed(call.credential)
            if not sent and "malformed" in call.behaviour:
                yield garbage
        if _over(call, len(pieces)):
            return
    yield from chain(ending[:-1], _last(call, ending))


def _last(call: Call, ending: Sequence[bytes]) -> Iterator[bytes]:
    call.close()
    yield from ending[-1:]


def _over(call: Call, sent: int) -> bool:
    """Reset the connection, stall, or return true where the stream ends without its ending."""
    words = call.behaviour
    if "cut" in words and sent >= words.number("cut"):
        call.connection.reset()
    if "stall" in words and sent >= words.number("stall"):
        call.connection.pause(None)
    return "ended" in words and sent >= words.number("ended")


def _pace(call: Call, gates: Gates, sent: int) -> None:
    words = call.behaviour
    if "gated" in words:
        gates.wait(call.credential, call.connection.check)
    if sent and any(word in words for word in _PACED):
        call.connection.pause(words.number("slow") / 1000)
