"""Demo mode: with no account configured the vendors are simulators on this machine.

Under gunicorn the arbiter starts them once for all workers; any other server gets them on a
thread of its own process.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Thread

from gateway.config.settings import Settings
from gateway.domain.accounts import Account, Secret
from gateway.upstreams.registry import VENDORS

_ENGINE = "projects/demo/locations/global/collections/default_collection/engines/demo"
_SERVICE_ACCOUNT = "/_control/service-account?email=demo@demo.iam.gserviceaccount.com"


def wanted(settings: Settings) -> bool:
    """Tell whether there is no account at all, neither configured nor stored by command.

    Raises StorageUnavailable.
    """
    if settings.accounts:
        return False
    # Most processes that ask have accounts configured, and some have no use for a database.
    from gateway.storage.db.engine import Database
    from gateway.storage.records.accounts import AccountStore

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
    from gateway.net.http.client import Http

    url = settings.demo_url or _in_process()
    with Http().send("GET", url + _SERVICE_ACCOUNT, headers={}) as answer:
        service_account = answer.read().decode()
    accounts = [
        Account(
            f"{name}-demo",
            name,
            Secret(service_account if spec.service_account else f"{name}-demo"),
            engine=_ENGINE if spec.engine_variable else None,
        )
        for name, spec in VENDORS.items()
        if name not in settings.base_urls
    ]
    simulated = {name: url + spec.simulator_path for name, spec in VENDORS.items()}
    models = {name: spec.demo_models for name, spec in VENDORS.items() if spec.demo_models}
    return replace(
        settings,
        demo_url=url,
        base_urls=simulated | dict(settings.base_urls),
        accounts=tuple(accounts),
        engines=dict.fromkeys(VENDORS, _ENGINE) | dict(settings.engines),
        vendor_models=models | dict(settings.vendor_models),
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
