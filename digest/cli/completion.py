"""What the Tab key completes besides commands and options: addresses and feeds.

Completing changes nothing and says nothing: without a configuration and database that can be read,
there is nothing to complete.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlmodel import Session

MOST = 50


def addresses(context: typer.Context, incomplete: str) -> list[str]:
    """Subscribers' addresses that begin with what is typed."""
    from digest import subscribers

    with _stored(context) as session:
        return subscribers.beginning(session, incomplete, MOST) if session else []


def feeds(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The feeds' numbers, with their addresses as help."""
    from digest.feeds import ingest

    with _stored(context) as session:
        found = ingest.stored_feeds(session) if session else []
    return [(str(f.id), f.url) for f in found if str(f.id).startswith(incomplete)]


@contextmanager
def _stored(context: typer.Context) -> "Iterator[Session | None]":
    """The database as it is, neither made nor brought up to date; None where there is none."""
    from digest.db import Db, schema_is_current, sqlite_file
    from digest.errors import DigestError
    from digest.settings import load

    try:
        url = load(context.find_root().params.get("config")).database.url
        file = sqlite_file(url)
    except DigestError:
        yield None
        return
    if file is not None and not file.exists():
        yield None
        return
    db = Db(url)
    try:
        with db.read() as session:
            yield session if schema_is_current(db) else None
    finally:
        db.close()


Email = Annotated[
    str,
    typer.Argument(metavar="EMAIL", help="The subscriber's address.", autocompletion=addresses),
]
