"""One client connection: request after request, each within its timeouts."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import gevent
from gunicorn.http.errors import NoMoreData, ParseException

from gateway.domain.errors import GatewayError, RequestTimeout, ShuttingDown
from gateway.runtime.interruption import (
    EARLY_RESPONSE,
    BodyTimeout,
    ClientGone,
    DrainExit,
    answering,
)
from gateway.runtime.memory import release_frames
from gateway.server import environ as wsgi_environ
from gateway.server import error_responses
from gateway.server.body import Input, Request, Unreader
from gateway.server.deadlines import CloseConnection, Deadlines, HeadTimeout
from gateway.server.heartbeat import Heartbeats
from gateway.server.response import BrokenOff, Response
from gateway.server.timeouts import Timeouts

_DISCARD_BYTES = 256 * 1024
_TURN_BYTES = 1024 * 1024  # a fast sender lets the others have a turn this often

_HEAD_TOO_SLOW = RequestTimeout("The request's headers arrived too slowly; send it again.")
_CRASH = GatewayError("The server failed to answer this request.")
_ENDING = ShuttingDown("The server is restarting; send the request again.", retry_after=1)


class Server(Protocol):
    """State that the connections of a worker share."""

    timeouts: Timeouts
    log: logging.Logger
    alive: bool
    idle: dict[Connection, None]
    wsgi: Callable[..., Iterable[bytes]]
    parser_cfg: Any
    connections: set[Connection]

    @property
    def idle_s(self) -> float: ...

    def count_request(self) -> None: ...


class Connection:
    """Reads requests and has the app answer them, in the greenlet that makes it."""

    __slots__ = (
        "_address",
        "_allowance_s",
        "_base",
        "_count",
        "_expects",
        "_heartbeats",
        "_input",
        "_request",
        "_reset",
        "_response",
        "_server",
        "_sock",
        "_turn",
        "_unreader",
        "deadlines",
        "reading_body",
    )

    _input: Input
    _request: Request
    _response: Response

    def __init__(self, server: Server, base: wsgi_environ.Environ, sock: Any, address: Any) -> None:
        self._server = server
        self._base = base
        self._sock = sock
        self._address = address
        self._unreader = Unreader(sock, self)
        self._heartbeats: Heartbeats | None = None
        self._count = 0
        self._turn = 0
        self._reset = False
        self.deadlines = Deadlines(sock)
        self.reading_body = False

    def serve(self) -> None:
        answering.set(self.deadlines)
        self._server.connections.add(self)
        try:
            while self._serve_one():
                pass
        except CloseConnection:
            pass
        finally:
            self._server.connections.discard(self)
            self.deadlines.close()
            if self._reset or self.deadlines.stalled:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._sock.close()

    def tick(self, now: float) -> None:
        """Check the deadline and send a heartbeat if it is due; called by the hub."""
        self.deadlines.tick(now)
        if (
            self._heartbeats
            and now >= self._heartbeats.due_at
            and not self._heartbeats.send_if_due(now)
        ):
            self.deadlines.stalled = True
            self.deadlines.interrupt(ClientGone("reset, or too slow for a heartbeat"))

    def _serve_one(self) -> bool:
        """Answer one request; False when it was the last."""
        self._await_first_byte()
        read = self._read_head()
        if read is None:
            return False
        self._count += 1
        self._server.count_request()
        if not self._answer(*read):
            return False
        if self._response.closes:
            if not self._input.complete or self.deadlines.bytes_waiting():
                self._linger()
            return False
        return self._input.complete or self._skip()

    def _await_first_byte(self) -> None:
        """Wait for a request, and give the other connections their turn.

        Always through the hub: a client that never makes us wait would otherwise keep
        the process to itself, for a greenlet only yields where a socket would block.
        """
        server, deadlines = self._server, self.deadlines
        self._turn = 0
        if self._unreader.buffered():
            gevent.sleep(1e-9)
            return
        if self._count and not server.alive and not deadlines.bytes_waiting():
            raise CloseConnection
        deadlines.expect(
            CloseConnection, server.idle_s if self._count else server.timeouts.header_s
        )
        server.idle[self] = None
        try:
            deadlines.await_first_byte()
        finally:
            del server.idle[self]

    def _read_head(self) -> tuple[Request, wsgi_environ.Environ] | None:
        """The next request, or None when there is none to answer any more."""
        server = self._server
        self.deadlines.expect(HeadTimeout, server.timeouts.header_s)
        try:
            request = Request(server.parser_cfg, self._unreader, self._address, self._count + 1)
            return request, wsgi_environ.build(self._base, request, self._address)
        except (StopIteration, NoMoreData, OSError):
            return None
        except ParseException as error:
            # Not its words, which quote what was sent, and that may be a credential.
            server.log.info("refused a request from %s: %s", self._address, type(error).__name__)
            self._refuse(error_responses.for_parser(error))
            return None
        except HeadTimeout:
            self._refuse(error_responses.for_error(_HEAD_TOO_SLOW))
            return None
        finally:
            self.deadlines.done()

    def _answer(self, request: Request, environ: wsgi_environ.Environ) -> bool:
        """Run the app; False when the connection is of no more use."""
        self._request = request
        self._expects = request._expected_100_continue
        self._allowance_s = self._server.timeouts.body_s
        self._input = environ["wsgi.input"] = Input(request, self)
        self._response = Response(request, self)
        self._heartbeats = environ[EARLY_RESPONSE] = Heartbeats(self._response)
        self.deadlines.begin_request()
        if self._input.complete:
            self.deadlines.watch()
        try:
            self._run(environ, self._heartbeats)
        except ClientGone:
            return False
        except BrokenOff:
            self._break_off()
            return False
        except DrainExit:
            self._fail(_ENDING)
            return False
        except GatewayError as error:
            self._fail(error)
            return False
        except (Exception, gevent.Timeout, SystemExit):  # the last: see Worker.handle_abort
            self._server.log.exception("Error handling %s %.256s", request.method, request.path)
            self._fail(_CRASH)
            return False
        return True

    def _run(self, environ: wsgi_environ.Environ, heartbeats: Heartbeats) -> None:
        response = self._response
        body: Iterable[bytes] = ()
        try:
            body = self._server.wsgi(environ, response.start_response)
            for item in body:
                response.write(item)
            response.finish()
        except BaseException as error:
            heartbeats.broken = heartbeats.started
            release_frames(error)
            raise
        finally:
            self.deadlines.end_request()
            heartbeats.disarm()
            self._input.release()
            if hasattr(body, "close"):
                body.close()

    def _fail(self, error: GatewayError) -> None:
        """Tell the client what the app did not, while that is possible."""
        if self._response.head_sent:
            self._break_off()
        else:
            self._refuse(error_responses.for_error(error))

    def _break_off(self) -> None:
        """Close so that the client sees the answer has no end."""
        # What ends with the connection only differs from a whole answer by a reset.
        self._reset = self._response.old

    def _refuse(self, answer: bytes) -> None:
        try:
            self.send(answer)
        except ClientGone:
            return
        self._linger()

    def _skip(self) -> bool:
        """Drop what the app left unread; False when it does not come."""
        self.deadlines.expect(CloseConnection, self._server.timeouts.linger_s)
        try:
            self._input.skip()
        except OSError:
            return False
        finally:
            self.deadlines.done()
        return True

    def _linger(self) -> None:
        """Let the client read the answer first: a close with bytes unread would reset it."""
        server, timeouts = self._server, self._server.timeouts
        end = time.monotonic() + timeouts.linger_most_s
        self.deadlines.expect(CloseConnection, timeouts.linger_s)
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while self._sock.recv(_DISCARD_BYTES):
                if server.alive:
                    self.deadlines.expect(
                        CloseConnection, min(timeouts.linger_s, end - time.monotonic())
                    )
                gevent.sleep(1e-9)
        except OSError:
            pass
        finally:
            self.deadlines.done()

    # What the response asks for.

    def send(self, data: bytes) -> int:
        try:
            sent: int = self._sock.send(data, 0, 0.0)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ClientGone("reset by the client") from error
        return sent

    def send_all(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        try:
            while rest:
                self.deadlines.expect(ClientGone, self._server.timeouts.write_s)
                rest = rest[self._sock.send(rest) :]
        except OSError as error:
            raise ClientGone("reset by the client") from error
        finally:
            self.deadlines.done()

    def must_close(self) -> bool:
        if self._expects and not self._input.complete:
            return True  # refused unread: the client may or may not send the body now
        return not (
            self._server.alive and self._input.skippable() and not self._request.should_close()
        )

    # What the body asks for.

    def begin_body(self) -> None:
        if self._expects and not self._response.head_sent:
            self.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects = False
        self.reading_body = True
        self.deadlines.expect(BodyTimeout, self._allowance_s)

    def body_bytes(self, count: int) -> None:
        timeouts = self._server.timeouts
        self.deadlines.extend(count / timeouts.body_rate, timeouts.body_s)
        self.spend(count)

    def spend(self, byte_count: int) -> None:
        """Give the others a turn when work has been done for so many bytes."""
        self._turn += byte_count
        if self._turn >= _TURN_BYTES:
            self._turn = 0
            gevent.sleep(1e-9)

    def end_body(self, *, complete: bool) -> None:
        self.reading_body = False
        self._allowance_s = self.deadlines.done()
        if complete:
            self.deadlines.watch()
