"""One row per running process, which claims and concurrency slots name instead of leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "processes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started_ticks", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_processes"),
    )
    op.create_table(
        "slots",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("process", sa.String(), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account", "process", name="pk_slots"),
    )
    op.drop_column("jobs", "claim_expires_at")
    with op.batch_alter_table("idempotency") as batch:
        batch.add_column(sa.Column("process", sa.String()))
        batch.drop_constraint("uq_idempotency_token", type_="unique")
        batch.drop_column("token")
        batch.drop_column("attempt")
        batch.drop_column("lease_expires_at")
    op.drop_table("sessions")
    op.drop_table("tokens")


def downgrade() -> None:
    """Restore the former tables; open requests and sessions of theirs are forgotten."""
    op.create_table(
        "tokens",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("token", sa.LargeBinary()),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("fetched_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_tokens"),
    )
    op.create_table(
        "sessions",
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("upstream", sa.String(), nullable=False),
        sa.Column("account", sa.String()),
        sa.Column("resource", sa.String()),
        sa.Column("owner_token", sa.String(), nullable=False),
        sa.Column("closing", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("label", name="pk_sessions"),
    )
    op.create_index("ix_sessions_due_at", "sessions", ["due_at"])
    op.create_index("ix_sessions_owner_token", "sessions", ["owner_token"])
    op.execute(sa.text("DELETE FROM idempotency WHERE status IS NULL"))
    with op.batch_alter_table("idempotency") as batch:
        batch.drop_column("process")
        batch.add_column(sa.Column("token", sa.String()))
        batch.add_column(sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"))
        batch.add_column(
            sa.Column("lease_expires_at", sa.Double(), nullable=False, server_default="0")
        )
    op.execute(sa.text("UPDATE idempotency SET token = scope || ' ' || key"))
    with op.batch_alter_table("idempotency") as batch:
        batch.alter_column("token", nullable=False)
        batch.create_unique_constraint("uq_idempotency_token", ["token"])
    op.add_column(
        "jobs", sa.Column("claim_expires_at", sa.Double(), nullable=False, server_default="0")
    )
    op.drop_table("slots")
    op.drop_table("processes")
