"""links to read by, revoked on their own; mails that go to another address than the reader's"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "subscriber", sa.Column("view_epoch", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("outbox", sa.Column("recipient", sa.String(), nullable=True))
    op.create_index(
        op.f("ix_outbox_recipient"),
        "outbox",
        ["recipient"],
        sqlite_where=sa.text("recipient IS NOT NULL"),
        postgresql_where=sa.text("recipient IS NOT NULL"),
    )
