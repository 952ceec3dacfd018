"""What the feeds missed comes another way: from bioRxiv's API and Hugging Face's daily lists, and
by a kept body that is read again."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import Clock
from feed_server import Answer, Source, serving
from sqlmodel import select

from digest.app import App
from digest.errors import InputError
from digest.feeds.batches import forget_raw, open_batches
from digest.feeds.fill import backfill, fill_due
from digest.feeds.ingest import add_feed, ingest_due, list_feeds
from digest.feeds.replay import replay
from digest.feeds.routes import Routes
from digest.models import Announcement, Batch, Paper, RawBatch, Upvotes

FEEDS = Path(__file__).parent / "feeds"
DAYS = [date(2026, 11, 16) + timedelta(days=n) for n in range(8)]
PAGE = 3  # records on a page of bioRxiv's API


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as plan:
        yield plan


def routes(source: Source) -> Routes:
    return Routes(biorxiv=f"{source.url}/details", huggingface=f"{source.url}/api/daily_papers")


def preprints(days: list[date]) -> list[dict[str, str]]:
    """Two papers a day, the second of which is a second version."""
    return [
        {
            "doi": f"10.1101/{day:%Y.%m.%d}.70000{n}",
            "title": f"Preprint {n} of {day}",
            "authors": "Able, A.",
            "date": f"{day.year}-{day.month}-{day.day}",
            "version": str(n),
            "category": "plant biology",
            "published": "NA",
            "server": "bioRxiv",
        }
        for day in days
        for n in (1, 2)
    ]


def biorxiv(path: str) -> Answer:
    """/details/SERVER/FROM/TO/CURSOR/json, whose total counts what is not there."""
    names = urlsplit(path).path.split("/")
    first, last = (date.fromisoformat(name) for name in names[3:5])
    found = preprints([day for day in DAYS if first <= day <= last])
    cursor = int(names[5])
    page = found[cursor : cursor + PAGE]
    message = {"status": "ok", "cursor": cursor, "count": len(page), "total": str(len(found) + 5)}
    return Answer(body=json.dumps({"messages": [message], "collection": page}).encode())


def announced(app: App) -> set[tuple[str, date]]:
    with app.db.read() as session:
        query = select(Paper.key, Announcement.day).join(Announcement)
        return set(session.exec(query).all())


def rdf(day: date) -> bytes:
    """bioRxiv's feed, of which the newest two papers are all that it shows."""
    items = "".join(
        f'<item rdf:about="x{paper["doi"]}"><title>{paper["title"]}</title>'
        f"<link>http://biorxiv.org/cgi/content/short/{paper['doi'][8:]}v{paper['version']}</link>"
        f"<dc:date>{day}</dc:date><dc:identifier>doi:{paper['doi']}</dc:identifier></item>"
        for paper in preprints([day])
    )
    return (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        ' xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<channel><title>bioRxiv</title></channel>{items}</rdf:RDF>"
    ).encode()


def test_a_week_of_biorxiv_is_paged_in_after_an_outage(
    app: App, source: Source, clock: Clock
) -> None:
    path = "/biorxiv_xml.php?subject=all"
    clock.moment = datetime(2026, 11, 16, 9, tzinfo=UTC)
    add_feed(app, source.url + path, "biorxiv")
    source.otherwise = lambda path: (
        biorxiv(path) if path.startswith("/details") else Answer(body=rdf(clock.moment.date()))
    )
    ingest_due(app)
    clock.moment = datetime(2026, 11, 23, 9, tzinfo=UTC)
    ingest_due(app)
    assert len(announced(app)) == 4
    (report,) = fill_due(app, routes(source))
    assert not report.failed
    assert announced(app) == {
        (f"doi:{paper['doi']}", date(*map(int, paper["date"].split("-"))))
        for paper in preprints(DAYS)
    }
    asked = [path for path, _ in source.asked if path.startswith("/details")]
    assert asked[0] == "/details/biorxiv/2026-11-17/2026-11-23/0/json"
    assert [path.split("/")[5] for path in asked] == ["0", "3", "6", "9", "12", "14"]
    assert open_batches(app) == []
    assert fill_due(app, routes(source)) == []


def test_biorxivs_api_as_a_feed_is_read_to_its_end(app: App, source: Source) -> None:
    source.otherwise = biorxiv
    url = f"{source.url}/details/biorxiv/2026-11-16/2026-11-18/0/json"
    add_feed(app, url, "biorxiv")
    (report,) = ingest_due(app)
    assert (report.seen, report.new) == (6, 6)


def daily(path: str) -> Answer:
    """Hugging Face's list of a day; on weekends there is none."""
    day = date.fromisoformat(parse_qs(urlsplit(path).query)["date"][0])
    papers = [] if day.weekday() > 4 else [daily_paper(day)]
    return Answer(body=json.dumps(papers).encode())


def daily_paper(day: date, votes: int = 5) -> dict[str, object]:
    paper = {"id": f"2611.{day.day:05}", "title": f"Paper of {day}", "upvotes": votes}
    return {"paper": paper | {"submittedOnDailyAt": f"{day}T00:00:00.000Z"}}


def test_a_week_of_daily_papers_comes_back_and_votes_are_followed(
    app: App, source: Source, clock: Clock
) -> None:
    def answer(path: str) -> Answer:
        if "date=" in path:
            return daily(path)
        return Answer(body=json.dumps([daily_paper(clock.moment.date(), 1)]).encode())

    source.otherwise = answer
    clock.moment = datetime(2026, 11, 16, tzinfo=UTC)
    add_feed(app, f"{source.url}/api/daily_papers", "huggingface")
    for day in (16, 23):
        clock.moment = datetime(2026, 11, day, 9, tzinfo=UTC)
        ingest_due(app)
        fill_due(app, routes(source))
    working = {day for day in DAYS if day.weekday() < 5}
    assert {day for _, day in announced(app)} == working
    assert open_batches(app) == []
    clock.forward(days=1)
    ingest_due(app)
    fill_due(app, routes(source))
    with app.db.read() as session:
        votes = session.exec(select(Upvotes.day, Upvotes.count).order_by(Upvotes.day)).all()
    monday, tuesday = date(2026, 11, 23), date(2026, 11, 24)
    assert (date(2026, 11, 16), 1) in votes
    assert {day for day, _ in votes} == {date(2026, 11, 16), monday, tuesday}
    assert [count for day, count in votes if day == tuesday].count(5) >= 1  # Monday's paper again


def test_a_backfill_asks_for_past_days_alone(app: App, source: Source, clock: Clock) -> None:
    source.otherwise = biorxiv
    clock.moment = datetime(2026, 11, 23, 9, tzinfo=UTC)
    add_feed(app, f"{source.url}/biorxiv_xml.php?subject=plant_biology", "biorxiv")
    (report,) = backfill(app, DAYS[1], DAYS[3], routes(source))
    assert (report.new, report.failed) == (6, False)
    assert all("category=plant_biology" in path for path, _ in source.asked)
    (again,) = backfill(app, DAYS[1], DAYS[3], routes(source))
    assert (again.new, again.updated) == (0, 0)
    for first, last in ((DAYS[3], DAYS[1]), (date(2026, 12, 1), date(2026, 12, 2))):
        with pytest.raises(InputError, match="no span of past days"):
            backfill(app, first, last, routes(source))


def test_a_journal_of_which_nothing_was_known_may_have_lost_papers(
    app: App, source: Source, clock: Clock
) -> None:
    source.otherwise = lambda _path: Answer(body=rdf(clock.moment.date()))
    add_feed(app, f"{source.url}/journal", "generic")
    ingest_due(app)
    clock.forward(days=5)
    (report,) = ingest_due(app)
    assert "Nothing in it was known, so papers may have come and gone unseen." in report.outcome
    (batch,) = open_batches(app)
    assert (batch.verdict, batch.fill_at) == ("partial", None)


def test_a_kept_body_is_read_again(app: App, source: Source, clock: Clock) -> None:
    source.answers["/rss"] = Answer(body=(FEEDS / "arxiv.rss.xml").read_bytes())
    add_feed(app, f"{source.url}/rss", "arxiv")
    ingest_due(app)
    clock.forward(hours=2)
    source.answers["/rss"].headers["ETag"] = '"other headers, same items"'
    ingest_due(app)
    with app.db.write() as session:
        (raw,) = session.exec(select(RawBatch))
        assert raw.day == date(2026, 11, 18)
        paper = session.exec(select(Paper).where(Paper.key == "arxiv:2611.01234")).one()
        paper.title = "As a faulty reader had it"
        gone = session.exec(select(Paper).where(Paper.key == "arxiv:2611.01300")).one()
        for row in session.exec(select(Announcement).where(Announcement.paper_id == gone.id)):
            session.delete(row)
        session.flush()
        session.delete(gone)
    (report,) = replay(app, date(2026, 11, 18), date(2026, 11, 18))
    assert (report.new, report.updated) == (1, 1)
    with app.db.read() as session:
        titles = set(session.exec(select(Paper.title)))
    assert {"Sparse k-local models of Möbius flows"} <= titles
    assert "As a faulty reader had it" not in titles
    (again,) = replay(app, date(2026, 11, 18), date(2026, 11, 18))
    assert (again.new, again.updated) == (0, 0)
    assert replay(app, date(2026, 11, 1), date(2026, 11, 2)) == []
    clock.forward(days=15)
    assert (forget_raw(app), forget_raw(app)) == (1, 0)


def test_a_doubtful_body_is_asked_for_again_soon_and_whole(
    app: App, source: Source, clock: Clock
) -> None:
    body = (FEEDS / "arxiv.rss.xml").read_bytes()
    source.answers["/rss/cs.LG"] = Answer(body=body, headers={"ETag": '"1"'})
    add_feed(app, f"{source.url}/rss/cs.LG", "arxiv")
    ingest_due(app)
    assert list_feeds(app)[0].etag == '"1"'
    clock.forward(days=1)  # Thursday, and the feed still shows Wednesday
    source.answers["/rss/cs.LG"] = Answer(304, b"", {"ETag": '"1"'})
    ingest_due(app)
    (feed,) = list_feeds(app)
    assert feed.etag == ""
    assert feed.next_fetch_at == clock.moment + timedelta(minutes=10)
    with app.db.read() as session:
        verdicts = {row.day: row.verdict for row in session.exec(select(Batch))}
    assert verdicts == {date(2026, 11, 18): "new", date(2026, 11, 19): "stale-suspect"}


def test_a_feed_moves_but_not_onto_another(app: App, source: Source, clock: Clock) -> None:
    body = (FEEDS / "arxiv.rss.xml").read_bytes()
    source.answers |= {
        "/old": Answer(301, headers={"Location": "/new"}),
        "/new": Answer(308, headers={"Location": "/there"}),
        "/there": Answer(302, headers={"Location": "/mirror"}),
        "/mirror": Answer(body=body),
        "/double": Answer(301, headers={"Location": "/there"}),
        "/login": Answer(301, headers={"Location": "/page"}),
        "/page": Answer(body=(FEEDS / "challenge.html").read_bytes()),
    }
    for path in ("/old", "/double", "/login"):
        add_feed(app, source.url + path, "arxiv")
    moved, double, login = ingest_due(app)
    assert moved.outcome.endswith(f"Moved for good to {source.url}/there.")
    assert not double.failed
    assert login.failed
    urls = [feed.url.removeprefix(source.url) for feed in list_feeds(app)]
    assert urls == ["/there", "/double", "/login"]
