"""Backups of a running service, and what a restore brings back, keeps away and holds."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import Clock, Mailbox, announce
from sqlmodel import select

from digest import backup, delivery, doctor, hold, outcomes, subscribers, suppressions
from digest.app import App, open_app
from digest.changes import Changes
from digest.db import Db, upgrade
from digest.errors import DatabaseError, InputError
from digest.feedback import record
from digest.models import Digest, OutboxMessage, Subscriber, metadata
from digest.settings import Settings

both = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)

ADA, BEA, CAL = "ada@reader.test", "bea@reader.test", "cal@reader.test"


def _fill(app: App) -> None:
    """A service with readers, a digest that was sent and one vote."""
    for email in (ADA, BEA, CAL):
        wishes = Changes(topics=[("diffusion models for image generation", 1.0)])
        subscribers.add(app, email, wishes)
    papers = announce(app, app.now().date())
    delivery.deliver(app, app.now().date())
    with app.db.write() as session:
        record(session, 1, papers[0], "up", source="web", now=app.now())


def _rows(app: App) -> dict[str, list[Any]]:
    with app.db.read() as session:
        return {
            table.name: sorted(map(repr, session.connection().execute(sa.select(table))))
            for table in metadata.sorted_tables
            if table.name != "hold"
        }


@both
def test_what_is_restored_equals_what_was_there_table_by_table(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with open_app(settings, clock) as app:
        _fill(app)
        before = _rows(app)
        assert backup.backup(app.db, copy) == copy.stat().st_size
        subscribers.add(app, "new@reader.test", Changes())
        announce(app, clock.forward(days=1).date())
    done = backup.restore(settings, copy)
    with open_app(settings, clock) as app:
        assert _rows(app) == before
    assert all(before[name] for name in ("subscriber", "paper", "pick", "outbox", "feedback"))
    assert (done.left, done.suppressed) == (0, 0)
    assert copy.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy"]
    if done.replaced is not None:
        assert done.replaced.stat().st_mode & 0o077 == 0


@both
def test_after_a_restore_nothing_is_mailed_until_a_day_is_named(
    settings: Settings, clock: Clock, mailbox: Mailbox, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with open_app(settings, clock) as app:
        _fill(app)
        backup.backup(app.db, copy)
        tuesday = clock.forward(days=1).date()
        sent_since = announce(app, tuesday)
        assert delivery.deliver(app).sent == 3
    backup.restore(settings, copy)
    mailbox.envelopes.clear()
    with open_app(settings, clock) as app:
        announce(app, tuesday)  # the same feed is read again
        assert delivery.prepare(app) == (0, 0)
        with pytest.raises(DatabaseError, match="db resume"):
            delivery.deliver(app)
        held = next(found for found in doctor.check(app) if found.name == "delivery")
        assert held.state == "fail"
        assert "db resume" in held.mend
        wednesday = clock.forward(days=1).date()
        fresh = announce(app, wednesday, ["Diffusion models for image generation on graphs"])
        hold.resume(app, wednesday)
        assert delivery.deliver(app).sent == 3
        with app.db.read() as session:
            picked = set(session.execute(sa.text("SELECT paper_id FROM pick WHERE digest_id > 3")))
    assert picked == {(fresh[0],)}
    assert fresh[0] not in sent_since
    assert len(mailbox.envelopes) == 3


@both
def test_no_link_or_message_id_sent_since_the_backup_is_given_again(
    settings: Settings, clock: Clock, mailbox: Mailbox, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with open_app(settings, clock) as app:
        _fill(app)
        backup.backup(app.db, copy)
        announce(app, clock.forward(days=1).date())
        delivery.deliver(app)
        newest = subscribers.add(app, "new@reader.test", Changes()).id or 0
    backup.restore(settings, copy)
    with open_app(settings, clock) as app:
        assert (subscribers.add(app, "other@reader.test", Changes()).id or 0) > newest
        hold.resume(app, clock.forward(days=1).date())
        announce(app, clock().date(), ["Diffusion models for image generation on graphs"])
        delivery.deliver(app)
    names = [message["Message-ID"] for message in mailbox.messages]
    assert len(names) == len(set(names)) > 6


@both
def test_who_left_or_was_suppressed_since_stays_so(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with open_app(settings, clock) as app:
        _fill(app)
        backup.backup(app.db, copy)
        subscribers.remove(app, 1)
        subscribers.erase(app, 2)
        suppressions.add(app, CAL)
    done = backup.restore(settings, copy)
    assert (done.left, done.suppressed) == (1, 2)
    with open_app(settings, clock) as app:
        with app.db.read() as session:
            people = {person.email: person for person in session.exec(select(Subscriber))}
            reasons = {row.reason for row in suppressions.listing(session)}
        assert people[ADA].status == "removed"
        assert BEA not in people
        assert people[CAL].next_digest_at is None
        assert reasons == {"erased", "operator"}


@both
def test_a_mail_that_was_on_its_way_at_the_backup_is_cancelled(
    settings: Settings, clock: Clock, mailbox: Mailbox, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with open_app(settings, clock) as app:
        subscribers.add(app, ADA, Changes(topics=[("galaxy surveys", 1.0)]))
        announce(app, app.now().date())
        delivery.prepare(app, app.now().date())
        backup.backup(app.db, copy)
    backup.restore(settings, copy)
    with open_app(settings, clock) as app, app.db.read() as session:
        assert session.exec(select(OutboxMessage.status)).all() == ["cancelled"]
        assert len(session.exec(select(Digest)).all()) == 1
    with open_app(settings, clock) as app:
        told = outcomes.why(app, ADA)
        assert (told.outcome, "backup" in told.detail) == ("failed", True)


# Says so many bytes of what pg_restore says, and kills who asked.
DEADLY = """#!/bin/sh
case "$*" in *--data-only*) exec {real} "$@" ;; esac
{real} "$@" | head -c {count}
kill -9 $PPID
"""


@pytest.mark.postgres
@pytest.mark.parametrize("dies", ["while it is read", "before the commit", "after the commit"])
def test_a_restore_that_dies_changes_nothing_or_is_to_be_done_once_more(
    app: App,
    settings: Settings,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies: str,
) -> None:
    copy, program = tmp_path / "copy", tmp_path / "pg_restore"
    _fill(app)
    backup.backup(app.db, copy)
    subscribers.remove(app, 1)
    suppressions.add(app, CAL)
    newest = subscribers.add(app, "new@reader.test", Changes()).id or 0
    before = _rows(app)
    app.db.close()

    def restore() -> None:
        if dies == "after the commit":
            monkeypatch.setattr(backup, "_settle", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        else:
            count = 5_000 if dies == "while it is read" else 10**9
            program.write_text(DEADLY.format(real=shutil.which("pg_restore"), count=count))
            program.chmod(0o755)
            monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        backup.restore(settings, copy)

    process = multiprocessing.get_context("fork").Process(target=restore)
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL
    if dies != "after the commit":
        assert _rows(app) == before
        return
    with pytest.raises(DatabaseError, match="cut short"), open_app(settings, clock):
        pass
    assert backup.restore(settings, copy) == backup.Restored(None, 1, 1)
    with open_app(settings, clock) as ours:
        with pytest.raises(DatabaseError, match="db resume"):
            delivery.deliver(ours)
        assert (subscribers.add(ours, "other@reader.test", Changes()).id or 0) > newest


@both
@pytest.mark.bare
def test_a_backup_of_an_older_schema_replaces_a_newer_one(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    db = Db(settings.database.url)
    upgrade(db, "0010")
    backup.backup(db, tmp_path / "copy")
    db.close()
    with open_app(settings, clock) as app:
        _fill(app)
    backup.restore(settings, tmp_path / "copy")
    with open_app(settings, clock) as app:
        assert _rows(app)["subscriber"] == []
        with app.db.read() as session:
            assert hold.held(session)


@pytest.mark.sqlite
@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_during_a_backup_is_not_overwritten(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    copy, draft = tmp_path / "copy", tmp_path / "copy.part"
    if not links:
        monkeypatch.setattr(os, "link", _no_link)
        assert backup.backup(app.db, tmp_path / "first") == (tmp_path / "first").stat().st_size > 0

    def meanwhile(number: int) -> None:
        copy.write_text("mine")

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(InputError, match="never overwrites"):
        backup.backup(app.db, copy)
    assert copy.read_text() == "mine"
    assert not draft.exists()


def _no_link(source: Path, target: Path) -> None:
    if Path(target).exists():
        raise FileExistsError
    raise PermissionError("this disk has no links")


def test_a_backup_overwrites_nothing_and_leaves_no_half_file(app: App, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    with pytest.raises(InputError, match="never overwrites"):
        backup.backup(app.db, there)
    with pytest.raises(DatabaseError, match="failed"):
        backup.backup(app.db, tmp_path / "no-such-folder" / "copy")
    assert there.read_text() == "mine"
    assert not list(tmp_path.glob("*.part"))


@both
def test_what_is_no_backup_changes_nothing(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    with open_app(settings, clock) as app:
        _fill(app)
        before = _rows(app)
    for content in (b"", b"a photo", b"SQLite format 3\0" + bytes(5000)):
        wrong.write_bytes(content)
        with pytest.raises((InputError, DatabaseError)):
            backup.restore(settings, wrong)
    with open_app(settings, clock) as app:
        assert _rows(app) == before


@both
def test_a_backup_of_a_newer_version_is_refused(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with open_app(settings, clock) as app:
        with app.db.write() as session:
            version = session.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        backup.backup(app.db, copy)
        with app.db.write() as session:
            put_back = sa.text("UPDATE alembic_version SET version_num = :version")
            session.execute(put_back, {"version": version})
    with pytest.raises(InputError, match="newer version"):
        backup.restore(settings, copy)


@both
def test_a_running_service_is_not_replaced(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with open_app(settings, clock) as app:
        backup.backup(app.db, copy)
        with app.db.exclusive("worker"), app.db.read() as session:
            session.exec(select(Subscriber)).all()
            with pytest.raises(DatabaseError, match="stop"):
                backup.restore(settings, copy)


@both
def test_a_database_that_is_beyond_reading_is_kept_aside(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    with open_app(settings, clock) as app:
        live = app.db.file
        if live is None:
            return  # a server's own tools mend it
        _fill(app)
        before = _rows(app)
        backup.backup(app.db, tmp_path / "copy")
    live.write_bytes(b"x" * 20_000)
    done = backup.restore(settings, tmp_path / "copy")
    assert done.replaced is not None
    assert done.replaced.read_bytes() == b"x" * 20_000
    assert (done.left, done.suppressed) == (None, None)
    with open_app(settings, clock) as app:
        assert _rows(app) == before


def test_the_backup_of_a_busy_database_is_whole(app: App, clock: Clock, tmp_path: Path) -> None:
    """A transaction that is open during the copy is in it as a whole or not at all."""
    _fill(app)
    with app.db.write() as session:
        session.execute(sa.text("UPDATE subscriber SET name = 'half'"))
        backup.backup(app.db, tmp_path / "copy")
    if app.db.file is None:
        assert (tmp_path / "copy").read_bytes().startswith(b"PGDMP")
        return
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM subscriber WHERE name = 'half'").fetchone() == (
            0,
        )
