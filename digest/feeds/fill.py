"""Filling what the feeds did not bring: suspect batches, days on which nobody looked, and a past
that a person asks for. Each row of `batch` says what became of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date

import structlog
from sqlmodel import Session, col, select

from digest.app import App
from digest.errors import FeedError, InputError
from digest.feeds import arxiv_list, batches
from digest.feeds.calendar import HELD_BACK, is_quiet, previous_batch_day
from digest.feeds.fetch import shown
from digest.feeds.judge import SUSPECT, is_in
from digest.feeds.leases import lease, prolong, settle
from digest.feeds.parse import parse
from digest.feeds.routes import API_PAGE, Routes, following
from digest.feeds.store import Tally, store
from digest.feeds.turns import fetcher
from digest.feeds.visit import MOST_PAGES, Report
from digest.models import Announcement, Batch, Feed, Paper
from digest.papers import Entry, Kind, Listing

ROUTES = Routes()
# An empty answer for a working day may be that of a service that lags behind; so often we ask
# again before the day is taken to have been empty.
SURE_AFTER = 3

# What to keep of a listing's entries, changed where the way it came leaves something open.
Chosen = Callable[[Entry], Entry | None]

log = structlog.get_logger(__name__)


def fill_due(
    app: App, routes: Routes = ROUTES, stop: Callable[[], bool] = lambda: False
) -> list[Report]:
    """Fills the batches whose time for that has come, by other ways than their feed. Once `stop`
    says so, no further feed's are begun."""
    now = app.now()
    with app.db.read() as session:
        due = select(Batch.feed_id).where(col(Batch.fill_at) <= now).distinct()
        feed_ids = sorted(session.exec(due))
    reports = []
    for feed_id in feed_ids:
        if stop():
            break
        if feed := lease(app, feed_id, only_due=False):
            with app.db.read() as session:
                query = select(Batch).where(Batch.feed_id == feed_id, col(Batch.fill_at) <= now)
                rows = list(session.exec(query.order_by(col(Batch.day))))
            reports.append(_filled(app, feed, rows, routes))
    return reports


def backfill(
    app: App,
    first: date,
    last: date,
    routes: Routes = ROUTES,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Report]:
    """Asks the sources that can be asked for what their feeds should have brought from `first` to
    `last`. Raises InputError where these are no span of past days."""
    if first > last or first > app.now().date():
        raise InputError(f"{first} to {last} is no span of past days")
    with app.db.read() as session:
        query = select(Feed.id).where(col(Feed.kind).in_(batches.FILLABLE)).order_by(col(Feed.id))
        feed_ids = list(session.exec(query))
    reports = []
    for done, feed_id in enumerate(feed_ids):
        if feed := lease(app, feed_id, only_due=False):
            if progress is not None:
                progress(done, len(feed_ids), feed.url)
            end = min(last, batches.today(feed, app.now()))
            reports.append(_filled(app, feed, _wanted(app, feed, first, end), routes))
    return reports


def _wanted(app: App, feed: Feed, first: date, last: date) -> list[Batch]:
    with app.db.write() as session:
        for category in batches.categories(feed):
            if batches.fillable(feed, category):
                batches.ensure(session, feed, category, first, last, app.now())
        query = select(Batch).where(Batch.feed_id == feed.id, col(Batch.day).between(first, last))
        return list(session.exec(query.order_by(col(Batch.day))))


def _filled(app: App, feed: Feed, rows: Sequence[Batch], routes: Routes) -> Report:
    """Fills these batches of a leased feed, and ends the lease."""
    tally, failures = Tally(), []
    for category in dict.fromkeys(row.category for row in rows):
        some = [row for row in rows if row.category == category]
        try:
            tally += _FILLERS[feed.kind](app, feed, category, some, routes)
        except FeedError as error:
            log.warning("batch not filled", feed=feed.id, category=category, reason=str(error))
            failures.append(f"{category} {error}.".strip())
            _put_off(app, some, error.retry_after)
        except Exception:  # one feed's surprise must not keep the others waiting
            log.exception("batch not filled", feed=feed.id, category=category)
            failures.append("A fault of this program (see its log).")
            _put_off(app, some)
    with app.db.write() as session:
        settle(session, feed)
    days = f"{rows[0].day} to {rows[-1].day}" if rows else "No day"
    outcome = f"{days}: {tally.new} new, {tally.updated} updated. {' '.join(failures)}".strip()
    log.info("batches filled", feed=feed.id, days=days, new=tally.new, failed=len(failures))
    return Report(
        feed.url,
        tally.seen,
        tally.new,
        tally.updated,
        tally.rejected,
        outcome=outcome,
        failed=bool(failures),
    )


def _put_off(app: App, rows: Sequence[Batch], retry_after: float | None = None) -> None:
    with app.db.write() as session:
        for row in _fresh(session, rows):
            if row.verdict in SUSPECT or row.fill_at is not None:
                batches.put_off(row, app.now(), retry_after)


def _fresh(session: Session, rows: Sequence[Batch]) -> list[Batch]:
    query = select(Batch).where(col(Batch.id).in_([row.id for row in rows]))
    return list(session.exec(query.order_by(col(Batch.day))))


def _pages(app: App, feed: Feed, url: str) -> Iterator[Listing]:
    """The pages of a listing, one in memory at a time."""
    asking = fetcher(app)
    for _ in range(MOST_PAGES):
        fetched = asking.fetch(url)
        prolong(app, feed)
        listing = parse(
            fetched.body,
            url=shown(url),
            content_type=fetched.content_type,
            kind=None,
            today=app.now().date(),
        )
        yield listing
        url = following(url, listing.next_page) if listing.next_page else ""
        if not url:
            return


def _harvest(app: App, feed: Feed, url: str, chosen: Chosen) -> Tally:
    tally = Tally()
    for listing in _pages(app, feed, url):
        kept = tuple(entry for each in listing.entries if (entry := chosen(each)))
        with app.db.write() as session:
            tally += store(session, replace(listing, entries=kept), feed.id, app.now())
    return tally


# arXiv


def _fill_arxiv(
    app: App, feed: Feed, category: str, rows: Sequence[Batch], routes: Routes
) -> Tally:
    """Today's batch by the list page, which says what it should hold; earlier days by OAI-PMH, or
    where that fails by the API."""
    today = batches.today(feed, app.now())
    tally = Tally()
    rest = [row for row in rows if row.day < today]
    for row in rows:
        if row.day == today:
            by_list = _by_list(app, feed, row, routes)
            tally += by_list or Tally()
            rest += [row] if by_list is None else []
    if rest:
        tally += _by_records(app, feed, category, rest, routes)
    return tally


def _by_list(app: App, feed: Feed, row: Batch, routes: Routes) -> Tally | None:
    """Brings today's batch to what its list page names; None where the page is of no help."""
    url = routes.list_page(row.category)
    try:
        page = arxiv_list.read(fetcher(app).fetch(url).body, shown(url))
    except FeedError as error:
        log.warning("list page not read", category=row.category, reason=str(error))
        return None
    if page.day is None or page.day > row.day:
        return None
    if page.day < row.day:  # the list is ahead of the feeds, so nothing was announced for today
        _write(app, row, "empty-expected", {}, "list", url)
        return Tally()
    lacking = _lacking(app, feed, row, page)
    tally, still = _by_ids(app, feed, row, lacking, routes)
    _write_list(app, feed, row, page, url, still, filled=bool(lacking))
    return tally


def _lacking(app: App, feed: Feed, row: Batch, page: arxiv_list.ListPage) -> dict[str, Kind]:
    """What of the page the feed has not announced on that day."""
    with app.db.read() as session:
        query = select(Paper.key).join(Announcement)
        query = query.where(Announcement.feed_id == feed.id, Announcement.day == row.day)
        known = set(session.exec(query))
    return {key: kind for key, kind in page.kinds.items() if key not in known}


def _by_ids(
    app: App, feed: Feed, row: Batch, lacking: dict[str, Kind], routes: Routes
) -> tuple[Tally, int]:
    """Stores the records of these papers; also gives how many the API did not know."""
    found: set[str] = set()
    own = batches.categories(feed)

    def chosen(entry: Entry) -> Entry | None:
        if entry.key not in lacking:
            return None
        found.add(entry.key)
        return replace(
            entry, day=row.day, kind=_kind(entry, lacking[entry.key], own), derived=False
        )

    tally = Tally()
    keys = list(lacking)
    for start in range(0, len(keys), API_PAGE):
        ids = [key.removeprefix("arxiv:") for key in keys[start : start + API_PAGE]]
        tally += _harvest(app, feed, routes.by_ids(ids), chosen)
    return tally, len(lacking) - len(found)


def _kind(entry: Entry, kind: Kind, own: Sequence[str]) -> Kind:
    """A kind as the feed would say it, whose categories together count as one."""
    primary = any(is_in(entry.categories[:1], category) for category in own)
    if kind in ("new", "cross"):
        return "new" if primary else "cross"
    return "replace" if primary else "replace-cross"


def _write_list(
    app: App,
    feed: Feed,
    row: Batch,
    page: arxiv_list.ListPage,
    url: str,
    still: int,
    *,
    filled: bool,
) -> None:
    missing = still + page.total - len(page.kinds)
    verdict = "filled" if filled else "new"
    if not page.total:
        verdict = "empty-expected"
    with app.db.read() as session:
        counts = batches.counted(session, feed, row.category, row.day)
    _write(app, row, "partial" if missing else verdict, counts, "list", url, missing)


def _write(
    app: App, row: Batch, verdict: str, counts: dict[str, int], route: str, url: str, lack: int = 0
) -> None:
    with app.db.write() as session:
        for fresh in _fresh(session, [row]):
            batches.settle(fresh, verdict, counts, route, url, app.now())
            if lack:
                fresh.missing = lack
                batches.put_off(fresh, app.now())


def _by_records(
    app: App, feed: Feed, category: str, rows: Sequence[Batch], routes: Routes
) -> Tally:
    """Papers of the days of `rows`, whose day and kind are derived from their records' dates."""
    days = [row.day for row in rows]
    first, last = min(days), max(days)
    chosen = _within(feed, first, last)
    url, route = routes.records(category, first), "oai"
    try:
        tally = _harvest(app, feed, url, chosen)
    except FeedError as error:
        log.warning("records not harvested", category=category, reason=str(error))
        route = "api"
        url = routes.submitted(category, first - HELD_BACK, last, 0)
        tally = _harvest(app, feed, url, chosen)
    _write_days(app, feed, rows, route, url)
    return tally


def _within(feed: Feed, first: date, last: date) -> Chosen:
    """Chooses the papers announced from `first` to `last`, whose first day may be one too early,
    since a record does not tell on which side of the deadline it was submitted."""
    own = batches.categories(feed)
    earliest = previous_batch_day(first)

    def chosen(entry: Entry) -> Entry | None:
        if not earliest <= entry.day <= last or (entry.kind == "replace" and entry.day < first):
            return None
        return replace(entry, day=max(entry.day, first), kind=_kind(entry, entry.kind, own))

    return chosen


def _write_days(app: App, feed: Feed, rows: Sequence[Batch], route: str, url: str) -> None:
    """Settles the suspect ones among `rows` by what is stored of their days now."""
    with app.db.write() as session:
        for row in _fresh(session, rows):
            if row.verdict not in SUSPECT:
                row.fill_at = None
                continue
            counts = batches.counted(session, feed, row.category, row.day)
            # no time of deadlines for other sources: any day may be empty
            sure = feed.kind != "arxiv" or is_quiet(row.day) or row.looks >= SURE_AFTER
            if counts or sure:
                batches.settle(row, "filled", counts, route, url, app.now())
            else:
                batches.put_off(row, app.now())


# bioRxiv, medRxiv and Hugging Face, which state the day of each paper


def _fill_biorxiv(
    app: App, feed: Feed, _category: str, rows: Sequence[Batch], routes: Routes
) -> Tally:
    url = routes.preprints(feed.url, rows[0].day, rows[-1].day, 0)
    tally = _harvest(app, feed, url, lambda entry: entry)
    _write_days(app, feed, rows, "api", url)
    return tally


def _fill_huggingface(
    app: App, feed: Feed, _category: str, rows: Sequence[Batch], routes: Routes
) -> Tally:
    """The lists of these days, with the votes as they stand now."""
    tally = Tally()
    for row in rows:
        url, day = routes.daily(row.day), row.day
        tally += _harvest(app, feed, url, lambda entry, day=day: replace(entry, day=day))  # type: ignore[misc]
        with app.db.read() as session:
            counts = batches.counted(session, feed, "", row.day)
        verdict = "empty-expected" if not counts else row.verdict
        _write(app, row, "filled" if verdict in SUSPECT else verdict, counts, "api", url)
    return tally


_FILLERS: dict[str, Callable[[App, Feed, str, Sequence[Batch], Routes], Tally]] = {
    "arxiv": _fill_arxiv,
    "biorxiv": _fill_biorxiv,
    "huggingface": _fill_huggingface,
}
