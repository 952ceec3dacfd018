"""Runs the migrations on the engine that `digest.db.upgrade` passes in."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Connection

from digest.models import metadata


def run() -> None:
    engine = context.config.attributes["engine"]
    # One transaction around all: processes that start together take turns, and the later ones find
    # nothing left to do.
    with engine.connect() as connection, _loose(connection), connection.begin():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('digest schema'))")
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()


@contextmanager
def _loose(connection: Connection) -> Iterator[None]:
    """SQLite rebuilds a table by dropping it, which must not delete what refers to it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.execute("PRAGMA foreign_keys=OFF")  # outside a transaction, where alone it has an effect
    try:
        yield
    finally:
        connection.rollback()
        raw.execute("PRAGMA foreign_keys=ON")


run()
