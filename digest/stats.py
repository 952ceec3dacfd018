"""`digest stats`: what came in, what went out, and what became of the readers' days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import func
from sqlmodel import Session, col

from digest import outcomes
from digest.failing import Failing, failing
from digest.feeds import batches
from digest.models import Announcement, Feed, Feedback, OutboxMessage, Paper, Subscriber
from digest.preference import Preference, preference
from digest.schedule import DAY

if TYPE_CHECKING:
    from digest.app import App

DAYS = 7


@dataclass(frozen=True, slots=True)
class FeedDay:
    """What a feed announced on a listing day: papers as new or cross-listed, and replacements."""

    feed: str
    day: date
    new: int
    replaced: int


@dataclass(frozen=True, slots=True)
class Stats:
    """`outcomes` of today and yesterday, in each reader's own zone; `subscribers` by status;
    `digests` of the last seven days by what became of them; `late_seconds` is how far behind its
    hour the digest is that has waited longest, to be made or to be sent, 0 where none waits;
    `preference` is there while two rankings are compared; `failing` are the jobs that fail."""

    outcomes: dict[str, dict[str, int]]
    subscribers: dict[str, int]
    papers: int
    feeds: list[FeedDay]
    digests: dict[str, int]
    votes: dict[str, int]
    last_fetch: datetime | None
    last_sent: datetime | None
    late_seconds: int
    preference: Preference | None
    batches: dict[str, int]
    failing: list[Failing]


def stats(app: "App") -> Stats:
    """The figures as of now."""
    now = app.now()
    days = {"today": outcomes.counts(app), "yesterday": outcomes.counts(app, back=1)}
    with app.db.read() as session:
        return Stats(
            days,
            _by(session, col(Subscriber.status)),
            _one(
                session,
                sa.select(func.count()).where(
                    col(Paper.merged_into).is_(None), col(Paper.version) > 0
                ),
            ),
            _feeds(session, now.date()),
            _digests(session, now),
            {
                "up": _one(session, sa.select(func.count()).where(col(Feedback.vote) == 1)),
                "down": _one(session, sa.select(func.count()).where(col(Feedback.vote) == -1)),
            },
            _one(session, sa.select(func.max(col(Feed.checked_at)))),
            _one(session, sa.select(func.max(col(OutboxMessage.sent_at)))),
            _late(session, now),
            preference(session, now),
            batches.figures(app),
            failing(session, now),
        )


def _late(session: Session, now: datetime) -> int:
    """The seconds since the first hour at which a digest fell due that is not out yet, whether it
    waits to be made or to be sent."""
    reader = sa.select(func.min(col(Subscriber.next_digest_at)))
    mail = sa.select(func.min(col(OutboxMessage.due_at))).where(
        col(OutboxMessage.digest_id).is_not(None),
        col(OutboxMessage.status).in_(("queued", "deferred", "sending")),
    )
    first = (_one(session, reader.where(col(Subscriber.status) == "active")), _one(session, mail))
    return round(max((now - due).total_seconds() for due in (*first, now) if due and due <= now))


def _one(session: Session, query: sa.Select[Any]) -> Any:
    return session.execute(query).scalar_one()


def _by(session: Session, column: Any, *conditions: Any) -> dict[str, int]:
    counted = sa.select(column, func.count()).where(*conditions).group_by(column).order_by(column)
    return {str(row[0]): row[1] for row in session.execute(counted)}


def _digests(session: Session, now: datetime) -> dict[str, int]:
    """Sent, failed and so on of the last days, and how many of them are or were in doubt."""
    lately = (col(OutboxMessage.kind) == "digest", col(OutboxMessage.created_at) > now - DAYS * DAY)
    counts = {"sent": 0, "failed": 0} | _by(session, col(OutboxMessage.status), *lately)
    doubted = sa.select(func.count()).where(*lately, col(OutboxMessage.in_doubt))
    return counts | {"in_doubt": _one(session, doubted)}


def _feeds(session: Session, today: date) -> list[FeedDay]:
    news = func.sum(sa.case((col(Announcement.kind).in_(("new", "cross")), 1), else_=0))
    query = (
        sa.select(col(Feed.title), col(Feed.url), col(Announcement.day), func.count(), news)
        .join(Feed, col(Feed.id) == col(Announcement.feed_id))
        .where(col(Announcement.day) > today - DAYS * DAY)
        .group_by(col(Feed.id), col(Feed.title), col(Feed.url), col(Announcement.day))
        .order_by(col(Announcement.day).desc(), col(Feed.id))
    )
    rows: Sequence[Any] = session.execute(query).all()
    return [FeedDay(title or url, day, new, every - new) for title, url, day, every, new in rows]
