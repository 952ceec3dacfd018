"""The passes over the sources: what is due, or what a person names; and the list of feeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import Session, col, or_, select

from digest.app import App
from digest.errors import FeedError, InputError, NotFound
from digest.feeds import jsonlines
from digest.feeds.fetch import lines_of, read_file, shown
from digest.feeds.leases import lease
from digest.feeds.parse import KINDS, detect_kind
from digest.feeds.routes import plain_address, source_address
from digest.feeds.store import Tally, store
from digest.feeds.turns import fetcher
from digest.feeds.visit import (
    Report,
    empty,
    further_pages,
    listing_in,
    report_of,
    today,
    unread,
    visit,
)
from digest.models import Feed
from digest.papers import Listing, Rejected, normal_url

if TYPE_CHECKING:
    from digest.feeds.opml import Outline

MOST_TOLD = 100  # rejected entries of one source that a report names

# Called before each source and once at the end: how many are done, of how many, and which is next.
Progress = Callable[[int, int, str], None]


# Passes


def ingest_due(
    app: App, progress: Progress | None = None, stop: Callable[[], bool] = lambda: False
) -> list[Report]:
    """Fetches the feeds that are due and stores what they hold. A failing feed is tried again
    later, ever more rarely but at least once a day, and never given up. Once `stop` says so, no
    further feed is begun."""
    with app.db.read() as session:
        now = app.now()
        free = or_(col(Feed.leased_until).is_(None), col(Feed.leased_until) <= now)
        due = select(Feed).where(Feed.next_fetch_at <= now, free)
        feeds = list(session.exec(due.order_by(col(Feed.next_fetch_at), col(Feed.id))))
    reports = []
    for done, feed in enumerate(feeds):
        if stop():
            break
        _tell(progress, done, len(feeds), feed.url)
        if leased := lease(app, feed.id, only_due=True):
            reports.append(visit(app, leased))
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
            listing = listing_in(fetcher(app).fetch(feed.url), feed.kind, today(app))
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
    outcome = f"{seen} papers{of_day}." if seen else empty(feed.kind)
    return Report(
        feed.url,
        seen=seen,
        rejected=rejected,
        rejections=listing.rejected,
        outcome=outcome + unread(listing),
    )


def _ingest_named(app: App, source: str) -> Report:
    web = source.lower().startswith(("http://", "https://"))
    source = source_address(source) if web else source
    feed = _feed_at(app, source) if web else None
    if feed is not None:
        leased = lease(app, feed.id, only_due=False)
        busy = "Another process is fetching it right now."
        return visit(app, leased) if leased else Report(source, outcome=busy, failed=True)
    try:
        return _from_web(app, source) if web else _from_file(app, source)
    except FeedError as error:
        return Report(source, outcome=f"{error}.", failed=True)


def _from_web(app: App, source: str) -> Report:
    asking = fetcher(app)
    fetched = asking.fetch(source)
    listing = listing_in(fetched, detect_kind(source), today(app))
    tally = further_pages(app, asking, None, fetched.url, listing)
    with app.db.write() as session:
        tally += store(session, listing, None, app.now())
    return report_of(source, listing, tally, "")


def _from_file(app: App, source: str) -> Report:
    """A feed's body, whose votes are those of its day; or papers as JSON lines, of any number."""
    if source.lower().endswith(jsonlines.ENDINGS):
        tally = Tally()
        rejections: list[Rejected] = []
        for piece in jsonlines.listings(lines_of(source), shown(source), today(app)):
            with app.db.write() as session:
                tally += store(session, piece, None, app.now())
            rejections += piece.rejected[: MOST_TOLD - len(rejections)]
        whole = Listing(shown(source), None, (), tuple(rejections))
        return report_of(source, whole, tally, "")
    fetched = read_file(source, _most_bytes(app))
    listing = listing_in(fetched, None, today(app))
    with app.db.write() as session:
        tally = store(session, listing, None, app.now(), votes_day=listing.day)
    return report_of(source, listing, tally, "")


def _most_bytes(app: App) -> int:
    return int(app.settings.feeds.max_megabytes * 1_000_000)


def _tell(progress: Progress | None, done: int, of: int, source: str) -> None:
    if progress is not None:
        progress(done, of, source)


# The list of feeds


def add_feed(app: App, url: str, kind: str | None = None) -> Feed:
    """Adds a feed, due at once. Raises InputError for what is no web address, for an unknown
    kind, and where the feed is there already."""
    url = source_address(_web_address(url))
    if kind is not None and kind not in KINDS:
        raise InputError(f"{kind!r} is no kind of feed; expected one of {', '.join(KINDS)}")
    if there := _feed_at(app, url):
        raise InputError(f"{shown(url)} is there already, as feed {there.id}")
    feed = Feed(url=url, kind=kind or detect_kind(url), next_fetch_at=app.now(), added_at=app.now())
    with app.db.write() as session:
        session.add(feed)
    return feed


def _web_address(url: str) -> str:
    """The address in its one form. Raises InputError for what is no web address."""
    url = url.strip()
    if normal_url(url) is None or not url.isprintable() or " " in url:
        raise InputError(f"{shown(url)!r} is not a web address; `digest ingest` takes files")
    return plain_address(url)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one feed of an imported list."""

    url: str
    title: str
    outcome: str


def import_feeds(
    app: App, outlines: "Sequence[Outline]", *, dry_run: bool = False
) -> list[Outcome]:
    """Adds the feeds of a list that are new; the others are told of, and the rest go on."""
    there = {normal_url(feed.url) for feed in list_feeds(app)}
    done = []
    for outline in outlines:
        if normal_url(outline.url) in there:
            done.append(Outcome(outline.url, outline.title, "there already"))
            continue
        try:
            _web_address(outline.url) if dry_run else add_feed(app, outline.url, outline.kind)
        except InputError as error:
            done.append(Outcome(outline.url, outline.title, f"refused: {error}"))
        else:
            done.append(Outcome(outline.url, outline.title, "new" if dry_run else "added"))
    return done


def list_feeds(app: App) -> list[Feed]:
    with app.db.read() as session:
        return stored_feeds(session)


def stored_feeds(session: Session) -> list[Feed]:
    """All feeds, the oldest first."""
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
    """The feed of the address, however either is spelt."""
    asked = plain_address(url)
    return next((feed for feed in list_feeds(app) if plain_address(feed.url) == asked), None)
