"""Venues at OpenReview and journals at Crossref, from the address one knows to stored papers."""

import json
from datetime import date
from pathlib import Path

import pytest
from feed_server import Answer, Source, serving
from sqlmodel import select

from digest.errors import FeedError
from digest.feeds.ingest import add_feed, ingest_due, list_feeds
from digest.feeds.parse import parse
from digest.feeds.routes import source_address
from digest.models import Paper

FEEDS = Path(__file__).parent / "feeds"
NOTES = (FEEDS / "openreview.json").read_bytes()
WORKS = (FEEDS / "crossref-journal.json").read_bytes()
TODAY = date(2026, 11, 18)


@pytest.fixture
def source():
    with serving() as plan:
        yield plan


def test_notes_of_both_forms() -> None:
    listing = parse(NOTES, url="x", kind="openreview", today=TODAY)
    first, blind, old = listing.entries
    assert first.key == "url:https://openreview.net/forum?id=aB3xYz9Q01"
    assert (first.title, first.abstract) == ("Sparse maps of α tides", "We map tides.")
    assert first.authors == ("Ann Lee", "Zoë Quill")
    assert (first.day, first.journal) == (date(2025, 11, 17), "Mapping 2026 oral")
    assert (blind.authors, blind.abstract) == ((), "")
    assert (old.title, old.authors, old.day) == (
        "In the older API's form",
        ("Bo Writer",),
        TODAY,
    )
    assert listing.rejected[0].label == "noTitle004"
    assert len(listing.rejected) == 2
    assert listing.next_page == ""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"name": "ForbiddenError", "message": "Prove that you are no robot"}', "no robot"),
        (b'{"notes": {"a": 1}, "count": 1}', "no list"),
    ],
)
def test_what_is_no_list_of_notes_is_said(body: bytes, told: str) -> None:
    with pytest.raises(FeedError, match=told):
        parse(body, url="x", today=TODAY)


def note(number: int) -> dict[str, object]:
    return {"id": f"n{number}", "content": {"title": {"value": f"Map number {number}"}}}


def test_a_venue_is_read_to_its_last_page(app, source: Source) -> None:
    def page(path: str) -> Answer:
        start = int((path.partition("offset=")[2] or "0").partition("&")[0])
        notes = [note(number) for number in range(start, min(start + 2, 5))]
        return Answer(body=json.dumps({"notes": notes, "count": 5}).encode())

    source.otherwise = page
    add_feed(app, f"{source.url}/notes?content.venueid=maps.test&limit=2", "openreview")
    (report,) = ingest_due(app)
    assert (report.failed, report.new) == (False, 5)
    offsets = [path.partition("offset=")[2] for path, _ in source.asked]
    assert offsets == ["", "2", "4", "5"]


def test_a_journal_is_dated_by_when_its_papers_came(app, source: Source) -> None:
    source.otherwise = lambda path: Answer(body=WORKS, headers={"Content-Type": "application/json"})
    add_feed(app, f"{source.url}/journals/1234-567X/works?sort=created", "crossref")
    (report,) = ingest_due(app)
    assert (report.failed, report.new, report.rejected) == (False, 3, 1)
    with app.db.read() as session:
        papers = {paper.key: paper for paper in session.exec(select(Paper))}
    first = papers["doi:10.1000/maps.2026.11"]
    assert first.title == "Maps of deep ice"
    assert first.abstract == "Ice & its maps."
    assert first.authors == ["Zoë Quill", "The Ice Survey"]
    assert first.announced_day == date(2026, 11, 17)
    assert papers["doi:10.1000/maps.2026.12"].announced_day == date(2026, 11, 16)
    assert list_feeds(app)[0].title == "Journal of Invented Maps"


@pytest.mark.parametrize(
    ("page", "asked", "kind"),
    [
        (
            "https://openreview.net/group?id=maps.test/2026/Conference",
            "https://api2.openreview.net/notes"
            "?content.venueid=maps.test%2F2026%2FConference&limit=1000",
            "openreview",
        ),
        (
            "https://portal.issn.org/resource/ISSN/1234-567x",
            "https://api.crossref.org/journals/1234-567X/works?sort=created&order=desc&rows=100",
            "crossref",
        ),
        (
            "https://api.crossref.org/journals/1234-5678",
            "https://api.crossref.org/journals/1234-5678/works?sort=created&order=desc&rows=100",
            "crossref",
        ),
        ("https://openreview.net/forum?id=x", "https://openreview.net/forum?id=x", "generic"),
    ],
)
def test_the_address_that_one_knows(app, page: str, asked: str, kind: str) -> None:
    assert source_address(page) == asked
    assert source_address(asked) == asked
    feed = add_feed(app, page)
    assert (feed.url, feed.kind) == (asked, kind)
