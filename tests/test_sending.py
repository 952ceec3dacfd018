"""A run over the outbox copes with servers of all moods."""

import asyncio
from datetime import timedelta

import pytest
from aiosmtpd.controller import Controller
from conftest import MORNING, Mailbox, announce, free_port
from pydantic import SecretStr
from queued import crowd, put, put_digest, rows
from sqlmodel import select

from digest import outcomes, shelf, subscribers
from digest.app import open_app
from digest.delivery import deliver, prepare
from digest.errors import MailError
from digest.mail import outbox, pace, queue, sending
from digest.models import Digest, Door, Handover, OutboxMessage, Pick, Subscriber, Suppression


@pytest.fixture
def serve(settings, clock, app):
    """Puts a server of its own behaviour in the place of the mailbox; gives the application."""
    running, opened = [], []

    def start(handler, **smtp):
        controller = Controller(handler, hostname="127.0.0.1", port=free_port())
        controller.start()
        running.append(controller)
        changed = settings.smtp.model_copy(update={"port": controller.port, **smtp})
        ours = open_app(settings.model_copy(update={"smtp": changed}), clock)
        opened.append(ours)
        return ours.__enter__()

    yield start
    for ours in opened:
        ours.__exit__(None, None, None)
    for controller in running:
        controller.stop()


class Scripted(Mailbox):
    """Gives its answers in turn to MAIL or to the message's end, then takes all."""

    def __init__(self, *answers, to="MAIL"):
        super().__init__()
        self.answers, self.to = list(answers), to

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.to == "MAIL" and self.answers:
            return self.answers.pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.to == "DATA" and self.answers:
            return self.answers.pop(0)
        return await super().handle_DATA(server, session, envelope)


@pytest.mark.parametrize("answer", ["450 4.7.1 too fast", "421 4.7.28 slow down"])
def test_a_server_that_limits_the_rate_is_given_time(app, serve, monkeypatch, answer):
    monkeypatch.setattr(pace, "FIRST_PAUSE", 0.01)
    box = Scripted(answer, answer)
    put_digest(app, *crowd(app, 5))
    assert outbox.send_due(serve(box, connections=1)) == outbox.Sent(sent=3, deferred=2)
    waiting = [row for row in rows(app) if row.status == "deferred"]
    assert [row.response for row in waiting] == [answer] * 2
    assert all(row.due_at >= MORNING + timedelta(minutes=5) for row in waiting)


@pytest.mark.parametrize(
    ("answer", "status"),
    [("452 4.3.1 disk full", "deferred"), ("552 5.2.2 mailbox full", "failed")],
)
def test_a_full_disk_on_the_far_side_concerns_one_message(app, serve, answer, status):
    put_digest(app, *crowd(app, 3))
    sent = outbox.send_due(serve(Scripted(answer, to="DATA"), connections=1))
    assert (sent.sent, sent.deferred + sent.failed) == (2, 1)
    assert [row.status for row in rows(app)] == [status, "sent", "sent"]
    with app.db.read() as session:
        assert session.exec(select(Suppression)).all() == []


def test_a_hung_connection_delays_only_the_message_on_it(app, serve):
    class Hanging(Mailbox):
        """Answers the first message when all others have come."""

        async def handle_DATA(self, server, session, envelope):
            await super().handle_DATA(server, session, envelope)
            if envelope.rcpt_tos == ["reader0@crowd.test"]:
                while len(self.envelopes) < 70:
                    await asyncio.sleep(0.01)
            return "250 OK"

    put_digest(app, *crowd(app, 70))
    assert outbox.send_due(serve(Hanging(), connections=2, timeout=3)) == outbox.Sent(sent=70)


def test_a_letter_overtakes_the_digests_of_a_run_under_way(app, pia, serve, monkeypatch):
    monkeypatch.setattr(sending, "LOOK", 0.02)

    class Slow(Mailbox):
        async def handle_DATA(self, server, session, envelope):
            if not self.envelopes:
                put(app, "link", pia)
            await asyncio.sleep(0.01)
            return await super().handle_DATA(server, session, envelope)

    box = Slow()
    put_digest(app, *crowd(app, 40))
    assert outbox.send_due(serve(box, connections=1)).sent == 41
    order = [envelope.rcpt_tos[0] for envelope in box.envelopes]
    assert 0 < order.index("pia@reader.test") < 30


def test_a_letter_is_sent_while_a_digest_hangs_as_the_last_of_a_run(app, ada, pia, serve):
    class Waiting(Mailbox):
        """Answers the digest when the letter has come."""

        async def handle_DATA(self, server, session, envelope):
            await super().handle_DATA(server, session, envelope)
            if envelope.rcpt_tos == ["ada@reader.test"]:
                put(app, "link", pia)
                while len(self.envelopes) < 2:
                    await asyncio.sleep(0.01)
            return "250 OK"

    put_digest(app, ada)
    assert outbox.send_due(serve(Waiting(), timeout=5)) == outbox.Sent(sent=2)


@pytest.mark.parametrize(
    "smtp",
    [
        {"username": "digest", "password": SecretStr("wrong")},
        {"security": "starttls"},
        {"security": "tls"},
    ],
    ids=["login", "starttls", "tls"],
)
def test_where_login_or_tls_fail_all_stops_and_nobody_is_marked(app, serve, smtp):
    box = Mailbox()
    put_digest(app, *crowd(app, 3))
    before = rows(app)
    with pytest.raises(MailError, match=r"smtp\."):
        outbox.send_due(serve(box, **smtp))
    assert rows(app) == before
    assert box.envelopes == []


def leaves(app, person):
    subscribers.remove(app, person.id)


def pauses(app, person):
    subscribers.pause(app, person.id)


def is_erased(app, person):
    subscribers.erase(app, person.id)


def is_suppressed(app, person):
    [key] = app.tokens.address_hashes(person.email_key)
    with app.db.write() as session:
        session.add(Suppression(address_hash=key, reason="complaint", created_at=app.now()))


class Meanwhile(Mailbox):
    """Lets something happen when the recipient is named: after the mail was made, before DATA."""

    def __init__(self, happen):
        super().__init__()
        self.happen = [happen]

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.happen:
            self.happen.pop()()
        envelope.rcpt_tos.append(address)
        return "250 OK"


@pytest.mark.parametrize("change", [leaves, pauses, is_erased, is_suppressed])
def test_what_happens_right_before_the_message_still_counts(app, ada, serve, change):
    box = Meanwhile(lambda: change(app, ada))
    put_digest(app, ada, *crowd(app, 1))
    sent = outbox.send_due(serve(box, connections=1))
    assert (sent.sent, sent.cancelled) == (1, 1)
    assert [envelope.rcpt_tos for envelope in box.envelopes] == [["reader0@crowd.test"]]


def test_a_reader_who_revokes_the_links_right_before_gets_fresh_ones(app, ada, serve):
    def revoke():
        with app.db.write() as session:
            session.get(Subscriber, ada.id).link_epoch += 1

    box = Meanwhile(revoke)
    put_digest(app, ada)
    assert outbox.send_due(serve(box)) == outbox.Sent(sent=1)
    [mail] = box.messages
    token = mail["List-Unsubscribe"].strip("<>").rpartition("/")[2]
    assert app.tokens.read("one-click", token, app.now()).epoch == 1


# Leases


def test_no_two_workers_hold_the_same_message(app):
    put_digest(app, *crowd(app, 7))
    now = app.now()
    with app.db.connect() as connection:
        first = queue.lease(connection, now, "first", 5)
        second = queue.lease(connection, now, "second", 5)
    assert (len(first), len(second)) == (5, 2)
    assert not {row.id for row in first} & {row.id for row in second}


def test_who_lost_a_lease_can_neither_begin_nor_settle(app, ada):
    put_digest(app, ada)
    seen = queue.Seen("active", ada.email, 0, app.tokens.address_hashes(ada.email_key), "")
    now = app.now()
    later = now + queue.LEASE + timedelta(seconds=1)
    with app.db.connect() as connection:
        [message] = queue.lease(connection, now, "slow", 5)
        assert queue.lease(connection, now, "quick", 5) == []
        assert queue.lease(connection, later, "quick", 5) == [message]
        assert not queue.begin(connection, message, "slow", seen, later)
        assert queue.begin(connection, message, "quick", seen, later)
        assert not queue.settle(connection, message, "slow", status="failed", tries=1)
        assert queue.settle(connection, message, "quick", status="sent", tries=1)
    assert rows(app)[0].status == "sent"


class Slow(Mailbox):
    """Takes a minute and a half for each message; meanwhile another process looks for work."""

    def __init__(self, app, clock):
        super().__init__()
        self.app, self.clock, self.stolen = app, clock, []

    async def handle_DATA(self, server, session, envelope):
        self.clock.forward(seconds=90)
        self.stolen += taken(self.app)
        return await super().handle_DATA(server, session, envelope)


def taken(app):
    """What another process may lease now."""
    with app.db.connect() as connection:
        return queue.lease(connection, app.now(), "another", 50)


@pytest.mark.postgres
def test_what_a_dead_process_had_not_begun_is_free_soon(app, clock):
    people = crowd(app, 4)
    put_digest(app, *people)
    key = people[-1].email_key
    with app.db.connect() as connection:
        *waiting, begun = queue.lease(connection, clock(), "the dead", 50)
        seen = queue.Seen("active", people[-1].email, 0, app.tokens.address_hashes(key), "")
        assert queue.begin(connection, begun, "the dead", seen, clock())
    clock.forward(minutes=2, seconds=1)
    assert [message.id for message in taken(app)] == [message.id for message in waiting]
    clock.forward(minutes=28)
    with app.db.write() as session:
        assert queue.recover(session, clock(), alone=False) == (1, 0)


def test_who_is_slow_and_lives_keeps_what_it_has_taken(app, clock, serve, monkeypatch):
    monkeypatch.setattr(sending, "RENEW", 0)
    put_digest(app, *crowd(app, 4))
    slow = Slow(app, clock)
    assert outbox.send_due(serve(slow, connections=1)).sent == 4
    assert slow.stolen == []


def test_who_wakes_late_leaves_alone_what_another_has_taken(app, clock, serve):
    put_digest(app, *crowd(app, 4))
    slow = Slow(app, clock)
    assert outbox.send_due(serve(slow, connections=1)).sent == 2  # the lease ends during the second
    assert len(slow.stolen) == 2
    assert [row.leased_by for row in rows(app)] == [None, None, "another", "another"]


def test_turns_follow_each_other_as_configured_and_slower_when_asked():
    turns = pace.Pace(per_minute=30)
    assert turns.wait(10.0) == 0
    turns.take(10.0)
    assert turns.wait(10.5) == 1.5
    turns.refused(12.0)
    turns.refused(12.5)
    assert turns.wait(12.5) == 2 * pace.FIRST_PAUSE
    for _ in range(20):
        turns.refused(12.5)
    assert turns.wait(12.5) == pace.LONGEST_PAUSE
    turns.accepted()
    turns.refused(100.0)
    assert turns.wait(100.0) == pace.FIRST_PAUSE


def test_without_a_rate_nobody_waits():
    turns = pace.Pace(per_minute=0)
    turns.take(1.0)
    assert turns.wait(1.0) == 0


def test_a_crowd_larger_than_a_batch_is_sent_in_one_run(app, serve):
    put_digest(app, *crowd(app, sending.BATCH + 1))
    assert outbox.send_due(serve(Mailbox())).sent == sending.BATCH + 1


# Papers that nobody saw


class Unwilling(Mailbox):
    """Answers each recipient with this for so many times, then takes all."""

    def __init__(self, answer, times=10**6):
        super().__init__()
        self.answer, self.times = answer, times

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.times -= 1
        if self.times >= 0:
            return self.answer
        envelope.rcpt_tos.append(address)
        return "250 OK"


def picked(app, **which):
    with app.db.read() as session:
        return {pick.paper_id for pick in session.exec(select(Pick).filter_by(**which))}


@pytest.mark.parametrize("answer", ["451 4.3.0 not now", "550 5.2.1 not this one"])
def test_papers_that_were_never_handed_over_come_with_the_next_digest(
    app, ada, clock, serve, answer
):
    lost = set(announce(app, clock().date()))
    box = Unwilling(answer)
    ours = serve(box)
    for _ in range(13):
        deliver(ours)
        clock.forward(hours=2)
    assert rows(app)[0].status == "failed"
    assert outcomes.why(app, ada.email, MORNING.date()).outcome == "failed"
    box.times = 0
    fresh = set(announce(app, clock().date(), ["Diffusion models for image generation on graphs"]))
    clock.forward(hours=21)
    assert deliver(ours).sent == 1
    assert picked(app) == picked(app, digest_id=2)
    assert picked(app) >= fresh
    assert len(picked(app) & lost) == 9
    with app.db.read() as session:
        digest = session.get(Digest, 2)
        assert digest.since == MORNING.date()
        assert shelf.newest_digest(session, ada.id).id == 2


def test_papers_that_may_have_come_come_no_more(app, ada, clock, serve):
    announce(app, clock().date())
    prepare(app)
    with app.db.write() as session:
        message = session.exec(select(OutboxMessage)).one()
        message.in_doubt = True
        session.add(message)
    outbox.send_due(serve(Unwilling("550 5.2.1 not this one")))
    assert [row.status for row in rows(app)] == ["failed"]
    assert len(picked(app)) == 10


def test_a_digest_that_stands_at_another_door_keeps_its_papers(app, ada, clock, serve):
    announce(app, clock().date())
    prepare(app)
    with app.db.write() as session:
        session.add(Door(id=1, subscriber_id=ada.id, url="http://chat.test/x", added_at=clock()))
        session.flush()
        session.add(Handover(digest_id=1, door_id=1, status="done", due_at=clock()))
    outbox.send_due(serve(Unwilling("550 5.2.1 not this one")))
    assert [row.status for row in rows(app)] == ["failed"]
    assert len(picked(app)) == 10
