"""the reasons of a digest's picks, packed, beside the digest: they share most of their words"""

import json
import zlib
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_AT_ONCE = 1000  # digests
_DIGEST = sa.table("digest", sa.column("id"), sa.column("reasons", sa.LargeBinary))
_PICK = sa.table("pick", *map(sa.column, ("digest_id", "position", "reason")))


def upgrade() -> None:
    op.add_column("digest", sa.Column("reasons", sa.LargeBinary(), nullable=True))
    connection, last = op.get_bind(), 0
    while ids := _next(connection, last):
        _pack(connection, ids)
        last = ids[-1]
    op.execute("ALTER TABLE pick DROP COLUMN reason")


def _next(connection: sa.Connection, last: int) -> list[int]:
    query = sa.select(_DIGEST.c.id).where(_DIGEST.c.id > last)
    return list(connection.scalars(query.order_by(_DIGEST.c.id).limit(_AT_ONCE)))


def _pack(connection: sa.Connection, ids: list[int]) -> None:
    picks = sa.select(_PICK).where(_PICK.c.digest_id.between(ids[0], ids[-1]))
    rows = connection.execute(picks.order_by(_PICK.c.digest_id, _PICK.c.position)).all()
    packed: list[dict[str, Any]] = []
    for digest, of_digest in groupby(rows, key=itemgetter(0)):
        said = {position: reason for _, position, reason in of_digest}
        reasons = [said.get(position, "") for position in range(1, max(said) + 1)]
        content = zlib.compress(json.dumps(reasons, ensure_ascii=False).encode())
        packed.append({"which": digest, "reasons": content})
    if packed:
        keep = sa.update(_DIGEST).where(_DIGEST.c.id == sa.bindparam("which"))
        connection.execute(keep.values(reasons=sa.bindparam("reasons")), packed)
