"""Many readers at once: in blocks, each once, by their hours, and by several workers."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from conftest import announce
from sqlalchemy import event
from test_delivery import rows

from digest.delivery import deliver, due_ranges, prepare
from digest.mail.outbox import send_due
from digest.models import Digest, Subscriber
from digest.schedule import next_due


def crowd(app, clock, count=7):
    """So many readers, the first of whom has waited least."""
    people = [
        Subscriber(
            email=f"reader{n}@crowd.test",
            email_key=f"reader{n}@crowd.test",
            status="active",
            topics=[["galaxy surveys", 1.0]],
            created_at=clock(),
            next_digest_at=clock() - timedelta(minutes=n // 2),
        )
        for n in range(count)
    ]
    with app.db.write() as session:
        session.add_all(people)
    return [person.id for person in people]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.slow
def test_many_readers_come_in_blocks_and_each_once(app, clock, monkeypatch, named):
    from digest import delivery

    monkeypatch.setattr(delivery, "BLOCK", 2)
    ids = crowd(app, clock)
    day = announce(app, clock().date()) and clock().date()
    assert prepare(app, day if named else None, dry_run=True) == (7, 0)
    assert prepare(app, day if named else None) == (7, 0)
    made = [digest.subscriber_id for digest in sorted(rows(app, Digest), key=lambda one: one.id)]
    assert sorted(made) == ids
    if not named:
        assert set(made[:2]) <= set(ids[-3:])


@pytest.mark.slow
def test_nobody_waits_for_the_digests_of_the_readers_after_him(app, clock, mailbox, monkeypatch):
    from digest import delivery

    monkeypatch.setattr(delivery, "BLOCK", 2)
    crowd(app, clock, 5)
    announce(app, clock().date())
    seen = []

    def progress(done, total):
        seen.append((done, total, len(mailbox.messages), len(rows(app, Digest))))

    assert deliver(app, progress=progress).sent == 5
    ends = [(2, 5, 2, 2), (4, 5, 4, 4), (5, 5, 5, 5)]
    assert [step for step in dict.fromkeys(seen) if step in ends] == ends
    assert [done for done, *_ in seen] == sorted(done for done, *_ in seen)


def test_a_block_costs_as_many_statements_however_many_readers_it_has(app, clock):
    said = []
    event.listen(app.db.engine, "before_cursor_execute", lambda *_: said.append(1))
    announce(app, clock().date())
    ids, counts = crowd(app, clock, 25), []
    for some in (ids[:1], ids[1:5], ids[5:]):
        said.clear()
        assert prepare(app, among=some) == (len(some), 0)
        counts.append(len(said))
    assert counts[1] == counts[2] < counts[0]


def test_several_workers_share_the_due_readers_out(app, clock):
    ids = crowd(app, clock)
    announce(app, clock().date())
    ranges = due_ranges(app, 3)
    assert sorted(key for some in ranges for key in some if key in ids) == ids
    assert ids[-1] in ranges[0], "the longest waiting come first"
    made = [prepare(app, among=some)[0] for some in ranges]
    assert sum(made) == 7 and all(made)
    assert due_ranges(app, 3) == []
    assert prepare(app, among=ids) == (0, 0)


ZONES = ("Asia/Tokyo", "Europe/Berlin", "America/New_York", "America/Los_Angeles")


def around_the_world(app, clock):
    """A reader in each zone, the westernmost first, due at seven on their own clocks."""
    people = [
        Subscriber(
            email=f"{zone.split('/')[1].lower()}@reader.test",
            email_key=zone,
            status="active",
            topics=[["galaxy surveys", 1.0]],
            timezone=zone,
            created_at=clock(),
            next_digest_at=next_due(clock(), "daily", "07:00", zone),
        )
        for zone in reversed(ZONES)
    ]
    with app.db.write() as session:
        session.add_all(people)


@pytest.mark.parametrize("block", [1, 1000])
@pytest.mark.slow
def test_mail_goes_out_in_the_order_of_the_readers_hours(app, clock, mailbox, monkeypatch, block):
    """After a night without a service, all are due at once: whose morning came first is first."""
    monkeypatch.setattr("digest.delivery.BLOCK", block)
    around_the_world(app, clock)
    clock.forward(days=1)
    announce(app, clock().date())
    one = app.settings.smtp.model_copy(update={"connections": 1})
    alone = replace(app, settings=app.settings.model_copy(update={"smtp": one}))
    assert deliver(alone).sent == 4
    cities = [mail["To"].split("@")[0] for mail in mailbox.messages]
    assert [city.split("<")[-1] for city in cities] == [
        "new_york",
        "los_angeles",
        "tokyo",
        "berlin",
    ]


@pytest.mark.slow
def test_a_slow_server_keeps_no_digest_from_being_made(app, clock, mailbox):
    """While the first mail is handed over, the digests of the next hour are made."""
    around_the_world(app, clock)
    announce(app, clock().date())
    asked, answered = Event(), Event()

    async def slowly(server, session, envelope):
        asked.set()
        while not answered.is_set():
            await asyncio.sleep(0.01)
        mailbox.envelopes.append(envelope)
        return "250 2.0.0 kept"

    mailbox.handle_DATA = slowly
    clock.moment = rows(app, Subscriber)[1].next_digest_at  # New York's hour
    assert prepare(app) == (1, 0)
    with ThreadPoolExecutor(1) as sending:
        sent = sending.submit(send_due, app)
        assert asked.wait(10)
        clock.forward(hours=3)
        assert prepare(app) == (1, 0)
        answered.set()
        assert sent.result(20).sent >= 1
    send_due(app)
    assert len(mailbox.envelopes) == 2
