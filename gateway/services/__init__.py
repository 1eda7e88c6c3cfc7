"""The use cases, wired once by `create_app` and read by the blueprints."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.services.background import Background
from gateway.services.catalog import Catalog
from gateway.services.chat import ChatService
from gateway.services.dispatch import Dispatcher
from gateway.services.exposition import Exposition
from gateway.services.files import FileService
from gateway.services.generation import GenerationService
from gateway.services.idempotency import Idempotency
from gateway.services.keys import KeyRing
from gateway.services.ledger import Ledger
from gateway.services.limits import RateLimits, WrongKeys
from gateway.services.media import MediaService
from gateway.services.pool import Pool
from gateway.services.sessions import Sessions
from gateway.services.strangers import Strangers
from gateway.settings import Settings
from gateway.stores.database import Database


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    database: Database
    keys: KeyRing
    limits: RateLimits
    wrong_keys: WrongKeys
    strangers: Strangers
    ledger: Ledger
    exposition: Exposition
    catalog: Catalog
    pool: Pool
    dispatcher: Dispatcher
    chat: ChatService
    generation: GenerationService
    idempotency: Idempotency
    media: MediaService
    files: FileService
    sessions: Sessions
    background: Background
