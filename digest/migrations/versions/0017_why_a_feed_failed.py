"""the kind of a feed's last failure, so that nobody has to read it out of its sentence"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    trouble = sa.Column("trouble", sa.String(), nullable=False, server_default="")
    op.add_column("feed", trouble)
