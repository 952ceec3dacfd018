"""Each mail is sent once, whatever the server, a crash or a second process does."""

import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from aiosmtpd.controller import Controller
from conftest import MORNING, Mailbox, _person, free_port
from forked import forked
from queued import Moody, change, crowd, put, put_digest, rows
from sqlmodel import select

from digest.app import open_app
from digest.errors import MailError, SettingsError
from digest.mail import outbox
from digest.models import (
    Digest,
    Subscriber,
    Suppression,
)


@pytest.fixture
def serve(settings):
    """Puts a server of its own behaviour in the place of the mailbox."""
    running = []

    def start(handler, *, utf8=False, **smtp):
        port = free_port()
        controller = Controller(handler, hostname="127.0.0.1", port=port, enable_SMTPUTF8=utf8)
        controller.start()
        running.append(controller)
        changed = settings.smtp.model_copy(update={"port": port, **smtp})
        return settings.model_copy(update={"smtp": changed})

    yield start
    for controller in running:
        controller.stop()


class Dropping(Mailbox):
    """Reads the first messages to their end and hangs up without an answer."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    async def handle_DATA(self, server, session, envelope):
        await super().handle_DATA(server, session, envelope)
        if self.times > 0:
            self.times -= 1
            server.transport.abort()
        return "250 kept"


def test_a_digest_arrives_with_its_links_and_is_not_sent_again(app, ada, mailbox):
    put_digest(app, ada)
    assert outbox.send_due(app) == outbox.Sent(sent=1)
    [mail] = mailbox.messages
    assert mail["To"] == "Ada <ada@reader.test>"
    assert "Lanterns in the fog" in mail["Subject"]
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    assert "http://digest.test/vote/" in text
    assert "http://digest.test/vote/" in html
    assert mail["List-Unsubscribe"].startswith("<http://digest.test/one-click/")
    [row] = rows(app)
    assert (row.status, row.response, row.sent_at) == ("sent", "250 2.0.0 kept", MORNING)
    assert outbox.send_due(app) == outbox.Sent()
    assert len(mailbox.messages) == 1


def test_a_confirmation_holds_nothing_that_a_visitor_wrote(app, mailbox):
    sam = _person(app, "sam@stranger.test", name="Buy-pills", topics=[["buy-pills", 1.0]])
    put(app, "confirm", sam)
    assert outbox.send_due(app).sent == 1
    [envelope] = mailbox.envelopes
    body = bytes(envelope.content).split(b"\r\n\r\n", 1)[1]
    assert b"http://digest.test/confirm/" in body.replace(b"=\r\n", b"")
    assert b"buy-pills" not in body.lower()
    assert mailbox.messages[0]["To"] == "sam@stranger.test"


def test_small_mails_overtake_digests(app, ada, pia, mailbox, settings):
    one = settings.model_copy(update={"smtp": settings.smtp.model_copy(update={"connections": 1})})
    with open_app(one, app.now) as narrow:
        put_digest(narrow, ada)
        put(narrow, "link", pia)
        outbox.send_due(narrow)
    assert [e.rcpt_tos for e in mailbox.envelopes] == [["pia@reader.test"], ["ada@reader.test"]]


@pytest.mark.parametrize(
    ("kind", "status", "goes"),
    [
        ("digest", "active", True),
        ("digest", "paused", False),
        ("digest", "removed", False),
        ("confirm", "pending", True),
        ("confirm", "active", False),
        ("link", "paused", True),
        ("link", "removed", False),
    ],
)
def test_the_status_right_before_sending_counts(app, ada, mailbox, kind, status, goes):
    if kind == "digest":
        put_digest(app, ada)
    else:
        put(app, kind, ada)
    with app.db.write() as session:
        session.merge(ada).status = status
    sent = outbox.send_due(app)
    assert (sent.sent, sent.cancelled) == (int(goes), int(not goes))
    assert len(mailbox.messages) == int(goes)


def test_a_suppressed_address_gets_nothing_but_an_erased_one_may_sign_up_again(app, ada, mailbox):
    [key] = app.tokens.address_hashes(ada.email_key)
    put_digest(app, ada)
    with app.db.write() as session:
        session.add(Suppression(address_hash=key, reason="bounce", created_at=app.now()))
    assert outbox.send_due(app) == outbox.Sent(cancelled=1)
    assert "bounce" in rows(app)[0].response
    with app.db.write() as session:
        session.get(Suppression, key).reason = "erased"
        session.merge(ada).status = "pending"
    put(app, "confirm", ada)
    assert outbox.send_due(app) == outbox.Sent(sent=1)


def test_only_one_subscribers_mail_on_request(app, ada, mailbox):
    others = crowd(app, 2)
    put_digest(app, ada, *others)
    assert outbox.send_due(app, only=ada.id).sent == 1
    assert [row.status for row in rows(app)] == ["sent", "queued", "queued"]


def test_progress_ends_at_all_of_all(app, mailbox):
    put_digest(app, *crowd(app, 3))
    seen = []
    outbox.send_due(app, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_refusal_for_now_is_tried_again_ever_later(app, ada, clock, serve):
    box = Moody("450 4.2.1 greylisted", "451 4.3.0 not now")
    put_digest(app, ada)
    with open_app(serve(box), clock) as ours:
        assert outbox.send_due(ours) == outbox.Sent(deferred=1)
        [row] = rows(ours)
        assert row.status == "deferred"
        assert "greylisted" in row.response
        assert timedelta(minutes=5) <= row.due_at - clock() <= timedelta(minutes=6)
        assert outbox.send_due(ours) == outbox.Sent()
        clock.forward(minutes=6)
        assert outbox.send_due(ours) == outbox.Sent(deferred=1)
        assert rows(ours)[0].due_at - clock() >= timedelta(minutes=15)
        clock.forward(minutes=20)
        assert outbox.send_due(ours) == outbox.Sent(sent=1)
        assert rows(ours)[0].tries == 3


def test_a_digest_too_old_to_be_news_is_given_up(app, ada, clock, serve):
    put_digest(app, ada)
    with open_app(serve(Moody("450 later", "450 later")), clock) as ours:
        outbox.send_due(ours)
        clock.forward(hours=19.99)
        assert outbox.send_due(ours) == outbox.Sent(failed=1)


def test_a_refusal_for_good_is_recorded_and_the_others_get_theirs(app, serve, clock):
    put_digest(app, *crowd(app, 3))
    box = Moody("550 5.1.1 no such person")
    with open_app(serve(box, connections=1), clock) as ours:
        assert outbox.send_due(ours) == outbox.Sent(sent=2, failed=1)
        assert outbox.send_due(ours) == outbox.Sent()
    assert [row.status for row in rows(app)] == ["failed", "sent", "sent"]
    assert rows(app)[0].response == "550 5.1.1 no such person"


def test_no_answer_after_the_message_sends_it_once_more_and_no_third_time(app, ada, clock, serve):
    box = Dropping(times=2)
    put_digest(app, ada)
    with open_app(serve(box), clock) as ours:
        assert outbox.send_due(ours) == outbox.Sent(deferred=1, in_doubt=1)
        assert rows(ours)[0].in_doubt
        clock.forward(minutes=6)
        assert outbox.send_due(ours) == outbox.Sent(failed=1, in_doubt=1)
        clock.forward(days=1)
        assert outbox.send_due(ours) == outbox.Sent()
    first, second = box.envelopes
    assert first.content == second.content


def test_a_message_found_in_mid_delivery_goes_once_more_under_its_name(app, ada, mailbox):
    put_digest(app, ada)
    past = app.now() - timedelta(seconds=1)
    change(app, rows(app)[0], status="sending", leased_by="the dead", leased_until=past)
    assert outbox.send_due(app) == outbox.Sent(sent=1, in_doubt=1)
    change(app, rows(app)[0], status="queued", in_doubt=False)
    outbox.send_due(app)
    first, second = mailbox.envelopes
    assert first.content == second.content


def test_a_message_found_so_twice_is_given_up_and_reported(app, ada, mailbox):
    put_digest(app, ada)
    past = app.now() - timedelta(seconds=1)
    change(app, rows(app)[0], status="sending", in_doubt=True, leased_until=past)
    assert outbox.send_due(app) == outbox.Sent(failed=1, in_doubt=1)
    assert mailbox.messages == []


def test_a_mail_that_cannot_be_made_does_not_hold_up_the_others(app, ada, mailbox):
    put_digest(app, ada, *crowd(app, 1))
    with app.db.write() as session:
        kept = session.exec(select(Digest).where(Digest.subscriber_id == ada.id)).one()
        kept.news = [{"told": "by nobody"}]
        session.get(Subscriber, ada.id).email = "ada@reader.test"
    assert outbox.send_due(app) == outbox.Sent(sent=1, deferred=1)


def test_a_server_that_knows_smtputf8_takes_an_address_beyond_ascii(app, serve):
    own = replace(app, settings=serve(box := Mailbox(), utf8=True))
    put_digest(app, _person(app, "jürgen@reader.test", name="Jürgen", status="active"))
    put_digest(app, _person(app, "ada@reader.test", status="active"))
    assert outbox.send_due(own) == outbox.Sent(sent=2)
    asked = {envelope.rcpt_tos[0]: envelope for envelope in box.envelopes}
    assert asked.keys() == {"jürgen@reader.test", "ada@reader.test"}
    assert asked["jürgen@reader.test"].smtp_utf8
    assert not asked["ada@reader.test"].smtp_utf8
    assert "jürgen@reader.test" in asked["jürgen@reader.test"].content.decode()


def test_a_server_without_smtputf8_gets_no_address_beyond_ascii(app, serve):
    own = replace(app, settings=serve(box := Mailbox(), utf8=False))
    put_digest(app, _person(app, "jürgen@reader.test", status="active"))
    assert outbox.send_due(own) == outbox.Sent(failed=1)
    assert "SMTPUTF8" in rows(app)[0].response
    assert box.envelopes == []


def test_an_unreachable_server_leaves_all_as_it_was(app, ada, settings, clock):
    away = settings.smtp.model_copy(update={"port": free_port()})
    put_digest(app, ada)
    before = rows(app)
    with (
        open_app(settings.model_copy(update={"smtp": away}), clock) as ours,
        pytest.raises(MailError, match="cannot be used just now"),
    ):
        outbox.send_due(ours)
    assert rows(app) == before


def test_a_refused_sender_stops_all_and_marks_nobody(app, clock, serve):
    class Strict(Mailbox):
        async def handle_MAIL(self, server, session, envelope, address, options):
            return "550 5.7.1 you may not send as that"

    put_digest(app, *crowd(app, 3))
    before = rows(app)
    with open_app(serve(Strict()), clock) as ours, pytest.raises(MailError, match=r"mail\.sender"):
        outbox.send_due(ours)
    assert rows(app) == before


def test_two_senders_on_one_file_send_each_mail_once(app, settings, clock, mailbox):
    put_digest(app, *crowd(app, 20))
    done = []
    with open_app(settings, clock) as first, open_app(settings, clock) as second:
        threads = [
            threading.Thread(target=lambda ours=ours: done.append(outbox.send_due(ours).sent))
            for ours in (first, second)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(done) == 20
    assert len(mailbox.envelopes) == 20


def send_all(settings, clock):
    with open_app(settings, clock) as ours:
        outbox.send_due(ours)


@pytest.mark.slow
def test_after_kill_9_everybody_has_his_mail_and_few_have_it_twice(app, settings, mailbox, clock):
    people = crowd(app, 60)
    put_digest(app, *people)
    app.db.close()
    process = forked(send_all, settings, clock)
    while len(mailbox.envelopes) < 20:
        assert process.is_alive()
        time.sleep(0.002)
    process.kill()
    process.join()
    assert len(mailbox.envelopes) < len(people)
    hanging = sum(row.status == "sending" for row in rows(app))
    clock.forward(minutes=31)  # on a server, the dead are known by their leases alone
    assert outbox.send_due(app).in_doubt == hanging <= 2
    assert {row.status for row in rows(app)} == {"sent"}

    arrived = Counter(envelope.rcpt_tos[0] for envelope in mailbox.envelopes)
    twice = {address for address, times in arrived.items() if times > 1}
    assert set(arrived) == {person.email for person in people}
    assert len(twice) <= 2
    assert max(arrived.values()) <= 2
    names = {(mail["To"], mail["Message-ID"]) for mail in mailbox.messages}
    assert len(names) == len(people)
    doubted = {row.subscriber_id for row in rows(app) if row.in_doubt}
    assert twice <= {person.email for person in people if person.id in doubted}


def test_a_test_mail_gives_the_servers_answers(app, mailbox):
    answers = outbox.send_test(app, "ada@reader.test")
    assert answers[-1] == "250 2.0.0 kept"
    assert answers[0].startswith("220 ")
    assert mailbox.messages[0]["Subject"] == "A test mail from Paper Digest"
    assert rows(app) == []


def test_a_refused_test_mail_is_an_error_with_the_servers_words(app, clock, serve):
    with (
        open_app(serve(Moody("550 5.1.1 nobody here")), clock) as ours,
        pytest.raises(MailError, match="nobody here"),
    ):
        outbox.send_test(ours, "ada@reader.test")


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("mail", "sender", "Paper Digest <jürgen@digest.test>"),
        ("mail", "reply_to", "jürgen@digest.test"),
        ("web", "base_url", "https://bücher.example.com"),
    ],
)
def test_a_setting_that_no_mail_can_carry_is_named(app, ada, settings, section, name, value):
    wrong = getattr(settings, section).model_copy(update={name: value})
    put_digest(app, ada)
    with (
        open_app(settings.model_copy(update={section: wrong}), app.now) as ours,
        pytest.raises(SettingsError, match=rf"{section}\.{name}"),
    ):
        outbox.send_due(ours)
    assert rows(app)[0].status == "queued"
