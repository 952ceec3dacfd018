"""A change of address: nothing changes before the new one says yes, and nobody learns of others."""

from datetime import timedelta

import pytest
from sqlmodel import select

from digest import bounds, moving, signup, subscribers
from digest.changes import Changes
from digest.errors import InputError, NotFound, TooMany
from digest.mail import bounces, outbox
from digest.mail.reports import Report
from digest.models import Bounce, OutboxMessage, Subscriber, Suppression
from digest.suppressions import suppress, suppressed

NEW = "ada@elsewhere.test"


def asked(app):
    """The mails that ask a new address: (id, recipient)."""
    with app.db.read() as session:
        rows = session.exec(select(OutboxMessage).where(OutboxMessage.kind == "address"))
        return [(row.id, row.recipient) for row in rows]


def stored(app, person):
    with app.db.read() as session:
        return subscribers.get(session, person.id)


def move(app, person, email=NEW):
    moving.request(app, person.id, email)
    return moving.confirm(app, person.id, asked(app)[-1][0])


def test_the_new_address_is_asked_and_the_old_is_told(app, ada, mailbox):
    moving.request(app, ada.id, "Ada@Elsewhere.test")
    outbox.send_due(app)
    assert stored(app, ada).email == ada.email
    moving.confirm(app, ada.id, asked(app)[0][0])
    outbox.send_due(app)
    moved = stored(app, ada)
    assert (moved.email, moved.email_key) == ("Ada@elsewhere.test", NEW)
    told = [(envelope.rcpt_tos, mail["To"]) for envelope, mail in _sent(mailbox)]
    assert told == [
        (["Ada@elsewhere.test"], "Ada@elsewhere.test"),
        ([ada.email], f"{ada.name} <{ada.email}>"),
    ]
    ask, tell = (mail.get_body(("plain",)).get_content() for _, mail in _sent(mailbox))
    assert ada.email not in ask and ada.name not in ask
    assert NEW not in tell.casefold()


def _sent(mailbox):
    return list(zip(mailbox.envelopes, mailbox.messages, strict=True))


def test_the_links_of_before_are_revoked(app, ada):
    moved = move(app, ada)
    assert (moved.link_epoch, moved.view_epoch) == (1, 1)


@pytest.mark.parametrize("reason", ["bounce", "complaint", "operator"])
def test_an_address_that_gets_no_mail_is_not_asked(app, ada, reason):
    with app.db.write() as session:
        suppress(app, session, NEW, NEW, reason)
    moving.request(app, ada.id, NEW)
    assert asked(app) == []


def test_an_address_with_a_subscription_is_not_asked(app, ada, pia):
    moving.request(app, ada.id, pia.email.upper())
    assert asked(app) == []


def test_an_address_that_was_taken_meanwhile_stays_its_readers(app, ada):
    moving.request(app, ada.id, NEW)
    subscribers.add(app, NEW, Changes())
    with pytest.raises(InputError, match="subscription of its own"):
        moving.confirm(app, ada.id, asked(app)[0][0])
    assert stored(app, ada).email == ada.email


@pytest.mark.parametrize("status", ["pending", "removed"])
def test_a_subscription_that_runs_no_more_gives_its_address_up(app, ada, pia, status):
    with app.db.write() as session:
        person = subscribers.get(session, pia.id)
        person.status = status
        session.add(person)
    assert move(app, ada, pia.email).email == pia.email
    with app.db.read() as session:
        assert [person.id for person in session.exec(select(Subscriber))] == [ada.id]


def test_an_erased_address_may_say_yes_itself(app, ada, pia):
    subscribers.erase(app, pia.id)
    assert move(app, ada, pia.email).email == pia.email
    with app.db.read() as session:
        assert suppressed(app, session, pia.email_key) is None


def test_an_erased_address_is_in_no_other_readers_request(app, ada, pia):
    with app.db.write() as session:
        person = subscribers.get(session, pia.id)
        person.status = "removed"
        session.add(person)
    moving.request(app, ada.id, pia.email)
    subscribers.erase(app, pia.id)
    assert asked(app) == []


def test_one_person_cannot_bomb_others_nor_many_one(app, ada, pia, clock):
    for number in range(8):
        moving.request(app, ada.id, f"victim{number}@elsewhere.test")
        clock.forward(minutes=11)
    assert len(asked(app)) == bounds.LETTERS_A_DAY
    clock.forward(days=1, minutes=1)
    before = len(asked(app))
    for number in range(6):
        who = ada if number % 2 else pia
        moving.request(
            app, who.id, ("victim@elsewhere.test", "Victim+x@Elsewhere.test")[number % 2]
        )
        clock.forward(minutes=11)
    assert len(asked(app)) - before == bounds.LETTERS_A_DAY


def test_a_flood_is_refused(app, ada):
    mail = app.settings.mail.model_copy(update={"letters_per_hour": 1})
    app = type(app)(**{**vars(app), "settings": app.settings.model_copy(update={"mail": mail})})
    moving.request(app, ada.id, NEW)
    with pytest.raises(TooMany):
        moving.request(app, ada.id, "b@elsewhere.test")


def test_the_address_must_be_one_and_another(app, ada):
    for wrong in ("", "ada(at)home", ada.email):
        with pytest.raises(InputError):
            moving.request(app, ada.id, wrong)
    moving.request(app, ada.id, ada.email.upper())  # another spelling is for its owner to choose
    assert asked(app)[0][1] == "ADA@reader.test"


def test_the_mail_of_another_reader_confirms_nothing(app, ada, pia):
    moving.request(app, ada.id, NEW)
    with pytest.raises(NotFound):
        moving.confirm(app, pia.id, asked(app)[0][0])
    signup.request_link(app, pia.email)
    with app.db.read() as session:
        link = session.exec(select(OutboxMessage).where(OutboxMessage.kind == "link")).one()
    with pytest.raises(NotFound):
        moving.confirm(app, pia.id, link.id)


def report(app, person, message_id, kind="hard"):
    mark = app.tokens.mark(person.id, message_id)
    return bounces.record(app, Report(kind, (mark,), "5.1.1", "no such user"))


@pytest.mark.parametrize("kind", ["hard", "complaint"])
def test_what_comes_back_of_the_new_address_leaves_the_reader_alone(app, ada, kind):
    moving.request(app, ada.id, NEW)
    report(app, ada, asked(app)[0][0], kind)
    assert stored(app, ada).status == "active"
    with app.db.read() as session:
        (kept,) = session.exec(select(Suppression))
    assert kept.email == NEW
    assert kept.address_hash == app.tokens.address_hashes(NEW)[0]


def test_what_comes_back_of_the_old_address_says_nothing_of_the_new(app, ada, mailbox, clock):
    signup.request_link(app, ada.email)
    outbox.send_due(app)
    with app.db.write() as session:
        for day in range(4):
            session.add(
                Bounce(
                    message_id=900 + day,
                    kind="soft",
                    subscriber_id=ada.id,
                    at=clock() - timedelta(days=day),
                )
            )
    move(app, ada)
    report(app, ada, 1)
    with app.db.read() as session:
        assert suppressed(app, session, NEW) is None
        assert suppressed(app, session, ada.email_key) == "bounce"
        assert all(bounce.settled for bounce in session.exec(select(Bounce)))


def test_a_dead_address_left_behind_lets_the_digests_come_again(app, ada, clock):
    with app.db.write() as session:
        suppress(app, session, ada.email_key, ada.email, "bounce")
    assert stored(app, ada).next_digest_at is None
    assert move(app, ada).next_digest_at > clock()
