"""Logs: one JSON object a line, on standard error.

Ours, because structlog cannot be had without its console, and that not without rich and
pygments: 9 MB of every process. It imports nothing of the gateway; any layer may use it.
"""

from __future__ import annotations

import _socket
import json
import logging
import os
import stat
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

_LONGEST = 256


class Log:
    """`log.info("what_happened", name=value, …)`. What is None is left out."""

    def __init__(self) -> None:
        self.level = logging.INFO

    def info(self, event: str, **fields: object) -> None:
        if self.level <= logging.INFO:
            _write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        if self.level <= logging.WARNING:
            _write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """An exception among the fields is written with its stack trace."""
        if self.level <= logging.ERROR:
            _write("error", event, fields)


log = Log()


def configure(level: str) -> None:
    log.level = logging.getLevelNamesMapping()[level]


def _write(level: str, event: str, fields: dict[str, Any]) -> None:
    line = {"timestamp": datetime.now(UTC), "level": level, "event": event}
    for name, value in fields.items():
        if value is None:
            continue
        if type(value) is str and len(value) > _LONGEST:
            value = value[:_LONGEST] + "…"  # what callers wrote cannot fill the log
        line[name] = value
    _output.write(_harmless(orjson.dumps(line, default=_other, option=_OPTIONS)))


class _Output:
    """Standard error. A pipe or socket that nobody empties stops no process.

    Lines then wait, up to a bound; further ones are dropped, and counted in the log.
    """

    def __init__(self) -> None:
        self._file: Any = None
        self._write_some: Callable[[bytes], int] | None = None
        self._pending = b""
        self._dropped = 0

    def write(self, line: bytes) -> None:
        if self._file is not sys.stderr:
            self._file = sys.stderr
            self._write_some = _nonblocking_writer(sys.stderr)
        with suppress(OSError):  # a full disk, or nobody who reads any more
            if self._write_some is None:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
            elif len(self._pending) > _MAX_PENDING_BYTES:
                self._dropped += 1
                self._flush()
            else:
                if self._dropped and not self._pending:
                    line = b'{"event":"log_lines_dropped","count":%d}\n' % self._dropped + line
                    self._dropped = 0
                self._pending += line
                self._flush()

    def _flush(self) -> None:
        assert self._write_some is not None
        with suppress(BlockingIOError):
            while self._pending:
                self._pending = self._pending[self._write_some(self._pending) :]


def _nonblocking_writer(file: Any) -> Callable[[bytes], int] | None:
    """A write that never waits, without a change for other processes that share the file.

    None for files and terminals, which are written to as usual.
    """
    try:
        descriptor = file.fileno()
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode):
            path = f"/proc/self/fd/{descriptor}"
            return partial(os.write, os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        if stat.S_ISSOCK(mode):
            sock = _socket.SocketType(fileno=os.dup(descriptor))  # gevent's would wait
            return lambda data: sock.send(data, _socket.MSG_DONTWAIT)
    except (AttributeError, OSError, ValueError):
        pass
    return None


_MAX_PENDING_BYTES = 256 * 1024
_output = _Output()
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


def _harmless(line: bytes) -> bytes:
    """`line` without what some reader takes for its end, or a terminal for an order."""
    if not line.isascii():
        line = json.dumps(orjson.loads(line)).encode() + b"\n"
    return line.replace(b"\x7f", b"\\u007f")


def _other(value: object) -> str:
    if isinstance(value, BaseException):
        return "".join(traceback.format_exception(value)).rstrip()
    return str(value)
