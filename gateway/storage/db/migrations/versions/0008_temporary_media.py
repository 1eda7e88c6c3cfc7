"""Temporary media: uploads with credentials of callers' own, kept for a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "media_owners",
        sa.Column("temporary", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.execute(sa.text("UPDATE media_owners SET temporary = true WHERE stranger IS NOT NULL"))
    op.drop_index("ix_media_owners_stranger_owner", "media_owners")
    op.drop_column("media_owners", "stranger")


def downgrade() -> None:
    op.add_column("media_owners", sa.Column("stranger", sa.String()))
    op.create_index("ix_media_owners_stranger_owner", "media_owners", ["stranger", "owner"])
    op.drop_column("media_owners", "temporary")
