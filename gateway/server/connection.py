"""One client connection: request after request, each within its times."""

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
from gateway.runtime.interruption import HOLD, BodyTimeout, ClientGone, DrainExit, answering
from gateway.server import environ as wsgi_environ
from gateway.server import refusal
from gateway.server.body import Input, Request, Unreader
from gateway.server.deadlines import Guard, Hangup, HeadTimeout
from gateway.server.response import BrokenOff, Held, Response
from gateway.server.timeouts import Times

_DISCARD_BYTES = 256 * 1024
_TURN_BYTES = 1024 * 1024  # a fast sender lets the others have a turn this often

_HEAD_TOO_SLOW = RequestTimeout("The request's headers arrived too slowly; send it again.")
_CRASH = GatewayError("The server failed to answer this request.")
_ENDING = ShuttingDown("The server is restarting; send the request again.", retry_after=1)


class Server(Protocol):
    """What the connections of a worker share."""

    times: Times
    log: logging.Logger
    alive: bool
    idle_s: float
    wsgi: Callable[..., Iterable[bytes]]
    parser_cfg: Any
    connections: set[Connection]

    def count_request(self) -> None: ...


class Connection:
    """Reads requests and has the app answer them, in the greenlet that makes it."""

    __slots__ = (
        "_address",
        "_allowance_s",
        "_base",
        "_count",
        "_expects",
        "_held",
        "_input",
        "_request",
        "_reset",
        "_response",
        "_server",
        "_sock",
        "_turn",
        "_unreader",
        "guard",
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
        self._held: Held | None = None
        self._count = 0
        self._turn = 0
        self._reset = False
        self.guard = Guard(sock)
        self.reading_body = False

    def serve(self) -> None:
        answering.set(self.guard)
        self._server.connections.add(self)
        try:
            while self._serve_one():
                pass
        except Hangup:
            pass
        finally:
            self._server.connections.discard(self)
            self.guard.close()
            if self._reset or self.guard.stalled:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._sock.close()

    def tick(self, now: float) -> None:
        """Called by the hub: see to the deadline and the heartbeat."""
        self.guard.tick(now)
        if self._held and now >= self._held.due_at and not self._held.beat(now):
            self.guard.stalled = True
            self.guard.interrupt(ClientGone("reset, or too slow for a heartbeat"))

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
            if not self._input.complete or self.guard.bytes_waiting():
                self._linger()
            return False
        return self._input.complete or self._skip()

    def _await_first_byte(self) -> None:
        """Wait for a request, and give the other connections their turn.

        Always through the hub: a client that never makes us wait would otherwise keep
        the process to itself, for a greenlet only yields where a socket would block.
        """
        server, guard = self._server, self.guard
        self._turn = 0
        if self._unreader.buffered():
            gevent.sleep(1e-9)
            return
        if self._count and not server.alive and not guard.bytes_waiting():
            raise Hangup
        guard.expect(Hangup, server.idle_s if self._count else server.times.header_s)
        guard.await_first_byte()

    def _read_head(self) -> tuple[Request, wsgi_environ.Environ] | None:
        """The next request, or None when there is none to answer any more."""
        server = self._server
        self.guard.expect(HeadTimeout, server.times.header_s)
        try:
            request = Request(server.parser_cfg, self._unreader, self._address, self._count + 1)
            return request, wsgi_environ.build(self._base, request, self._address)
        except (StopIteration, NoMoreData, OSError):
            return None
        except ParseException as error:
            # Not its words, which quote what was sent, and that may be a credential.
            server.log.info("refused a request from %s: %s", self._address, type(error).__name__)
            self._refuse(refusal.for_parser(error))
            return None
        except HeadTimeout:
            self._refuse(refusal.for_error(_HEAD_TOO_SLOW))
            return None
        finally:
            self.guard.done()

    def _answer(self, request: Request, environ: wsgi_environ.Environ) -> bool:
        """Run the app; False when the connection is of no more use."""
        self._request = request
        self._expects = request._expected_100_continue
        self._allowance_s = self._server.times.body_s
        self._input = environ["wsgi.input"] = Input(request, self)
        self._response = Response(request, self)
        self._held = environ[HOLD] = Held(self._response)
        self.guard.begin_request()
        if self._input.complete:
            self.guard.watch()
        try:
            self._run(environ, self._held)
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

    def _run(self, environ: wsgi_environ.Environ, held: Held) -> None:
        response = self._response
        body: Iterable[bytes] = ()
        try:
            body = self._server.wsgi(environ, response.start_response)
            for item in body:
                response.write(item)
            response.finish()
        except BaseException:
            held.broken = held.started
            raise
        finally:
            self.guard.end_request()
            held.disarm()
            if hasattr(body, "close"):
                body.close()

    def _fail(self, error: GatewayError) -> None:
        """Tell the client what the app did not, while that is possible."""
        if self._response.head_sent:
            self._break_off()
        else:
            self._refuse(refusal.for_error(error))

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
        self.guard.expect(Hangup, self._server.times.linger_s)
        try:
            self._input.skip()
        except OSError:
            return False
        finally:
            self.guard.done()
        return True

    def _linger(self) -> None:
        """Let the client read the answer first: a close with bytes unread would reset it."""
        server, times = self._server, self._server.times
        end = time.monotonic() + times.linger_most_s
        self.guard.expect(Hangup, times.linger_s)
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while self._sock.recv(_DISCARD_BYTES):
                if server.alive:
                    self.guard.expect(Hangup, min(times.linger_s, end - time.monotonic()))
                gevent.sleep(1e-9)
        except OSError:
            pass
        finally:
            self.guard.done()

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
                self.guard.expect(ClientGone, self._server.times.write_s)
                rest = rest[self._sock.send(rest) :]
        except OSError as error:
            raise ClientGone("reset by the client") from error
        finally:
            self.guard.done()

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
        self.guard.expect(BodyTimeout, self._allowance_s)

    def body_bytes(self, count: int) -> None:
        times = self._server.times
        self.guard.extend(count / times.body_rate, times.body_s)
        self.spend(count)

    def spend(self, byte_count: int) -> None:
        """Give the others a turn when work has been done for so many bytes."""
        self._turn += byte_count
        if self._turn >= _TURN_BYTES:
            self._turn = 0
            gevent.sleep(1e-9)

    def end_body(self, *, complete: bool) -> None:
        self.reading_body = False
        self._allowance_s = self.guard.done()
        if complete:
            self.guard.watch()
