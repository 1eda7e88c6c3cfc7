"""The service of jobs on a database of its own, in front of a vendor that a test writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from gateway.domain.accounts import Caller, Secret
from gateway.domain.jobs import Job
from gateway.domain.money import Budget, Money
from gateway.domain.requests import ImageRequest, VideoRequest
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.services.access.keys import KeyRing
from gateway.services.jobs.generation import GenerationService
from gateway.services.jobs.progress import JobProgress
from gateway.services.jobs.prompts import Prompts
from gateway.services.jobs.steps import JobSteps
from gateway.services.media.media import MediaService
from gateway.services.media.urls import MediaUrls
from gateway.services.money.budgets import Budgets
from gateway.services.money.prices import PriceTable
from gateway.services.routing.catalog import Catalog
from gateway.services.routing.dispatch import Dispatcher, Trace
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.processes import Processes
from gateway.storage.media.open import open_media_store
from gateway.storage.records.api_keys import KeyStore
from gateway.storage.records.budgets import BudgetStore
from gateway.storage.records.files import FileStore
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.media_index import MediaIndex
from gateway.storage.records.responses import ResponseStore
from gateway.upstreams import open_upstreams
from tests.services.pools import World, account

ALICE = Caller("alice")
VENDORS = ("ark", "gemini", "openai")
IMAGE_MODELS = {"ark": "seedream-x", "openai": "gpt-image-2"}
FILM_MODELS = {"ark": "seedance-x", "gemini": "gemini-omni-1.2-flash"}


@dataclass
class Vendor:
    """Answers `METHOD /path` with what `says` it to: JSON, bytes, a status, or both; else 404."""

    url: str = ""
    says: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Vendor]:
        found = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                line = f"{self.command} {self.path}"
                found.asked.append(line)
                said = found.says.get(line, 404)
                said = said() if callable(said) else said
                if isinstance(said, int):
                    said = said, {"error": {"code": said, "message": "no"}}
                status, body = said if isinstance(said, tuple) else (200, said)
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_DELETE = do_GET

            def log_message(self, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            found.url = f"http://127.0.0.1:{server.server_port}"
            thread = Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            yield found
            server.shutdown()
            thread.join()


class Works:
    """One process that makes pictures and films. `jobs` and `index` may be what a test makes."""

    def __init__(
        self,
        world: World,
        vendor: Vendor,
        upstreams: Any,
        *,
        jobs: JobStore | None = None,
        index: MediaIndex | None = None,
        **clocks: Callable[[], float],
    ) -> None:
        fetcher = Fetcher(allow_private="127.0.0.1")
        self.pool = pool = world.pool(*[account(name, upstream=name) for name in VENDORS])
        catalog = Catalog([], upstreams)
        dispatcher = Dispatcher(pool)
        media = MediaService(
            store=open_media_store(f"file:{world.folder}/media"),
            index=index or MediaIndex(world.database),
            files=FileStore(world.database),
            fetcher=fetcher,
            urls=MediaUrls([Secret("secret")]),
        )
        processes = Processes(world.database)
        sessions = Sessions(processes, catalog.upstream, installation="test")
        self.jobs = jobs or JobStore(world.database, processes)
        prices = PriceTable(Money())
        keys = KeyRing((), KeyStore(world.database))
        budgets = Budgets(BudgetStore(world.database), self.jobs, keys, prices, Budget())
        self.steps = JobSteps(catalog, dispatcher, pool, media, sessions, fetcher, prices, **clocks)
        self._service = GenerationService(
            *(catalog, dispatcher, media, self.jobs, self.steps, budgets),
            Prompts(ResponseStore(world.database, secret_keys=[Secret("secret")], ttl_s=60)),
        )
        self._service.runner.stop()  # jobs move when a test says so

    def film(self, upstream: str) -> Job:
        return self._ordered(VideoRequest(f"{upstream}/{FILM_MODELS[upstream]}", "waves"))

    def picture(self, upstream: str) -> Job:
        return self._ordered(ImageRequest(f"{upstream}/{IMAGE_MODELS[upstream]}", "a fox"))

    def _ordered(self, request: ImageRequest | VideoRequest) -> Job:
        return self._service.create(request, ALICE, Trace("r"))

    def moved(self, job: Job, steps: int = 130) -> Job:
        """The job after so many steps without a pause, or when it has ended."""
        with self.jobs.claim(job.id) as claimed:
            assert claimed is not None
            progress = JobProgress(claimed, self.jobs.save)
            for _ in range(steps):
                if progress.job.done:
                    break
                self.steps.advance(progress, None)
            return progress.job


@contextmanager
def opened(world: World, vendor: Vendor) -> Iterator[Any]:
    """Opens `Works`, several of which share the world."""
    with ExitStack() as stack:
        clients = {name: Http() for name in (*VENDORS, "gemini-enterprise")}
        for client in clients.values():
            stack.callback(client.close)
        urls = {name: vendor.url for name in VENDORS}
        upstreams = open_upstreams(
            clients,
            Fetcher(allow_private="127.0.0.1"),
            base_urls=urls,
            engines={},
        )
        yield lambda **options: Works(world, vendor, upstreams, **options)
