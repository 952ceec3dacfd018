"""The last four weeks, day by day, for the page of `digest stats --html`: votes, picks that were
liked and where they stood, deliveries and what came back, by source and by topic."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import func
from sqlmodel import Session, col, select

from digest.models import (
    Announcement,
    Bounce,
    Digest,
    Feed,
    Feedback,
    OutboxMessage,
    Pick,
    Subscriber,
)
from digest.quiet import named
from digest.schedule import DAY

if TYPE_CHECKING:
    from digest.app import App

DAYS = 28
MOST_TOPICS = 15
# A paper may be announced this long before a digest has it.
BEFORE = 8

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Day:
    """A day in UTC: the digests made on it with their picks, and what was said of these later.
    `ranks` and `up_ranks` are sums of positions, of all picks and of the liked ones; `waiting`
    are mails that are neither sent nor given up."""

    day: date
    digests: int = 0
    picks: int = 0
    up: int = 0
    down: int = 0
    ranks: int = 0
    up_ranks: int = 0
    sent: int = 0
    failed: int = 0
    waiting: int = 0
    bounces: Mapping[str, int] | None = None

    def came_back(self, kind: str) -> int:
        return (self.bounces or {}).get(kind, 0)


@dataclass(frozen=True, slots=True)
class Share:
    """The picks of a source or topic, and what was said of them; `papers` that a source announced
    as new or cross-listed."""

    name: str
    picks: int
    up: int
    down: int
    papers: int = 0

    @property
    def liked(self) -> float:
        return self.up / self.picks if self.picks else 0.0


@dataclass(frozen=True, slots=True)
class Weeks:
    """`days` are the last 28, the oldest first; `topics` the 15 with most picks, of
    `all_topics`."""

    at: datetime
    readers: int
    days: tuple[Day, ...]
    sources: tuple[Share, ...]
    topics: tuple[Share, ...]
    all_topics: int


def weeks(app: "App") -> Weeks:
    """The figures up to now."""
    now = app.now()
    first = now.date() - (DAYS - 1) * DAY
    since = datetime.combine(first, datetime.min.time(), UTC)
    with app.db.read() as session:
        topics = _topics(session, since)
        return Weeks(
            at=now,
            readers=_readers(session),
            days=_days(session, first, since),
            sources=_sources(session, first, since),
            topics=tuple(topics[:MOST_TOPICS]),
            all_topics=len(topics),
        )


def _readers(session: Session) -> int:
    active = sa.select(func.count()).where(col(Subscriber.status) == "active")
    count: int = session.execute(active).scalar_one()
    return count


def _days(session: Session, first: date, since: datetime) -> tuple[Day, ...]:
    rows: dict[date, dict[str, Any]] = defaultdict(dict)
    for found in (_digests(session, since), _picked(session, since), _mailed(session, since)):
        for day, values in found.items():
            rows[day] |= values
    for day, kinds in _bounced(session, since).items():
        rows[day]["bounces"] = kinds
    return tuple(Day(day, **rows[day]) for day in (first + n * DAY for n in range(DAYS)))


def _day(moment: Any) -> Any:
    """The number of the day in UTC, counted from 1970."""
    return sa.type_coerce(moment, sa.BigInteger) // sa.literal(_DAY_MS, sa.BigInteger)


def _date(number: int) -> date:
    return date(1970, 1, 1) + number * DAY


def _said(vote: int) -> Any:
    return func.coalesce(func.sum(sa.case((col(Feedback.vote) == vote, 1), else_=0)), 0)


def _with_votes(*columns: Any, since: datetime) -> "sa.Select[Any]":
    """Picks of the digests made since then, each with its reader's last word on the paper."""
    voted = sa.and_(
        col(Feedback.subscriber_id) == col(Pick.subscriber_id),
        col(Feedback.paper_id) == col(Pick.paper_id),
    )
    return (
        sa.select(*columns)
        .select_from(Digest)
        .join(Pick, col(Pick.digest_id) == col(Digest.id))
        .outerjoin(Feedback, voted)
        .where(col(Digest.created_at) >= since)
    )


def _digests(session: Session, since: datetime) -> dict[date, dict[str, int]]:
    day = _day(col(Digest.created_at)).label("on_day")
    query = sa.select(day, func.count()).where(col(Digest.created_at) >= since)
    return {_date(n): {"digests": count} for n, count in session.execute(query.group_by("on_day"))}


def _picked(session: Session, since: datetime) -> dict[date, dict[str, int]]:
    day = _day(col(Digest.created_at)).label("on_day")
    liked = sa.case((col(Feedback.vote) == 1, col(Pick.position)), else_=0)
    sums = (func.count(), _said(1), _said(-1), func.sum(col(Pick.position)), func.sum(liked))
    names = ("picks", "up", "down", "ranks", "up_ranks")
    rows = session.execute(_with_votes(day, *sums, since=since).group_by("on_day"))
    return {_date(n): dict(zip(names, map(int, values), strict=True)) for n, *values in rows}


def _mailed(session: Session, since: datetime) -> dict[date, dict[str, int]]:
    day = _day(func.coalesce(col(OutboxMessage.sent_at), col(Digest.created_at))).label("on_day")
    query = (
        sa.select(day, col(OutboxMessage.status), func.count())
        .join(Digest, col(Digest.id) == col(OutboxMessage.digest_id))
        .where(col(Digest.created_at) >= since, col(OutboxMessage.status) != "cancelled")
    )
    found: dict[date, dict[str, int]] = defaultdict(lambda: {"sent": 0, "failed": 0, "waiting": 0})
    for number, status, count in session.execute(query.group_by("on_day", OutboxMessage.status)):
        found[_date(number)][status if status in ("sent", "failed") else "waiting"] += count
    return found


def _bounced(session: Session, since: datetime) -> dict[date, dict[str, int]]:
    day = _day(col(Bounce.at)).label("on_day")
    query = sa.select(day, col(Bounce.kind), func.count()).where(col(Bounce.at) >= since)
    found: dict[date, dict[str, int]] = defaultdict(dict)
    for number, kind, count in session.execute(query.group_by("on_day", Bounce.kind)):
        found[_date(number)][kind] = count
    return found


def _sources(session: Session, first: date, since: datetime) -> tuple[Share, ...]:
    """A paper that several sources announced counts for each of them."""
    announced = (
        sa.select(
            col(Announcement.paper_id).label("paper"), col(Announcement.feed_id).label("feed")
        )
        .where(
            col(Announcement.day) >= first - BEFORE * DAY,
            col(Announcement.kind).in_(("new", "cross")),
        )
        .distinct()
        .subquery()
    )
    query = _with_votes(announced.c.feed, func.count(), _said(1), _said(-1), since=since).join(
        announced, announced.c.paper == col(Pick.paper_id)
    )
    rows = session.execute(query.group_by(announced.c.feed))
    said = {feed: (picks, up, down) for feed, picks, up, down in rows}
    papers = _announced(session, first)
    names = {feed.id: named([feed]) for feed in session.exec(select(Feed))}
    shares = []
    for feed in {**dict.fromkeys(names), **said, **papers}:
        picks, up, down = said.get(feed, (0, 0, 0))
        name = names.get(feed, "feeds removed since")
        shares.append(Share(name, picks, up, down, papers.get(feed, 0)))
    return tuple(sorted(shares, key=lambda share: (-share.picks, -share.papers, share.name)))


def _announced(session: Session, first: date) -> dict[int | None, int]:
    query = (
        sa.select(col(Announcement.feed_id), func.count(sa.distinct(col(Announcement.paper_id))))
        .where(col(Announcement.day) >= first, col(Announcement.kind).in_(("new", "cross")))
        .group_by(col(Announcement.feed_id))
    )
    return {feed: count for feed, count in session.execute(query)}  # noqa: C416


def _topics(session: Session, since: datetime) -> list[Share]:
    """Those of the readers, in their words; what none of them spoke for has no place here."""
    query = _with_votes(col(Pick.topic), func.count(), _said(1), _said(-1), since=since)
    rows = session.execute(query.where(col(Pick.topic).is_not(None)).group_by(col(Pick.topic)))
    return sorted((Share(*row) for row in rows), key=lambda share: (-share.picks, share.name))
