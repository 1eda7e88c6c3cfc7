"""Budgets, costs, the newest requests and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("keys", sa.Column("team", sa.String()))
    op.add_column("keys", sa.Column("budget_day", sa.BigInteger()))
    op.add_column("keys", sa.Column("budget_month", sa.BigInteger()))
    op.add_column("keys", sa.Column("max_in_flight", sa.Integer()))
    op.add_column(
        "keys", sa.Column("keep_prompts", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("usage", sa.Column("cost", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "spending",
        sa.Column("budget", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("budget", "period", name="pk_spending"),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("budgets", sa.JSON(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reservations"),
    )
    op.create_index("ix_reservations_created_at", "reservations", ["created_at"])
    op.create_table(
        "teams",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("budget_day", sa.BigInteger()),
        sa.Column("budget_month", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name", name="pk_teams"),
    )
    op.create_table(
        "recent_requests",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recent_requests"),
    )
    op.create_index("ix_recent_requests_at", "recent_requests", ["at"])
    op.create_table(
        "audit",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])


def downgrade() -> None:
    for table in ("audit", "recent_requests", "teams", "reservations", "spending"):
        op.drop_table(table)
    op.drop_column("usage", "cost")
    for column in ("keep_prompts", "max_in_flight", "budget_month", "budget_day", "team"):
        op.drop_column("keys", column)
