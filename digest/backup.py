"""The whole database as one file, taken while the service runs, and back from it.

After a restore delivery is held (`digest.hold`), since nobody can tell which mails went out between
the backup and the restore.
"""

import json
import os
import sqlite3
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from digest import dumps, subscribers
from digest.app import App, open_app
from digest.db import RESTORING, Db, insert_new, knows_revision, private
from digest.errors import DatabaseError, InputError
from digest.hold import RESTORED
from digest.models import Digest, Hold, OutboxMessage, Subscriber, Suppression, metadata
from digest.settings import Settings

PARTS = ("scheduler", "worker", "sender")
NUMBERED: tuple[Any, ...] = (Subscriber, Digest, OutboxMessage)
LEAP = 1_000_000  # ids passed over where the replaced database cannot tell how far it had come


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: where the replaced database is kept (SQLite), and how many of its newer
    unsubscribes and suppressions were taken over; None where it could not be read."""

    replaced: Path | None
    left: int | None
    suppressed: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the replaced database knows that must outlive it: the keys of the addresses that left,
    the suppressions, and the highest id of each numbered table."""

    left: frozenset[str]
    suppressions: tuple[dict[str, Any], ...]
    highest: dict[str, int]


def backup(db: Db, file: Path) -> int:
    """Writes the database as it is at this moment into `file`; gives the size in bytes.

    The service may run on meanwhile: SQLite's online backup, and pg_dump on PostgreSQL. The file
    is readable by its owner alone and is there only when it is whole. Raises InputError where a
    file of this name is there, DatabaseError where the copy fails.
    """
    if file.exists():
        raise InputError(f"{file} is there already: a backup never overwrites one")
    draft = file.with_name(f"{file.name}.part")
    try:
        draft.touch(mode=0o600)
        if db.file is not None:
            _copy(db.file, draft)
            _close(draft)
        else:
            dumps.run(db.url, "pg_dump", *_DUMP, f"--file={draft}")
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        _name(draft, file)
    except FileExistsError as error:
        raise InputError(f"{file} is there already: a backup never overwrites one") from error
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"the backup to {file} failed: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return file.stat().st_size


def _close(copy: Path) -> None:
    """Makes a copy one file for good: who only reads one with a write-ahead log makes two more
    beside it, which a folder that cannot be written refuses."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _name(draft: Path, file: Path) -> None:
    """Gives the draft its name; a plain rename would replace a file that was made meanwhile."""
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:  # a disk without links
        file.touch(mode=0o600, exist_ok=False)
        draft.replace(file)


def restore(settings: Settings, file: Path, *, dry_run: bool = False) -> Restored:
    """Puts the backup in the place of the configured database, and holds delivery.

    What was unfinished in the backup's outbox is cancelled, for it may have gone out since. Who
    left or was suppressed after the backup stays so, where the replaced database can be read. An
    SQLite file that is replaced is kept beside it. `dry_run` goes as far as it can without a
    change: on SQLite all is done to a copy. Raises InputError where the file is no backup or one of
    a newer version, DatabaseError where a part of the service still runs, or it fails.
    """
    db = Db(settings.database.url)
    try:
        if db.file is not None:
            return _restore_file(settings, db, db.file, file, dry_run=dry_run)
        return _restore_server(settings, db, file, dry_run=dry_run)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"the restore of {file} failed: {error}") from error
    finally:
        db.close()


# SQLite


def _restore_file(settings: Settings, db: Db, live: Path, file: Path, *, dry_run: bool) -> Restored:
    _check_file(file)
    draft = live.with_name(f"{live.name}.restoring")
    with ExitStack() as stack:
        for part in PARTS:
            if not stack.enter_context(db.exclusive(part)):
                raise DatabaseError(f"the {part} runs on {live}: stop the service first")
        stack.callback(_remove, draft)
        _remove(draft)
        _copy(file, draft)
        known = _known(db) if live.exists() else None
        url = sa.make_url(settings.database.url).set(database=str(draft))
        other = settings.database.model_copy(
            update={"url": url.render_as_string(hide_password=False)}
        )
        with open_app(settings.model_copy(update={"database": other})) as app:
            counts = _settle(app, known, file)
        if dry_run:
            return Restored(None, *counts)
        db.close()
        replaced = _keep(live, app, readable=known is not None) if live.exists() else None
        _copy(draft, live)  # in one transaction: a page server that runs on reads the new content
    return Restored(replaced, *counts)


def _check_file(file: Path) -> None:
    try:
        with closing(_open(file)) as copy:
            sound = copy.execute("PRAGMA quick_check").fetchone()[0]
            revision = copy.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise InputError(f"{file} is no backup of a paper digest: {error}") from error
    if sound != "ok":
        raise InputError(f"{file} is damaged: {sound}")
    _check_revision(file, revision[0] if revision else "")


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)


def _copy(source: Path, target: Path) -> None:
    """All pages in one step, so that writers cannot make it begin anew for ever."""
    private(target)
    with closing(_open(source)) as old, closing(sqlite3.connect(target, timeout=30)) as new:
        old.backup(new)


def _keep(live: Path, app: App, *, readable: bool) -> Path:
    """Keeps the replaced database beside its place: as a copy, or moved away where it is broken."""
    kept = live.with_name(f"{live.name}.replaced-{app.now():%Y%m%dT%H%M%S}")
    if readable:
        _copy(live, kept)
        return kept
    for ending in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            live.with_name(live.name + ending).rename(kept.with_name(kept.name + ending))
    return kept


def _remove(file: Path) -> None:
    for ending in ("-wal", "-shm", ""):
        file.with_name(file.name + ending).unlink(missing_ok=True)


# PostgreSQL


def _restore_server(settings: Settings, db: Db, file: Path, *, dry_run: bool) -> Restored:
    names_schema = ("--data-only", "--table=alembic_version", "--file=-")
    listed = dumps.run(db.url, "pg_restore", *names_schema, file)
    rows = listed.partition("FROM stdin;\n")[2].splitlines()
    _check_revision(file, rows[0] if rows else "")
    with db.read() as session:
        busy = session.scalar(_OTHERS)
    if busy:
        raise DatabaseError(
            f"{busy} other connections use this database: stop scheduler, workers and web first"
        )
    if dry_run:
        return Restored(None, None, None)
    known = _with_kept(db, _known(db))
    db.close()
    tables = [*metadata.tables, "alembic_version", RESTORING]
    dumps.replace(db.url, file, tables, _MARK.format(known=_quoted(_dumped(known))))
    with open_app(settings, restoring=True) as app:
        counts = _settle(app, known, file)
        with app.db.write() as session:
            session.execute(sa.text(f"DROP TABLE {RESTORING}"))
        return Restored(None, *counts)


# Jobs are wake-ups, and the engine makes their tables by itself.
_DUMP = ("--format=custom", "--no-owner", "--exclude-schema=digest_jobs")
_OTHERS = sa.text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


# The last statements of the restore's transaction. From here on nothing starts on this database
# until the rest of the restore is done, now or when it is run once more; what the replaced database
# knew is kept until then. The outbox's mail may have gone out since the backup.
_MARK = f"""
RESET search_path;
UPDATE outbox SET status = 'cancelled', response = '{RESTORED}'
    WHERE status NOT IN ('sent', 'failed', 'cancelled');
CREATE TABLE {RESTORING} (known text NOT NULL);
INSERT INTO {RESTORING} VALUES ({{known}});
"""  # noqa: S608


def _with_kept(db: Db, known: Known | None) -> Known | None:
    """What is known, with what a restore that was cut short kept of the database before it."""
    with db.engine.connect() as connection:
        if not sa.inspect(connection).has_table(RESTORING):
            return known
        kept = _loaded(connection.exec_driver_sql(f"SELECT known FROM {RESTORING}").scalar() or "")  # noqa: S608
    if kept is None or known is None:
        return kept
    numbers = {name: max(known.highest[name], kept.highest[name]) for name in known.highest}
    there = {row["address_hash"] for row in known.suppressions}
    older = tuple(row for row in kept.suppressions if row["address_hash"] not in there)
    return Known(known.left | kept.left, (*known.suppressions, *older), numbers)


def _dumped(known: Known | None) -> str:
    if known is None:
        return ""
    rows = [row | {"created_at": row["created_at"].isoformat()} for row in known.suppressions]
    return json.dumps([sorted(known.left), rows, known.highest])


def _loaded(text: str) -> Known | None:
    if not text:
        return None
    left, rows, highest = json.loads(text)
    for row in rows:
        row["created_at"] = datetime.fromisoformat(row["created_at"])
    return Known(frozenset(left), tuple(rows), highest)


def _quoted(text: str) -> str:
    """As an SQL literal; JSON has no backslash that standard strings would mind."""
    return "'" + text.replace("'", "''") + "'"


# Both


def _check_revision(file: Path, revision: str) -> None:
    if not revision:
        raise InputError(f"{file} is no backup of a paper digest: it names no schema")
    if not knows_revision(revision):
        raise InputError(f"{file} was written by a newer version of this program: install that")


def _known(db: Db) -> Known | None:
    """None where the database cannot be read, or is none of ours; an older schema is read too."""
    try:
        with db.engine.connect() as connection:
            left = connection.execute(
                select(Subscriber.email_key).where(col(Subscriber.status) == "removed")
            ).scalars()
            rows = connection.execute(sa.select(Suppression.__table__)).mappings()  # type: ignore[attr-defined]
            highest = {
                table.__tablename__: connection.scalar(select(sa.func.max(table.id))) or 0
                for table in NUMBERED
            }
            return Known(frozenset(left), tuple(dict(row) for row in rows), highest)
    except (sa.exc.DBAPIError, sqlite3.Error):
        return None


def _settle(app: App, known: Known | None, file: Path) -> tuple[int | None, int | None]:
    """Makes the restored rows safe to run on; gives how many left and were suppressed since."""
    with app.db.write() as session:
        session.merge(Hold(id=1, since=app.now(), reason=f"restored from {file.name}"))
        open_ones = col(OutboxMessage.status).not_in(("sent", "failed", "cancelled"))
        session.connection().execute(
            sa.update(OutboxMessage).where(open_ones).values(status="cancelled", response=RESTORED)
        )
        _raise_ids(session, known)
    if known is None:
        return None, None
    return _let_leave(app, known), _suppress(app, known)


def _raise_ids(session: Session, known: Known | None) -> None:
    """No id is given again that a link or Message-ID of a mail sent since the backup may hold."""
    for table in NUMBERED:
        name = table.__tablename__
        here = session.scalar(select(sa.func.max(table.id))) or 0
        highest = max(here, known.highest[name]) if known else here + LEAP
        if session.get_bind().dialect.name == "postgresql":
            sequence = sa.func.pg_get_serial_sequence(name, "id")
            session.execute(select(sa.func.setval(sequence, highest + 1)))
            continue
        values = {"name": name, "seq": highest}
        session.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
        session.execute(sa.text("INSERT INTO sqlite_sequence VALUES (:name, :seq)"), values)


def _let_leave(app: App, known: Known) -> int:
    still = col(Subscriber.status) != "removed"
    with app.db.read() as session:
        here = session.exec(select(Subscriber.id, Subscriber.email_key).where(still)).all()
    left = [number for number, key in here if key in known.left and number]
    for number in left:
        subscribers.remove(app, number)
    return len(left)


def _suppress(app: App, known: Known) -> int:
    """Takes the newer suppressions over; whose address was erased since is erased once more."""
    hashes = {row["address_hash"]: row["reason"] for row in known.suppressions}
    with app.db.write() as session:
        there = set(session.exec(select(Suppression.address_hash)))
        newer = [row for row in known.suppressions if row["address_hash"] not in there]
        if newer:
            insert_new(session, Suppression, newer)
        people = session.exec(select(Subscriber.id, Subscriber.email_key)).all()
        reasons = {
            number: hashes[found]
            for number, key in people
            for found in app.tokens.address_hashes(key)
            if found in hashes and number
        }
        if reasons:
            silent = sa.update(Subscriber).where(col(Subscriber.id) == sa.bindparam("number"))
            session.connection().execute(
                silent.values(next_digest_at=None), [{"number": number} for number in reasons]
            )
    for number, reason in reasons.items():
        if reason == "erased":
            subscribers.erase(app, number)
    return len(newer)
