"""What the worker is tried with: small answers, slow answers, streams, and clean-up.

Each route notes what became of it in the file named by TEST_NOTES, one word or more a
line, so that tests can wait for what happens after the client has gone.
"""

from __future__ import annotations

import json
import os
import time
from itertools import count
from urllib.parse import parse_qsl

import gevent
from gevent import monkey

from gateway.runtime.interruption import (
    EARLY_RESPONSE,
    BodyTimeout,
    ClientGone,
    DrainExit,
    IncompleteBody,
    draining,
    loop_lag_s,
    on_drain,
    shielded,
)

_really_sleep = monkey.get_original("time", "sleep")
_JSON = ("Content-Type", "application/json")
_SSE = ("Content-Type", "text/event-stream")
_counter = count()


def note(*words: object) -> None:
    fd = os.open(os.environ["TEST_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(fd)


def _drained() -> None:
    note("drain began", draining())
    gevent.sleep(0.1)
    note("drain callback returned")


on_drain(_drained)


def app(environ, start_response):
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    route = globals().get("route_" + environ["PATH_INFO"].strip("/"))
    if route is None:
        return answer(start_response, {"path": environ["PATH_INFO"]}, "404 Not Found")
    return route(environ, start_response, query)


def answer(start_response, value, status="200 OK", *headers):
    body = json.dumps(value).encode()
    start_response(status, [_JSON, ("Content-Length", str(len(body))), *headers])
    return [body]


def route_plain(environ, start_response, query):
    return answer(start_response, {"pid": os.getpid(), **query})


def route_environ(environ, start_response, query):
    return answer(start_response, {k: v for k, v in environ.items() if isinstance(v, str)})


def route_echo(environ, start_response, query):
    try:
        body = environ["wsgi.input"].read()
    except (BodyTimeout, IncompleteBody) as error:
        note("body", type(error).__name__)
        with_second_read = "unread"
        try:
            environ["wsgi.input"].read()
        except type(error):
            with_second_read = "same"
        value = {"code": error.code, "again": with_second_read}
        return answer(start_response, value, f"{error.status} Refused")
    except ClientGone:
        note("body ClientGone")
        raise
    return answer(start_response, {"bytes": len(body)})


def route_lines(environ, start_response, query):
    return answer(start_response, [line.decode() for line in environ["wsgi.input"]])


def route_refuse(environ, start_response, query):
    return answer(start_response, {"error": "no"}, "401 Unauthorized")


def route_wait(environ, start_response, query):
    """Block as a vendor call does; `body=1` reads the body first."""
    if query.get("body"):
        environ["wsgi.input"].read()
    note("waiting")
    try:
        try:
            gevent.sleep(float(query.get("s", 30)))
        finally:
            gevent.sleep(float(query.get("cleanup", 0)))
            note("cleaned up")
    except (ClientGone, DrainExit) as reason:
        note("ended by", type(reason).__name__)
        raise
    return answer(start_response, {"waited": True})


def route_shielded(environ, start_response, query):
    try:
        note("waiting")
        with shielded():
            gevent.sleep(float(query["s"]))
            note("released in peace")
        gevent.sleep(30)
    except ClientGone:
        note("ended by ClientGone")
        raise
    return answer(start_response, {})


def route_stream(environ, start_response, query):
    """Events every `every` seconds, `n` of them; tells the client when the process ends."""
    start_response("200 OK", [_SSE])
    return _events(int(query.get("n", 1000000)), float(query.get("every", 0.05)))


def _events(total, every_s):
    try:
        for number in range(total):
            yield b"data: %d\n\n" % number
            gevent.sleep(every_s)
        yield b"data: [DONE]\n\n"
        note("stream complete")
    except DrainExit:
        yield b'data: {"error": "ending"}\n\n'
    except GeneratorExit:
        note("stream closed")
        raise
    finally:
        note("stream cleaned up")


def route_big(environ, start_response, query):
    """`mb` megabytes; the iterator notes when it is closed."""
    size = int(query["mb"])
    start_response("200 OK", [("Content-Length", str(size << 20))])
    return _blocks(size)


def _blocks(total):
    try:
        for _ in range(total):
            yield bytes(1 << 20)
        note("big complete")
    finally:
        note("big closed")


def route_file(environ, start_response, query):
    path = query["path"]
    start_response("200 OK", [("Content-Length", str(os.path.getsize(path)))])
    return environ["wsgi.file_wrapper"](open(path, "rb"), 8192)


def route_heartbeat(environ, start_response, query):
    """Wait for `wait` seconds behind a heartbeat, then answer as `then` says."""
    early = environ[EARLY_RESPONSE]
    sse = query.get("kind") == "sse"
    armed = early.arm(
        filler=b": waiting\n\n" if sse else b" ",
        first_after_s=float(query.get("first", 0.5)),
        every_s=float(query.get("every", 0.5)),
        headers=lambda: [_SSE if sse else _JSON, ("X-Request-Id", query.get("id", "early"))],
    )
    note("armed", armed)
    return Noted(_after_wait(early, start_response, query), early)


class Noted:
    """An iterable that notes, when it is closed, how its heartbeat ended."""

    def __init__(self, items, early) -> None:
        self._items = items
        self._early = early

    def __iter__(self):
        return self._items

    def close(self) -> None:
        self._items.close()
        note("heartbeat", f"started={self._early.started}", f"broken={self._early.broken}")


def _after_wait(early, start_response, query):
    then = query.get("then", "ok")
    if then == "late":  # head first, then silence
        start_response("200 OK", [_SSE])
    gevent.sleep(float(query.get("wait", 0)))
    if then == "raise":
        raise ValueError("late failure")
    if then == "error":
        yield from answer(start_response, {"error": {}}, "502 Bad Gateway")
        return
    if then == "halves":
        start_response("200 OK", [_SSE])
        yield b"data: a"
        gevent.sleep(float(query["pause"]))
        yield b"b\n\n"
        gevent.sleep(float(query["pause"]))
        yield b"data: c\n\n"
        return
    if then == "late":
        yield b"data: first\n\n"
        return
    yield from answer(start_response, {"started": early.started})


def route_headers(environ, start_response, query):
    return answer(start_response, {}, "200 OK", (query.get("name", "X-A"), query["value"]))


def route_status(environ, start_response, query):
    start_response(query["status"] + " Status", [])
    return [b"never a body"]


def route_length(environ, start_response, query):
    start_response("200 OK", [("Content-Length", query["announced"])])
    return [b"x" * int(query["written"])]


def route_crash(environ, start_response, query):
    if query.get("late"):
        return _crash_late(start_response)
    raise ValueError("a bug")


def _crash_late(start_response):
    start_response("200 OK", [_SSE])
    yield b"data: 1\n\n"
    raise ValueError("a late bug")


def route_count(environ, start_response, query):
    """How many requests came here before; holds the loop for `spin` seconds."""
    _really_sleep(float(query.get("spin", 0)))
    return answer(start_response, next(_counter))


def route_spin(environ, start_response, query):
    """Hold the loop."""
    _really_sleep(float(query["s"]))
    return answer(start_response, {"lag": loop_lag_s()})


def route_stuck(environ, start_response, query):
    """Never give the loop back, until the arbiter has enough."""
    note("stuck")
    while True:
        time.monotonic()


class Watch:
    """The longest that others had to wait for their turn, in seconds of the processor's time."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self.turns = 0
        self._greenlet = gevent.spawn(self._look)

    def _look(self):
        last = time.thread_time()
        while True:
            gevent.sleep(1e-9)
            now = time.thread_time()
            self.worst_s = max(self.worst_s, now - last)
            self.turns += 1
            last = now

    def end(self):
        self._greenlet.kill()


_watches = {}


def route_watch(environ, start_response, query):
    _watches[query["id"]] = Watch()
    return answer(start_response, {})


def route_watched(environ, start_response, query):
    watch = _watches.pop(query["id"])
    watch.end()
    return answer(start_response, {"worst_s": watch.worst_s, "turns": watch.turns})


def route_lag(environ, start_response, query):
    return answer(start_response, {"lag": loop_lag_s()})
