"""Which accounts a vendor has accepted, and what operators say of configured ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "account_states",
        sa.Column("proven", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "account_switches",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_account_switches"),
    )


def downgrade() -> None:
    op.drop_table("account_switches")
    op.drop_column("account_states", "proven")
