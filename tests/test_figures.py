"""What monitoring reads: the figures of the rows, and no table that grows is read whole."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import announce

from digest import feedback
from digest.delivery import deliver, prepare
from digest.figures import figures
from digest.models import (
    Alert,
    Announcement,
    Batch,
    Bounce,
    Feed,
    JobFailure,
    OutboxMessage,
    Subscriber,
    Suppression,
)


def test_an_empty_installation_has_figures_too(app):
    found = figures(app)
    assert (found.feeds, found.mails, found.alerts) == ([], {}, [])
    for counts in (found.subscribers, found.bounces, found.suppressions, found.passed_over):
        assert counts and not any(counts.values())
    assert found.outbox == {"queued": 0, "sending": 0, "deferred": 0}
    assert (found.late_reader, found.late_mail, found.papers_missing) == (0, 0, 0)
    assert (found.last_ingest, found.last_delivery) == (None, None)


def day(app, clock):
    """A feed with a suspect batch, papers, votes, bounces."""
    papers = announce(app, clock().date())
    now = clock()
    with app.db.write() as session:
        feed = Feed(
            url="https://rss.arxiv.test/rss/cs.CV?key=S3CRET",
            kind="arxiv",
            title="cs.CV on arXiv",
            next_fetch_at=now,
            checked_at=now,
            changed_at=now - timedelta(hours=2),
            failures=2,
            added_at=now,
        )
        session.add(feed)
        session.flush()
        for at, kind in enumerate(("new", "new", "replace")):
            session.add(
                Announcement(
                    paper_id=papers[at], day=now.date(), kind=kind, feed_id=feed.id, recorded_at=now
                )
            )
        for back, verdict in enumerate(("whole", "stale-suspect", "missing")):
            session.add(
                Batch(
                    feed_id=feed.id,
                    category="cs.CV",
                    day=now.date() - timedelta(days=back),
                    verdict=verdict,
                    missing=back * 2,
                    fetched_at=now,
                )
            )
        session.add(Suppression(address_hash="x", reason="bounce", created_at=now))
        session.add(Alert(name="silence", sentence="Nobody.", since=now))
        session.add(JobFailure(job="send", since=now, failures=4, failed_at=now))
    return papers


def there(counts):
    return {name: count for name, count in counts.items() if count}


def test_a_day_in_figures(app, ada, pia, clock):
    papers = day(app, clock)
    assert figures(app).late_reader == 3600
    prepare(app)
    assert figures(app).outbox["queued"] == 1
    clock.forward(minutes=10)
    with app.db.read() as session:
        due = session.exec(sa.select(OutboxMessage)).scalar_one().due_at
    assert figures(app).late_mail == (clock() - due).total_seconds() > 0
    deliver(app)
    with app.db.write() as session:
        feedback.record(session, ada.id, papers[0], "up", source="cli", now=clock())
        feedback.record(session, ada.id, papers[1], "none", source="cli", now=clock())
        message = session.exec(sa.select(OutboxMessage.id)).scalar_one()
        session.add(Bounce(message_id=message, kind="soft", subscriber_id=ada.id, at=clock()))
        session.add(
            OutboxMessage(
                kind="link",
                subscriber_id=ada.id,
                in_doubt=True,
                due_at=clock(),
                created_at=clock(),
                status="deferred",
            )
        )
    found = figures(app)
    (feed,) = found.feeds
    assert (feed.name, feed.failures, feed.announced) == (
        "cs.CV on arXiv",
        2,
        {"new": 2, "replace": 1},
    )
    assert found.batches == {"whole": 1, "stale-suspect": 1, "missing": 1}
    assert found.papers_missing == 6
    assert there(found.subscribers) == {"active": 1, "paused": 1}
    assert found.mails == {("digest", "sent"): 1, ("link", "deferred"): 1}
    assert (found.in_doubt, found.outbox["deferred"], found.late_reader) == (1, 1, 0)
    assert found.votes == {"up": 1, "down": 0, "none": 1}
    assert (there(found.bounces), there(found.suppressions)) == ({"soft": 1}, {"bounce": 1})
    assert [alert.name for alert in found.alerts] == ["silence"]
    assert (found.last_ingest, found.last_delivery) == (clock() - timedelta(minutes=10), clock())
    clock.forward(days=2)
    later = figures(app)
    assert (later.mails[("link", "deferred")] if later.mails else 0) == 0
    assert (there(later.bounces), there(later.votes)) == ({}, {})


def test_who_is_passed_over_is_counted(app, ada, clock):
    prepare(app)
    assert there(figures(app).passed_over) == {"nothing-announced": 1}


@pytest.mark.sqlite
def test_no_table_that_grows_is_read_whole(app, ada, clock):
    day(app, clock)
    deliver(app)
    with app.db.write() as session:
        session.add(Subscriber(email="x@x.test", email_key="x@x.test", created_at=clock()))
    asked = []

    @sa.event.listens_for(app.db.engine, "before_cursor_execute")
    def keep(connection, cursor, statement, parameters, context, many):
        asked.append((statement, parameters))

    figures(app)
    sa.event.remove(app.db.engine, "before_cursor_execute", keep)
    statements = [pair for pair in asked if pair[0].lstrip().startswith("SELECT")]
    assert len(statements) > 12
    with app.db.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            for step in plan:
                whole = any(f"SCAN {table}" in step[3] for table in GROWING)
                # By an index of small entries, or from the end up to the first that fits.
                bounded = "COVERING INDEX" in step[3] or "LIMIT" in statement
                assert not whole or bounded, (step[3], statement)
                sorted_first = "LIMIT" in statement and "TEMP B-TREE FOR ORDER" in step[3]
                assert not sorted_first, (step[3], statement)


GROWING = ("subscriber", "outbox", "paper", "announcement", "feedback", "digest", "pick", "bounce")
