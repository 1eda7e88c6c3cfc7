"""Tokens that all processes share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("token", sa.LargeBinary()),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("fetched_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_tokens"),
    )


def downgrade() -> None:
    op.drop_table("tokens")
