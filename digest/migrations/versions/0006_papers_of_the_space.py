"""which papers a feature space was fitted to, so that their rows need not be made again"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feature_space", sa.Column("papers", sa.LargeBinary(), nullable=True))
