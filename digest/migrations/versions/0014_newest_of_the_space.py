"""the newest paper that the feature space may know, so that what came since is counted alone"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    newest = sa.Column("newest", sa.Integer(), nullable=False, server_default="0")
    if op.get_bind().dialect.name != "sqlite":
        op.add_column("feature_space", newest)
        return
    # Before the blobs: what stands behind them is only found by walking through them.
    with op.batch_alter_table("feature_space", recreate="always") as table:
        table.add_column(newest, insert_after="documents")
