"""indexes by which the last name of a paper is found before its row goes"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_edition_paper_paper_id"), "edition_paper", ["paper_id"])
    op.create_index(op.f("ix_mail_vote_paper_id"), "mail_vote", ["paper_id"])
    op.create_index(
        "ix_pick_shown_as",
        "pick",
        ["shown_as"],
        sqlite_where=sa.text("shown_as IS NOT NULL"),
        postgresql_where=sa.text("shown_as IS NOT NULL"),
    )
