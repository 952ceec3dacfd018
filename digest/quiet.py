"""Why there was nothing new on a day: the calendar, or a source that is late, stale or failing."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Literal
from urllib.parse import urlsplit

from sqlmodel import Session, col, select

from digest.feeds import calendar
from digest.feeds.judge import SUSPECT
from digest.models import Announcement, Batch, Feed

Reason = Literal["nothing-announced", "source-late", "source-stale", "source-failing"]


def nothing_new(session: Session, now: datetime) -> tuple[Reason, str]:
    """Why nothing new was there to pick from at `now`: the outcome's name and a sentence."""
    feeds = session.exec(select(Feed).order_by(col(Feed.id))).all()
    day = calendar.listing_day(now)
    if calendar.is_quiet(day):
        what = "is on a weekend" if day.weekday() >= 5 else "is at a holiday"
        return "nothing-announced", f"Nothing was announced: {in_words(day)} {what}."
    failing = [feed for feed in feeds if feed.failures]
    if failing:
        return "source-failing", f"{named(failing)} could not be read; we keep trying."
    suspects = session.exec(
        select(Batch, Feed)
        .join(Feed, col(Feed.id) == Batch.feed_id)
        .where(Batch.day == day, col(Batch.verdict).in_(SUSPECT))
    ).all()
    stale = [feed for batch, feed in suspects if batch.verdict == "stale-suspect"]
    if stale:
        return "source-stale", f"{named(stale)} still showed an earlier day’s papers."
    late = [*late_feeds(session, day, now), *(feed for _, feed in suspects)]
    if late:
        return "source-late", f"{named(late)} had nothing of {in_words(day)} yet."
    return "nothing-announced", "Nothing was announced that you had not had."


def late_feeds(session: Session, day: date, moment: datetime) -> list[Feed]:
    """The feeds with a calendar that should have brought the listing of `day` by `moment` and have
    not; one that is known to have had nothing to bring is not late."""
    if not calendar.expected(day, moment):
        return []
    brought = select(Announcement.feed_id).where(
        Announcement.day == day, col(Announcement.feed_id).is_not(None)
    )
    settled = select(Batch.feed_id).where(Batch.day == day, col(Batch.verdict).not_in(SUSPECT))
    midnight = datetime.combine(day, time(), UTC)
    late = select(Feed).where(
        col(Feed.kind).startswith("arxiv"),
        Feed.added_at < midnight,
        col(Feed.id).not_in(brought),
        col(Feed.id).not_in(settled),
    )
    return list(session.exec(late.order_by(col(Feed.id))))


def named(feeds: Sequence[Feed]) -> str:
    """By title or host, since an address may hold a reader's key."""
    names = dict.fromkeys(feed.title or urlsplit(feed.url).hostname or "a feed" for feed in feeds)
    first, *more = names
    return f"{first} and {len(more)} more" if more else first


def in_words(day: date) -> str:
    return f"{day:%A}, {day.day} {day:%B}"
