"""What must not break the promise: each fault has its outcome, and then all goes on by itself.

Nothing is lost and nothing comes twice, but for what a server had taken when we could not write
that down: that goes once more under its Message-ID, and `digest doctor` says so.
"""

import ctypes
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from arxiv_server import Arxiv
from conftest import Clock, Mailbox, announce, free_port
from feed_server import Answer, Source
from sqlalchemy import event
from sqlmodel import col, select
from test_sending import serve  # noqa: F401 (a fixture)
from test_two_weeks import LEARNING, arxiv, expected, source, steady  # noqa: F401 (fixtures)

from digest import clock as clocks
from digest import doctor, jobs, subscribers
from digest.app import App, open_app
from digest.changes import Changes
from digest.delivery import deliver, prepare
from digest.errors import DatabaseError, MailError
from digest.feeds.fill import fill_due
from digest.feeds.ingest import add_feed, ingest_due, ingest_sources
from digest.feeds.leases import lease
from digest.mail import outbox
from digest.models import Digest, OutboxMessage, Paper, Pick, Subscriber
from digest.settings import Settings

FORK = multiprocessing.get_context("fork")
PAPERS, READERS = 80, 20
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000  # of unshare(2)
SMALL = 96_000  # bytes: no file may grow beyond, as where a disk is full or a quota is used up


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


def child(work: Callable[[], object]) -> str:
    """Does the work in a process of its own; gives what it made of it, or its error."""
    ours, theirs = FORK.Pipe()

    def run() -> None:
        try:
            said = str(work())
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        theirs.send(said)

    process = FORK.Process(target=run)
    process.start()
    theirs.close()
    said: str = ours.recv()
    process.join(timeout=60)
    assert process.exitcode == 0
    return said


def arrived(box: Mailbox) -> Counter[str]:
    return Counter(str(mail["Message-ID"]) for mail in box.messages)


# Disk and database

STEPS: dict[str, Callable[[App, Path], object]] = {
    "ingest": lambda app, folder: ingest_sources(app, [str(folder / "2026-11-18.jsonl")]),
    "prepare": lambda app, _: prepare(app),
    "send": lambda app, _: outbox.send_due(app),
}


def up_to(app: App, folder: Path, step: str) -> None:
    """Does what comes before the step."""
    papers(folder, date(2026, 11, 18), PAPERS)
    people(app, READERS)
    for name, act in STEPS.items():
        if name == step:
            return
        act(app, folder)


def all_is_well(app: App, folder: Path, box: Mailbox, twice: int = 0) -> None:
    """The next run of everything brings everybody all there is, once."""
    for act in STEPS.values():
        act(app, folder)
    assert len(rows(app, Paper)) == PAPERS
    assert [row.status for row in rows(app, OutboxMessage)] == ["sent"] * READERS
    assert len(rows(app, Pick)) == READERS * 10
    mails = arrived(box)
    assert len(mails) == READERS
    assert mails.total() - READERS <= twice
    assert sum(row.in_doubt for row in rows(app, OutboxMessage)) >= mails.total() - READERS


@pytest.mark.sqlite
@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_loses_nothing(app, settings, clock, mailbox, tmp_path, step):
    up_to(app, tmp_path, step)
    app.db.close()  # which writes its log back, so that the next begins an empty one

    def cramped() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))
        with open_app(settings, clock) as ours:
            return STEPS[step](ours, tmp_path)

    assert "cannot be used" in child(cramped)
    if step == "ingest":
        assert rows(app, Paper) == []
    elif step == "prepare":
        assert rows(app, Digest) == []
    else:
        assert 0 < len(mailbox.messages) < READERS
    all_is_well(app, tmp_path, mailbox, twice=settings.smtp.connections)


def small_disk(folder: Path, size: int) -> bool:
    """Mounts a disk of so many bytes there, for this process alone; False where the system lets
    nobody do so but root."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | NEW_MOUNTS):
        return False
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return not libc.mount(b"none", bytes(folder), b"tmpfs", 0, f"size={size}".encode())


@pytest.mark.sqlite
@pytest.mark.parametrize("step", STEPS)
def test_a_disk_without_room_is_named_and_loses_nothing(
    app, settings, clock, mailbox, tmp_path, step
):
    """A real one where that is allowed; else the test before this one has to do."""
    up_to(app, tmp_path, step)
    app.db.close()
    place, file = tmp_path / "disk", app.db.file
    place.mkdir()
    url = f"sqlite:///{place / file.name}"
    database = settings.database.model_copy(update={"url": url})
    changed = settings.model_copy(update={"database": database})
    room = 40_960  # beside what is there

    def cramped() -> object:
        if not small_disk(place, file.stat().st_size + room):
            return "not allowed"
        shutil.copy(file, place)
        try:
            with open_app(changed, clock) as ours:
                try:
                    return STEPS[step](ours, tmp_path)
                except DatabaseError as error:
                    return f"{error} {findings(ours, 'fail')['disk']}"
        finally:
            for each in place.glob(f"{file.name}*[bl]"):  # with its log, to where there is room
                shutil.copy(each, tmp_path)

    said = child(cramped)
    assert said == "not allowed" or ("full" in said and "0.0 GB are free" in said)
    all_is_well(app, tmp_path, mailbox, twice=settings.smtp.connections)


@pytest.mark.sqlite
def test_a_disk_that_is_nearly_full_is_named(app, monkeypatch):
    monkeypatch.setattr(doctor.database, "LITTLE_SPACE", 10**18)
    monkeypatch.setattr(doctor.database, "NO_SPACE", 10**17)
    assert "are free" in findings(app, "fail")["disk"]


@contextmanager
def locked(app: App) -> Iterator[None]:
    """Another process writes, and does not end for longer than anybody waits."""
    with closing(
        sqlite3.connect(app.db.file, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def impatient(app: App) -> App:
    app.db.close()
    event.listen(app.db.engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=50"))
    return app


@pytest.mark.sqlite
@pytest.mark.parametrize("step", STEPS)
def test_a_locked_database_is_named_and_costs_a_run(impatient, mailbox, tmp_path, step):
    app = impatient
    up_to(app, tmp_path, step)
    with locked(app):
        with pytest.raises(DatabaseError, match="locked"):
            STEPS[step](app, tmp_path)
        assert "locked" in findings(app, "fail")["database"]
    assert mailbox.messages == []
    all_is_well(app, tmp_path, mailbox)


@pytest.mark.sqlite
def test_a_lock_right_after_a_message_was_taken(impatient, mailbox, tmp_path, monkeypatch, serve):  # noqa: F811
    app = impatient

    class Box(Mailbox):
        async def handle_DATA(self, server, session, envelope):
            if len(self.envelopes) == 5:
                self.lock = locked(app)
                self.lock.__enter__()
            return await super().handle_DATA(server, session, envelope)

    box = Box()
    up_to(app, tmp_path, "send")
    ours = serve(box, connections=1)
    ours.db.close()
    event.listen(ours.db.engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=50"))
    with pytest.raises(DatabaseError, match="locked"):
        outbox.send_due(ours)
    box.lock.__exit__(None, None, None)
    all_is_well(ours, tmp_path, box, twice=1)
    assert "may have arrived twice" in findings(ours, "warn")["outbox"]


@pytest.mark.sqlite
@pytest.mark.parametrize("step", STEPS)
def test_a_read_only_database_is_named(app, settings, clock, mailbox, tmp_path, step):
    up_to(app, tmp_path, step)
    app.db.close()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        copy = Path(shutil.copy(app.db.file, folder))
        shutil.copy(tmp_path / "2026-11-18.jsonl", folder)
        copy.chmod(0o444)
        folder.chmod(0o555)
        database = settings.database.model_copy(update={"url": f"sqlite:///{copy}"})
        changed = settings.model_copy(update={"database": database})

        def reader() -> object:
            if os.getuid() == 0:
                os.setuid(65534)
            with open_app(changed, clock) as ours:
                return STEPS[step](ours, folder)

        def patient() -> object:
            if os.getuid() == 0:
                os.setuid(65534)
            with open_app(changed, clock) as ours:
                return findings(ours, "fail")["database"]

        for said in (child(reader), child(patient)):
            assert "readonly" in said or "unable to open" in said
        folder.chmod(0o755)
    assert mailbox.messages == []
    all_is_well(app, tmp_path, mailbox)


@pytest.mark.sqlite
def test_a_worker_without_memory_says_so_and_the_next_does_all(
    app, settings, clock, mailbox, tmp_path
):
    up_to(app, tmp_path, "prepare")
    app.db.close()

    def starved() -> object:
        with open_app(settings, clock) as ours:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 300_000, resource.RLIM_INFINITY))
            return prepare(ours)

    assert "MemoryError" in child(starved)
    assert rows(app, Digest) == []
    clock.forward(hours=2, minutes=1)
    assert f"{READERS} of {READERS}" in findings(app, "fail")["subscribers"]
    clock.forward(hours=-2)
    all_is_well(app, tmp_path, mailbox)
    assert "subscribers" not in findings(app, "fail")


# Clocks


def test_an_hour_back_after_the_mail_sends_nothing_twice(app, ada, clock, mailbox):
    announce(app, clock().date())
    deliver(app)
    clock.forward(hours=-3)
    for _ in range(25):
        deliver(app)
        clock.forward(hours=1)
    assert len(mailbox.messages) == 1
    announce(app, clock().date())
    deliver(app)
    assert len(mailbox.messages) == 2
    assert max(Counter(pick.paper_id for pick in all_picks(app)).values()) == 1


def all_picks(app: App) -> list[Pick]:
    with app.db.read() as session:
        return list(session.exec(select(Pick)))


@pytest.mark.parametrize("days", [1, 5, 40])
def test_a_clock_that_runs_ahead_puts_nobody_off(app, ada, clock, mailbox, days):
    """Ahead for an hour, then right again: who was passed over meanwhile gets all there is."""
    feed = add_feed(app, "https://rss.arxiv.org/rss/cs.CV")
    announce(app, clock().date())
    deliver(app)
    clock.forward(days=days)
    deliver(app)
    assert lease(app, feed.id, only_due=False)
    clock.forward(days=-days)
    assert len(mailbox.messages) == 1
    for _ in range(3):
        jobs.tidy(app, lambda: False)
        clock.forward(days=1)
        announce(app, clock().date())
        deliver(app)
    assert lease(app, feed.id, only_due=False)
    mails = 3 if days == 1 else 4  # a day's digest may come with the next one's
    assert len(mailbox.messages) == mails
    picked = Counter(pick.paper_id for pick in all_picks(app))
    assert set(picked.values()) == {1}
    assert len(picked) == 10 * mails


def test_papers_that_come_after_the_clock_stepped_back_are_new(app, ada, clock, mailbox, tmp_path):
    """By the clock they were there before the digest that could not hold them."""
    ingest_sources(app, [papers(tmp_path, clock().date(), 10)])
    deliver(app)
    clock.forward(hours=-2)
    jobs.tidy(app, lambda: False)
    more = Path(papers(tmp_path, clock().date(), 20))
    assert ingest_sources(app, [str(more)])[0].new == 10
    for _ in range(2):
        clock.forward(days=1)
        deliver(app)
        announce(app, clock().date() + timedelta(days=1), ["Image generation for galaxies"])
    assert len(mailbox.messages) == 2
    late = {f"arxiv:2611.{n:05}" for n in range(11, 21)}
    with app.db.read() as session:
        got = set(session.exec(select(Paper.key).join(Pick, col(Pick.paper_id) == Paper.id)))
    assert len(got & late) >= 9


def test_a_feed_is_asked_again_at_once_when_the_clock_is_right_again(app, source, clock):  # noqa: F811
    add_feed(app, source.url, "generic")
    clock.forward(days=2)
    ingest_due(app)
    clock.forward(days=-2)
    jobs.tidy(app, lambda: False)
    ingest_due(app)
    assert len(source.asked) == 2


def test_a_lease_of_a_clock_that_ran_ahead_ends(app, ada, clock, mailbox):
    announce(app, clock().date())
    prepare(app)
    with app.db.write() as session:
        message = session.exec(select(OutboxMessage)).one()
        message.leased_by, message.leased_until = "the dead", clock() + timedelta(days=40)
        message.due_at = clock() + timedelta(days=40)
        session.add(message)
    clocks.put_right(app)
    clock.forward(minutes=31)
    assert outbox.send_due(app).sent == 1


def test_doctor_names_a_clock_that_went_back(app, ada, clock):
    announce(app, clock().date())
    prepare(app)
    assert "clock" in findings(app, "ok")
    clock.forward(hours=-1)
    assert "something was done at 2026-11-18 09:00" in findings(app, "warn")["clock"]


def test_a_link_from_a_clock_some_minutes_ahead_is_good(app, clock):
    made = app.tokens.sign("sensitive", 7, 1, clock() + timedelta(minutes=20))
    assert app.tokens.read("sensitive", made, clock()).subscriber_id == 7


CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # back by half an hour, at 02:00
    ("Australia/Lord_Howe", date(2026, 10, 4)),
]
HOURS = ("07:00", "01:30", "01:45", "02:00", "02:15", "02:30")


@pytest.mark.sqlite
@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_one_digest_a_day_across_daylight_saving(app, clock, zone, change):
    here = ZoneInfo(zone)
    clock.moment = datetime(change.year, change.month, change.day, tzinfo=here).astimezone(UTC)
    clock.moment = clock().replace(hour=0, minute=0) - timedelta(days=2)
    for hour in HOURS:
        wanted = Changes(topics=[("images", 1.0)], send_at=hour, timezone=zone)
        subscribers.add(app, f"at{hour.replace(':', '')}@crowd.test", wanted)
    due: dict[str, set[datetime]] = {hour: set() for hour in HOURS}
    end = clock() + timedelta(days=4)
    while clock() < end:
        if clock().hour == clock().minute == 0:
            announce(app, clock().date())
        for reader in rows(app, Subscriber):
            due[reader.send_at].add(reader.next_digest_at.astimezone(here))
        prepare(app)
        clock.forward(minutes=30)
    for hour in HOURS:
        days = sorted(at.date() for at in due[hour])
        assert days == [days[0] + timedelta(days=n) for n in range(len(days))], hour
        assert {f"{at:%H:%M}" for at in due[hour] if at.date() != change} == {hour}
    made = Counter(digest.subscriber_id for digest in rows(app, Digest))
    assert set(made.values()) <= {3, 4}  # by listing days, which are those of UTC


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

SCHEDULER = """
import sys
from digest import delivery
from digest.__main__ import main
delivery.BLOCK = 1
sys.argv[1:] = ["scheduler"]
main()
"""


@pytest.mark.sqlite
def test_a_signal_while_digests_are_made_ends_with_whole_ones(app, clock, mailbox, tmp_path):
    clock.moment = datetime.now(UTC)  # the process has its own clock
    announce(app, clock().date())
    people(app, 400)
    environment = {
        "DIGEST_DATABASE__URL": app.settings.database.url,
        "DIGEST_WEB__SECRET": "s" * 40,
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SCHEDULER], env=os.environ | environment, stderr=log
        )
        until = time.monotonic() + 60
        while not rows(app, Digest) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, (tmp_path / "log").read_text()
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
