"""Logs: one JSON object a line, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog

_LONGEST = 256


def configure(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _bounded,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _bounded(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What callers wrote cannot fill the log; a stack trace is ours and stays whole."""
    for name, value in list(event.items()):
        if value is None:
            del event[name]
        elif isinstance(value, str) and len(value) > _LONGEST and name != "exception":
            event[name] = value[:_LONGEST] + "…"
    return event


def _dumps(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=str)
