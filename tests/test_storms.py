"""When our own mail server refuses everyone, nobody's address is given up for it."""

from datetime import timedelta

import pytest
from sqlmodel import select

from digest import alerts
from digest.mail import bounces
from digest.mail.reports import Report
from digest.models import Alert, Bounce, OutboxMessage, Subscriber, Suppression


def send_to(app, count, first=0, ago=5):
    """So many readers, each with a mail sent some minutes ago; gives their marks."""
    with app.db.write() as session:
        people = [
            Subscriber(
                email=f"r{at}@reader.test",
                email_key=f"r{at}@reader.test",
                status="active",
                created_at=app.now(),
                next_digest_at=app.now() + timedelta(days=1),
            )
            for at in range(first, first + count)
        ]
        session.add_all(people)
        session.flush()
        when = app.now() - timedelta(minutes=ago)
        mails = [
            OutboxMessage(
                kind="digest",
                subscriber_id=person.id,
                status="sent",
                due_at=when,
                created_at=when,
                sent_at=when,
            )
            for person in people
        ]
        session.add_all(mails)
        session.flush()
        return [app.tokens.mark(mail.subscriber_id, mail.id) for mail in mails]


def come_back(app, marks, kind="hard", status="5.1.1"):
    return [bounces.record(app, Report(kind, (mark,), status, "no")) for mark in marks]


def suppressed(app):
    with app.db.read() as session:
        return len(session.exec(select(Suppression)).all())


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_when_most_mails_come_back_nobody_is_suppressed(app, mailbox, kind):
    marks = send_to(app, 60)
    became = come_back(app, marks[:50], kind)
    assert became[40:] == ["held"] * 10
    assert suppressed(app) == 0
    with app.db.read() as session:
        assert all(bounce.settled for bounce in session.exec(select(Bounce)))
        people = session.exec(select(Subscriber)).all()
        assert all(person.next_digest_at for person in people)
        assert session.get(Alert, "bounces") is not None
        assert "bounces" in [trouble.name for trouble in alerts.troubles(session, app.now())]


def test_the_operator_is_told_once(app, mailbox):
    object.__setattr__(app.settings.mail, "alert_to", "operator@digest.test")
    come_back(app, send_to(app, 40))
    alerts.watch(app)
    alerts.watch(app)
    (mail,) = mailbox.messages
    assert "nobody is suppressed" in " ".join(mail.get_body(("plain",)).get_content().split())


def test_some_dead_addresses_are_no_storm(app):
    marks = send_to(app, 90)
    assert set(come_back(app, marks[:30])) == {"suppressed"}
    assert suppressed(app) == 30


def test_a_small_list_has_no_storms(app):
    assert set(come_back(app, send_to(app, 10))) == {"suppressed"}


def test_complaints_are_never_held(app):
    marks = send_to(app, 40)
    come_back(app, marks[:30])
    assert set(come_back(app, marks[30:], "complaint", "")) == {"unsubscribed"}
    assert suppressed(app) == 10


def test_after_the_storm_a_dead_address_is_one_again(app, clock):
    come_back(app, send_to(app, 40))
    clock.forward(hours=3)
    alerts.watch(app)
    marks = send_to(app, 40, first=100)
    assert come_back(app, marks[:1]) == ["suppressed"]


def test_looking_alone_changes_nothing(app):
    marks = send_to(app, 40)
    for mark in marks:
        bounces.record(app, Report("hard", (mark,), "5.1.1", "no"), dry_run=True)
    with app.db.read() as session:
        assert session.exec(select(Bounce)).all() == []
