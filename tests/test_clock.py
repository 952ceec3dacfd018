"""Clocks that go wrong, and those that change by law: nothing comes twice and nobody is put off."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from conftest import announce
from sqlmodel import col, select
from test_faults import all_picks, findings, papers, rows
from test_two_weeks import source  # noqa: F401 (a fixture)

from digest import clock as clocks
from digest import jobs, subscribers
from digest.changes import Changes
from digest.delivery import deliver, prepare
from digest.feeds.ingest import add_feed, ingest_due, ingest_sources
from digest.feeds.leases import lease
from digest.feeds.store import store
from digest.mail import outbox
from digest.models import Digest, OutboxMessage, Paper, Pick, Subscriber
from digest.papers import Entry, Listing


def test_an_hour_back_after_the_mail_sends_nothing_twice(app, ada, clock, mailbox):
    announce(app, clock().date())
    deliver(app)
    clock.forward(hours=-3)
    for _ in range(25):
        deliver(app)
        clock.forward(hours=1)
    assert len(mailbox.messages) == 1
    announce(app, clock().date())
    deliver(app)
    assert len(mailbox.messages) == 2
    assert max(Counter(pick.paper_id for pick in all_picks(app)).values()) == 1


@pytest.mark.parametrize("days", [1, 5, 40])
def test_a_clock_that_runs_ahead_puts_nobody_off(app, ada, clock, mailbox, days):
    """Ahead for an hour, then right again: who was passed over meanwhile gets all there is."""
    feed = add_feed(app, "https://rss.arxiv.org/rss/cs.CV")
    announce(app, clock().date())
    deliver(app)
    clock.forward(days=days)
    deliver(app)
    assert lease(app, feed.id, only_due=False)
    clock.forward(days=-days)
    assert len(mailbox.messages) == 1
    for _ in range(3):
        jobs.tidy(app, lambda: False)
        clock.forward(days=1)
        announce(app, clock().date())
        deliver(app)
    assert lease(app, feed.id, only_due=False)
    mails = 3 if days == 1 else 4  # a day's digest may come with the next one's
    assert len(mailbox.messages) == mails
    picked = Counter(pick.paper_id for pick in all_picks(app))
    assert set(picked.values()) == {1}
    assert len(picked) == 10 * mails


def test_papers_that_come_after_the_clock_stepped_back_are_new(app, ada, clock, mailbox, tmp_path):
    """By the clock they were there before the digest that could not hold them."""
    ingest_sources(app, [papers(tmp_path, clock().date(), 10)])
    deliver(app)
    clock.forward(hours=-2)
    jobs.tidy(app, lambda: False)
    more = Path(papers(tmp_path, clock().date(), 20))
    assert ingest_sources(app, [str(more)])[0].new == 10
    for _ in range(2):
        clock.forward(days=1)
        deliver(app)
        announce(app, clock().date() + timedelta(days=1), ["Image generation for galaxies"])
    assert len(mailbox.messages) == 2
    late = {f"arxiv:2611.{n:05}" for n in range(11, 21)}
    with app.db.read() as session:
        got = set(session.exec(select(Paper.key).join(Pick, col(Pick.paper_id) == Paper.id)))
    assert len(got & late) >= 9


def test_a_clock_that_was_a_month_ahead_dates_no_paper_of_the_days_between(app, ada, clock):
    """It made a digest then; once it is right, papers bear the hour at which they come, until the
    day of that digest is there and has papers that it did not hold."""
    come(app, clock().date())
    deliver(app)
    first = clock()
    clock.forward(days=30)
    come(app, clock().date())
    assert deliver(app).sent == 1
    for day in (1, 2, 3, 29, 30, 31):
        clock.moment = first + timedelta(days=day, hours=-3)
        jobs.tidy(app, lambda: False)
        come(app, clock().date(), "late ")
        clock.forward(hours=3)
        deliver(app)
    late = [paper for paper in rows(app, Paper) if "late" in paper.title]
    assert {paper.announced_at - paper.updated_at for paper in late[:9]} == {timedelta(0)}
    digests = sorted(rows(app, Digest), key=lambda digest: digest.day)
    days = [(digest.day - first.date()).days for digest in digests]
    assert days == [0, 1, 2, 3, 29, 30, 31]
    assert [digest.candidates for digest in digests[:4]] == [3, 3, 3, 3]
    picked = Counter(pick.paper_id for pick in all_picks(app))
    assert picked == Counter(paper.id for paper in rows(app, Paper))


def come(app, day, word=""):
    """Three papers of the day, by the way of a feed."""
    entries = tuple(
        Entry(
            key=f"arxiv:{day:%y%m}.{day.day:02}{len(word)}{n:02}",
            day=day,
            title=f"Image generation {word}by {what} on {day:%d %B}",
            abstract=f"We generate images by {what}.",
            authors=(f"Ann {what.title()}", f"Bo {day:%d%m}{word}"),
            categories=("cs.CV",),
            url=f"https://arxiv.org/abs/{day:%y%m%d}{n}",
        )
        for n, what in enumerate(("fog", "rain", "snow"), start=1)
    )
    with app.db.write() as session:
        store(session, Listing("", None, entries), None, app.now())


def test_a_feed_is_asked_again_at_once_when_the_clock_is_right_again(app, source, clock):  # noqa: F811
    add_feed(app, source.url, "generic")
    clock.forward(days=2)
    ingest_due(app)
    clock.forward(days=-2)
    jobs.tidy(app, lambda: False)
    ingest_due(app)
    assert len(source.asked) == 2


def test_a_lease_of_a_clock_that_ran_ahead_ends(app, ada, clock, mailbox):
    announce(app, clock().date())
    prepare(app)
    with app.db.write() as session:
        message = session.exec(select(OutboxMessage)).one()
        message.leased_by, message.leased_until = "the dead", clock() + timedelta(days=40)
        message.due_at = clock() + timedelta(days=40)
        session.add(message)
    clocks.put_right(app)
    clock.forward(minutes=31)
    assert outbox.send_due(app).sent == 1


def test_doctor_names_a_clock_that_went_back(app, ada, clock):
    announce(app, clock().date())
    prepare(app)
    assert "clock" in findings(app, "ok")
    clock.forward(hours=-1)
    assert "something was done at 2026-11-18 09:00" in findings(app, "warn")["clock"]


def test_a_link_from_a_clock_some_minutes_ahead_is_good(app, clock):
    made = app.tokens.sign("sensitive", 7, 1, clock() + timedelta(minutes=20))
    assert app.tokens.read("sensitive", made, clock()).subscriber_id == 7


CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # back by half an hour, at 02:00
    ("Australia/Lord_Howe", date(2026, 10, 4)),
]
HOURS = ("07:00", "01:30", "01:45", "02:00", "02:15", "02:30")


@pytest.mark.sqlite
@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_one_digest_a_day_across_daylight_saving(app, clock, zone, change):
    here = ZoneInfo(zone)
    clock.moment = datetime(change.year, change.month, change.day, tzinfo=here).astimezone(UTC)
    clock.moment = clock().replace(hour=0, minute=0) - timedelta(days=1)
    for hour in HOURS:
        wanted = Changes(topics=[("images", 1.0)], send_at=hour, timezone=zone)
        subscribers.add(app, f"at{hour.replace(':', '')}@crowd.test", wanted)
    due: dict[str, set[datetime]] = {hour: set() for hour in HOURS}
    end = clock() + timedelta(days=3)
    while clock() < end:
        if clock().hour == clock().minute == 0:
            announce(app, clock().date())
        for reader in rows(app, Subscriber):
            due[reader.send_at].add(reader.next_digest_at.astimezone(here))
        prepare(app)
        clock.forward(minutes=30)
    for hour in HOURS:
        days = sorted(at.date() for at in due[hour])
        assert days == [days[0] + timedelta(days=n) for n in range(len(days))], hour
        assert {f"{at:%H:%M}" for at in due[hour] if at.date() != change} == {hour}
    made = Counter(digest.subscriber_id for digest in rows(app, Digest))
    assert set(made.values()) <= {2, 3}  # by listing days, which are those of UTC
