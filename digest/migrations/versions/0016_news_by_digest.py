"""by which digest a reader was told a piece of news, so that it comes again where nobody saw it"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("told_news", sa.Column("digest_id", sa.Integer(), nullable=True))
