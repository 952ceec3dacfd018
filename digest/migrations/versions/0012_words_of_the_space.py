"""the words of a feature space's papers, so that the next fit need not read them again"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feature_space", sa.Column("corpus", sa.LargeBinary(), nullable=True))
