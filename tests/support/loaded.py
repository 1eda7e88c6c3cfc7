"""The gateway, which here also tells what its processes have imported."""

from __future__ import annotations

import sys

_HANDED_DOWN = sorted(sys.modules)  # by the arbiter, with the fork

from flask import Response, jsonify  # noqa: E402

from wsgi import app  # noqa: E402


@app.get("/loaded")
def loaded() -> Response:
    return jsonify(arbiter=_HANDED_DOWN, worker=sorted(sys.modules))
