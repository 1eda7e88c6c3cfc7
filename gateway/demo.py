"""Demo mode: with no account configured the vendors are simulators on this machine.

Under gunicorn the arbiter starts them once for all workers; any other server gets them on a
thread of its own process.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from threading import Thread

from gateway.domain.accounts import Account, Secret
from gateway.settings import Settings, announce_demo

_ENGINE = "projects/demo/locations/global/collections/default_collection/engines/demo"
INVITATION = """Demo mode: no account is configured, so simulators stand in for the vendors. Try

  curl http://%s/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": "doubao", "messages": [{"role": "user", "content": "Hello"}]}'
"""
_SERVICE_ACCOUNT = "/_control/service-account?email=demo@demo.iam.gserviceaccount.com"


def start() -> None:
    """Start the simulators as a child process if they are wanted; they end with their parents.

    The pipe to the child is held by the arbiter and, through fork, by every worker: the
    simulators outlive a drain in which sessions are still to be deleted.
    """
    settings = Settings.from_env()
    settings.make_state_dir()
    if settings.demo_url or not wanted(settings):
        return
    command = [sys.executable, "-m", "gateway.simulators", "--port", "0", "--until-eof"]
    child = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    announce_demo(child.stdout.readline().split()[-1])
    _KEPT.append(child)


_KEPT: list[subprocess.Popen[str]] = []  # a collected Popen would close the pipe


def wanted(settings: Settings) -> bool:
    """Whether there is no account at all, neither configured nor stored by command.

    Raises StorageUnavailable.
    """
    if settings.accounts:
        return False
    # The arbiter asks, too, and goes on without any of it where accounts are configured.
    from gateway.stores.accounts import AccountStore
    from gateway.stores.database import Database

    database = Database(settings.database_url)
    try:
        database.migrate()
        return not AccountStore(database).list()
    finally:
        database.close()


def prepare(settings: Settings) -> Settings:
    """The settings as they are served: with the simulators' accounts in demo mode."""
    if settings.demo_url is None and not wanted(settings):
        return replace(settings, pool_access=settings.pool_access or "keys")
    from gateway.net.http import Http

    url = settings.demo_url or _in_process()
    bases = {
        "ark": f"{url}/ark/api/v3",
        "gemini": f"{url}/gemini",
        "gemini-enterprise": f"{url}/gemini-enterprise",
        "openai": f"{url}/openai/v1",
    }
    secrets = {name: Secret(f"{name}-demo") for name in bases}
    with Http().send("GET", url + _SERVICE_ACCOUNT, headers={}) as answer:
        secrets["gemini-enterprise"] = Secret(answer.read().decode())
    simulated = [name for name in bases if name not in settings.base_urls]
    return replace(
        settings,
        demo_url=url,
        base_urls=bases | dict(settings.base_urls),
        accounts=tuple(Account(f"{name}-demo", name, secrets[name]) for name in simulated),
        engine=settings.engine or _ENGINE,
        openai_models=settings.openai_models or ("demo-model",),
        pool_access=settings.pool_access or "open",
    )


def _in_process() -> str:
    from werkzeug.serving import WSGIRequestHandler, make_server

    from gateway.simulators.app import create_app as create_simulators

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    app = create_simulators()
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    Thread(target=server.serve_forever, name="simulators", daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
