"""Old listings leave the working set; what readers were sent, or said a word on, stays."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from digest.models import metadata

if TYPE_CHECKING:
    from digest.app import App

AT_ONCE = 1000
_PAPER = metadata.tables["paper"]
# Whoever is named in one of these columns stays: the mails that showed it, the record that keeps it
# from being sent twice, and the votes that rankers are trained on.
_NAMED = (
    ("feedback", "paper_id"),
    ("pick", "paper_id"),
    ("pick", "shown_as"),
    ("edition_paper", "paper_id"),
    ("mail_vote", "paper_id"),
    ("paper", "merged_into"),
)
_BELONGING = ("paper_alias", "announcement", "upvotes", "paper_news", "summary")


def forget_listings(app: "App", stop: Callable[[], bool] = lambda: False) -> int:
    """Takes listings older than `papers.keep_days` (0: none) out of the pages, the search and the
    day's work, a thousand papers at a time; gives how many.

    Papers that nobody was sent or voted on are deleted; the others stay, listed nowhere. A paper
    that is announced again later is new to all but those who had it.
    """
    if not app.settings.papers.keep_days:
        return 0
    before = app.now().date() - timedelta(days=app.settings.papers.keep_days)
    gone = 0
    while not stop():
        with app.db.connect() as connection:
            some = _old(connection, before)
            if some:
                _forget(connection, some, before)
        gone += len(some)
        if len(some) < AT_ONCE:
            break
    return gone


def _old(connection: Connection, before: date) -> list[int]:
    old = sa.select(_PAPER.c.id).where(_PAPER.c.announced_day < before)
    return list(connection.scalars(old.order_by(_PAPER.c.announced_day).limit(AT_ONCE)))


def _forget(connection: Connection, papers: list[int], before: date) -> None:
    these = _PAPER.c.id.in_(papers)
    deleted = list(connection.scalars(sa.select(_PAPER.c.id).where(these, *_unnamed())))
    for name in _BELONGING:
        table = metadata.tables[name]
        connection.execute(sa.delete(table).where(table.c.paper_id.in_(deleted)))
    connection.execute(sa.delete(_PAPER).where(_PAPER.c.id.in_(deleted)))
    for name in ("announcement", "upvotes"):
        table = metadata.tables[name]
        old = (table.c.paper_id.in_(papers), table.c.day < before)
        connection.execute(sa.delete(table).where(*old))
    unlisted = sa.update(_PAPER).values(announced_day=None, announced_at=None)
    connection.execute(unlisted.where(these))


def _unnamed() -> list[Any]:
    """Nothing of ours names the paper, and it is not another's second name."""
    conditions: list[Any] = [_PAPER.c.merged_into.is_(None)]
    for name, column in _NAMED:
        table = metadata.tables[name].alias()
        conditions.append(~sa.exists().where(table.c[column] == _PAPER.c.id))
    return conditions
