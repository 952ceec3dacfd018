"""What monitoring asks for, often: each figure is read by an index, none by all rows of a table
that grows with readers or papers."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col, select

from digest.failing import Failing, failing
from digest.feeds import batches
from digest.models import (
    Alert,
    Announcement,
    Bounce,
    Digest,
    Feed,
    Feedback,
    OutboxMessage,
    PassedOver,
    Subscriber,
    Suppression,
)
from digest.outcomes import OUTCOMES
from digest.quiet import named
from digest.schedule import DAY

if TYPE_CHECKING:
    from digest.app import App

OPEN = ("queued", "sending", "deferred")
# What is counted stands there with 0, too, so that a rule on it has something to compare.
OUTBOX = dict.fromkeys(OPEN, 0)
STATUSES = dict.fromkeys(("pending", "active", "paused", "removed"), 0)
BOUNCES = dict.fromkeys(("hard", "soft", "policy", "complaint"), 0)
REASONS = dict.fromkeys(("bounce", "complaint", "operator", "erased"), 0)
VOTES = {1: "up", -1: "down", 0: "none"}


@dataclass(frozen=True, slots=True)
class FeedFigures:
    """`announced` counts the announcements of the last seven listing days, by kind."""

    id: int
    name: str
    checked_at: datetime | None
    changed_at: datetime | None
    failures: int
    outcome: str
    announced: dict[str, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """`mails` by kind and status, `in_doubt`, `bounces` and `votes` are of the last 24 hours,
    `passed_over` (by outcome) is of the day in UTC, `batches` (by verdict) of thirty days.
    `outbox` counts what is on its way; the two `late…` say by how many seconds the reader and the
    mail are late that have waited longest for their hour."""

    feeds: list[FeedFigures]
    batches: dict[str, int]
    papers_missing: int
    subscribers: dict[str, int]
    late_reader: int
    outbox: dict[str, int]
    late_mail: int
    mails: dict[tuple[str, str], int]
    in_doubt: int
    passed_over: dict[str, int]
    bounces: dict[str, int]
    suppressions: dict[str, int]
    votes: dict[str, int]
    alerts: list[Alert]
    failing: list[Failing]
    last_ingest: datetime | None
    last_delivery: datetime | None


def figures(app: "App") -> Figures:
    """The figures as of now."""
    now, of_batches = app.now(), batches.figures(app)
    with app.db.read() as session:
        mails, in_doubt = _mails(session, now)
        return Figures(
            feeds=_feeds(session, now),
            papers_missing=of_batches.pop("papers_missing"),
            batches=of_batches,
            subscribers=STATUSES | _by(session, col(Subscriber.status)),
            late_reader=_seconds(_due_reader(session), now),
            outbox=OUTBOX
            | _by(session, col(OutboxMessage.status), col(OutboxMessage.status).in_(OPEN)),
            late_mail=_seconds(_due_mail(session), now),
            mails=mails,
            in_doubt=in_doubt,
            passed_over=dict.fromkeys(OUTCOMES, 0)
            | _by(session, col(PassedOver.outcome), col(PassedOver.day) == now.date()),
            bounces=BOUNCES | _by(session, col(Bounce.kind), col(Bounce.at) > now - DAY),
            suppressions=REASONS | _by(session, col(Suppression.reason)),
            votes=_votes(session, now),
            alerts=list(session.exec(select(Alert).order_by(col(Alert.since)))),
            failing=failing(session, now),
            last_ingest=last_ingest(session),
            last_delivery=last_delivery(session),
        )


def last_ingest(session: Session) -> datetime | None:
    """When a feed was asked last."""
    return session.exec(select(func.max(Feed.checked_at))).one()


def last_delivery(session: Session) -> datetime | None:
    """When the newest digest went out."""
    return session.exec(
        select(OutboxMessage.sent_at)
        # Hidden from the index on the status, which would have all that were ever sent sorted.
        .where(OutboxMessage.kind == "digest", func.coalesce(OutboxMessage.status, "") == "sent")
        .order_by(col(OutboxMessage.id).desc())
        .limit(1)
    ).first()


def _by(session: Session, column: Any, *conditions: Any) -> dict[str, int]:
    counted = sa.select(column, func.count()).where(*conditions).group_by(column).order_by(column)
    return {str(row[0]): row[1] for row in session.execute(counted)}


def _feeds(session: Session, now: datetime) -> list[FeedFigures]:
    lately = (
        sa.select(col(Announcement.feed_id), col(Announcement.kind), func.count())
        .where(col(Announcement.day) > now.date() - 7 * DAY)
        .group_by(col(Announcement.feed_id), col(Announcement.kind))
    )
    announced: dict[int | None, dict[str, int]] = {}
    for feed_id, kind, count in session.execute(lately):
        announced.setdefault(feed_id, {})[kind] = count
    return [
        FeedFigures(
            id=feed.id or 0,
            name=named([feed]),
            checked_at=feed.checked_at,
            changed_at=feed.changed_at,
            failures=feed.failures,
            outcome=feed.outcome,
            announced=announced.get(feed.id, {}),
        )
        for feed in session.exec(select(Feed).order_by(col(Feed.id)))
    ]


def _due_reader(session: Session) -> datetime | None:
    first = (
        select(Subscriber.next_digest_at)
        .where(col(Subscriber.next_digest_at).is_not(None), Subscriber.status == "active")
        .order_by(col(Subscriber.next_digest_at))
    )
    return session.exec(first.limit(1)).first()


def _due_mail(session: Session) -> datetime | None:
    waiting = select(func.min(OutboxMessage.due_at)).where(col(OutboxMessage.status).in_(OPEN))
    return session.exec(waiting).one()


def _seconds(due: datetime | None, now: datetime) -> int:
    return max(0, round((now - due).total_seconds())) if due else 0


def _mails(session: Session, now: datetime) -> tuple[dict[tuple[str, str], int], int]:
    """Those made since a day ago: a message's id is the higher the later it was made, and the
    index on digests' moments tells where to begin."""
    made = col(OutboxMessage.created_at) > now - DAY
    digests = select(Digest.id).where(Digest.created_at > now - DAY)
    oldest = digests.order_by(col(Digest.created_at), col(Digest.id)).limit(1)
    first = select(OutboxMessage.id).where(OutboxMessage.digest_id == oldest.scalar_subquery())
    beginning = session.exec(first).first()
    parts: list[ColumnElement[bool]] = [col(OutboxMessage.digest_id).is_(None)]
    if beginning is not None:
        digest = col(OutboxMessage.digest_id).is_not(None)
        parts.append((col(OutboxMessage.id) >= beginning) & digest)
    key = (col(OutboxMessage.kind), col(OutboxMessage.status), col(OutboxMessage.in_doubt))
    counts: dict[tuple[str, str], int] = {}
    in_doubt = 0
    for part in parts:
        found = session.execute(sa.select(*key, func.count()).where(part, made).group_by(*key))
        for kind, status, doubted, count in found:
            counts[kind, status] = counts.get((kind, status), 0) + count
            in_doubt += count if doubted else 0
    return counts, in_doubt


def _votes(session: Session, now: datetime) -> dict[str, int]:
    lately = (
        sa.select(col(Feedback.vote), func.count())
        .where(col(Feedback.voted_at) > now - DAY)
        .group_by(col(Feedback.vote))
    )
    found = {vote: count for vote, count in session.execute(lately)}  # noqa: C416
    return {name: found.get(vote, 0) for vote, name in VOTES.items()}
