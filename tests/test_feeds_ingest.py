"""Feeds that are due, sources that are named, and what becomes of both."""

import json
import lzma
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Clock
from feed_server import Answer, Source, serving
from sqlmodel import select

from digest.app import App
from digest.errors import InputError, NotFound
from digest.feeds.ingest import (
    add_feed,
    check_feeds,
    ingest_due,
    ingest_sources,
    list_feeds,
    remove_feed,
)
from digest.feeds.visit import Report, wait_after
from digest.models import Announcement, Feed, Paper, Upvotes

FEEDS = Path(__file__).parent / "feeds"
RSS = (FEEDS / "arxiv.rss.xml").read_bytes()


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as plan:
        yield plan


def papers(app: App) -> list[Paper]:
    with app.db.read() as session:
        return list(session.exec(select(Paper).order_by(Paper.key)))


def only_feed(app: App) -> Feed:
    (feed,) = list_feeds(app)
    return feed


def only_report(reports: list[Report]) -> Report:
    (report,) = reports
    return report


def test_a_due_feed_is_fetched_and_then_waits(app: App, source: Source, clock: Clock) -> None:
    source.answers["/rss"] = Answer(body=RSS, headers={"ETag": '"1"'})
    add_feed(app, f"{source.url}/rss", "arxiv")
    report = only_report(ingest_due(app))
    assert (report.seen, report.new, report.updated, report.rejected) == (5, 4, 0, 1)
    assert report.outcome == (
        "5 papers: 4 new, 0 updated. 1 could not be read;"
        " the first, no. 5 (An entry that lost its id): it has no arXiv id."
    )
    assert [r.position for r in report.rejections] == [5]
    assert len(papers(app)) == 4
    feed = only_feed(app)
    assert (feed.etag, feed.failures, feed.leased_until) == ('"1"', 0, None)
    assert (feed.title, feed.outcome) == ("cs.LG updates on arXiv.org", report.outcome)
    assert feed.next_fetch_at == app.now() + timedelta(minutes=30)
    assert ingest_due(app) == []
    clock.forward(minutes=30)
    source.answers["/rss"] = Answer(304, b"", {"ETag": '"1"'})
    assert only_report(ingest_due(app)).outcome == "Unchanged since the last visit."
    assert source.asked[1][1]["if-none-match"] == '"1"'


def test_a_server_may_ask_to_come_back_later_but_not_tomorrow(app: App, source: Source) -> None:
    for path, seconds in (("/a", 7200), ("/b", 86_400)):
        source.answers[path] = Answer(body=RSS, headers={"Cache-Control": f"max-age={seconds}"})
        add_feed(app, source.url + path)
    ingest_due(app)
    waits = [feed.next_fetch_at - app.now() for feed in list_feeds(app)]
    for wait, asked in zip(waits, (timedelta(hours=2), timedelta(hours=6)), strict=True):
        assert timedelta() <= wait - asked <= timedelta(minutes=5)  # not all at the same moment


def test_a_failing_feed_waits_longer_each_time_and_comes_back(
    app: App, source: Source, clock: Clock
) -> None:
    source.answers["/rss"] = Answer(body=RSS, headers={"ETag": '"1"'})
    add_feed(app, f"{source.url}/rss")
    ingest_due(app)
    source.answers["/rss"] = Answer(503)
    waits = []
    for _ in range(12):
        clock.moment = only_feed(app).next_fetch_at
        report = only_report(ingest_due(app))
        assert report.failed
        assert "/rss answered 503 Service Unavailable. Next try at 2026-" in report.outcome
        waits.append(only_feed(app).next_fetch_at - clock.moment)
    assert waits == sorted(waits)
    assert timedelta(minutes=30) <= waits[0] <= timedelta(minutes=38)
    assert waits[-1] == timedelta(days=1)
    assert (only_feed(app).failures, only_feed(app).etag) == (12, '"1"')
    clock.moment = only_feed(app).next_fetch_at
    source.answers["/rss"] = Answer(body=RSS)
    assert not only_report(ingest_due(app)).failed
    assert (only_feed(app).failures, only_feed(app).etag) == (0, "")


def test_retry_after_is_honoured(app: App, source: Source) -> None:
    source.answers["/rss"] = Answer(429, headers={"Retry-After": "7200"})
    add_feed(app, f"{source.url}/rss")
    ingest_due(app)
    assert only_feed(app).next_fetch_at == app.now() + timedelta(hours=2)


def test_no_wait_is_longer_than_a_day() -> None:
    half_an_hour = timedelta(minutes=30)
    assert wait_after(1, half_an_hour, 1e12, "x") == timedelta(days=1)
    assert wait_after(10_000, half_an_hour, None, "x") == timedelta(days=1)


def test_what_is_no_feed_stores_neither_papers_nor_etag(app: App, source: Source) -> None:
    source.answers["/rss"] = Answer(
        body=(FEEDS / "challenge.html").read_bytes(), headers={"ETag": '"page"'}
    )
    add_feed(app, f"{source.url}/rss?key=secret")
    source.answers["/rss?key=secret"] = source.answers["/rss"]
    report = only_report(ingest_due(app))
    assert "/rss is no feed: it answered with a web page. Next try" in report.outcome
    assert "secret" not in report.outcome
    assert (only_feed(app).etag, papers(app)) == ("", [])


def test_one_failing_feed_does_not_keep_the_others_waiting(app: App, source: Source) -> None:
    source.answers |= {"/bad": Answer(404), "/good": Answer(body=RSS)}
    add_feed(app, f"{source.url}/bad")
    add_feed(app, f"{source.url}/good")
    told: list[tuple[int, int, str]] = []
    reports = ingest_due(app, lambda *what: told.append(what))
    assert [report.failed for report in reports] == [True, False]
    assert told == [(0, 2, f"{source.url}/bad"), (1, 2, f"{source.url}/good"), (2, 2, "")]


def test_an_empty_feed_is_a_normal_day(app: App, source: Source, clock: Clock) -> None:
    clock.moment = datetime(2026, 11, 22, 9, tzinfo=UTC)
    source.answers["/rss"] = Answer(body=(FEEDS / "arxiv-empty.rss.xml").read_bytes())
    add_feed(app, f"{source.url}/rss", "arxiv")
    report = only_report(ingest_due(app))
    assert (report.failed, report.outcome) == (False, "Empty, as on weekends and holidays.")


def test_a_feed_in_other_hands_is_left_alone(app: App, source: Source, clock: Clock) -> None:
    meanwhile: list[list[Report]] = []

    def another_process() -> None:
        other = threading.Thread(target=lambda: meanwhile.append(ingest_due(app)))
        other.start()
        other.join()
        meanwhile.append(ingest_sources(app, [f"{source.url}/rss"]))

    source.answers["/rss"] = Answer(body=RSS, before=another_process)
    add_feed(app, f"{source.url}/rss")
    assert only_report(ingest_due(app)).new == 4
    assert meanwhile[0] == []
    assert meanwhile[1][0].outcome == "Another process is fetching it right now."
    assert len(source.asked) == 1


def test_the_lease_of_a_dead_process_ends(app: App, source: Source, clock: Clock) -> None:
    source.answers["/rss"] = Answer(body=RSS)
    feed = add_feed(app, f"{source.url}/rss")
    with app.db.write() as session:
        row = session.get(Feed, feed.id)
        assert row
        row.leased_until = app.now() + timedelta(minutes=15)
    assert ingest_due(app) == []
    clock.forward(minutes=15)
    assert only_report(ingest_due(app)).new == 4


def test_files_are_named_and_add_up(app: App) -> None:
    names = ["arxiv.rss.xml", "arxiv.atom.xml", "daily_papers.json", "journal.rdf.xml"]
    reports = ingest_sources(app, [str(FEEDS / name) for name in names])
    assert [(r.new, r.updated, r.rejected) for r in reports] == [
        (4, 0, 1),
        (0, 0, 0),
        (1, 0, 1),
        (2, 0, 1),
    ]
    keys = [paper.key for paper in papers(app)]
    assert keys == [
        "arxiv:2610.00077",
        "arxiv:2611.01234",
        "arxiv:2611.01300",
        "arxiv:2611.05555",
        "arxiv:math/9901001",
        "doi:10.1000/invented.1",
        "url:https://journal.example/a/2",
    ]
    with app.db.read() as session:
        (votes,) = session.exec(select(Upvotes))
        kinds = {row.kind for row in session.exec(select(Announcement))}
    assert (votes.count, votes.day) == (37, date(2026, 11, 18))
    assert kinds == {"new", "cross", "replace", "replace-cross"}
    announced = {paper.key for paper in papers(app) if paper.announced_day}
    assert announced == set(keys) - {"arxiv:2610.00077", "arxiv:math/9901001"}


def test_a_named_source_that_fails_says_why(app: App, tmp_path: Path) -> None:
    page = str(FEEDS / "challenge.html")
    missing, web_page = ingest_sources(app, [str(tmp_path / "none.xml"), page])
    assert (missing.failed, web_page.failed) == (True, True)
    assert missing.outcome.endswith("cannot be read: No such file or directory.")
    assert web_page.outcome.endswith("is no feed: it answered with a web page.")


def test_an_address_needs_no_feed_and_uses_one_that_is_there(app: App, source: Source) -> None:
    url = f"{source.url}/rss"
    source.answers["/rss"] = Answer(body=RSS, headers={"ETag": '"1"'})
    assert only_report(ingest_sources(app, [url])).new == 4
    assert list_feeds(app) == []
    add_feed(app, url)
    assert only_report(ingest_sources(app, [url])).seen == 5
    assert only_feed(app).etag == '"1"'
    assert ingest_due(app) == []


def test_checking_stores_nothing(app: App, source: Source) -> None:
    source.answers |= {"/good": Answer(body=RSS), "/bad": Answer(500)}
    add_feed(app, f"{source.url}/good")
    add_feed(app, f"{source.url}/bad")
    good, bad = check_feeds(app)
    assert good.outcome.startswith("5 papers of 2026-11-18. 1 could not be read")
    assert (bad.failed, bad.seen) == (True, 0)
    assert papers(app) == []
    assert [feed.checked_at for feed in list_feeds(app)] == [None, None]


def test_feeds_are_added_once_and_removed(app: App) -> None:
    feed = add_feed(app, " https://rss.arxiv.org/rss/cs.LG ")
    assert (feed.kind, feed.url) == ("arxiv", "https://rss.arxiv.org/rss/cs.LG")
    assert feed.next_fetch_at == app.now()
    with pytest.raises(InputError, match="there already, as feed 1"):
        add_feed(app, feed.url)
    with pytest.raises(InputError, match="there already, as feed 1"):
        add_feed(app, "HTTPS://RSS.arxiv.org:443/rss/cs.LG")
    odd = ("https://e.test/rss/cs.LG cs.CV", "https://e.test/\udcff", "https://e.test:99999/")
    for url in ("feeds.xml", "file:///etc/passwd", "ftp://e.test/x", "", *odd):
        with pytest.raises(InputError, match="not a web address"):
            add_feed(app, url)
    with pytest.raises(InputError, match="expected one of arxiv, "):
        add_feed(app, "https://e.test/rss", "rss")
    assert feed.id
    assert remove_feed(app, feed.id).url == feed.url
    assert list_feeds(app) == []
    with pytest.raises(NotFound, match="there is no feed 1"):
        remove_feed(app, feed.id)


def test_papers_outlive_their_feed(app: App, source: Source) -> None:
    source.answers["/rss"] = Answer(body=RSS)
    feed = add_feed(app, f"{source.url}/rss")
    ingest_due(app)
    assert feed.id
    remove_feed(app, feed.id)
    with app.db.read() as session:
        assert {row.feed_id for row in session.exec(select(Announcement))} == {None}
    assert len(papers(app)) == 4


def test_a_feeds_days_of_rest_are_kept(app: App, source: Source, clock: Clock) -> None:
    clock.moment = datetime(2026, 11, 20, 23, 50, tzinfo=UTC)  # a Friday
    source.answers["/rss"] = Answer(body=(FEEDS / "arxiv-empty.rss.xml").read_bytes())
    add_feed(app, f"{source.url}/rss")
    ingest_due(app)
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    assert monday <= only_feed(app).next_fetch_at <= monday + timedelta(minutes=5)


@pytest.mark.slow
def test_papers_as_json_lines_go_in_by_name(app: App, tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": f"2611.{n:05}", "day": "2026-11-17", "title": f"Paper {n}"})
        for n in range(1, 1501)
    ]
    plain, packed = tmp_path / "papers.jsonl", tmp_path / "papers.jsonl.xz"
    plain.write_text("\n".join([*lines, "{"]))
    packed.write_bytes(lzma.compress("\n".join(lines).encode()))
    first, again = ingest_sources(app, [str(plain), str(packed)])
    assert (first.seen, first.new, first.rejected) == (1501, 1500, 1)
    assert first.outcome.endswith("the first, no. 1501 ({): it is no JSON.")
    assert (again.seen, again.new, again.updated) == (1500, 0, 0)
    packed.write_bytes(packed.read_bytes()[:200])
    (cut,) = ingest_sources(app, [str(packed)])
    assert cut.failed
    assert "cannot be read" in cut.outcome


def test_medrxivs_feed_and_api_are_the_same_papers(app: App, source: Source) -> None:
    feed, api = "/medrxiv_xml.php?subject=infectious_diseases", "/details/medrxiv/2d/0/json"
    source.answers[feed] = Answer(body=(FEEDS / "medrxiv.rdf.xml").read_bytes())
    source.answers[api] = Answer(body=(FEEDS / "medrxiv.json").read_bytes())
    for path in (feed, api):
        add_feed(app, source.url + path, "biorxiv")
    by_feed, by_api = ingest_due(app)
    assert (by_feed.seen, by_feed.new, by_feed.rejected) == (2, 2, 0)
    assert (by_api.seen, by_api.new, by_api.rejected) == (2, 0, 0)
    again, first = papers(app)
    assert (first.key, first.version) == ("doi:10.1101/2026.11.16.26300001", 1)
    assert first.title == "A cohort of invented patients: fever & fog"
    assert first.abstract == "Background: We count. Results: There are p<5 of them."
    assert (first.authors, first.categories) == (
        ["F. Surname", "A. B. Able"],
        ["infectious diseases"],
    )
    assert first.announced_day == date(2026, 11, 18)
    assert (again.version, again.doi, again.announced_day) == (3, "10.1000/med.7", None)
    assert [feed.title for feed in list_feeds(app)] == [
        "medRxiv Subject Collection: Infectious Diseases",
        "medRxiv",
    ]
