"""Health of accounts as cooldown, ejection and blocked models; slots instead of leases.

Cooldowns that were known are forgotten.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("leases")
    op.drop_index("ix_account_states_revision", "account_states")
    op.drop_table("account_states")
    op.create_table(
        "account_states",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("cool_until", sa.Double(), nullable=False),
        sa.Column("cool_reason", sa.String(), nullable=False),
        sa.Column("quota_failures", sa.Integer(), nullable=False),
        sa.Column("ejected_until", sa.Double(), nullable=False),
        sa.Column("eject_reason", sa.String(), nullable=False),
        sa.Column("ejections", sa.Integer(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_account_states"),
    )
    op.create_index("ix_account_states_revision", "account_states", ["revision"])


def downgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token", sa.String()),
        sa.Column("holder", sa.String()),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("account", "slot", name="pk_leases"),
    )
    op.drop_index("ix_account_states_revision", "account_states")
    op.drop_table("account_states")
    op.create_table(
        "account_states",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("cool_until", sa.Double(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Boolean(), nullable=False),
        sa.Column("circuit_failures", sa.Integer(), nullable=False),
        sa.Column("circuit_until", sa.Double(), nullable=False),
        sa.Column("probe_until", sa.Double(), nullable=False),
        sa.Column("proven", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_account_states"),
    )
    op.create_index("ix_account_states_revision", "account_states", ["revision"])
