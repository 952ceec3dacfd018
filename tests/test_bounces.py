"""Mail that comes back: who is suppressed, unsubscribed, counted, and that nobody else can be."""

import json

import pytest
from conftest import free_port
from queued import put, put_digest, rows
from returned import mark_of, notice, person, post, reason, sent
from test_reports import ARF, DSN

from digest import admission, roster, signup, subscribers, suppressions
from digest.changes import Changes
from digest.errors import InputError, NotFound
from digest.mail import bounces, outbox
from digest.mail.bounces import Processed

__all__ = ["post"]  # a fixture


def test_a_dead_address_gets_no_mail_again(app, ada, mailbox, post):
    put_digest(app, ada)
    outbox.send_due(app)
    [row] = rows(app)
    place = post(notice(mark_of(app, row)))
    assert bounces.process(app, place) == Processed(seen=1, suppressed=1)
    assert reason(app, ada) == "bounce"
    put(app, "link", ada)
    outbox.send_due(app)
    assert len(mailbox.messages) == 1
    assert rows(app)[-1].status == "cancelled"
    with app.db.read() as session:
        [listed] = suppressions.listing(session)
    assert (listed.email, listed.detail) == (ada.email, "5.1.1 smtp; 550 5.1.1 no")


def test_the_mail_that_came_back_is_known_by_its_own_headers(app, ada, mailbox, post):
    """By what really was sent, not by what the test knows of marks."""
    put_digest(app, ada)
    outbox.send_due(app)
    [mail] = mailbox.messages
    mark = mail["Message-ID"].strip("<>").rsplit(".", 2)[0]
    raw = DSN.format(
        to="x",
        action="failed",
        status="5.1.1",
        said="x",
        original="text/rfc822-headers",
        mark="MARK",
    ).replace("<MARK.1790000000000.digest@digest.test>", mail["Message-ID"])
    assert len(mark) < 50
    assert bounces.process(app, post(raw.encode())).suppressed == 1


def test_each_mail_has_a_return_path_of_its_own(app, ada, mailbox, post, settings):
    changed = settings.mail.model_copy(update={"bounce_address": "bounces@mail.digest.test"})
    own = type(app)(
        settings.model_copy(update={"mail": changed}), app.db, app.tokens, app.templates, app.now
    )
    put_digest(own, ada)
    outbox.send_due(own)
    [envelope] = mailbox.envelopes
    [row] = rows(app)
    assert envelope.mail_from == f"bounces+{mark_of(app, row)}@mail.digest.test"
    assert len(envelope.mail_from.partition("@")[0]) <= 64
    prose = f"Return-Path: <>\nTo: {envelope.mail_from.upper()}\n\n550 5.1.1 nobody there\n"
    assert bounces.process(own, post(prose.encode())).suppressed == 1


def test_without_a_bounce_address_mail_comes_back_to_the_sender(app, ada, mailbox):
    put_digest(app, ada)
    outbox.send_due(app)
    assert mailbox.envelopes[0].mail_from == "digest@digest.test"


@pytest.mark.parametrize("change", ["1.1.", "2.1.", ""])
def test_nobody_can_suppress_another(app, ada, post, change):
    """With the mark of one's own mail one says nothing of another's."""
    row = sent(app, ada)
    stamp = mark_of(app, row).rpartition(".")[2]
    forged = f"{change}{stamp}" if change else f"{ada.id:x}.{row.id:x}.{'0' * 20}"
    if forged == mark_of(app, row):
        forged = f"{ada.id:x}.{row.id + 1:x}.{stamp}"
    place = post(notice(forged), ARF.format(mark=forged).encode())
    assert bounces.process(app, place) == Processed(seen=2, ignored=2)
    assert reason(app, ada) is None


def test_a_mark_of_a_former_secret_still_counts(app, ada, settings):
    from digest.tokens import Tokens

    old, new = Tokens(["o" * 40]), Tokens(["n" * 40, "o" * 40])
    assert new.read_mark(old.mark(5, 7)) == (5, 7)
    assert new.mark(5, 7) != old.mark(5, 7)


def test_a_complaint_ends_the_subscription_at_once(app, ada, mailbox, post):
    put_digest(app, ada)
    [row] = rows(app)
    place = post(ARF.format(mark=mark_of(app, row)).encode())
    assert bounces.process(app, place) == Processed(seen=1, unsubscribed=1)
    assert person(app, ada).status == "removed"
    assert reason(app, ada) == "complaint"
    outbox.send_due(app)
    assert mailbox.messages == []


def test_a_complaint_outweighs_a_bounce(app, ada, post):
    mark = mark_of(app, sent(app, ada))
    bounces.process(app, post(notice(mark), ARF.format(mark=mark).encode(), notice(mark)))
    assert reason(app, ada) == "complaint"


def test_once_more_does_no_harm(app, ada, post):
    mark = mark_of(app, sent(app, ada))
    place = post(notice(mark, "5.2.2"), notice(mark, "4.4.7"))
    assert bounces.process(app, place) == Processed(seen=2, counted=1, known=1)
    assert bounces.process(app, place) == Processed(seen=2, known=2)


def test_a_dry_run_changes_nothing(app, ada, post):
    place = post(notice(mark_of(app, sent(app, ada))))
    for _ in range(2):
        assert bounces.process(app, place, dry_run=True) == Processed(seen=1, suppressed=1)
    assert reason(app, ada) is None


def days_of_soft_bounces(app, clock, ada, post, days, a_day=1, arrived_on=()):
    for day in range(days):
        clock.forward(days=1)
        for _ in range(a_day):
            row = sent(app, ada)
            if day not in arrived_on:
                bounces.process(app, post(notice(mark_of(app, row), "5.2.2", at=app.now())))


def test_five_days_of_soft_bounces_suppress(app, clock, ada, post):
    days_of_soft_bounces(app, clock, ada, post, 4)
    assert reason(app, ada) is None
    days_of_soft_bounces(app, clock, ada, post, 1)
    assert reason(app, ada) == "bounce"


def test_many_soft_bounces_of_a_day_count_once(app, clock, ada, post):
    days_of_soft_bounces(app, clock, ada, post, 2, a_day=6)
    assert reason(app, ada) is None


def test_a_mail_that_stayed_away_starts_the_count_anew(app, clock, ada, post):
    days_of_soft_bounces(app, clock, ada, post, 8, arrived_on=(4,))
    assert reason(app, ada) is None


def test_soft_bounces_more_than_two_weeks_apart_are_forgotten(app, clock, ada, post):
    for _ in range(6):
        clock.forward(days=3)
        days_of_soft_bounces(app, clock, ada, post, 1)
    assert reason(app, ada) is None


def test_a_mailbox_read_late_counts_each_day(app, clock, ada, post):
    mails = []
    for _ in range(5):
        clock.forward(days=1)
        mails.append(notice(mark_of(app, sent(app, ada)), "4.4.7", at=app.now()))
    assert bounces.process(app, post(*mails)) == Processed(seen=5, counted=4, suppressed=1)


def test_a_refusal_of_ourselves_suppresses_nobody_and_warns(app, clock, ada, post):
    from digest.doctor import check

    for _ in range(8):
        clock.forward(days=1)
        row = sent(app, ada)
        raw = notice(mark_of(app, row), "5.7.26", at=app.now())
        assert bounces.process(app, post(raw)).warned == 1
    assert reason(app, ada) is None
    [finding] = [f for f in check(app) if f.name == "bounces"]
    assert finding.state == "warn"
    assert "5.7.26" in finding.sentence


def test_the_answer_at_the_door_counts_as_well(app, ada, serve_refusal):
    put_digest(app, ada)
    answer = "550 5.1.1 no such user"
    outbox.send_due(serve_refusal(answer))
    assert reason(app, ada) == "bounce"


@pytest.mark.parametrize("answer", ["550 relay not permitted", "554 5.7.1 no", "550 5.3.0 broken"])
def test_an_answer_that_is_not_about_the_address_suppresses_nobody(app, ada, serve_refusal, answer):
    put_digest(app, ada)
    outbox.send_due(serve_refusal(answer))
    [row] = rows(app)
    assert row.status == "failed"
    assert reason(app, ada) is None


@pytest.fixture
def serve_refusal(app):
    from aiosmtpd.controller import Controller
    from queued import Moody

    running = []

    def start(answer):
        controller = Controller(Moody(answer), hostname="127.0.0.1", port=free_port())
        controller.start()
        running.append(controller)
        smtp = app.settings.smtp.model_copy(update={"port": controller.port})
        changed = app.settings.model_copy(update={"smtp": smtp})
        return type(app)(changed, app.db, app.tokens, app.templates, app.now)

    yield start
    for controller in running:
        controller.stop()


def test_neither_import_nor_sign_up_lifts_a_suppression_but_the_operator_does(
    app, clock, mailbox, ada
):
    suppressions.add(app, "Ada@Reader.test")
    assert person(app, ada).next_digest_at is None
    with pytest.raises(InputError, match="already"):
        suppressions.add(app, ada.email)
    subscribers.erase(app, ada.id)
    done = admission.import_rows(app, [roster.Row(email=ada.email)])
    assert (done.added, len(done.refused)) == (0, 1)
    with pytest.raises(InputError, match="suppressions remove"):
        subscribers.add(app, ada.email, Changes())
    signup.subscribe(app, ada.email, Changes())
    outbox.send_due(app)
    assert mailbox.messages == []
    # Lifted, the address is as it was before: erased, so that only its owner brings it back.
    suppressions.remove(app, ada.email)
    assert admission.import_rows(app, [roster.Row(email=ada.email)]).added == 0
    signup.subscribe(app, ada.email, Changes())
    outbox.send_due(app)
    assert len(mailbox.messages) == 1
    with pytest.raises(InputError, match="own new sign-up"):
        suppressions.remove(app, ada.email)


def test_after_removal_mail_goes_out_and_old_bounces_count_no_more(app, clock, ada, post):
    days_of_soft_bounces(app, clock, ada, post, 5)
    place = post(notice(mark_of(app, sent(app, ada))))
    bounces.process(app, place)
    suppressions.remove(app, ada.email, dry_run=True)
    assert reason(app, ada) == "bounce"
    suppressions.remove(app, ada.email)
    assert reason(app, ada) is None
    assert person(app, ada).next_digest_at > app.now()
    assert bounces.process(app, place) == Processed(seen=1, known=1)
    days_of_soft_bounces(app, clock, ada, post, 4)
    assert reason(app, ada) is None
    with pytest.raises(NotFound):
        suppressions.remove(app, ada.email)


def path_of(app):
    return bounces.webhook(app).removeprefix("http://digest.test")


def hook(app, web, events):
    return web.post(path_of(app), content=json.dumps({"events": events}))


def event(app, row, **values):
    return {"kind": "bounce", "message_id": f"<{mark_of(app, row)}.1.digest@digest.test>"} | values


def test_a_provider_reports_by_the_webhook(app, web, ada, pia):
    dead, angry = sent(app, ada), sent(app, pia)
    events = [event(app, dead, status="5.1.1"), event(app, angry, kind="complaint")]
    answer = hook(app, web, events)
    assert answer.status_code == 200
    assert answer.json() == {
        **dict.fromkeys(("counted", "warned", "held", "known", "ignored"), 0),
        "seen": 2,
        "suppressed": 1,
        "unsubscribed": 1,
    }
    assert hook(app, web, events).json()["known"] == 2
    assert person(app, pia).status == "removed"


def test_the_webhook_believes_neither_strangers_nor_other_forms(app, web, ada):
    row = sent(app, ada)
    other = app.tokens.sign("view", 0, 0, app.now())
    for token in ("x", other):
        body = json.dumps({"events": [event(app, row, status="5.1.1")]})
        assert web.post(f"/bounces/{token}", content=body).status_code == 404
    answer = hook(app, web, [{"kind": "bounce", "email": ada.email}])
    assert answer.status_code == 400
    assert "message_id" in answer.json()["error"]
    forged = {"kind": "complaint", "message_id": f"<1.1.{'0' * 20}.1.digest@digest.test>"}
    assert hook(app, web, [forged]).json()["ignored"] == 1
    assert reason(app, ada) is None
    assert web.get(path_of(app)).status_code == 405
