"""Logs: one JSON object a line, on standard error."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict

_LONGEST = 256


def configure(level: str) -> None:
    structlog.configure(
        processors=[_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _line(logger: Any, level: str, event: EventDict) -> bytes:
    """All that structlog's own processors would do one after the other, at a fifth of the cost."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
    line = {name: _bounded(name, value) for name, value in event.items() if value is not None}
    line["level"] = level
    line["timestamp"] = datetime.now(UTC)
    return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z)


def _bounded(name: str, value: Any) -> Any:
    """What callers wrote cannot fill the log; a stack trace is ours and stays whole."""
    if type(value) is str and len(value) > _LONGEST and name != "exception":
        return value[:_LONGEST] + "…"
    return value
