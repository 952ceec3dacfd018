"""the newest paper that the feature space may know, so that what came since is counted alone"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "feature_space", sa.Column("newest", sa.Integer(), nullable=False, server_default="0")
    )
