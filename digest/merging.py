"""Two stored rows that turn out to be one paper: all that names the one comes to name the other."""

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from digest.models import metadata

PAPER, ALIAS = metadata.tables["paper"], metadata.tables["paper_alias"]
ANNOUNCEMENT, UPVOTES = metadata.tables["announcement"], metadata.tables["upvotes"]
FEEDBACK, SUBSCRIBER = metadata.tables["feedback"], metadata.tables["subscriber"]
PICK, NEWS = metadata.tables["pick"], metadata.tables["paper_news"]
TOLD = metadata.tables["told_news"]

log = structlog.get_logger(__name__)


def absorb(session: Session, keep: int, gone: int, now: datetime) -> None:
    """Moves to the paper `keep` what the row `gone` has: aliases, announcements, counts of votes,
    feedback, picks and news. Where both have one, the better stays: a reader's later word, the
    higher count.

    The row `gone` stays without its key, listed nowhere, for the mails that showed it. A pick of
    `gone` whose reader has had `keep` too stays where it is: both were sent before they were
    known to be one.
    """
    _rename(session, keep, gone, now)
    _train_anew(session, gone)
    counted, voted = UPVOTES.alias(), FEEDBACK.alias()
    _yield_to(session, UPVOTES, keep, gone, counted, counted.c["count"] > UPVOTES.c["count"])
    _yield_to(session, FEEDBACK, keep, gone, voted, voted.c.voted_at > FEEDBACK.c.voted_at)
    _tell_once(session, keep, gone)
    for table in (ANNOUNCEMENT, UPVOTES, FEEDBACK, NEWS):
        _move(session, table, keep, gone)
    _move_picks(session, keep, gone)
    log.info("two records were one paper", kept=keep, merged=gone)


def _rename(session: Session, keep: int, gone: int, now: datetime) -> None:
    """The old key and all aliases lead to `keep` from now on."""
    key = session.execute(PAPER.select().where(PAPER.c.id == gone)).mappings().one()["key"]
    session.execute(
        update(PAPER)
        .where(or_(PAPER.c.id == gone, PAPER.c.merged_into == gone))
        .values(merged_into=keep)
    )
    session.execute(
        update(PAPER)
        .where(PAPER.c.id == gone)
        .values(
            key=f"merged:{gone}",
            fingerprint=None,
            announced_day=None,
            announced_at=None,
            updated_at=now,
        )
    )
    session.execute(update(ALIAS).where(ALIAS.c.paper_id == gone).values(paper_id=keep))
    session.execute(
        _dialect(session).insert(ALIAS).on_conflict_do_nothing(), [{"alias": key, "paper_id": keep}]
    )


def _dialect(session: Session) -> Any:
    return sqlite if session.get_bind().dialect.name == "sqlite" else postgresql


def _train_anew(session: Session, gone: int) -> None:
    """Rankers name papers: those whose readers voted on the row that goes are stale."""
    voters = FEEDBACK.select().with_only_columns(FEEDBACK.c.subscriber_id)
    session.execute(
        update(SUBSCRIBER)
        .where(SUBSCRIBER.c.id.in_(voters.where(FEEDBACK.c.paper_id == gone)))
        .values(revision=SUBSCRIBER.c.revision + 1)
    )


def _yield_to(
    session: Session, table: Table, keep: int, gone: int, other: Any, better: ColumnElement[bool]
) -> None:
    """Deletes rows of `keep` where `other`, that of `gone`, is the `better` one."""
    twin = exists().where(other.c.paper_id == gone, _same(table, other), better)
    session.execute(delete(table).where(table.c.paper_id == keep, twin))


def _move(session: Session, table: Table, keep: int, gone: int) -> None:
    other = table.alias()
    twin = exists().where(other.c.paper_id == keep, _same(table, other))
    session.execute(delete(table).where(table.c.paper_id == gone, twin))
    session.execute(update(table).where(table.c.paper_id == gone).values(paper_id=keep))


def _same(table: Table, other: Any) -> ColumnElement[bool]:
    """Whether two rows differ in the paper alone, of all that makes a row unique."""
    unique = {
        "announcement": ("day", "kind"),
        "upvotes": ("source", "day"),
        "feedback": ("subscriber_id",),
        "paper_news": ("kind", "version"),
    }
    return and_(*(table.c[name] == other.c[name] for name in unique[table.name]))


def _tell_once(session: Session, keep: int, gone: int) -> None:
    """Who was told a piece of news of the one row is not told the same of the other."""
    twin = NEWS.alias()
    both = select(TOLD.c.subscriber_id, twin.c.id).where(
        TOLD.c.news_id == NEWS.c.id,
        NEWS.c.paper_id == gone,
        twin.c.paper_id == keep,
        _same(NEWS, twin),
    )
    columns = ["subscriber_id", "news_id"]
    told = _dialect(session).insert(TOLD).from_select(columns, both)
    session.execute(told.on_conflict_do_nothing())


def _move_picks(session: Session, keep: int, gone: int) -> None:
    other = PICK.alias()
    had_both = exists().where(
        other.c.paper_id == keep, other.c.subscriber_id == PICK.c.subscriber_id
    )
    session.execute(
        update(PICK)
        .where(PICK.c.paper_id == gone, ~had_both)
        .values(paper_id=keep, shown_as=func.coalesce(PICK.c.shown_as, gone))
    )
