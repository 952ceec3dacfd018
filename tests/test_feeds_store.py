"""One paper per work, however often and through whichever source it comes."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from conftest import Clock
from sqlmodel import select

from digest.app import App
from digest.feeds.store import Tally, store
from digest.models import Announcement, Feed, Paper, PaperAlias, Upvotes
from digest.papers import Entry, Listing, Rejected

DAY = date(2026, 11, 18)
PAPER = Entry(
    key="arxiv:2611.01234",
    title="A title",
    abstract="An abstract.",
    authors=("Ann Able",),
    categories=("cs.LG",),
    url="https://arxiv.org/abs/2611.01234",
    day=DAY,
)


def put(app: App, *entries: Entry, feed_id: int | None = None, **values: Any) -> Tally:
    with app.db.write() as session:
        return store(session, Listing("", None, entries), feed_id, app.now(), **values)


def rows(app: App, table: type[Any]) -> list[Any]:
    with app.db.read() as session:
        return list(session.exec(select(table)))


def only_paper(app: App) -> Paper:
    (paper,) = rows(app, Paper)
    assert isinstance(paper, Paper)
    return paper


def test_a_paper_is_stored_as_it_came(app: App) -> None:
    assert put(app, PAPER) == Tally(seen=1, new=1)
    paper = only_paper(app)
    assert (paper.key, paper.title, paper.authors) == (PAPER.key, "A title", ["Ann Able"])
    assert (paper.announced_day, paper.announced_at) == (DAY, app.now())
    (announcement,) = rows(app, Announcement)
    assert (announcement.day, announcement.kind) == (DAY, "new")


def test_the_same_listing_again_changes_nothing(app: App, clock: Clock) -> None:
    put(app, PAPER)
    before = only_paper(app).updated_at
    clock.forward(hours=1)
    assert put(app, PAPER, PAPER) == Tally(seen=2)
    assert only_paper(app).updated_at == before
    assert len(rows(app, Announcement)) == 1


def test_rejected_entries_are_counted(app: App) -> None:
    listing = Listing("", DAY, (PAPER,), (Rejected(2, "x", "it has no title"),))
    with app.db.write() as session:
        assert store(session, listing, None, app.now()) == Tally(seen=2, new=1, rejected=1)


def test_a_replacement_updates_quietly(app: App, clock: Clock) -> None:
    put(app, PAPER)
    announced = only_paper(app).announced_at
    clock.forward(days=1)
    later = replace(PAPER, version=2, title="Better", kind="replace", day=DAY + timedelta(days=1))
    assert put(app, later) == Tally(seen=1, updated=1)
    paper = only_paper(app)
    assert (paper.title, paper.version, paper.updated_at) == ("Better", 2, app.now())
    assert (paper.announced_day, paper.announced_at) == (DAY, announced)
    assert put(app, PAPER) == Tally(seen=1)
    assert only_paper(app).title == "Better"


def test_a_paper_seen_first_as_replacement_is_not_announced_until_it_is_news(app: App) -> None:
    assert put(app, replace(PAPER, version=2, kind="replace")).new == 1
    assert only_paper(app).announced_day is None
    cross = replace(PAPER, version=2, kind="cross", day=DAY + timedelta(days=2))
    assert put(app, cross).updated == 1
    assert only_paper(app).announced_day == DAY + timedelta(days=2)


def test_one_entry_under_two_kinds_is_one_paper(app: App) -> None:
    assert put(app, PAPER, replace(PAPER, kind="cross", categories=("stat.ML",))).new == 1
    assert only_paper(app).categories == ["cs.LG", "stat.ML"]
    assert {row.kind for row in rows(app, Announcement)} == {"new", "cross"}


def test_a_doi_ties_the_journal_to_the_preprint(app: App) -> None:
    put(app, replace(PAPER, doi="10.1000/x", aliases=("doi:10.1000/x",)))
    journal = replace(
        PAPER,
        key="doi:10.1000/x",
        aliases=("url:https://j.test/1",),
        journal="J",
        url="https://j.test/1",
    )
    assert put(app, journal) == Tally(seen=1, updated=1)
    assert (only_paper(app).key, only_paper(app).journal) == (PAPER.key, "J")
    assert put(app, replace(journal, key="url:https://j.test/1", aliases=())) == Tally(seen=1)
    assert {row.alias for row in rows(app, PaperAlias)} == {"doi:10.1000/x", "url:https://j.test/1"}


def test_a_paper_found_by_its_doi_takes_the_better_id_and_keeps_the_old(app: App) -> None:
    put(app, replace(PAPER, key="doi:10.1000/x", url="https://doi.org/10.1000/x"))
    assert put(app, replace(PAPER, aliases=("doi:10.1000/x",))).updated == 1
    assert only_paper(app).key == PAPER.key
    assert [row.alias for row in rows(app, PaperAlias)] == ["doi:10.1000/x"]
    assert put(app, replace(PAPER, key="doi:10.1000/x")) == Tally(seen=1)


def test_votes_are_kept_day_by_day(app: App, clock: Clock) -> None:
    put(app, replace(PAPER, upvotes=3))
    put(app, replace(PAPER, upvotes=5))
    clock.forward(days=1)
    put(app, replace(PAPER, upvotes=9))
    put(app, replace(PAPER, upvotes=1), votes_day=DAY - timedelta(days=1))
    counts = {row.day: row.count for row in rows(app, Upvotes)}
    assert counts == {
        DAY - timedelta(days=1): 1,
        DAY: 5,
        DAY + timedelta(days=1): 9,
    }


def test_an_entry_without_date_is_not_news_every_day(app: App) -> None:
    with app.db.write() as session:
        feed = Feed(
            url="https://j.test", kind="generic", next_fetch_at=app.now(), added_at=app.now()
        )
        session.add(feed)
    put(app, PAPER, feed_id=feed.id)
    put(app, replace(PAPER, day=DAY + timedelta(days=1)), feed_id=feed.id)
    assert [row.day for row in rows(app, Announcement)] == [DAY]


@pytest.mark.slow
def test_a_whole_day_in_one_go(app: App) -> None:
    many = [replace(PAPER, key=f"arxiv:2611.{n:05d}", upvotes=n) for n in range(1, 1802)]
    assert put(app, *many) == Tally(seen=1801, new=1801)
    assert put(app, *(replace(entry, version=2) for entry in many)) == Tally(1801, updated=1801)


def test_a_derived_announcement_gives_way_to_a_stated_one(app: App) -> None:
    with app.db.write() as session:
        feed = Feed(url="https://a.test", kind="arxiv", next_fetch_at=app.now(), added_at=app.now())
        session.add(feed)
    derived = replace(PAPER, derived=True)
    put(app, derived, feed_id=feed.id)
    assert [(row.day, row.derived) for row in rows(app, Announcement)] == [(DAY, True)]
    put(app, replace(derived, day=DAY + timedelta(days=1)), feed_id=feed.id)
    assert [row.day for row in rows(app, Announcement)] == [DAY]
    later = DAY + timedelta(days=1)
    put(app, replace(PAPER, kind="cross", day=later), feed_id=feed.id)
    (row,) = rows(app, Announcement)
    assert (row.day, row.kind, row.derived) == (later, "cross", False)
    assert only_paper(app).announced_day == later
    put(app, derived, feed_id=feed.id)
    assert len(rows(app, Announcement)) == 1
