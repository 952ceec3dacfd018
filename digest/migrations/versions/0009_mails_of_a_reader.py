"""a reader's mails are found without a look at all"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_outbox_subscriber_id", "outbox", ["subscriber_id"])
