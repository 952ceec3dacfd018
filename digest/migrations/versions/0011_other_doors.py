"""where else a reader's digests go"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "door",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["subscriber.id"],
            name=op.f("fk_door_subscriber_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_door")),
        sa.UniqueConstraint("subscriber_id", "url", name=op.f("uq_door_subscriber_id_url")),
    )
    op.create_table(
        "handover",
        sa.Column("digest_id", sa.Integer(), nullable=False),
        sa.Column("door_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("response", sa.String(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_handover_digest_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["door_id"], ["door.id"], name=op.f("fk_handover_door_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest_id", "door_id", name=op.f("pk_handover")),
    )
    op.create_index(op.f("ix_handover_door_id"), "handover", ["door_id"])
    op.create_index(op.f("ix_handover_status_due_at"), "handover", ["status", "due_at"])
