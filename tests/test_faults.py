"""What must not break the promise: each fault has its outcome, and then all goes on by itself.

Nothing is lost and nothing comes twice, but for what a server had taken when we could not write
that down: that goes once more under its Message-ID, and `digest doctor` says so.
"""

import json
import random
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from arxiv_server import Arxiv
from conftest import Clock, Mailbox, announce, free_port
from feed_server import Answer, Source
from forked import digest_command
from sqlmodel import col, select
from test_two_weeks import LEARNING, arxiv, expected, source, steady  # noqa: F401 (fixtures)

from digest import delivery, doctor, jobs, subscribers
from digest.app import App, open_app
from digest.changes import Changes
from digest.delivery import deliver, prepare
from digest.errors import MailError
from digest.feeds.fill import fill_due
from digest.feeds.ingest import add_feed, ingest_due
from digest.models import Digest, OutboxMessage, Paper, Pick, Subscriber
from digest.settings import Settings


def rows(app: App, model: type) -> list:
    with app.db.read() as session:
        return list(session.exec(select(model).order_by(*model.__table__.primary_key)))


def people(app: App, count: int) -> None:
    now = app.now()
    each = {"status": "active", "topics": [["image generation", 1.0]], "created_at": now}
    each |= {"confirmed_at": now - timedelta(days=9), "next_digest_at": now}
    with app.db.write() as session:
        for n in range(count):
            address = f"reader{n}@crowd.test"
            session.add(Subscriber(email=address, email_key=address, **each))


def papers(folder: Path, day: date, count: int) -> str:
    file, chance = folder / f"{day}.jsonl", random.Random(0)
    words = ["".join(chance.choices("aeioubdgklmnrst", k=7)) for _ in range(2000)]
    lines = (
        {"id": f"{day:%y%m}.{n:05}", "day": str(day), "authors": ["Ann Able"]}
        | {"title": f"Image generation by {' '.join(chance.sample(words, 4))}"}
        | {"abstract": f"{' '.join(chance.sample(words, 120))}.", "categories": ["cs.CV"]}
        for n in range(1, count + 1)
    )
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return str(file)


def findings(app: App, state: str) -> dict[str, str]:
    return {one.name: one.sentence for one in doctor.check(app) if one.state == state}


def arrived(box: Mailbox) -> Counter[str]:
    return Counter(str(mail["Message-ID"]) for mail in box.messages)


def all_picks(app: App) -> list[Pick]:
    with app.db.read() as session:
        return list(session.exec(select(Pick)))


# What we depend on


@pytest.mark.sqlite
def test_a_feed_that_is_down_for_a_week(app, arxiv: Arxiv, source: Source, clock: Clock, mailbox):  # noqa: F811
    asked: list[datetime] = []
    away = (datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC))

    def shown(_path: str, now: datetime, day: date) -> date | Answer:
        asked.append(now)
        return Answer(503) if away[0] <= now < away[1] else day

    arxiv.shown, arxiv.late = shown, {}
    add_feed(app, steady(source.url + LEARNING), "arxiv")
    ada = subscribers.add(app, "ada@reader.test", Changes(categories=[("cs.LG", 1.0)]))
    while clock() < datetime(2026, 11, 26, 12, tzinfo=UTC):
        down = away[0] <= clock() < away[1]
        arxiv.broken = {"list", "oai", "api"} if down else set()
        deliver(app)
        ingest_due(app)
        fill_due(app, arxiv.routes)
        if down and clock() > away[0] + timedelta(days=2):
            assert "in a row: " in findings(app, "fail")["feed 1"]
        clock.forward(hours=3)
    assert "feed 1" not in findings(app, "fail")
    assert {at.date() for at in asked} >= {date(2026, 11, day) for day in range(16, 27)}
    wanted = {key for key, day, _ in expected(arxiv, LEARNING) if day <= date(2026, 11, 25)}
    with app.db.read() as session:
        query = select(Paper.key).join(Pick, col(Pick.paper_id) == Paper.id)
        picked = Counter(session.exec(query.where(Pick.subscriber_id == ada.id)))
    assert {paper.key for paper in rows(app, Paper)} >= wanted
    assert set(picked.values()) == {1}
    assert set(picked) >= {
        key for key, day, _ in expected(arxiv, LEARNING) if day == away[1].date()
    }


def test_a_mail_server_that_is_away_for_a_day(app, ada, settings: Settings, clock, mailbox):
    port = free_port()
    away = settings.model_copy(update={"smtp": settings.smtp.model_copy(update={"port": port})})
    with open_app(away, clock) as ours:
        announce(app, clock().date())
        for hour in range(26):
            if hour == 21:
                announce(app, clock().date())
            with pytest.raises(MailError):
                deliver(ours)
            clock.forward(hours=1)
        told = findings(ours, "fail")
        assert f"127.0.0.1:{port}" in told["smtp"]
        assert "2 mails" in told["outbox"]
        controller = Controller(mailbox, hostname="127.0.0.1", port=port)
        controller.start()
        assert deliver(ours).sent == 2
        assert not findings(ours, "fail").keys() & {"smtp", "outbox"}
        controller.stop()
    assert set(arrived(mailbox).values()) == {1}


# Ends


@pytest.mark.sqlite
def test_a_signal_while_digests_are_made_ends_with_whole_ones(app, clock, tmp_path, monkeypatch):
    clock.moment = datetime.now(UTC)  # the process has its own clock
    announce(app, clock().date())
    people(app, 400)
    environment = {
        "DIGEST_DATABASE__URL": app.settings.database.url,
        "DIGEST_WEB__SECRET": "s" * 40,
    }
    log = tmp_path / "log"
    app.db.close()
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "BLOCK", 1)
        process = digest_command(["scheduler"], environment, log)
    try:
        until = time.monotonic() + 60
        while not rows(app, Digest) and time.monotonic() < until:
            time.sleep(0.05)
        process.terminate()
        process.join(timeout=30)
        assert process.exitcode == 0, log.read_text()
    finally:
        process.kill()
    made = [digest.subscriber_id for digest in rows(app, Digest)]
    assert 0 < len(made) < 400
    assert [row.subscriber_id for row in rows(app, OutboxMessage)] == made
    assert len(all_picks(app)) == 10 * len(made)
    assert prepare(app) == (400 - len(made), 0)


def test_a_signal_keeps_no_further_feed_from_ending(app, source: Source):  # noqa: F811
    for n in range(3):
        add_feed(app, f"{source.url}/{n}", "generic")
    jobs.fetch(app, lambda: len(source.asked) >= 1)
    assert len({path for path, _ in source.asked}) == 1
