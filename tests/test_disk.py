"""A disk or database that is full, locked or read-only, and a process without memory: each is
named, and then all goes on."""

import ctypes
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import pytest
from conftest import Mailbox
from sqlalchemy import event
from test_faults import arrived, findings, papers, people, rows
from test_sending import serve  # noqa: F401 (a fixture)

from digest import doctor
from digest.app import App, open_app
from digest.delivery import prepare
from digest.errors import DatabaseError
from digest.feeds.ingest import ingest_sources
from digest.mail import outbox
from digest.models import Digest, OutboxMessage, Paper, Pick

FORK = multiprocessing.get_context("fork")
PAPERS, READERS = 80, 20
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000  # of unshare(2)
SMALL = 96_000  # bytes: no file may grow beyond, as where a disk is full or a quota is used up


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
