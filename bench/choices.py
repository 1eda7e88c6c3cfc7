"""What some choices cost, beside the usual way to do the same: CPU microseconds.

    python -m bench.choices [--out bench/results/choices.json]

Each is measured in turns, and the least that either took counts: other work on the machine
can only add to it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import TextIO

import orjson
from flask import Flask
from flask_limiter import Limiter

from bench import machine
from gateway.domain.accounts import Caller, GatewayKey
from gateway.runtime import logs
from gateway.services.access.limits import CallerLimits
from gateway.storage.rate_counters import RateCounters, storage_location

_ROUNDS = 7
_TIMES = 2000
_LIMIT = "100000000/minute"
_COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Lorem ipsum dolor sit amet. " * 14},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 80, "total_tokens": 89},
}
_EVENT = {
    **{"request_id": "12e37015055569c69359673cef56155a", "method": "POST", "ms": 94.8},
    **{"path": "/v1/chat/completions", "status": 200, "caller": "key:web", "model": "m"},
    **{"upstream": "openai", "account": "account-1", "attempts": 1},
}

Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.choices", description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = {"machine": machine.described(), "choices": measured(_TIMES)}
    text = json.dumps(found, indent=1, ensure_ascii=False)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


def measured(times: int) -> dict[str, dict[str, float]]:
    """{choice: {"ours": µs, "usual": µs}}"""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        pairs = {
            "a request counted: the strategy / Flask-Limiter's hook": _limit(Path(folder)),
            "a completion read and written: orjson / json": _json(),
            "a line of the log: one function / logging with a formatter": _log(nowhere),
        }
        found = {name: _least(*pair, times) for name, pair in pairs.items()}
    return found | _transport(times)


def _least(ours: Work, usual: Work, times: int) -> dict[str, float]:
    rounds = [(_cost(ours, times), _cost(usual, times)) for _ in range(_ROUNDS)]
    mine, theirs = (min(values) for values in zip(*rounds, strict=True))
    return {"ours": round(mine, 2), "usual": round(theirs, 2)}


def _cost(work: Work, times: int) -> float:
    before = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - before) / times * 1e6


def _json() -> tuple[Work, Work]:
    text = orjson.dumps(_COMPLETION)

    def usual() -> bytes:
        return json.dumps(json.loads(text), separators=(",", ":")).encode()

    return lambda: orjson.dumps(orjson.loads(text)), usual


def _limit(folder: Path) -> tuple[Work, Work]:
    uri, options = storage_location(None, folder)
    limits = CallerLimits(
        RateCounters(uri, options), _LIMIT, storage_uri=uri, storage_options=options
    )
    caller = Caller("key:web", key=GatewayKey("web", digest=""))
    app = Flask("usual")
    limiter = Limiter(
        lambda: "web",
        app=app,
        application_limits=[_LIMIT],
        strategy=limits.strategy,
        storage_uri=uri,
        storage_options=options,
    )
    app.add_url_rule("/", "index", lambda: "")
    app.test_request_context("/").push()

    def usual() -> None:
        limiter.context.reset()  # or it takes the next call for the same request
        app.preprocess_request()

    return lambda: limits.take(caller, "127.0.0.1"), usual


def _log(nowhere: TextIO) -> tuple[Work, Work]:
    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            line = {"timestamp": self.formatTime(record), "level": record.levelname}
            return json.dumps(line | {"event": record.getMessage()} | record.__dict__["fields"])

    handler = logging.StreamHandler(nowhere)
    handler.setFormatter(Formatter())
    usual = logging.Logger("usual")
    usual.addHandler(handler)

    def ours() -> None:
        with redirect_stderr(nowhere):
            logs.log.info("request", **_EVENT)

    return ours, lambda: usual.info("request", extra={"fields": _EVENT})


def _transport(times: int) -> dict[str, dict[str, float]]:
    """The connection to a vendor, beside `requests.Session`; see net_transport."""
    command = [sys.executable, "-m", "bench.net_transport"]
    command += ["--requests", str(times), "--streams", str(max(5, times // 40))]
    done = subprocess.run(command, capture_output=True, check=True, timeout=300)
    figures = json.loads(done.stdout)
    names = {
        "request": "a call to a vendor: lean adapter / requests.Session",
        "chunk_burst": "a chunk that is there: whole batches / iter_lines",
        "chunk_paced": "a chunk that is waited for: whole batches / iter_lines",
    }
    return {
        what: {"ours": figures[f"http_{key}_us"], "usual": figures[f"requests_{key}_us"]}
        for key, what in names.items()
    }


if __name__ == "__main__":
    main()
