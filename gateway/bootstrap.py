"""Builds the services from the settings, once per process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from gateway.config.settings import Settings
from gateway.config.tables import SettingsError
from gateway.domain.accounts import Account
from gateway.domain.jobs import Job
from gateway.domain.models import ModelTable
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.runtime.interruption import loop_lag_s
from gateway.runtime.periodic import BackgroundTasks, PeriodicTask
from gateway.services import Services
from gateway.services.access.keys import KeyRing
from gateway.services.access.limits import CallerLimits
from gateway.services.admin.accounts import AccountAdmin, AccountTest
from gateway.services.admin.keys import KeyAdmin
from gateway.services.admin.models import ModelViews
from gateway.services.admin.reports import UsageReports
from gateway.services.chat.chat import ChatService
from gateway.services.embeddings import EmbeddingService
from gateway.services.idempotency import Idempotency
from gateway.services.jobs.callbacks import Callbacks
from gateway.services.jobs.generation import GenerationService
from gateway.services.jobs.prompts import Prompts
from gateway.services.jobs.steps import JobSteps
from gateway.services.media.files import FileService
from gateway.services.media.media import MediaService
from gateway.services.media.urls import MediaUrls
from gateway.services.money.budgets import Budgets
from gateway.services.money.prices import PriceTable
from gateway.services.observability.accounting import WRITE_EVERY_S, Accounting
from gateway.services.observability.collector import SharedStateCollector
from gateway.services.observability.metrics import Metrics
from gateway.services.observability.recent import RecentRequests
from gateway.services.observability.usage import UsageLog
from gateway.services.pool import sync as pool_sync
from gateway.services.pool.limits import AccountLimits
from gateway.services.pool.pool import Pool
from gateway.services.pool.registry import AccountRegistry, origins_of
from gateway.services.pool.slots import Slots
from gateway.services.responses import StoredResponses
from gateway.services.routing.catalog import Catalog, Model, Route
from gateway.services.routing.dispatch import Dispatcher
from gateway.services.sessions.reaper import REAP_EVERY_S, Reaper
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.engine import Database
from gateway.storage.db.installation import installation_id
from gateway.storage.db.processes import HEARTBEAT_S, Processes
from gateway.storage.media.open import open_media_store
from gateway.storage.rate_counters import RateCounters, storage_location
from gateway.storage.records.account_states import AccountStateStore
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.api_keys import KeyStore
from gateway.storage.records.audit import AuditLog, RecentRequestStore
from gateway.storage.records.budgets import BudgetStore
from gateway.storage.records.files import FileStore
from gateway.storage.records.idempotency import IdempotencyStore
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.media_index import MediaIndex
from gateway.storage.records.responses import PROMPTS, ResponseStore
from gateway.storage.records.slots import SlotStore
from gateway.storage.records.usage import UsageStore
from gateway.upstreams import open_upstreams
from gateway.upstreams.base import Upstream
from gateway.upstreams.registry import VENDORS

_POOL_WAIT_S = 2.0


CallbackBody = Callable[[Job, Callable[..., str]], bytes]
"""Renders a job, given `MediaService.sign`."""


def _announcer(
    fetcher: Fetcher, media: MediaService, body: CallbackBody | None
) -> Callable[[Job], object]:
    if body is None:
        return lambda job: None
    return Callbacks(fetcher, lambda job: body(job, media.sign)).announce


def build(settings: Settings, callback_body: CallbackBody | None = None) -> Services:
    """Open the database and the vendors. Raises StorageUnavailable, SettingsError.

    `callback_body` renders a job for its callback; without it there are none.
    """
    try:
        uri, options = storage_location(settings.redis_url, settings.state_dir)
    except ValueError as err:
        raise SettingsError(f"REDIS_URL: {err}") from None
    counters = RateCounters(uri, options)
    settings = settings.with_secret_key()
    database = _open_database(settings)
    # Where calls wait for records, a database that hangs must not hold them up for long.
    short_timeout_database = Database(settings.database_url, wait_s=_POOL_WAIT_S, connections=2)
    processes = Processes(database)
    pool = open_pool(settings, database, short_timeout_database, counters, processes)
    fetcher = _fetcher(settings, pool)
    upstreams = _upstreams(settings, fetcher)
    catalog = open_catalog(settings, upstreams)
    dispatcher = Dispatcher(pool)
    jobs = JobStore(database, processes)
    installation = installation_id(database)
    sessions = Sessions(processes, catalog.upstream, installation=installation)
    reaper = Reaper(processes, lambda: _accounts(pool), catalog.upstream, installation=installation)
    index = MediaIndex(database)
    media, files = _media(settings, index, FileStore(database), fetcher)
    prices = PriceTable(settings.money)
    keys, budgets = _budgets(settings, database, short_timeout_database, jobs, prices)
    steps = JobSteps(catalog, dispatcher, pool, media, sessions, fetcher, prices)
    idempotency = Idempotency(IdempotencyStore(database, processes))
    metrics = Metrics(catalog.names, directory=settings.metrics_dir)
    _watch(metrics, pool, sessions, counters)
    usage = UsageLog(UsageStore(database), catalog.names)
    recent_store = RecentRequestStore(database)
    recent = RecentRequests(recent_store)
    audit = AuditLog(database)
    key_slots = Slots(SlotStore(short_timeout_database), processes)
    accounting = Accounting(metrics, usage, budgets, recent)
    kept_s = settings.media_ttl_s
    prompts = Prompts(
        ResponseStore(database, secret_keys=settings.secret_keys, ttl_s=kept_s, purpose=PROMPTS)
    )
    generation = GenerationService(
        *(catalog, dispatcher, media, jobs, steps, budgets, prompts),
        on_changed=_announcer(fetcher, media, callback_body),
        on_finished=accounting.job_finished,
    )
    responses = StoredResponses(
        ResponseStore(database, secret_keys=settings.secret_keys, ttl_s=settings.responses_ttl_s)
    )
    tasks = (
        PeriodicTask("heartbeat", HEARTBEAT_S, processes.heartbeat, during_drain=True),
        PeriodicTask("keys", 1, keys.refresh),
        PeriodicTask("accounts", pool_sync.EVERY_S, pool.refresh, during_drain=True),
        PeriodicTask("undeleted-sessions", 2, sessions.retry, during_drain=True),
        PeriodicTask("orphaned-sessions", REAP_EVERY_S, reaper.run),
        *_answer_tasks(idempotency, generation, settings.media_ttl_s),
        PeriodicTask("media-links", 60, media.touch_links),
        PeriodicTask("responses", 600, responses.purge),
        PeriodicTask("media", 600, media.sweep),
        PeriodicTask("usage", WRITE_EVERY_S, accounting.write, during_drain=True),
        PeriodicTask("budgets", 60, budgets.sweep),
        PeriodicTask("key-slots", 2, key_slots.flush, during_drain=True),
        PeriodicTask("recent-requests", 60, recent.purge),
        PeriodicTask("old-audit", 3600, lambda: audit.purge(settings.usage_ttl_s)),
        PeriodicTask("old-usage", 3600, partial(usage.purge, settings.usage_ttl_s)),
    )
    return Services(
        settings=settings,
        database=database,
        processes=processes,
        keys=keys,
        limits=CallerLimits(
            counters, settings.rate_limit, storage_uri=uri, storage_options=options
        ),
        accounting=accounting,
        metrics=metrics,
        shared_state=SharedStateCollector(pool, jobs),
        catalog=catalog,
        pool=pool,
        dispatcher=dispatcher,
        prompts=prompts,
        budgets=budgets,
        prices=prices,
        key_slots=key_slots,
        account_admin=AccountAdmin(
            *(settings, pool, AccountStore(database, secret_keys=settings.secret_keys)),
            *(SlotStore(database), counters, audit),
        ),
        account_test=AccountTest(catalog, sessions),
        key_admin=KeyAdmin(settings, KeyStore(database), keys, budgets, recent_store, audit),
        model_views=ModelViews(catalog, prices),
        reports=UsageReports(UsageStore(database), keys, settings.money.currency),
        recent=recent,
        audit=audit,
        chat=ChatService(
            *(catalog, dispatcher, media, generation, sessions, budgets, prices),
            affinity=settings.affinity,
        ),
        embeddings=EmbeddingService(catalog, dispatcher, media, budgets, prices),
        generation=generation,
        idempotency=idempotency,
        responses=responses,
        media=media,
        files=files,
        sessions=sessions,
        background=BackgroundTasks(
            tasks,
            at_stop=(
                pool.refresh,
                accounting.write,
                generation.runner.stop,
                sessions.stop,
                accounting.close,
            ),
        ),
    )


def _accounts(pool: Pool) -> list[Account]:
    """All accounts of the pool, whatever their state."""
    found = (pool.get(view.name) for view in pool.snapshot())
    return [account for account in found if account is not None]


def _open_database(settings: Settings) -> Database:
    database = Database(settings.database_url, connections=3)
    database.migrate()
    return database


def _media(
    settings: Settings, index: MediaIndex, files: FileStore, fetcher: Fetcher
) -> tuple[MediaService, FileService]:
    """Both keep their bytes in one store, and know of each other's through one index."""
    store = open_media_store(settings.media)
    media = MediaService(
        store=store,
        index=index,
        files=files,
        fetcher=fetcher,
        urls=MediaUrls(
            settings.secret_keys, public_url=settings.public_url, ttl_s=settings.media_url_ttl_s
        ),
        keep_s=settings.media_ttl_s,
        max_bytes=settings.media_max_bytes,
    )
    return media, FileService(store=store, index=index, files=files)


def _answer_tasks(
    idempotency: Idempotency, generation: GenerationService, keep_s: float
) -> tuple[PeriodicTask, ...]:
    return (
        PeriodicTask("jobs", 2, generation.runner.sweep),
        PeriodicTask("old-jobs", 3600, partial(generation.purge, keep_s)),
        PeriodicTask("answers", 600, idempotency.purge),
    )


def _watch(metrics: Metrics, pool: Pool, sessions: Sessions, counters: RateCounters) -> None:
    watch = metrics.watch
    watch("requests_waiting", "Requests waiting for an account", lambda: pool.waiting)
    watch("sessions_open", "Vendor sessions in use", lambda: sessions.open)
    watch(
        "sessions_undeleted",
        "Vendor sessions whose deletion has failed so far",
        lambda: sessions.undeleted,
    )
    watch(
        "sessions_leaked",
        "Vendor sessions of callers' own credentials that could not be deleted",
        lambda: sessions.leaked,
    )
    watch(
        "loop_lag_seconds",
        "Longest delay of an event loop within ten seconds",
        loop_lag_s,
        largest=True,
    )
    watch(
        "limits_redis_away",
        "Processes that count limits for themselves because Redis does not answer",
        lambda: counters.away,
    )


def open_pool(
    settings: Settings,
    database: Database,
    short_timeout_database: Database,
    counters: RateCounters,
    processes: Processes,
) -> Pool:
    """The pool of the configured accounts and of those in the database.

    In demo mode, where anybody may use it, it has the simulated ones only. Calls wait for
    what is read through `short_timeout_database`.
    """
    stored = AccountStore(database, secret_keys=settings.secret_keys)
    pool = Pool(
        AccountRegistry(settings.accounts, stored, only_configured=settings.demo),
        AccountStateStore(short_timeout_database),
        SlotStore(short_timeout_database),
        processes,
        AccountLimits(counters),
    )
    pool.refresh()
    return pool


def vendors(settings: Settings) -> Mapping[str, Upstream]:
    """For calls whose media nobody fetches."""
    return _upstreams(settings, Fetcher(allow_private=settings.allow_private_urls))


class _Configured:
    """The addresses of upstreams and accounts, as these are now."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._of_upstreams = origins_of(settings.base_urls.values())
        self._pool = pool

    def __contains__(self, origin: object) -> bool:
        return origin in self._of_upstreams or origin in self._pool.origins


def _fetcher(settings: Settings, pool: Pool) -> Fetcher:
    """Vendors may name the addresses that their base URL is configured to, private or not."""
    return Fetcher(allow_private=settings.allow_private_urls, trusted=_Configured(settings, pool))


def _upstreams(settings: Settings, fetcher: Fetcher) -> Mapping[str, Upstream]:
    return open_upstreams(
        {
            spec.name: Http(
                timeouts=settings.timeouts_of(spec.name),
                name=spec.title,
                proxy=settings.proxies.get(spec.name),
            )
            for spec in VENDORS.values()
        },
        fetcher,
        base_urls=settings.base_urls,
        engines=settings.engines,
        models=ModelTable(settings.model_facts),
    )


def _budgets(
    settings: Settings,
    database: Database,
    short_timeout_database: Database,
    jobs: JobStore,
    prices: PriceTable,
) -> tuple[KeyRing, Budgets]:
    """The keys, and the budgets that their calls count towards."""
    keys = KeyRing(settings.keys, KeyStore(database), settings.money.teams)
    keys.refresh()
    store = BudgetStore(short_timeout_database)
    return keys, Budgets(store, jobs, keys, prices, settings.money.budget)


def open_key_admin(settings: Settings, database: Database) -> KeyAdmin:
    """For commands, which serve nothing."""
    jobs, prices = JobStore(database, Processes(database)), PriceTable(settings.money)
    keys, budgets = _budgets(settings, database, database, jobs, prices)
    requests, audit = RecentRequestStore(database), AuditLog(database)
    return KeyAdmin(settings, KeyStore(database), keys, budgets, requests, audit)


def open_catalog(settings: Settings, upstreams: Mapping[str, Upstream]) -> Catalog:
    models = [
        Model(m.name, m.kind, tuple(Route(upstreams[r.upstream], r.model) for r in m.routes))
        for m in settings.models
    ]
    known = {model.name for model in models}
    for upstream_name, names in settings.vendor_models.items():
        upstream = upstreams[upstream_name]
        models += [
            Model(name, upstream.kind_of(name), (Route(upstream, name),))
            for name in names
            if name not in known
        ]
    return Catalog(models, upstreams)
