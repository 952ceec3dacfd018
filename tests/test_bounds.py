"""Nobody's mailbox is filled by others, whoever asks and how often."""

import pytest
from sqlmodel import select

from digest import signup, subscribers
from digest.changes import Changes
from digest.errors import TooMany
from digest.models import OutboxMessage


def letters(app):
    with app.db.read() as session:
        return len(session.exec(select(OutboxMessage)).all())


def ask(app, email):
    signup.subscribe(app, email, Changes())


def test_a_mailbox_gets_three_letters_a_day(app, clock):
    for _ in range(80):
        ask(app, "sam@stranger.test")
        signup.request_link(app, "sam@stranger.test")
        clock.forward(minutes=15)
    assert letters(app) == 3
    clock.forward(hours=24)
    ask(app, "sam@stranger.test")
    assert letters(app) == 4


def test_who_leaves_by_a_slip_may_come_back_at_once(app, clock):
    ask(app, "sam@stranger.test")
    clock.forward(minutes=1)
    with app.db.read() as session:
        (sam,) = subscribers.listing(session)
    signup.confirm(app, sam.id)
    clock.forward(minutes=1)
    subscribers.remove(app, sam.id)
    for _ in range(5):
        ask(app, "sam@stranger.test")
        clock.forward(minutes=1)
    assert letters(app) == 2


def test_what_follows_a_plus_is_the_same_mailbox(app, clock):
    for number in range(50):
        ask(app, f"sam+{number}@stranger.test")
        ask(app, f"SAM+{number}@stranger.test")
        clock.forward(minutes=11)
    ask(app, "sam@stranger.test")
    assert letters(app) == 3
    for other in ("sa_@stranger.test", "sam@other.test", "samuel@stranger.test"):
        ask(app, other)
    assert letters(app) == 6


def test_a_name_with_jokers_is_no_pattern(app, clock):
    for number in range(5):
        ask(app, f"sam{number}@stranger.test")
    ask(app, "%@stranger.test")
    ask(app, "s%+x@stranger.test")
    assert letters(app) == 7


@pytest.fixture
def settings(settings):
    mail = settings.mail.model_copy(update={"letters_per_hour": 20})
    return settings.model_copy(update={"mail": mail})


def test_in_an_hour_so_many_letters_go_out_and_then_nobody_is_told_apart(app, ada, clock):
    for number in range(20):
        ask(app, f"reader{number}@reader.test")
    for email in (ada.email, "reader3@reader.test", "nobody@reader.test"):
        with pytest.raises(TooMany) as caught:
            ask(app, email)
        assert caught.value.retry_after == 3600
        with pytest.raises(TooMany):
            signup.request_link(app, email)
    assert letters(app) == 20
    with app.db.read() as session:
        assert len(subscribers.listing(session)) == 21
    clock.forward(minutes=61)
    ask(app, "nobody@reader.test")
    assert letters(app) == 21
