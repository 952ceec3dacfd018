"""Why there was no mail: every day has an answer out of a closed list."""

from datetime import UTC, date, datetime, timedelta

import pytest
from conftest import IMAGES, announce
from sqlmodel import select

from digest import outcomes, subscribers, suppressions
from digest.changes import Changes
from digest.delivery import deliver, prepare
from digest.errors import NotFound
from digest.models import Batch, Feed, OutboxMessage, PassedOver, Subscriber, Suppression

ADA = "ada@reader.test"


def why(app, day=None, email=ADA):
    return outcomes.why(app, email, day)


def edit(app, person, **values):
    with app.db.write() as session:
        for name, value in values.items():
            setattr(session.get(Subscriber, person.id), name, value)


def feed(app, **values):
    with app.db.write() as session:
        added = Feed(
            url="https://rss.arxiv.test/rss/cs.CV",
            kind="arxiv",
            title="cs.CV on arXiv",
            next_fetch_at=app.now(),
            checked_at=app.now(),
            added_at=app.now() - timedelta(days=30),
            **values,
        )
        session.add(added)
    return added


def test_sent(app, ada, clock):
    announce(app, clock().date())
    assert deliver(app).sent == 1
    told = why(app)
    assert (told.day, told.outcome) == (clock().date(), "sent")
    assert told.detail == "Sent at 09:00: the digest of Wednesday, 18 November, with 10 papers."


def test_the_day_is_that_of_the_readers_zone(app, ada, clock):
    edit(app, ada, timezone="Pacific/Auckland")  # where it is 22:00
    announce(app, clock().date())
    deliver(app)
    assert why(app).outcome == "sent"
    clock.forward(hours=3)
    assert why(app).day == clock().date() + timedelta(days=1)
    assert why(app).outcome == "waiting"


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (datetime(2026, 11, 21, 9, tzinfo=UTC), "on a weekend"),
        (datetime(2026, 11, 26, 9, tzinfo=UTC), "at a holiday"),
    ],
)
def test_nothing_announced(app, ada, clock, now, word):
    clock.moment = now
    feed(app)
    edit(app, ada, next_digest_at=now - timedelta(hours=2), confirmed_at=now - timedelta(days=9))
    assert prepare(app) == (0, 1)
    told = why(app)
    assert told.outcome == "nothing-announced"
    assert word in told.detail


def test_a_source_that_is_late_failing_or_stale(app, ada, clock):
    source = feed(app)

    def passed_over(**values):
        with app.db.write() as session:
            for name, value in values.items():
                setattr(session.get(Feed, source.id), name, value)
            for row in session.exec(select(PassedOver)):
                session.delete(row)
        edit(app, ada, next_digest_at=clock() - timedelta(hours=1))
        assert prepare(app) == (0, 1)
        return why(app)

    late = passed_over()
    assert late.outcome == "source-late"
    assert "cs.CV on arXiv" in late.detail and "18 November" in late.detail
    assert passed_over(failures=1).outcome == "source-failing"
    with app.db.write() as session:
        session.add(
            Batch(
                feed_id=source.id,
                category="cs.CV",
                day=clock().date(),
                verdict="stale-suspect",
                fetched_at=clock(),
            )
        )
    assert passed_over(failures=0).outcome == "source-stale"


def test_nothing_above_the_bar(app, ada, clock):
    announce(app, clock().date())
    edit(app, ada, min_score=1.0)
    assert prepare(app) == (0, 1)
    told = why(app)
    assert told.outcome == "below-min-score"
    assert "10 new papers" in told.detail and "a chance of 100%" in told.detail


def test_all_muted(app, ada, clock):
    announce(app, clock().date(), IMAGES)
    edit(app, ada, muted=["diffusion"])
    assert prepare(app) == (0, 1)
    assert why(app).outcome == "muted"


def test_paused_and_back(app, ada, clock):
    monday = clock().date()
    clock.forward(days=1)
    subscribers.pause(app, ada.id)
    clock.forward(days=2)
    assert why(app).outcome == "paused"
    subscribers.resume(app, ada.id)
    clock.forward(days=1)
    assert why(app, monday + timedelta(days=2)).outcome == "paused"
    assert why(app, monday + timedelta(days=4)).outcome != "paused"


def test_paused_from_the_first(app, pia):
    assert why(app, email="pia@reader.test").outcome == "not-subscribed"
    assert why(app, app.now().date() + timedelta(days=1), "pia@reader.test").outcome == "paused"


@pytest.mark.parametrize(
    ("reason", "outcome"), [("bounce", "bounced"), ("complaint", "suppressed")]
)
def test_suppressed(app, ada, clock, reason, outcome):
    announce(app, clock().date())
    with app.db.write() as session:
        session.add(
            Suppression(
                address_hash=app.tokens.address_hashes(ADA)[0], reason=reason, created_at=clock()
            )
        )
    deliver(app)
    assert why(app).outcome == outcome
    clock.forward(days=1)
    assert why(app).outcome == outcome


def test_suppressed_while_the_mail_waits(app, ada, clock):
    announce(app, clock().date())
    prepare(app)
    assert why(app).outcome == "waiting"
    suppressions.add(app, ADA)
    assert why(app).outcome == "suppressed"


def test_waiting_for_the_hour(app, ada, clock):
    edit(app, ada, send_at="17:30", next_digest_at=clock().replace(hour=17, minute=30))
    told = why(app)
    assert told.outcome == "waiting"
    assert told.detail.endswith("18 November at 17:30.")
    assert why(app, clock().date() + timedelta(days=1)).outcome == "waiting"


def test_a_weekly_reader_waits_for_monday(app, ada, clock):
    edit(app, ada, frequency="weekly", next_digest_at=datetime(2026, 11, 23, 7, tzinfo=UTC))
    told = why(app)
    assert told.outcome == "waiting"
    assert "Monday, 23 November" in told.detail


def test_in_the_outbox_and_failed(app, ada, clock):
    announce(app, clock().date())
    prepare(app)
    assert why(app).outcome == "waiting"
    with app.db.write() as session:
        message = session.exec(select(OutboxMessage)).one()
        message.status, message.response = "failed", "550 5.1.1 no such user"
    told = why(app)
    assert told.outcome == "failed"
    assert "550 5.1.1 no such user" in told.detail


def test_a_service_that_did_not_run(app, ada, clock):
    edit(app, ada, confirmed_at=clock() - timedelta(days=2))
    clock.forward(hours=3)
    assert why(app).outcome == "failed"
    clock.forward(days=1)
    assert why(app, clock().date() - timedelta(days=1)).outcome == "failed"


def test_before_and_after_the_subscription(app, clock):
    subscribers.add(app, "new@reader.test", Changes(topics=(("fog", 1.0),)))
    yesterday = clock().date() - timedelta(days=1)
    assert why(app, yesterday, "new@reader.test").outcome == "not-subscribed"
    assert why(app, email="new@reader.test").outcome == "waiting"
    with app.db.read() as session:
        person = subscribers.find(session, "new@reader.test")
    clock.forward(days=1)
    subscribers.remove(app, person.id)
    clock.forward(days=1)
    assert why(app, email="new@reader.test").outcome == "not-subscribed"
    with pytest.raises(NotFound):
        why(app, email="nobody@reader.test")


def test_who_is_passed_over_by_a_slower_process_leaves_no_record(app, ada, clock):
    """A digest by hand on the same day outranks the record of having had nothing."""
    prepare(app)
    announce(app, clock().date())
    assert deliver(app, day=clock().date()).sent == 1
    assert why(app).outcome == "sent"


def test_the_last_days_and_the_counts(app, ada, pia, clock):
    announce(app, date(2026, 11, 18))
    deliver(app)
    clock.forward(days=3)
    prepare(app)
    with app.db.read() as session:
        person = session.get(Subscriber, ada.id)
    told = [outcome.outcome for outcome in outcomes.lately(app, person)]
    assert told == ["nothing-announced", "failed", "failed", "sent"]
    assert outcomes.counts(app) == {"nothing-announced": 1, "paused": 1}
    assert outcomes.counts(app, back=3) == {"sent": 1, "not-subscribed": 1}


def test_old_records_go(app, ada, clock):
    prepare(app)
    clock.forward(days=91)
    outcomes.forget(app)
    with app.db.read() as session:
        assert session.exec(select(PassedOver)).all() == []
