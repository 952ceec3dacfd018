"""The database: migrations that equal the models, transactions, and locks between processes."""

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from digest.db import Db, alone, schema_is_current, sqlite_file, upgrade
from digest.errors import DatabaseError, NotFound, SettingsError
from digest.models import Feed, metadata

NOW = datetime(2026, 11, 18, 9, 0, 0, 123_000, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "digest.db"


@pytest.fixture
def db(database: str) -> Iterator[Db]:
    opened = Db(database)
    yield opened
    opened.close()


def feed(url: str) -> Feed:
    return Feed(url=url, kind="arxiv-rss", next_fetch_at=NOW, added_at=NOW)


@pytest.mark.bare
def test_migrations_from_nothing_make_what_the_models_say(db: Db) -> None:
    upgrade(db)
    with db.engine.connect() as connection:
        # The search's tables are written by triggers alone, and no model knows them.
        ours = {"include_name": lambda name, *_: "paper_search" not in str(name)}
        context = MigrationContext.configure(connection, opts={"compare_type": True} | ours)
        assert compare_metadata(context, metadata) == []


def test_the_files_are_their_owners_alone(file: Path) -> None:
    new = Db(f"sqlite:///{file}")
    with new.write() as session:
        session.connection().exec_driver_sql("CREATE TABLE kept (it)")
        made = sorted(file.parent.iterdir())
        assert [path.name for path in made] == ["digest.db", "digest.db-shm", "digest.db-wal"]
        assert not any(path.stat().st_mode & 0o077 for path in made)
    new.close()


@pytest.mark.bare
def test_an_upgrade_can_be_repeated_and_keeps_the_data(db: Db) -> None:
    assert not schema_is_current(db)
    upgrade(db)
    with db.write() as session:
        session.add(feed("https://feed.test/rss"))
    upgrade(db)
    assert schema_is_current(db)
    with db.read() as session:
        assert session.exec(select(Feed.url)).all() == ["https://feed.test/rss"]


@pytest.mark.bare
def test_a_newer_schema_stops_the_start_and_says_what_to_do(db: Db) -> None:
    upgrade(db)
    with db.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"newer version.*install that version"):
        upgrade(db)


@pytest.mark.sqlite
@pytest.mark.bare
def test_a_file_that_is_no_database_is_named(db: Db, file: Path) -> None:
    file.write_text("Dear diary, " * 100)
    with pytest.raises(DatabaseError, match=r"digest\.db"):
        upgrade(db)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir()
    (shut / "digest.db").mkdir()  # works for root too, whom no file mode stops
    with pytest.raises(DatabaseError, match="cannot open"):
        upgrade(Db(f"sqlite:///{shut}/digest.db"))


def test_a_folder_that_cannot_be_made_is_named(file: Path) -> None:
    file.write_text("in the way")
    with pytest.raises(DatabaseError, match="cannot make the folder"):
        Db(f"sqlite:///{file}/digest.db")


@pytest.mark.sqlite
def test_a_database_that_cannot_be_used_is_told_in_words(db: Db, file: Path) -> None:
    with db.connect() as connection:
        connection.execute(text("DROP TABLE upvotes"))
    for door in (db.read, db.write):
        with pytest.raises(DatabaseError, match=r"digest\.db cannot be used: no such"), door() as s:
            s.connection().execute(text("SELECT * FROM upvotes"))


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(SettingsError, match=r"database\.url.* needs oracledb"):
        Db("oracle+oracledb://u@h/d")


def test_a_wrong_address_names_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"database\.url"):
        Db("digest.db")


def test_a_failed_write_leaves_nothing(db: Db) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as session:
        session.add(feed("https://feed.test/rss"))
        session.flush()
        _ = 1 / 0
    with db.read() as session:
        assert session.exec(select(Feed)).all() == []


def put(connection: Connection, url: str) -> str:
    if url == "wrong":
        raise NotFound("there is no such feed")
    if url == "end":
        raise SystemExit
    known = {"kind": "arxiv-rss", "next_fetch_at": NOW, "added_at": NOW}
    rest = dict.fromkeys(("title", "etag", "last_modified", "outcome"), "") | {"failures": 0}
    connection.execute(metadata.tables["feed"].insert(), {"url": url} | known | rest)
    return url


def at_once(db: Db, urls: Sequence[str]) -> list[Future[str]]:
    """Puts a feed, and each of the others while that one is being written."""
    writing, come = Event(), Event()

    def first(connection: Connection) -> str:
        writing.set()
        come.wait()
        return put(connection, "first")

    with ThreadPoolExecutor(len(urls) + 1) as threads:
        began = threads.submit(db.together, first)
        writing.wait()
        others = [threads.submit(db.together, partial(put, url=url)) for url in urls]
        while db.file is not None and len(db.waiting) < len(urls):
            time.sleep(0.001)
        come.set()
    return [began, *others]


def feeds(db: Db) -> set[str]:
    with db.read() as session:
        return set(session.exec(select(Feed.url)))


def test_what_comes_at_once_is_all_written(db: Db) -> None:
    urls = [f"https://feed.test/{n}" for n in range(5)]
    done = at_once(db, urls)
    assert [each.result() for each in done] == ["first", *urls]
    assert feeds(db) == {"first", *urls}


@pytest.mark.sqlite
def test_what_comes_while_another_writes_is_one_transaction(db: Db) -> None:
    commits: list[Connection] = []
    event.listen(db.engine, "commit", commits.append)
    at_once(db, ["one", "two", "three"])
    assert len(commits) == 2


def test_what_fails_among_others_fails_alone(db: Db) -> None:
    first, one, wrong, two, again = at_once(db, ["one", "wrong", "two", "first"])
    assert [each.result() for each in (one, two)] == ["one", "two"]
    assert isinstance(wrong.exception(), NotFound)
    late = [each for each in (first, again) if each.exception() is not None]
    assert late == [again] or (db.file is None and late == [first])  # a server has no order
    assert isinstance(late[0].exception(), IntegrityError)
    assert feeds(db) == {"first", "one", "two"}


@pytest.mark.sqlite
def test_what_is_not_committed_is_not_answered(db: Db) -> None:

    def orphan(connection: Connection) -> None:
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(text("INSERT INTO paper_alias (alias, paper_id) VALUES ('a', 7)"))

    with pytest.raises(IntegrityError):
        db.together(orphan)
    assert db.together(lambda connection: put(connection, "next")) == "next"


@pytest.mark.sqlite
def test_nobody_waits_for_a_thread_that_has_ended_in_the_middle_of_writing(db: Db) -> None:
    first, *others = at_once(db, ["one", "end", "two"])
    ends = [each.exception() for each in others]
    assert first.result() == "first"
    assert sorted(type(end).__name__ for end in ends) == ["DatabaseError"] * 2 + ["SystemExit"]
    assert feeds(db) == {"first"}
    assert db.together(lambda connection: put(connection, "next")) == "next"


@pytest.mark.sqlite
def test_a_file_that_cannot_be_used_is_told_to_all_who_wait(db: Db) -> None:
    with db.connect() as connection:
        connection.execute(text("DROP TABLE feed"))
    for each in at_once(db, ["one", "two"]):
        assert isinstance(each.exception(), DatabaseError)


@pytest.mark.sqlite
def test_a_writer_holds_the_database_from_its_first_moment(db: Db, file: Path) -> None:
    with db.write() as session:
        session.exec(select(Feed)).all()
        other = sqlite3.connect(file, timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


def test_a_reader_sees_one_state_while_a_writer_writes(db: Db) -> None:
    with db.read() as reader:
        assert reader.exec(select(Feed)).all() == []
        with db.write() as writer:
            writer.add(feed("https://feed.test/rss"))
        assert reader.exec(select(Feed)).all() == []


def test_moments_come_back_as_they_went_in(db: Db) -> None:
    with db.write() as session:
        session.add(feed("https://feed.test/rss"))
    with db.read() as session:
        assert session.exec(select(Feed.added_at)).one() == feed("x").added_at


def test_a_broken_reference_is_refused(db: Db) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), db.connect() as connection:
        connection.execute(text("INSERT INTO paper_alias (alias, paper_id) VALUES ('a', 7)"))


@pytest.mark.postgres
def test_one_at_a_time_passes_a_name(db: Db) -> None:
    order = []

    def second() -> None:
        with db.write() as session:
            alone(session, "papers")
            order.append("second")

    with db.write() as session:
        alone(session, "papers")
        with db.write() as other:
            alone(other, "something else")
        thread = threading.Thread(target=second)
        thread.start()
        while not waiting(db):
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def waiting(db: Db) -> bool:
    with db.read() as session:
        locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(session.execute(locks).scalar())


def opened(address: str) -> None:
    upgrade(Db(address))


@pytest.mark.bare
def test_processes_that_start_together_make_the_schema_once(db: Db, database: str) -> None:
    start = multiprocessing.get_context("fork")
    openers = [start.Process(target=opened, args=(database,)) for _ in range(3)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(timeout=60)
    assert [opener.exitcode for opener in openers] == [0, 0, 0]
    assert schema_is_current(db)


HOLDER = """
import sys
from digest.db import Db
with Db(sys.argv[1]).exclusive("service") as held:
    print(held, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.sqlite
def test_a_lock_keeps_a_second_process_out_until_the_first_dies(db: Db) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, db.url.render_as_string()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with db.exclusive("service") as held:
        assert not held
    with db.exclusive("something else") as held:
        assert held
    holder.kill()
    holder.communicate()
    with db.exclusive("service") as held:
        assert held


def test_the_file_behind_an_address_is_known_only_for_sqlite() -> None:
    assert sqlite_file("sqlite:///data/digest.db") == Path("data/digest.db")
    assert sqlite_file("sqlite://") is None
    assert sqlite_file("postgresql+psycopg://u@h/d") is None
