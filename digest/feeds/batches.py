"""Batches as rows: what each look showed, which days lack one, and what is still open."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlmodel import Session, col, delete, func, select

from digest.app import App
from digest.db import insert_new
from digest.feeds import calendar
from digest.feeds.fetch import Fetched, shown
from digest.feeds.judge import SUSPECT, Judgement, Seen, is_in, judged, repeats, seen_in
from digest.feeds.routes import arxiv_categories
from digest.models import Announcement, Batch, Feed, Paper, RawBatch
from digest.papers import Listing

HISTORY = 30  # batches that a new one is compared with
ENOUGH_LOOKS = 2  # at a suspect batch, before another way is tried
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=10), timedelta(days=1)
FILLABLE = ("arxiv", "huggingface", "biorxiv")  # sources whose past can be asked for
SHOWN_FOR = timedelta(days=30)
# How long a daily list is asked for again, since its papers still gain votes.
VOTED_FOR = 3
DAY = timedelta(days=1)
# What lies further back is filled at an operator's word; a feed's wrong date is no gap of years.
LONGEST_GAP = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a feed showed of one category. `repeated`: an earlier day's items under a
    later date, which must not be announced again."""

    category: str
    judgements: tuple[Judgement, ...]
    repeated: bool = False


def categories(feed: Feed) -> tuple[str, ...]:
    return arxiv_categories(feed.url) if feed.kind == "arxiv" else ("",)


def fillable(feed: Feed, category: str) -> bool:
    """Whether there is another way to a feed's batches than the feed."""
    return feed.kind in FILLABLE and (feed.kind != "arxiv" or category != "")


def today(feed: Feed, now: datetime) -> date:
    """The listing day of a feed's source at a moment: US Eastern for arXiv, UTC for all else."""
    return calendar.listing_day(now) if feed.kind == "arxiv" else now.date()


def look(session: Session, feed: Feed, listing: Listing | None, now: datetime) -> list[Look]:
    """Judges what a fetch brought; without `listing`, that all is as it was."""
    day = today(feed, now)
    looks = []
    for category in categories(feed):
        past = [_seen(batch) for batch in _past(session, feed, category)]
        last = next((batch for batch in past if batch.mark), Seen(None))
        seen = seen_in(listing, category) if listing else last
        due = feed.kind == "arxiv" and bool(category) and calendar.expected(day, now)
        sisters = [_seen(batch) for batch in _sisters(session, feed, category, day)]
        found = judged(seen, day, due, past, sisters)
        looks.append(Look(category, tuple(found), repeats(seen, past)))
    return looks


def _past(session: Session, feed: Feed, category: str) -> Sequence[Batch]:
    query = select(Batch).where(Batch.feed_id == feed.id, Batch.category == category)
    return session.exec(query.order_by(col(Batch.day).desc()).limit(HISTORY)).all()


def _sisters(session: Session, feed: Feed, category: str, day: date) -> Sequence[Batch]:
    """The batches that other categories of the source, in whatever feed, have of the day."""
    query = select(Batch).join(Feed).where(Feed.kind == feed.kind, Batch.day == day)
    query = query.where(Batch.category != "", Batch.category != category)
    return session.exec(query).all() if feed.kind == "arxiv" else []


def _seen(batch: Batch) -> Seen:
    return Seen(batch.day, batch.counts, batch.highest, batch.mark, batch.verdict)


def record(session: Session, feed: Feed, url: str, looks: Sequence[Look], now: datetime) -> bool:
    """Writes the verdicts of a look down; says whether today's batch is still in doubt."""
    _note_gaps(session, feed, now)
    doubt = False
    for one in looks:
        for judgement in one.judgements:
            row = _row(session, feed, one.category, judgement.day)
            if row is None and judgement.verdict != "unchanged":
                row = _first(feed, one.category, judgement, url, now)
                session.add(row)
            elif row is not None:
                _again(row, judgement, url, now, fillable=fillable(feed, one.category))
            fresh = row is not None and row.looks <= ENOUGH_LOOKS
            doubt |= (
                fresh and row is not None and row.verdict in SUSPECT and _is_now(feed, row, now)
            )
    return doubt


def _is_now(feed: Feed, row: Batch, now: datetime) -> bool:
    return row.day == today(feed, now)


def _row(session: Session, feed: Feed, category: str, day: date) -> Batch | None:
    query = select(Batch).where(Batch.feed_id == feed.id, Batch.category == category)
    return session.exec(query.where(Batch.day == day)).first()


def _first(feed: Feed, category: str, judgement: Judgement, url: str, now: datetime) -> Batch:
    seen = judgement.seen
    return Batch(
        feed_id=feed.id or 0,
        category=category,
        day=judgement.day,
        verdict=judgement.verdict,
        counts=dict(seen.counts),
        highest=seen.highest,
        mark=seen.mark,
        url=shown(url),
        fetched_at=now,
    )


def _again(row: Batch, judgement: Judgement, url: str, now: datetime, *, fillable: bool) -> None:
    """Another look at a batch that is known: more than before counts, less does not; and what
    another way has settled, an empty feed does not reopen."""
    seen, before = judgement.seen, sum(row.counts.values())
    if judgement.verdict == "unchanged":
        if row.verdict != "partial":
            return
    elif seen.total > before or (seen.total and row.verdict in SUSPECT - {"partial"}):
        row.verdict, row.route, row.missing, row.fill_at = judgement.verdict, "feed", 0, None
        row.counts, row.highest, row.mark = dict(seen.counts), seen.highest, seen.mark
        row.url, row.fetched_at = shown(url), now
    elif row.verdict == "empty-expected" and row.route == "feed" and not seen.total:
        row.verdict = judgement.verdict
    if row.verdict in SUSPECT and fillable:
        row.looks += 1
        if row.looks >= ENOUGH_LOOKS and row.fill_at is None:
            row.fill_at = now


def _note_gaps(session: Session, feed: Feed, now: datetime) -> None:
    """Rows for the days since the last batch on which nobody looked, to be filled at once; and
    the last days' lists of votes, to be asked for again."""
    for category in categories(feed):
        if not fillable(feed, category):
            return
        last = next(iter(_past(session, feed, category)), None)
        if last is not None:
            day = today(feed, now)
            first = max(last.day + DAY, day - LONGEST_GAP)
            ensure(session, feed, category, first, day - DAY, now)
    if feed.kind == "huggingface":
        for batch in _past(session, feed, ""):
            age = (now.date() - batch.day).days
            if 0 < age <= VOTED_FOR and batch.fetched_at.date() < now.date() and not batch.fill_at:
                batch.fill_at = now


def ensure(
    session: Session, feed: Feed, category: str, first: date, last: date, now: datetime
) -> None:
    """Sees that every day from `first` to `last` that can have a batch has a row."""
    if feed.kind == "arxiv":
        days = list(calendar.weekdays(first, last))
    else:
        days = [first + n * DAY for n in range((last - first).days + 1)]
    values = {"feed_id": feed.id, "category": category, "verdict": "missing", "looks": 0}
    empty = {"counts": {}, "highest": "", "mark": "", "missing": 0, "route": "feed", "url": ""}
    rows = [values | empty | {"day": day, "fetched_at": now, "fill_at": now} for day in days]
    if rows:
        insert_new(session, Batch, rows)


def note_possible_gap(session: Session, feed: Feed, day: date, now: datetime) -> None:
    """For a feed that shows its newest entries alone: none of them was known, so that others may
    have come and gone since the last look."""
    row = _row(session, feed, "", day)
    if row is not None and row.verdict not in SUSPECT:
        row.verdict = "partial"
        row.fill_at = now if feed.kind in FILLABLE else None


def settle(
    row: Batch, verdict: str, counts: dict[str, int], route: str, url: str, now: datetime
) -> None:
    """What another way than the feed found out about a batch."""
    row.verdict, row.counts, row.route, row.url = verdict, counts, route, shown(url)
    row.fetched_at, row.fill_at = now, None
    row.missing = 0


def put_off(row: Batch, now: datetime, retry_after: float | None = None) -> None:
    """Tries another way again later: ever more rarely, as long as the server asks (seconds), but
    at least once a day."""
    row.looks += 1
    doubled = FIRST_WAIT * (1 << min(row.looks, 10))
    asked = timedelta(seconds=min(retry_after or 0.0, LONGEST_WAIT.total_seconds()))
    row.fill_at = now + min(max(doubled, asked), LONGEST_WAIT)


def counted(session: Session, feed: Feed, category: str, day: date) -> dict[str, int]:
    """How many papers the feed has announced in a category on a day, by kind, in any way."""
    query = select(Announcement.kind, Paper.categories).join(Paper)
    query = query.where(Announcement.feed_id == feed.id, Announcement.day == day)
    found = Counter(kind for kind, codes in session.exec(query) if is_in(codes, category))
    return dict(sorted(found.items()))


# Raw bodies


def keep_raw(
    session: Session, feed: Feed, fetched: Fetched, listing: Listing, now: datetime
) -> None:
    """Keeps the body of a listing, compressed, unless these very contents are kept already."""
    mark = seen_in(listing, "").mark
    if not mark:
        return
    row = {
        "feed_id": feed.id,
        "mark": mark,
        "day": listing.day or today(feed, now),
        "url": shown(fetched.url),
        "content_type": fetched.content_type,
        "fetched_at": now,
        "body": zlib.compress(fetched.body, 6),
    }
    insert_new(session, RawBatch, [row])


def forget_raw(app: App) -> int:
    """Deletes the bodies that have been kept for long enough; gives their number."""
    before = app.now() - timedelta(days=app.settings.feeds.keep_raw_days)
    with app.db.write() as session:
        gone = session.exec(delete(RawBatch).where(col(RawBatch.fetched_at) < before))
    return int(gone.rowcount)


# For those who report


def open_batches(app: App) -> list[Batch]:
    """The batches of late that are suspect or lack something, the newest day first."""
    since = app.now().date() - SHOWN_FOR
    with app.db.read() as session:
        query = select(Batch).where(col(Batch.verdict).in_(SUSPECT), Batch.day >= since)
        return list(session.exec(query.order_by(col(Batch.day).desc(), col(Batch.category))))


def told(batch: Batch) -> str:
    """What is the matter with a suspect batch, as a sentence."""
    doubts = {
        "empty-suspect": "is empty although a batch was due",
        "stale-suspect": "did not come: the feed still showed an earlier day",
        "partial": "may lack papers",
        "missing": "was never seen",
    }
    name = f"{batch.category} of {batch.day}" if batch.category else f"{batch.day}"
    lacking = f"; {batch.missing} papers are known to lack" if batch.missing else ""
    return f"The batch {name} (feed {batch.feed_id}) {doubts[batch.verdict]}{lacking}."


def figures(app: App) -> dict[str, int]:
    """For metrics: the batches of late by verdict, and under `papers_missing` how many papers
    are known to lack."""
    since = app.now().date() - SHOWN_FOR
    with app.db.read() as session:
        query = select(Batch.verdict, func.count()).where(Batch.day >= since)
        found = {verdict: int(n) for verdict, n in session.exec(query.group_by(Batch.verdict))}
        lacking = session.exec(select(func.sum(Batch.missing)).where(Batch.day >= since)).one()
    return dict(sorted(found.items())) | {"papers_missing": int(lacking or 0)}
