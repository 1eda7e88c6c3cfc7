"""The gateway with a window into its process: `gunicorn tests.support.probe:app`."""

from __future__ import annotations

import gc
import os

from greenlet import greenlet

from wsgi import app


@app.get("/_probe")
def probe():
    """What this worker holds."""
    gc.collect()
    alive = sum(isinstance(found, greenlet) and bool(found) for found in gc.get_objects())
    return {"pid": os.getpid(), "greenlets": alive, "files": len(os.listdir("/proc/self/fd"))}
