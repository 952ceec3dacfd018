"""Kept bodies are read again, as after a fix of a reader: what was missed or misread is mended."""

import zlib
from collections.abc import Callable
from datetime import date

import structlog
from sqlmodel import Session, col, select

from digest.app import App
from digest.errors import FeedError
from digest.feeds.parse import parse
from digest.feeds.store import Tally, store
from digest.feeds.visit import Report
from digest.models import Feed, Paper, RawBatch
from digest.papers import Entry, Listing

log = structlog.get_logger(__name__)


def replay(
    app: App, first: date, last: date, progress: Callable[[int, int, str], None] | None = None
) -> list[Report]:
    """Reads the kept bodies of these listing days again, the oldest first, feed by feed."""
    with app.db.read() as session:
        query = select(RawBatch.feed_id).where(col(RawBatch.day).between(first, last)).distinct()
        feeds = [session.get(Feed, feed_id) for feed_id in sorted(session.exec(query))]
    reports = []
    for done, feed in enumerate(feeds):
        if feed:
            if progress is not None:
                progress(done, len(feeds), feed.url)
            reports.append(_replayed(app, feed, first, last))
    return reports


def _replayed(app: App, feed: Feed, first: date, last: date) -> Report:
    with app.db.read() as session:
        query = select(RawBatch.mark).where(RawBatch.feed_id == feed.id)
        query = query.where(col(RawBatch.day).between(first, last))
        marks = list(session.exec(query.order_by(col(RawBatch.fetched_at))))
    tally, failures = Tally(), []
    for mark in marks:
        with app.db.write() as session:
            raw = session.get(RawBatch, (feed.id, mark))
            if raw is None:  # its time was over just now
                continue
            try:
                listing = _listing(feed, raw)
            except FeedError as error:
                log.warning("kept body not read", feed=feed.id, day=raw.day, reason=str(error))
                failures.append(f"{error}.")
                continue
            tally += store(session, listing, feed.id, app.now(), votes_day=raw.fetched_at.date())
            tally += Tally(updated=_rewrite(session, feed, listing, app))
    told = f"{len(marks)} kept: {tally.new} new, {tally.updated} updated."
    return Report(
        feed.url,
        tally.seen,
        tally.new,
        tally.updated,
        tally.rejected,
        outcome=" ".join([told, *failures]),
        failed=bool(failures),
    )


def _listing(feed: Feed, raw: RawBatch) -> Listing:
    return parse(
        zlib.decompress(raw.body),
        url=raw.url,
        content_type=raw.content_type,
        kind=feed.kind,
        today=raw.fetched_at.date(),
    )


def _rewrite(session: Session, feed: Feed, listing: Listing, app: App) -> int:
    """Puts the text as it is read now in the place of what the same version was read as; gives
    the number of papers that this changed. Hugging Face's texts are copies, and change none."""
    if feed.kind == "huggingface":
        return 0
    entries = {entry.key: entry for entry in listing.entries}
    changed = 0
    for key, entry in entries.items():
        paper = session.exec(select(Paper).where(Paper.key == key)).first()
        if paper is not None and paper.version == entry.version and _differs(paper, entry):
            paper.title, paper.abstract = entry.title, entry.abstract or paper.abstract
            paper.authors = list(entry.authors) or paper.authors
            paper.updated_at = app.now()
            changed += 1
    return changed


def _differs(paper: Paper, entry: Entry) -> bool:
    ours = (paper.title, paper.abstract, paper.authors)
    return ours != (
        entry.title,
        entry.abstract or paper.abstract,
        list(entry.authors) or paper.authors,
    )
