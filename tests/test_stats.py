"""The figures are those of the rows."""

from datetime import timedelta

from conftest import announce
from sqlmodel import select

from digest import feedback
from digest.delivery import deliver, prepare
from digest.models import Announcement, Feed, Paper
from digest.stats import FeedDay, stats


def test_an_empty_installation_has_figures_too(app):
    found = stats(app)
    assert found.outcomes == {"today": {}, "yesterday": {}}
    assert (found.papers, found.late_seconds, found.last_sent) == (0, 0, None)
    assert found.digests == {"sent": 0, "failed": 0, "in_doubt": 0}


def test_a_day_in_figures(app, ada, pia, clock):
    papers = announce(app, clock().date())
    with app.db.write() as session:
        source = Feed(
            url="https://rss.arxiv.test/rss/cs.CV",
            kind="arxiv",
            title="cs.CV",
            next_fetch_at=clock(),
            checked_at=clock(),
            added_at=clock(),
        )
        session.add(source)
        session.flush()
        for at, kind in enumerate(("new", "cross", "replace")):
            session.add(
                Announcement(
                    paper_id=papers[at],
                    day=clock().date(),
                    kind=kind,
                    feed_id=source.id,
                    recorded_at=clock(),
                )
            )
        feedback.record(session, ada.id, papers[0], "up", source="cli", now=clock())
        feedback.record(session, ada.id, papers[1], "down", source="cli", now=clock())
    assert stats(app).late_seconds == 3600
    assert deliver(app).sent == 1
    found = stats(app)
    assert found.outcomes["today"] == {"sent": 1, "not-subscribed": 1}
    assert found.subscribers == {"active": 1, "paused": 1}
    assert (found.papers, found.late_seconds) == (10, 0)
    assert found.feeds == [FeedDay("cs.CV", clock().date(), 2, 1)]
    assert found.digests == {"sent": 1, "failed": 0, "in_doubt": 0}
    assert found.votes == {"up": 1, "down": 1}
    assert (found.last_fetch, found.last_sent) == (clock(), clock())


def test_a_digest_that_waits_to_be_sent_is_late_by_its_hour(app, ada, clock):
    announce(app, clock().date())
    assert prepare(app) == (1, 0)
    assert stats(app).late_seconds == 3600
    clock.forward(minutes=30)
    assert stats(app).late_seconds == 5400
    deliver(app)
    assert stats(app).late_seconds == 0


def test_what_was_merged_is_not_counted_twice(app, clock):
    one, other = announce(app, clock().date() - timedelta(days=1))[:2]
    with app.db.write() as session:
        session.get(Paper, other).merged_into = one
    assert stats(app).papers == 9
    with app.db.read() as session:
        assert len(session.exec(select(Paper)).all()) == 10
