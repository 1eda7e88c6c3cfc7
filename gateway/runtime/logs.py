"""Logs: one JSON object a line, on standard error.

Ours, because structlog cannot be had without its console, and that not without rich and
pygments: 9 MB of every process. It imports nothing of the gateway; any layer may use it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
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
    out = sys.stderr.buffer
    with suppress(OSError):  # a full disk, or nobody who reads any more
        out.write(_harmless(orjson.dumps(line, default=_other, option=_OPTIONS)))
        out.flush()


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
