"""The first digest comes at once, with the last days in it."""

from datetime import UTC, datetime, timedelta

import pytest
from conftest import STRANGER, announce
from test_delivery import rows

from digest import signup, subscribers
from digest.changes import Changes
from digest.delivery import deliver, prepare, welcome, welcomes
from digest.models import Digest, OutboxMessage


@pytest.fixture
def newcomer(app):
    """Confirmed just now."""
    signup.subscribe(app, STRANGER, Changes(topics=[("galaxy surveys", 1.0)]))
    with app.db.read() as session:
        person = subscribers.find(session, STRANGER)
    return signup.confirm(app, person.id)


def test_a_newcomer_gets_the_last_days_at_once_and_before_all_others(app, ada, newcomer, clock):
    announce(app, clock().date() - timedelta(days=2))
    assert welcomes(app, newcomer)
    assert welcome(app) == 1
    (digest,) = rows(app, Digest)
    assert (digest.subscriber_id, digest.day) == (newcomer.id, clock().date() - timedelta(days=2))
    assert prepare(app) == (1, 0)
    priority = {
        one.subscriber_id: one.priority for one in rows(app, OutboxMessage) if one.digest_id
    }
    assert priority[newcomer.id] < priority[ada.id]
    with app.db.read() as session:
        kept = subscribers.get(session, newcomer.id)
    assert kept.next_digest_at == datetime(2026, 11, 19, 7, tzinfo=UTC)
    assert not welcomes(app, kept)
    assert welcome(app) == 0


def test_the_first_digest_says_welcome_and_the_second_does_not(app, newcomer, mailbox, clock):
    announce(app, clock().date())
    welcome(app)
    deliver(app)
    clock.forward(days=1)
    announce(app, clock().date())
    deliver(app)
    first, second = [mail for mail in mailbox.messages if "Galax" in mail["Subject"]]
    for kind in ("plain", "html"):
        assert "first digest" in first.get_body((kind,)).get_content()
        assert "first digest" not in second.get_body((kind,)).get_content()


def test_with_nothing_to_read_yet_the_first_digest_comes_at_its_hour(app, newcomer, clock):
    assert not welcomes(app, newcomer)
    assert welcome(app) == 0
    announce(app, clock().date())
    assert prepare(app) == (0, 0)
    clock.forward(days=1)
    assert prepare(app) == (1, 0)
    (digest,) = rows(app, Digest)
    assert not digest.welcome
