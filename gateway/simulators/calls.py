"""One request at a simulated vendor: credential, counters, and faults of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import orjson
from flask import Flask, Response, g, request

from gateway.simulators.behaviour import Behaviour
from gateway.simulators.connection import Connection
from gateway.simulators.ledger import Entry, Ledger
from gateway.simulators.state import current_state

_PAGE = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass(slots=True)
class Call:
    """A request that was counted."""

    operation: str
    credential: str
    behaviour: Behaviour
    connection: Connection
    ledger: Ledger
    entry: Entry
    main: bool
    closed: bool = False

    def close(self) -> None:
        """Take the call out of those in flight, once.

        It happens before the last byte leaves: a client that has read its
        answer may ask again at once, and has then one call in flight, not two.
        """
        if self.main and not self.closed:
            self.closed = True
            self.ledger.finish(self.credential)


def bearer() -> str:
    """Return the credential of the current request, empty where it brings none."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


def receive(operation: str, credential: str, body: object = None, *, main: bool = True) -> Call:
    """Count the current request and read its behaviour.

    `main` says that it asks for the vendor's work (an answer, an image, a
    video) rather than for housekeeping: such calls are counted as in flight,
    and their 200 answers get the faults of the transport.
    """
    state = current_state()
    headers = cast(Mapping[str, str], request.headers)
    behaviour = Behaviour.of(credential, headers)
    entry = state.ledger.begin(operation, credential, body, headers, in_flight=main)
    connection = Connection(request.environ)
    call = Call(operation, credential, behaviour, connection, state.ledger, entry, main)
    g.call = call
    return call


def parse_json(raw: bytes) -> object:
    """Decode a JSON body strictly; raises ValueError."""
    return cast(object, orjson.loads(raw))


def json_response(
    payload: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer in JSON."""
    response = Response(orjson.dumps(payload), status, content_type="application/json")
    if headers:
        response.headers.update(headers)
    return response


def stream_response(frames: Iterator[bytes], content_type: str) -> Response:
    """Return an answer whose frames are sent one by one, each as soon as it is made."""
    return Response(frames, content_type=content_type, direct_passthrough=True)


Change = Callable[[Call, Response], Response]


def watch(app: Flask, *, change: Change) -> None:
    """Let an app finish, and on demand spoil, the answers to received calls.

    `change` is applied to the answers of all calls whose credential has words.
    """

    def after(response: Response) -> Response:
        return _after(response, change)

    app.after_request(after)


def _after(response: Response, change: Change) -> Response:
    call: Call | None = g.pop("call", None)
    if call is None:
        return response
    if call.behaviour.words:
        response = change(call, response)
    call.entry.status = response.status_code
    if call.main and call.behaviour.words:
        if response.status_code == 200:
            response = _with_faults(call, response)
        elif "long" in call.behaviour:
            _delay(call, response)
    if response.is_streamed:
        response.call_on_close(call.close)
    else:
        call.close()
    return response


def _with_faults(call: Call, response: Response) -> Response:
    words = call.behaviour
    if "hang" in words:
        return Response(_silence(lambda: call.connection.pause(None)))
    if "lost" in words:
        return Response(_silence(call.connection.reset))
    if "html" in words:
        return Response(_PAGE, content_type="text/html")
    if "truncated" in words:
        return Response(_half(response), content_type=response.content_type)
    if "cut" in words and not response.is_streamed:
        data = response.get_data()
        response = Response(_broken(call, data), headers=response.headers)
        response.content_length = len(data)
    if "long" in words:
        _delay(call, response)
    return response


def _delay(call: Call, response: Response) -> None:
    if not response.is_streamed:
        response.content_length = len(response.get_data())
    response.response = _delayed(call, cast(Iterable[bytes], response.response))


def _silence(act: Callable[[], None]) -> Iterator[bytes]:
    """Act, and send nothing: not even the status leaves before the first piece of a body."""
    act()
    yield b""


def _half(response: Response) -> bytes:
    if response.is_streamed:
        frames = iter(cast(Iterable[bytes], response.response))
        data = next(frames, b"")
        response.close()
    else:
        data = response.get_data()
    return data[: len(data) // 2]


def _broken(call: Call, data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    call.connection.reset()


def _delayed(call: Call, frames: Iterable[bytes]) -> Iterator[bytes]:
    call.connection.pause(call.behaviour.number("long"))
    if not isinstance(frames, Iterator):
        call.close()
    yield from frames
