"""How gunicorn serves the gateway: `gunicorn wsgi:app` reads this file.

HOST, PORT and WEB_CONCURRENCY are the settings; the rest is as it must be for answers
that take minutes and clients that leave. `GUNICORN_CMD_ARGS` still wins over all of it.
"""

import os
import sys

if "libuv" in os.environ.get("GEVENT_LOOP", ""):
    sys.exit("gateway: GEVENT_LOOP: libuv is not supported; leave it unset, or use libev-cext")

from gevent import monkey

# The arbiter imports the worker class, and with it what workers use. TLS classes that were
# imported before they are patched recurse without end.
monkey.patch_all()

import gc  # noqa: E402
import resource  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

# Nothing of the gateway but what an arbiter needs: it keeps all it imports for ever.
from gateway.domain.version import VERSION  # noqa: E402
from gateway.runtime.interruption import on_drain  # noqa: E402
from gateway.server.listening import FILES_PER_CONNECTION, choose_slot, open_listeners  # noqa: E402

# The first line of the log, in the form of gunicorn's own, which begin after this file is read.
_NOW = time.strftime("%Y-%m-%d %H:%M:%S %z")
print(f"[{_NOW}] [{os.getpid()}] [INFO] Gateway {VERSION}", file=sys.stderr)  # noqa: T201


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
worker_class = "gateway.server.Worker"
worker_connections = 5000
backlog = 4096
reuse_port = False  # the hooks below share the port better: see gateway/server/listening.py

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


INVITATION = """Demo mode: no account is configured, so simulators stand in for the vendors. Try

  curl http://%s/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": "doubao", "messages": [{"role": "user", "content": "Hello"}]}'
"""


def on_starting(server):
    # prometheus_client adds up the counters that the workers keep in files of this directory.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="gateway-metrics-")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = FILES_PER_CONNECTION * worker_connections
        limit = max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        if limit < wanted:
            room = limit // FILES_PER_CONNECTION
            server.log.warning("%d file descriptors leave room for %d connections", limit, room)
    open_listeners(server)
    if code := _preflight():
        sys.exit(code)  # it has said why
    reload = server.reload
    # gunicorn would give up the workers that serve before it knows whether others can.
    server.reload = lambda: _preflight() or reload()


_kept = []  # a collected Popen would close the pipe


def _preflight():
    """Check the settings; start the simulators if there is no account at all.

    They end with their parents: the pipe to the child is held by the arbiter and, through fork,
    by every worker, so that they outlive a drain in which sessions are still to be deleted.
    """
    found_here = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(
        [sys.executable, "-m", "gateway.preflight"],
        env=os.environ | found_here,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if said := child.stdout.readline():
        os.environ["GATEWAY_DEMO_URL"] = said.split()[-1]
        _kept.append(child)
        return 0
    return child.wait()


def when_ready(server):
    if "GATEWAY_DEMO_URL" in os.environ:
        server.log.info(INVITATION, bind.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104


def pre_fork(server, worker):
    choose_slot(server, worker)


def post_worker_init(worker):
    background = worker.wsgi.extensions["gateway"].background
    background.start()
    on_drain(background.stop)
    gc.collect()
    gc.freeze()  # what is there now stays, so that no collection need look at it again


def child_exit(server, worker):
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server):
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def worker_exit(server, worker):
    if not worker.booted:
        time.sleep(1)  # or one after the other would be made for as long as the database is away
