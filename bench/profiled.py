"""The gateway's app with a switch that counts Python function calls of the process."""

from __future__ import annotations

import cProfile
import json
from collections.abc import Callable, Iterable
from typing import Any

from bench.calls import START, STOP
from wsgi import app

_inner = app.wsgi_app
_running: list[cProfile.Profile] = []


def _switched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == START:
        _running.append(cProfile.Profile(builtins=False))
        _running[-1].enable()
    elif path == STOP:
        profile = _running.pop()
        profile.disable()
        entries = [(e.code, e.callcount) for e in profile.getstats() if not isinstance(e.code, str)]
        counts = {f"{c.co_filename}:{c.co_firstlineno} {c.co_name}": n for c, n in entries}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(counts).encode()]
    else:
        return _inner(environ, start_response)
    start_response("204 No Content", [])
    return []


app.wsgi_app = _switched  # type: ignore[method-assign]
