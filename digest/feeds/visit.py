"""One visit to one feed: fetched, judged, stored, and its next look planned."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zlib import crc32

import structlog
from sqlmodel import Session, select

from digest.app import App
from digest.errors import FeedError
from digest.feeds import batches
from digest.feeds.fetch import Fetched, Fetcher, shown
from digest.feeds.leases import settle
from digest.feeds.parse import parse
from digest.feeds.routes import following, has_an_end, plain_address
from digest.feeds.store import Tally, store
from digest.feeds.turns import fetcher
from digest.models import Feed
from digest.papers import Listing, Rejected

LONGEST_WAIT = timedelta(days=1)
# A batch may be late: however long a server's caches hold, we look again after this.
LONGEST_TRUST = timedelta(hours=6)
# A batch in doubt is looked at again after this, twice, before another way is tried.
DOUBTFUL = timedelta(minutes=10)
# So that not all installations ask at the moment that a server named to all of them.
SPREAD = timedelta(minutes=5)
MOST_PAGES = 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """What a pass did with one source; `outcome` tells it in a sentence."""

    source: str
    seen: int = 0
    new: int = 0
    updated: int = 0
    rejected: int = 0
    rejections: tuple[Rejected, ...] = ()
    outcome: str = ""
    failed: bool = False


def visit(app: App, feed: Feed) -> Report:
    """Fetches, reads and stores one leased feed. Papers and the feed's state go in together."""
    asking = fetcher(app)
    try:
        fetched = asking.fetch(feed.url, etag=feed.etag, last_modified=feed.last_modified)
        if fetched.unchanged:
            return _unchanged(app, feed, fetched)
        listing = listing_in(fetched, feed.kind, today(app))
        rest = further_pages(app, asking, feed, fetched.url, listing)
        return _kept(app, feed, fetched, listing, rest)
    except FeedError as error:
        log.warning("feed failed", feed=feed.id, reason=str(error))
        return _failed(app, feed, str(error), error.retry_after, error.kind)
    except Exception:  # one feed's surprise must not keep the others waiting
        log.exception("feed failed", feed=feed.id)
        return _failed(app, feed, f"{shown(feed.url)} met a fault of this program (see its log)")


def further_pages(
    app: App, asking: Fetcher, feed: Feed | None, url: str, listing: Listing
) -> Tally:
    """Stores the further pages of a listing that comes in pages, one at a time."""
    tally = Tally()
    if not has_an_end(url):
        return tally
    for _ in range(MOST_PAGES):
        url = following(url, listing.next_page) if listing.next_page else ""
        if not url:
            break
        listing = listing_in(asking.fetch(url), feed.kind if feed else None, today(app))
        with app.db.write() as session:
            tally += store(session, listing, feed.id if feed else None, app.now())
    return tally


def _unchanged(app: App, feed: Feed, fetched: Fetched) -> Report:
    now = app.now()
    report = Report(feed.url, outcome="Unchanged since the last visit.")
    with app.db.write() as session:
        looks = batches.look(session, feed, None, now)
        doubtful = batches.record(session, feed, fetched.url, looks, now)
        settle(
            session,
            feed,
            etag="" if doubtful else fetched.etag or feed.etag,
            last_modified="" if doubtful else fetched.last_modified or feed.last_modified,
            failures=0,
            trouble="",
            checked_at=now,
            next_fetch_at=_next(app, feed, fetched, frozenset(), doubtful=doubtful),
            outcome=report.outcome,
        )
    return report


def _kept(app: App, feed: Feed, fetched: Fetched, listing: Listing, rest: Tally) -> Report:
    now = app.now()
    with app.db.write() as session:
        looks = batches.look(session, feed, listing, now)
        # an earlier day's items under a later date are no news
        repeated = feed.kind == "arxiv" and any(look.repeated for look in looks)
        tally = rest + (Tally() if repeated else store(session, listing, feed.id, now))
        doubtful = batches.record(session, feed, fetched.url, looks, now)
        batches.keep_raw(session, feed, fetched, listing, now)
        moved = _moved(session, fetched)
        gap = _may_lack(feed, listing, tally)
        if gap and listing.day:
            batches.note_possible_gap(session, feed, listing.day, now)
        report = report_of(feed.url, listing, tally, feed.kind, _remarks(looks, moved, gap))
        settle(
            session,
            feed,
            url=moved or feed.url,
            # what a doubtful body was validated with would only bring the same again
            etag="" if doubtful else fetched.etag,
            last_modified="" if doubtful else fetched.last_modified,
            title=listing.title or feed.title,
            failures=0,
            trouble="",
            checked_at=now,
            changed_at=now if tally.new or tally.updated else feed.changed_at,
            next_fetch_at=_next(app, feed, fetched, listing.skip_days, doubtful=doubtful),
            outcome=report.outcome,
        )
    log.info("feed read", feed=feed.id, seen=tally.seen, new=tally.new, rejected=tally.rejected)
    return report


def _moved(session: Session, fetched: Fetched) -> str:
    """Where the feed has moved for good, unless that address is a feed's already."""
    if not fetched.moved_to:
        return ""
    there = plain_address(fetched.moved_to)
    taken = any(plain_address(url) == there for url in session.exec(select(Feed.url)))
    return "" if taken else there


def _may_lack(feed: Feed, listing: Listing, tally: Tally) -> bool:
    """Whether a feed that shows its newest entries alone shows none that was known."""
    if feed.kind in ("arxiv", "huggingface") or feed.changed_at is None or listing.next_page:
        return False
    return bool(listing.entries) and tally.new == len(listing.entries)


def _remarks(looks: Sequence[batches.Look], moved: str, gap: bool) -> str:
    told = []
    doubts = {
        "empty-suspect": "is empty although a batch is due",
        "stale-suspect": "still shows an earlier day",
        "partial": "shows far fewer than usual, or as many as it can",
    }
    for look in looks:
        verdict = look.judgements[-1].verdict
        if verdict in doubts:
            told.append(f"{look.category or 'The list'} {doubts[verdict]}.")
    if gap:
        told.append("Nothing in it was known, so papers may have come and gone unseen.")
    if moved:
        told.append(f"Moved for good to {shown(moved)}.")
    return " ".join(told)


def _next(
    app: App, feed: Feed, fetched: Fetched, skip_days: frozenset[int], *, doubtful: bool
) -> datetime:
    """When to look again: soon where a batch is in doubt, else after the usual interval or what
    the server asks for, and not on its days of rest (in UTC, as RSS has it)."""
    now = app.now()
    if doubtful:
        return now + DOUBTFUL
    at = now + _interval(app, fetched.max_age)
    if fetched.max_age and at > now + _interval(app, None):
        at += _spread(feed)
    while at.weekday() in skip_days:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        at = midnight + timedelta(days=1) + _spread(feed)
    return at


def _spread(feed: Feed) -> timedelta:
    return SPREAD * (crc32(feed.url.encode()) % 1000 / 1000)


def _failed(
    app: App, feed: Feed, reason: str, retry_after: float | None = None, kind: str = ""
) -> Report:
    now = app.now()
    failures = feed.failures + 1
    wait = wait_after(failures, _interval(app, None), retry_after, feed.url)
    outcome = f"{reason}. Next try at {now + wait:%Y-%m-%d %H:%M} UTC."
    with app.db.write() as session:
        settle(
            session,
            feed,
            failures=failures,
            checked_at=now,
            next_fetch_at=now + wait,
            outcome=outcome,
            trouble=kind,
        )
    return Report(feed.url, outcome=outcome, failed=True)


def wait_after(
    failures: int, interval: timedelta, retry_after: float | None, url: str
) -> timedelta:
    """How long to wait after so many failures in a row: doubled each time, up to a quarter more
    so that feeds spread, as long as the server asks (seconds), a day at most."""
    doubled = interval * (1 << min(failures - 1, 12))
    spread = 1 + crc32(f"{url} {failures}".encode()) % 1000 / 4000
    asked = timedelta(seconds=min(retry_after or 0.0, LONGEST_WAIT.total_seconds()))
    return min(max(min(doubled, LONGEST_WAIT) * spread, asked), LONGEST_WAIT)


def _interval(app: App, max_age: int | None) -> timedelta:
    usual = timedelta(minutes=app.settings.feeds.interval_minutes)
    return max(usual, min(timedelta(seconds=max_age or 0), LONGEST_TRUST))


def listing_in(fetched: Fetched, kind: str | None, today: date) -> Listing:
    """The listing in an answer. Raises FeedError."""
    name = shown(fetched.url)
    return parse(fetched.body, url=name, content_type=fetched.content_type, kind=kind, today=today)


def today(app: App) -> date:
    """The day in UTC, later than which no listing can be."""
    return app.now().date()


def report_of(source: str, listing: Listing, tally: Tally, kind: str, remarks: str = "") -> Report:
    """What to tell of a listing that was stored; each rejected entry is logged."""
    told = f"{tally.seen} papers: {tally.new} new, {tally.updated} updated."
    outcome = (told if tally.seen else empty(kind, remarks)) + unread(listing)
    outcome = f"{outcome} {remarks}".strip()
    for rejected in listing.rejected:
        log.warning(
            "entry rejected",
            source=shown(source),
            position=rejected.position,
            label=rejected.label,
            reason=rejected.reason,
        )
    return Report(
        source, tally.seen, tally.new, tally.updated, tally.rejected, listing.rejected, outcome
    )


def empty(kind: str, remarks: str = "") -> str:
    """How to tell of a listing without papers."""
    return "Empty, as on weekends and holidays." if kind == "arxiv" and not remarks else "Empty."


def unread(listing: Listing) -> str:
    """How to tell of entries that could not be read; empty where all could."""
    if not listing.rejected:
        return ""
    first = listing.rejected[0]
    return (
        f" {len(listing.rejected)} could not be read;"
        f" the first, no. {first.position} ({first.label}): {first.reason}."
    )
