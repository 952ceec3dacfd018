"""The database: engine, read and write sessions, schema upgrades, one-process locks."""

import fcntl
import importlib.resources
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session, SQLModel

from digest.errors import DatabaseError, SettingsError

DRIVER = "pip install 'paper-digest[postgres]'"
# A server lets go of the locks of a process that hangs in the middle of a transaction, in ms.
PATIENCE = 300_000
WAIT = 30  # seconds for SQLite's one writer
# The log goes back into the file every 16 MB, which costs two flushes of the disk: a page that many
# votes or mails change is written once for all of them.
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "wal_autocheckpoint=4000",
)
# The table that stands in a server's database from the restore's transaction until all is done.
RESTORING = "digest_restore"

Done = TypeVar("Done")
Work = Callable[[Connection], Any]


class Db:
    """One database: `read()` and `write()` give sessions, `write()` commits at its end.

    A read session sees one state from its first question on. On SQLite a write session takes the
    write lock at its beginning, so that two writers wait for each other and never meet a deadlock
    in the middle. On a server, writers run side by side: what two of them must not do at once is
    kept by a unique key, by a conditional update, or by `alone`.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise SettingsError("database.url: expected an SQLAlchemy database address") from error
        self.file = sqlite_file(url)
        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseError(f"cannot make the folder of {self.file}: {error}") from error
        try:
            self.engine = _engine(url)
        except ImportError as error:
            how = f": {DRIVER}" if self.url.get_backend_name() == "postgresql" else ""
            raise SettingsError(
                f"database.url: such a database needs {error.name}, which is not installed{how}"
            ) from error
        self.writing = self.engine.execution_options(immediate=True)
        self.waiting: deque[tuple[Work, Future[Any]]] = deque()
        self._turn = Lock()
        self._reading = self.engine
        if self.engine.dialect.name == "postgresql":
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def read(self) -> Iterator[Session]:
        with (
            self._in_words(),
            Session(self._reading, expire_on_commit=False, autoflush=False) as session,
        ):
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with (
            self._in_words(),
            Session(self.writing, expire_on_commit=False, autoflush=True) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A writing Core connection, for bulk work; commits at its end."""
        with self._in_words(), self.writing.begin() as connection:
            yield connection

    @contextmanager
    def steps(self) -> Iterator[Connection]:
        """A Core connection for many single statements, each of which is committed by itself: on
        a server that takes one way there and back instead of three."""
        engine = self.writing
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._in_words(), engine.connect() as connection:
            yield connection

    def together(self, work: Callable[[Connection], Done]) -> Done:
        """What `work` gives at a writing Core connection, once that is committed; for what comes
        many at once.

        SQLite has one writer, and who finds another sleeps and tries again. So what threads bring
        while one of them writes goes into the next transaction all together. Where one piece of
        work fails, each is done once more by itself: `work` does nothing but at its connection.
        """
        if self.file is None:
            with self.connect() as connection:
                return work(connection)
        mine: Future[Done] = Future()
        self.waiting.append((work, mine))
        with self._turn:
            if not mine.done():
                tasks = [self.waiting.popleft() for _ in range(len(self.waiting))]
                try:
                    self._write_all(tasks)
                finally:
                    _break_off(tasks)
        return mine.result()

    def _write_all(self, tasks: Sequence[tuple[Work, Future[Any]]]) -> None:
        try:
            with self.connect() as connection:
                results = [work(connection) for work, _ in tasks]
        except Exception as error:  # goes on in the thread whose work it is
            if len(tasks) > 1 and not isinstance(error, DatabaseError):
                for task in tasks:
                    self._write_all([task])
                return
            for _, future in tasks:
                future.set_exception(error)
        else:
            for (_, future), result in zip(tasks, results, strict=True):
                future.set_result(result)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        # Locked, full, read-only, or a server that is away.
        except (OperationalError, InterfaceError) as error:
            place = self.url.render_as_string()
            raise DatabaseError(f"the database {place} cannot be used: {error.orig}") from error

    @contextmanager
    def exclusive(self, name: str) -> Iterator[bool]:
        """Holds the lock `name` of this database; yields False where another process has it.

        The system frees the lock when its holder dies, however it dies. The scope is one SQLite
        file; with a server database, rows carry leases that end by themselves.
        """
        if self.file is None:
            yield True
            return
        with self.file.with_name(f"{self.file.name}.{name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def held_elsewhere(self, name: str) -> bool | None:
        """Whether a process holds the lock `name`; None where no file could tell. Leaves no file
        behind, whose owner might not be the service's user."""
        if self.file is None:
            return None
        try:
            handle = self.file.with_name(f"{self.file.name}.{name}.lock").open("r")
        except FileNotFoundError:
            return False
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """Holds `name` among all processes of a server's database; yields False where another has
        it. Who dies loses it, and who hangs soon. An SQLite file has no other process."""
        if self.engine.dialect.name != "postgresql":
            yield True
            return
        each = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._in_words(), each.connect() as connection:
            connection.exec_driver_sql(f"SET idle_session_timeout = {PATIENCE}")
            lock = text("SELECT pg_try_advisory_lock(hashtext(:name))")
            held = connection.scalar(lock, {"name": f"digest turn {name}"})
            try:
                yield bool(held)
            finally:
                with suppress(DBAPIError):  # a connection that is gone has taken the lock along
                    connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
                connection.invalidate()  # it has a time limit that others have not

    def close(self) -> None:
        self.engine.dispose()


def _break_off(tasks: Sequence[tuple[Work, Future[Any]]]) -> None:
    """Who waits for what the end of the writing thread has left undone waits no longer."""
    for _, future in tasks:
        if not future.done():
            future.set_exception(DatabaseError("the process ends, and this was not written"))


def sqlite_file(url: str) -> Path | None:
    """The file behind an SQLite address; None for another database or one in memory."""
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite" or parts.database in (None, "", ":memory:"):
        return None
    return Path(str(parts.database))


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
        if engine.dialect.name == "postgresql":
            event.listen(engine, "connect", _patience)
        return engine
    # Without their parameters, for errors land in logs and addresses must not.
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": WAIT, "check_same_thread": False}
    )

    @event.listens_for(engine, "do_connect")
    def _private(*_given: Any) -> None:
        if (file := sqlite_file(url)) is not None:
            private(file)

    @event.listens_for(engine, "connect")
    def _pragmas(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # SQLAlchemy's begin event below says BEGIN, not the driver
        for pragma in PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def private(file: Path) -> None:
    """Where there is no such file, makes it one that its owner alone may read; SQLite gives the
    same rights to those beside it. What cannot be made, SQLite complains of."""
    with suppress(OSError):
        file.touch(mode=0o600, exist_ok=False)


def _patience(raw: Any, _record: Any) -> None:
    with raw.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = {PATIENCE}")
    raw.commit()


def writes(session: Session) -> bool:
    """Whether the session may write: then a row that is read to be changed is to be locked."""
    return bool(session.connection().get_execution_options().get("immediate"))


def alone(session: Session, name: str) -> None:
    """Until the transaction ends, no other passes here with the same `name`."""
    if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyhow
        session.connection().execute(
            text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"digest {name}"}
        )


def upgrade(db: Db, to: str = "head", *, restoring: bool = False) -> None:
    """Brings the schema up to this version's; processes that start together wait for the first.
    Raises DatabaseError where it is newer, and where a restore was cut short, but to the restore
    itself."""
    try:
        if not restoring and inspect(db.engine).has_table(RESTORING):
            raise DatabaseError(
                f"a restore into {db.url.render_as_string()} was cut short: nothing may run on it"
                " until `digest db restore FILE` has been done once more"
            )
        if to != "head" or not schema_is_current(db):
            _migrate(db, to)
    except DBAPIError as error:
        raise DatabaseError(f"cannot open {db.url.render_as_string()}: {error.orig}") from error


def schema_is_current(db: Db) -> bool:
    with db.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        current = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return current == _newest_revision()


def knows_revision(revision: str) -> bool:
    """Whether this version can bring a schema of that revision up to its own."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 (as in _migrate)

    scripts = ScriptDirectory(str(importlib.resources.files("digest.migrations")))
    return revision in {script.revision for script in scripts.walk_revisions()}


def _migrate(db: Db, to: str) -> None:
    # A process whose schema is as it should be needs no Alembic, which takes 10 MB.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(importlib.resources.files("digest.migrations")))
    config.attributes["engine"] = db.writing
    try:
        command.upgrade(config, to)
    except CommandError as error:
        raise DatabaseError(
            f"the database at {db.url.render_as_string()} was written by a newer version of"
            " this program: install that version, or restore a backup made before it"
        ) from error


def _newest_revision() -> str:
    """Migrations are named by their revisions, which count up."""
    folder = importlib.resources.files("digest.migrations") / "versions"
    names = [file.name for file in folder.iterdir() if file.name.endswith(".py")]
    return max(name.partition("_")[0] for name in names)


def insert_new(
    session: Session, model: type[SQLModel], rows: Sequence[dict[str, Any]], returning: Any = None
) -> list[Any]:
    """Inserts in bulk the rows that no unique constraint forbids and passes over the others.

    With `returning`, a column: its values of the rows that went in.
    """
    dialect = import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}")
    statement = dialect.insert(model).on_conflict_do_nothing()
    if returning is None:
        session.connection().execute(statement, list(rows))
        return []
    return list(session.connection().scalars(statement.returning(returning), list(rows)))


def upsert(session: Session, model: type[SQLModel], rows: Sequence[dict[str, Any]]) -> None:
    """Inserts the rows in bulk; a row of the same primary key is replaced."""
    dialect = import_module(f"sqlalchemy.dialects.{session.get_bind().dialect.name}")
    insert, table = dialect.insert(model), SQLModel.metadata.tables[str(model.__tablename__)]
    keys = [column.name for column in table.primary_key]
    values = {name: insert.excluded[name] for name in rows[0] if name not in keys}
    statement = insert.on_conflict_do_update(index_elements=keys, set_=values)
    session.connection().execute(statement, list(rows))
