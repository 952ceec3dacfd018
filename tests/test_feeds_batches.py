"""Batches as the operator sees them: what is open, in sentences and figures."""

from datetime import date, timedelta

import pytest
from conftest import Clock
from sqlmodel import select

from digest import doctor
from digest.app import App
from digest.feeds.batches import figures, open_batches, put_off
from digest.feeds.ingest import add_feed, remove_feed
from digest.models import Batch, Feed, RawBatch

DAY = date(2026, 11, 17)


@pytest.fixture
def feed(app: App) -> Feed:
    return add_feed(app, "https://rss.arxiv.org/rss/cs.LG+cs.CL")


def add(app: App, feed: Feed, verdict: str, **values: object) -> None:
    row = Batch(feed_id=feed.id, category="cs.LG", verdict=verdict, fetched_at=app.now())
    with app.db.write() as session:
        session.add(row.sqlmodel_update({"day": DAY} | values))


@pytest.mark.parametrize(
    ("verdict", "missing", "sentence"),
    [
        ("empty-suspect", 0, "is empty although a batch was due."),
        ("stale-suspect", 0, "did not come: the feed still showed an earlier day."),
        ("partial", 7, "may lack papers; 7 papers are known to lack."),
        ("missing", 0, "was never seen."),
    ],
)
def test_the_doctor_names_what_could_not_be_filled(
    app: App, feed: Feed, verdict: str, missing: int, sentence: str
) -> None:
    add(app, feed, verdict, missing=missing, fill_at=app.now())
    (finding,) = [one for one in doctor.check(app) if one.name.startswith("batch")]
    assert (finding.name, finding.state) == ("batch 2026-11-17", "warn")
    assert finding.sentence == f"The batch cs.LG of 2026-11-17 (feed 1) {sentence}"
    assert "`digest ingest --from 2026-11-17`" in finding.mend
    assert figures(app) == {verdict: 1, "papers_missing": missing}


def test_many_open_batches_are_summed_up(app: App, feed: Feed) -> None:
    for n in range(12):
        add(app, feed, "missing", day=DAY - timedelta(days=n))
    found = [one for one in doctor.check(app) if one.name.startswith("batch")]
    assert len(found) == 11
    assert found[-1].sentence == "2 more batches are in doubt."
    assert found[-1].mend == "Run `digest ingest --from 2026-11-06`."


def test_what_is_settled_or_long_ago_is_no_trouble(app: App, feed: Feed, clock: Clock) -> None:
    add(app, feed, "new")
    add(app, feed, "filled", category="cs.CL")
    add(app, feed, "missing", day=DAY - timedelta(days=40))
    assert open_batches(app) == []
    assert figures(app) == {"filled": 1, "new": 1, "papers_missing": 0}
    assert not [one for one in doctor.check(app) if one.name.startswith("batch")]


def test_another_way_is_tried_ever_more_rarely_but_every_day(app: App, feed: Feed) -> None:
    add(app, feed, "missing", looks=0)
    with app.db.write() as session:
        (row,) = session.exec(select(Batch))
        waits = []
        for _ in range(12):
            put_off(row, app.now())
            assert row.fill_at
            waits.append(row.fill_at - app.now())
        put_off(row, app.now(), retry_after=1e9)
        assert row.fill_at == app.now() + timedelta(days=1)
        row.looks = 0
        put_off(row, app.now(), retry_after=7200)
        assert row.fill_at == app.now() + timedelta(hours=2)
    assert waits[:3] == [timedelta(minutes=20), timedelta(minutes=40), timedelta(minutes=80)]
    assert waits[11] == timedelta(days=1)


def test_batches_and_bodies_go_with_their_feed(app: App, feed: Feed) -> None:
    add(app, feed, "new")
    body = RawBatch(
        feed_id=feed.id, mark="m", day=DAY, url="u", fetched_at=app.now(), body=b"compressed"
    )
    with app.db.write() as session:
        session.add(body)
    assert feed.id
    remove_feed(app, feed.id)
    with app.db.read() as session:
        assert [*session.exec(select(Batch)), *session.exec(select(RawBatch))] == []
