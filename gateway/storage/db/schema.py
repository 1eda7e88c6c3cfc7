"""Schema of the database. Times (`*_at`) are unix seconds of the machine that wrote them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    TypeDecorator,
    false,
)

# The newest migration. Revisions are numbered, so that a schema ahead of this code is
# recognised as one that a newer version, running beside it during a deploy, has brought.
REVISION = "0009"


class Words(TypeDecorator[str]):
    """Text chosen by callers. PostgreSQL has no NUL, so none is stored or looked for."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else value.replace("\0", "")


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

_Json = JSON(none_as_null=True)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Words, primary_key=True),
    Column("kind", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("model", Words, nullable=False),
    Column("request", _Json, nullable=False),
    Column("status", String, nullable=False),
    Column("upstream", String),
    Column("account", String),
    Column("task_id", String),
    Column("progress", Integer, nullable=False),
    Column("result", _Json),
    Column("error", _Json),
    Column("created_at", Double, nullable=False),
    Column("completed_at", Double, index=True),
    Column("fingerprint", String),
    Column("claimed_by", String),  # a process
    Index(None, "owner", "created_at", "id"),
    Index(None, "owner", "fingerprint"),
    Index(None, "status", "id"),
)

keys = Table(
    "keys",
    metadata,
    Column("name", Words, primary_key=True),
    Column("digest", String, nullable=False, unique=True),
    Column("last_four", String, nullable=False),
    Column("limits", String),
    Column("models", _Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("team", Words),
    Column("budget_day", BigInteger),  # nanos of the budgets' currency
    Column("budget_month", BigInteger),
    Column("max_in_flight", Integer),
    Column("keep_prompts", Boolean, nullable=False, server_default=false()),
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", Words, primary_key=True),
    Column("upstream", String, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("last_four", String, nullable=False),
    Column("base_url", String),
    Column("engine", String),
    Column("weight", Integer, nullable=False),
    Column("max_in_flight", Integer),
    Column("limits", _Json, nullable=False),
    Column("models", _Json, nullable=False),
    Column("status", String, nullable=False),
    Column("created_at", Double, nullable=False),
)

# What operators have said of accounts that the settings have.
account_switches = Table(
    "account_switches",
    metadata,
    Column("account", Words, primary_key=True),
    Column("status", String, nullable=False),
)

# Configured accounts have a state too, so there is no foreign key.
account_states = Table(
    "account_states",
    metadata,
    Column("account", Words, primary_key=True),
    Column("cool_until", Double, nullable=False),
    Column("cool_reason", String, nullable=False),
    Column("quota_failures", Integer, nullable=False),
    Column("ejected_until", Double, nullable=False),
    Column("eject_reason", String, nullable=False),
    Column("ejections", Integer, nullable=False),
    Column("models", _Json, nullable=False),
    Column("changed_at", Double, nullable=False),
    # The topic's version in `changes` at the time, by which readers ask for what is new.
    Column("revision", BigInteger, nullable=False, index=True),
)

usage = Table(
    "usage",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Words, primary_key=True),
    Column("model", Words, primary_key=True),
    Column("upstream", String, primary_key=True),
    Column("account", Words, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("videos", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False, server_default="0"),  # nanos
)

# What is spent and reserved of a budget (`key:NAME`, `team:NAME` or `all`) in a day or a month.
spending = Table(
    "spending",
    metadata,
    Column("budget", Words, primary_key=True),
    Column("period", String, primary_key=True),  # 2026-12-01, or 2026-12
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
)

# Upper bounds of calls under way, by the id of their job or request.
reservations = Table(
    "reservations",
    metadata,
    Column("id", String, primary_key=True),
    Column("budgets", _Json, nullable=False),  # [budget, period] of each row of `spending`
    Column("amount", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False, index=True),
)

# Budgets of teams that were set by command or in the console.
teams = Table(
    "teams",
    metadata,
    Column("name", Words, primary_key=True),
    Column("budget_day", BigInteger),
    Column("budget_month", BigInteger),
)

# The newest requests, for operators to look at: never what was asked or answered.
recent_requests = Table(
    "recent_requests",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False, index=True),
    Column("owner", String, nullable=False),
    Column("record", _Json, nullable=False),
)

# Changes that operators have made.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False, index=True),
    Column("actor", Words, nullable=False),
    Column("action", String, nullable=False),
    Column("target", Words, nullable=False),
    Column("details", _Json, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", String, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("process", String),  # that serves the request
    Column("job_id", String),
    Column("status", Integer),
    Column("headers", _Json),
    Column("body", LargeBinary),
    Column("expires_at", Double, nullable=False, index=True),
)

media = Table(
    "media",
    metadata,
    Column("id", Words, primary_key=True),
    Column("extension", String, nullable=False),
    Column("mime_type", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("created_at", Double, nullable=False),
    Column("last_used_at", Double, nullable=False, index=True),
)

media_owners = Table(
    "media_owners",
    metadata,
    Column("media_id", ForeignKey("media.id", ondelete="CASCADE"), primary_key=True),
    Column("owner", String, primary_key=True),
    # Uploaded with the owner's own credential at a vendor: kept for a day.
    Column("temporary", Boolean, nullable=False, server_default=false()),
)

job_media = Table(
    "job_media",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("media_id", ForeignKey("media.id", ondelete="CASCADE"), primary_key=True, index=True),
)

files = Table(
    "files",
    metadata,
    Column("id", Words, primary_key=True),
    Column("owner", String, nullable=False),
    Column("media_id", ForeignKey("media.id"), nullable=False, index=True),
    Column("filename", Words, nullable=False),
    Column("purpose", Words, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mime_type", Words, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, index=True),
    Index(None, "owner", "created_at", "id"),
)

# One row per running process. `started_ticks` is the kernel's start time of the pid, by which
# another process with the same number is told apart.
processes = Table(
    "processes",
    metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_ticks", BigInteger, nullable=False),
    Column("seen_at", Double, nullable=False),
)

# Calls in flight per process at accounts that have a maximum.
slots = Table(
    "slots",
    metadata,
    Column("account", Words, primary_key=True),
    Column("process", String, primary_key=True),
    Column("in_flight", Integer, nullable=False),
)

# Answers of the Responses API that can be continued, encrypted.
responses = Table(
    "responses",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)

# A counter per topic, raised with every change, so that caches notice with one small read.
changes = Table(
    "changes",
    metadata,
    Column("topic", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

# Where alembic keeps the revision.
versions = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
