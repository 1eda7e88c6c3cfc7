"""The use cases, wired once by `create_app` and read by the blueprints."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.settings import Settings
from gateway.runtime.periodic import BackgroundTasks
from gateway.services.access.keys import KeyRing
from gateway.services.access.limits import CallerLimits
from gateway.services.admin.accounts import AccountAdmin, AccountTest
from gateway.services.admin.keys import KeyAdmin
from gateway.services.admin.models import ModelViews
from gateway.services.admin.reports import UsageReports
from gateway.services.chat.chat import ChatService
from gateway.services.embeddings import EmbeddingService
from gateway.services.idempotency import Idempotency
from gateway.services.jobs.generation import GenerationService
from gateway.services.jobs.prompts import Prompts
from gateway.services.media.files import FileService
from gateway.services.media.media import MediaService
from gateway.services.money.budgets import Budgets
from gateway.services.money.prices import PriceTable
from gateway.services.observability.accounting import Accounting
from gateway.services.observability.collector import SharedStateCollector
from gateway.services.observability.metrics import Metrics
from gateway.services.observability.recent import RecentRequests
from gateway.services.pool.pool import Pool
from gateway.services.pool.slots import Slots
from gateway.services.responses import StoredResponses
from gateway.services.routing.catalog import Catalog
from gateway.services.routing.dispatch import Dispatcher
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.records.audit import AuditLog


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    database: Database
    processes: Processes
    keys: KeyRing
    limits: CallerLimits
    accounting: Accounting
    metrics: Metrics
    shared_state: SharedStateCollector
    catalog: Catalog
    pool: Pool
    dispatcher: Dispatcher
    key_slots: Slots
    account_admin: AccountAdmin
    account_test: AccountTest
    key_admin: KeyAdmin
    model_views: ModelViews
    reports: UsageReports
    recent: RecentRequests
    audit: AuditLog
    prompts: Prompts
    budgets: Budgets
    prices: PriceTable
    chat: ChatService
    embeddings: EmbeddingService
    generation: GenerationService
    idempotency: Idempotency
    responses: StoredResponses
    media: MediaService
    files: FileService
    sessions: Sessions
    background: BackgroundTasks
