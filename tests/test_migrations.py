"""The chain of migrations, walked from the first release on with rows in every table."""

import importlib.resources
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlmodel import col

from digest.db import Db, schema_is_current, upgrade
from digest.models import Digest, metadata

ROWS = 2
Stored = dict[str, list[dict[str, Any]]]

pytestmark = pytest.mark.bare


@pytest.fixture
def db(database: str) -> Iterator[Db]:
    opened = Db(database)
    yield opened
    opened.close()


def revisions() -> list[str]:
    scripts = ScriptDirectory(str(importlib.resources.files("digest.migrations")))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def tables(connection: sa.Connection) -> list[sa.Table]:
    """Those that the models know; an index of words is made of them."""
    found = sa.MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name in metadata.tables]


def value(column: sa.Column[Any], number: int) -> Any:
    """Some value that fits the column: references are to the row of the same number."""
    if isinstance(column.type, sa.Boolean):
        return number % 2 == 0
    if isinstance(column.type, sa.JSON):
        return [["a", number]]
    if isinstance(column.type, sa.Date):
        return sa.func.date(f"2026-11-{number + 10}")
    if isinstance(column.type, sa.LargeBinary):
        return b"bytes %d" % number
    if isinstance(column.type, sa.String):
        return f"{column.name} {number}"
    return number


def fill(connection: sa.Connection, empty: sa.Table) -> None:
    for number in range(1, ROWS + 1):
        values = {column.name: value(column, number) for column in empty.columns}
        for reference in empty.foreign_keys:
            if reference.column.table is not empty:
                values[reference.parent.name] = value(reference.column, number)
        connection.execute(empty.insert().values(values))


def rows(connection: sa.Connection, found: list[sa.Table]) -> Stored:
    """What these tables hold, each row without what is empty in it."""
    return {
        table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
        for table in found
    }


def kept(before: Stored, after: Stored) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of before that are not there any more, looked at in the columns that still are."""
    for name in before.keys() & after.keys():
        left = [{key: repr(one) for key, one in row.items()} for row in after[name]]
        for row in before[name]:
            same = {key: repr(one) for key, one in row.items() if key in left[0]}
            if not any(same.items() <= other.items() for other in left):
                yield name, same


def test_each_step_keeps_what_is_stored(db: Db) -> None:
    before: Stored = {}
    for revision in revisions():
        upgrade(db, revision)
        with db.connect() as connection:
            found = tables(connection)
            after = rows(connection, found)
            assert list(kept(before, after)) == [], revision
            for table in found:
                if not after[table.name]:
                    fill(connection, table)
            before = rows(connection, found)
    assert schema_is_current(db)
    assert all(len(stored) == ROWS for stored in before.values())


def test_the_reasons_of_old_picks_are_those_of_their_digests(db: Db) -> None:
    upgrade(db, "0012")
    with db.connect() as connection:
        for table in tables(connection):
            fill(connection, table)
    upgrade(db, "0013")
    with db.connect() as connection:
        query = sa.select(col(Digest.reasons)).order_by(col(Digest.id))
        assert list(connection.scalars(query)) == [["reason 1"], ["", "reason 2"]]
