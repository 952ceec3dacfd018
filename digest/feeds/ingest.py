"""The passes over the sources: what is due, or what a person names; and the list of feeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zlib import crc32

import structlog
from sqlmodel import Session, col, or_, select, update

from digest.app import App
from digest.errors import FeedError, InputError, NotFound
from digest.feeds.fetch import Fetched, Fetcher, read_file, shown
from digest.feeds.parse import KINDS, detect_kind, parse
from digest.feeds.store import Tally, store
from digest.models import Feed
from digest.papers import Listing, Rejected, normal_url

LEASE = timedelta(minutes=15)  # longer than a fetch can take with all its redirects
LONGEST_WAIT = timedelta(days=1)
# A batch may be late: however long a server's caches hold, we look again after this.
LONGEST_TRUST = timedelta(hours=6)

# Called before each source and once at the end: how many are done, of how many, and which is next.
Progress = Callable[[int, int, str], None]

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


# Passes


def ingest_due(app: App, progress: Progress | None = None) -> list[Report]:
    """Fetches the feeds that are due and stores what they hold. A failing feed is tried again
    later, ever more rarely but at least once a day, and never given up."""
    with app.db.read() as session:
        now = app.now()
        free = or_(col(Feed.leased_until).is_(None), col(Feed.leased_until) <= now)
        due = select(Feed).where(Feed.next_fetch_at <= now, free).order_by(col(Feed.next_fetch_at))
        feeds = list(session.exec(due))
    reports = []
    for done, feed in enumerate(feeds):
        _tell(progress, done, len(feeds), feed.url)
        if leased := _lease(app, feed, only_due=True):
            reports.append(_visit(app, leased))
    _tell(progress, len(feeds), len(feeds), "")
    return reports


def ingest_sources(
    app: App, sources: Sequence[str], progress: Progress | None = None
) -> list[Report]:
    """Stores what the named files and web addresses hold, now. An address that is one of our
    feeds is visited as such."""
    reports = []
    for done, source in enumerate(sources):
        _tell(progress, done, len(sources), source)
        reports.append(_ingest_named(app, source))
    _tell(progress, len(sources), len(sources), "")
    return reports


def check_feeds(app: App, progress: Progress | None = None) -> list[Report]:
    """Fetches and reads every feed without storing anything."""
    feeds = list_feeds(app)
    reports = []
    for done, feed in enumerate(feeds):
        _tell(progress, done, len(feeds), feed.url)
        try:
            listing = _listing(_fetcher(app).fetch(feed.url), feed.kind, _today(app))
        except FeedError as error:
            reports.append(Report(feed.url, outcome=f"{error}.", failed=True))
        else:
            reports.append(_checked(feed, listing))
    _tell(progress, len(feeds), len(feeds), "")
    return reports


def _checked(feed: Feed, listing: Listing) -> Report:
    rejected = len(listing.rejected)
    seen = len(listing.entries) + rejected
    of_day = f" of {listing.day}" if listing.day else ""
    outcome = f"{seen} papers{of_day}." if seen else _empty(feed.kind)
    return Report(
        feed.url,
        seen=seen,
        rejected=rejected,
        rejections=listing.rejected,
        outcome=outcome + _unread(listing),
    )


def _ingest_named(app: App, source: str) -> Report:
    web = source.lower().startswith(("http://", "https://"))
    feed = _feed_at(app, source) if web else None
    if feed is not None:
        leased = _lease(app, feed, only_due=False)
        busy = "Another process is fetching it right now."
        return _visit(app, leased) if leased else Report(source, outcome=busy, failed=True)
    try:
        fetched = (
            _fetcher(app).fetch(source)
            if web
            else read_file(source, _most_bytes(app.settings.feeds.max_megabytes))
        )
        listing = _listing(fetched, detect_kind(source) if web else None, _today(app))
    except FeedError as error:
        log.warning("source failed", source=shown(source), reason=str(error))
        return Report(source, outcome=f"{error}.", failed=True)
    with app.db.write() as session:
        # a file shows the votes as they stood on its day
        tally = store(session, listing, None, app.now(), votes_day=None if web else listing.day)
    return _report(source, listing, tally, "")


# One feed


def _visit(app: App, feed: Feed) -> Report:
    """Fetches, reads and stores one leased feed. Papers and the feed's state go in together."""
    try:
        fetched = _fetcher(app).fetch(feed.url, etag=feed.etag, last_modified=feed.last_modified)
        listing = None if fetched.unchanged else _listing(fetched, feed.kind, _today(app))
        return _kept(app, feed, fetched, listing)
    except FeedError as error:
        log.warning("feed failed", feed=feed.id, reason=str(error))
        return _failed(app, feed, str(error), error.retry_after)
    except Exception:  # one feed's surprise must not keep the others waiting
        log.exception("feed failed", feed=feed.id)
        return _failed(app, feed, f"{shown(feed.url)} met a fault of this program (see its log)")


def _kept(app: App, feed: Feed, fetched: Fetched, listing: Listing | None) -> Report:
    now = app.now()
    next_fetch_at = now + _interval(app, fetched.max_age)
    with app.db.write() as session:
        tally = store(session, listing, feed.id, now) if listing else Tally()
        report = (
            _report(feed.url, listing, tally, feed.kind)
            if listing
            else Report(feed.url, outcome="Unchanged since the last visit.")
        )
        _settle(
            session,
            feed,
            etag=fetched.etag or (feed.etag if fetched.unchanged else ""),
            last_modified=fetched.last_modified or (feed.last_modified * fetched.unchanged),
            title=listing.title if listing and listing.title else feed.title,
            failures=0,
            checked_at=now,
            changed_at=now if tally.new or tally.updated else feed.changed_at,
            next_fetch_at=next_fetch_at,
            outcome=report.outcome,
        )
    log.info("feed read", feed=feed.id, seen=tally.seen, new=tally.new, rejected=tally.rejected)
    return report


def _failed(app: App, feed: Feed, reason: str, retry_after: float | None = None) -> Report:
    now = app.now()
    failures = feed.failures + 1
    wait = wait_after(failures, _interval(app, None), retry_after, feed.url)
    outcome = f"{reason}. Next try at {now + wait:%Y-%m-%d %H:%M} UTC."
    with app.db.write() as session:
        _settle(
            session,
            feed,
            failures=failures,
            checked_at=now,
            next_fetch_at=now + wait,
            outcome=outcome,
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


def _lease(app: App, feed: Feed, *, only_due: bool) -> Feed | None:
    """The feed, ours until its lease ends; None where another process has it."""
    now = app.now()
    until = now + LEASE
    free = or_(col(Feed.leased_until).is_(None), col(Feed.leased_until) <= now)
    claim = update(Feed).where(col(Feed.id) == feed.id, free).values(leased_until=until)
    if only_due:
        claim = claim.where(col(Feed.next_fetch_at) <= now)
    with app.db.write() as session:
        if session.exec(claim).rowcount != 1:
            return None
        leased: Feed = session.exec(select(Feed).where(Feed.id == feed.id)).one()
    return leased


def _settle(session: Session, feed: Feed, **values: object) -> None:
    """Writes what became of a visit and ends the lease, unless another has taken the feed over."""
    ours = (col(Feed.id) == feed.id, col(Feed.leased_until) == feed.leased_until)
    session.exec(update(Feed).where(*ours).values(leased_until=None, **values))


def _fetcher(app: App) -> Fetcher:
    feeds = app.settings.feeds
    return Fetcher(feeds.contact, feeds.timeout, _most_bytes(feeds.max_megabytes), now=app.now)


def _most_bytes(megabytes: float) -> int:
    return int(megabytes * 1_000_000)


def _listing(fetched: Fetched, kind: str | None, today: date) -> Listing:
    name = shown(fetched.url)
    return parse(fetched.body, url=name, content_type=fetched.content_type, kind=kind, today=today)


def _today(app: App) -> date:
    return app.now().date()


def _report(source: str, listing: Listing, tally: Tally, kind: str) -> Report:
    told = f"{tally.seen} papers: {tally.new} new, {tally.updated} updated."
    outcome = (told if tally.seen else _empty(kind)) + _unread(listing)
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


def _empty(kind: str) -> str:
    return "Empty, as on weekends and holidays." if kind == "arxiv" else "Empty."


def _unread(listing: Listing) -> str:
    if not listing.rejected:
        return ""
    first = listing.rejected[0]
    return (
        f" {len(listing.rejected)} could not be read;"
        f" the first, no. {first.position} ({first.label}): {first.reason}."
    )


def _tell(progress: Progress | None, done: int, of: int, source: str) -> None:
    if progress is not None:
        progress(done, of, source)


# The list of feeds


def add_feed(app: App, url: str, kind: str | None = None) -> Feed:
    """Adds a feed, due at once. Raises InputError for what is no web address, for an unknown
    kind, and where the feed is there already."""
    url = url.strip()
    if normal_url(url) is None:
        raise InputError(f"{shown(url)!r} is not a web address; `digest ingest` takes files")
    if kind is not None and kind not in KINDS:
        raise InputError(f"{kind!r} is no kind of feed; expected one of {', '.join(KINDS)}")
    if there := _feed_at(app, url):
        raise InputError(f"{shown(url)} is there already, as feed {there.id}")
    feed = Feed(url=url, kind=kind or detect_kind(url), next_fetch_at=app.now(), added_at=app.now())
    with app.db.write() as session:
        session.add(feed)
    return feed


def list_feeds(app: App) -> list[Feed]:
    with app.db.read() as session:
        return list(session.exec(select(Feed).order_by(col(Feed.id))))


def remove_feed(app: App, feed_id: int) -> Feed:
    """Removes the feed; its papers stay. Raises NotFound."""
    with app.db.write() as session:
        feed = session.get(Feed, feed_id)
        if feed is None:
            raise NotFound(f"there is no feed {feed_id}; `digest feeds list` shows them all")
        session.delete(feed)
    return feed


def _feed_at(app: App, url: str) -> Feed | None:
    with app.db.read() as session:
        return session.exec(select(Feed).where(Feed.url == url.strip())).first()
