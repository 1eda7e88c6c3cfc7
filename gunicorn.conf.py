"""How gunicorn serves the gateway: `gunicorn wsgi:app` reads this file.

HOST, PORT and WEB_CONCURRENCY are the settings; the rest is as it must be for answers
that take minutes and clients that leave. `GUNICORN_CMD_ARGS` still wins over all of it.
"""

from gevent import monkey

# The worker class lives in the gateway's package, so the arbiter imports what workers
# use. TLS classes that were imported before they are patched recurse without end.
monkey.patch_all()

import gc  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402

import gateway.demo  # noqa: E402
from gateway.domain.connection import on_drain  # noqa: E402
from gateway.domain.errors import StorageUnavailable  # noqa: E402
from gateway.settings_tables import SettingsError  # noqa: E402
from gateway.worker.listening import choose_slot, open_listeners  # noqa: E402


def _number(name, default, low, high):
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        sys.exit(f"{name} must be a number from {low} to {high}, not {text!r}")
    return int(text)


def _host():
    public = "DYNO" in os.environ or "PORT" in os.environ
    host = os.environ.get("HOST") or ("0.0.0.0" if public else "127.0.0.1")  # noqa: S104
    if any(sign.isspace() or sign in "/@" for sign in host):
        sys.exit(f"HOST must be an address or a name, not {host!r}")
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


bind = f"{_host()}:{_number('PORT', 8000, 0, 65535)}"
workers = _number("WEB_CONCURRENCY", len(os.sched_getaffinity(0)), 1, 256)
worker_class = "gateway.worker.Worker"
worker_connections = 5000
backlog = 4096
reuse_port = False  # the hooks below share the port better: see gateway/worker/listening.py

keepalive = 95  # longer than the routers before us keep theirs: Heroku 90 s, nginx 60 s
timeout = 60  # for the loop to turn, not for requests
graceful_timeout = 28  # the worker ends by itself 23 s after SIGTERM, Heroku kills after 30 s
max_requests = 0  # a retiring worker finishes its streams before it is replaced

limit_request_line = 8190
forwarder_headers = ""  # or a client's SCRIPT_NAME rewrites the path, where all proxies are trusted
secure_scheme_headers = {}  # GATEWAY_TRUSTED_PROXIES alone says whose word counts
control_socket_disable = True
if os.access("/dev/shm", os.W_OK):  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108


def on_starting(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = 4 * worker_connections  # the client, the vendor, and files for some
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    open_listeners(server)
    try:
        gateway.demo.start()
    except SettingsError as err:
        sys.exit(f"gateway: {err}")
    except StorageUnavailable as err:
        sys.exit(f"gateway: DATABASE_URL: {err.message}")


def when_ready(server):
    if "GATEWAY_DEMO_URL" in os.environ:
        server.log.info(gateway.demo.INVITATION, bind.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104


def pre_fork(server, worker):
    choose_slot(server, worker)


def post_worker_init(worker):
    background = worker.wsgi.extensions["gateway"].background
    background.start()
    on_drain(background.stop)
    gc.collect()
    gc.freeze()  # what is there now stays, so that no collection need look at it again
