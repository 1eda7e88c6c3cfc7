"""Which media belong to owners whose credential no vendor has accepted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("media_owners", sa.Column("stranger", sa.String()))
    op.create_index("ix_media_owners_stranger_owner", "media_owners", ["stranger", "owner"])


def downgrade() -> None:
    op.drop_index("ix_media_owners_stranger_owner", "media_owners")
    op.drop_column("media_owners", "stranger")
