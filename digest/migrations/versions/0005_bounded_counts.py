"""indexes by which letters, standings and votes are counted without reading all there is"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_outbox_letters",
        "outbox",
        ["created_at"],
        sqlite_where=sa.text("digest_id IS NULL"),
        postgresql_where=sa.text("digest_id IS NULL"),
    )
    op.create_index(
        op.f("ix_subscriber_status_next_digest_at"), "subscriber", ["status", "next_digest_at"]
    )
    op.create_index(op.f("ix_feedback_voted_at"), "feedback", ["voted_at"])
