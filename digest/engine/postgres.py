"""Shares the making of digests out among the workers of any number of machines, by procrastinate.

The scheduler puts in one job for each shard of readers among whom somebody is due, and workers take
them. A job is a wake-up: its rows have a schema of their own in the same database, and what a dead
worker held is put in once more, since its readers are still due.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from threading import Event, Thread
from typing import Any

import procrastinate
import psycopg
import structlog
from procrastinate.schema import SchemaManager
from psycopg.conninfo import make_conninfo
from sqlmodel import Session

from digest import delivery, hold, jobs
from digest.app import App
from digest.db import alone
from digest.engine import local
from digest.errors import DatabaseError
from digest.jobs import JOBS, Job, Stop

SCHEMA = "digest_jobs"
TASK = "prepare"
SHARD = 500  # ids of subscribers
OFTEN = 10  # seconds between looks for shards in which somebody is due
BEAT, DEAD = 10, 30  # seconds between a worker's signs of life, and without one until it is dead
AGAIN = 2  # seconds until a worker whose database was away tries again

LOST = """
    DELETE FROM procrastinate_jobs WHERE status <> 'todo' AND (
        status <> 'doing' OR worker_id IS NULL OR worker_id IN (
            SELECT id FROM procrastinate_workers WHERE last_heartbeat < now() - %s
        )
    )
"""
KNOWN = "SELECT (args->>'first')::bigint FROM procrastinate_jobs"

AWAY = (psycopg.Error, procrastinate.exceptions.ConnectorException)

log = structlog.get_logger()


@contextmanager
def running(app: App, parts: Sequence[str]) -> Iterator[None]:
    """Wakes the jobs of `parts` until the block is left, as `digest.engine.local` does, but for
    one: the scheduler shares the making of digests out, and workers do it."""
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    install(app)
    shared = Job("share out", "scheduler", OFTEN, share_out)
    own = [shared if job.run is jobs.prepare else job for job in JOBS if job.part in parts]
    with ExitStack() as stack:
        if "worker" in parts:
            stack.enter_context(_working(app))
        stack.enter_context(local.waking(app, own))
        yield


def install(app: App) -> None:
    """Makes the jobs' tables; those of another version of procrastinate go, with their wake-ups."""
    ours = f"procrastinate {version('procrastinate')}"
    found = f"SELECT obj_description(to_regnamespace('{SCHEMA}'), 'pg_namespace')"
    with app.db.write() as session:
        alone(session, "jobs' schema")
        connection = session.connection()
        if connection.exec_driver_sql(found).scalar() == ours:
            return
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        connection.exec_driver_sql(f"COMMENT ON SCHEMA {SCHEMA} IS '{ours}'")
        enter(session).execute(SchemaManager.get_schema())


def share_out(app: App, _stop: Stop) -> None:
    """One transaction puts in a job for each shard in which somebody is due and for which there is
    none; a job of a worker without a sign of life is none. Two of these at once follow each other.
    """
    try:
        due, lost = _shared_out(app)
    except AWAY as error:
        raise DatabaseError(f"the shards could not be shared out: {error}") from error
    if due or lost:
        log.info("shared out", shards=due, lost=lost)


def _shared_out(app: App) -> tuple[int, int]:
    """How many jobs were put in, and how many were dead workers'."""
    with app.db.write() as session:
        alone(session, "shards")
        if hold.held(session):
            return 0, 0
        connection = enter(session)
        lost = connection.execute(LOST, [timedelta(seconds=DEAD)]).rowcount
        known = {first for (first,) in connection.execute(KNOWN)}
        due = [each for each in delivery.due_ranges(app, SHARD) if each.start not in known]
        shards: list[dict[str, Any]] = [{"first": at.start, "end": at.stop} for at in due]
        if shards:
            _queue(app).configure_task(TASK, connection=connection).batch_defer(*shards)
    return len(shards), lost


def enter(session: Session) -> psycopg.Connection:
    """The session's own connection, on which the jobs' tables are found until the transaction
    ends."""
    session.connection().exec_driver_sql(f"SET LOCAL search_path = {SCHEMA}, public")
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


def _queue(app: App) -> procrastinate.App:
    url = app.db.url.set(drivername="postgresql").render_as_string(hide_password=False)
    where = make_conninfo(url, options=f"-c search_path={SCHEMA},public")
    connector = procrastinate.PsycopgConnector(conninfo=where, min_size=1, max_size=4)
    return procrastinate.App(connector=connector)


@contextmanager
def _working(app: App) -> Iterator[None]:
    ended = Event()
    thread = Thread(target=_work, args=(app, ended), name="jobs")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _work(app: App, ended: Event) -> None:
    """Whatever ends the taking of jobs, the next beginning may go well."""
    taking = Job("take shares", "worker", AGAIN, lambda app, _stop: _taken(app, ended))
    while not ended.is_set():
        local.run_once(app, taking, ended.is_set)
        ended.wait(AGAIN)


def _taken(app: App, ended: Event) -> None:
    try:
        asyncio.run(_take(app, ended))
    except AWAY as error:
        raise DatabaseError(
            f"the jobs' database is away, or took this worker for dead: {error}"
        ) from error


async def _take(app: App, ended: Event) -> None:
    """Takes jobs until the end, in a thread beside the worker's signs of life."""
    queue = _queue(app)

    @queue.task(name=TASK)
    async def prepare(first: int, end: int) -> None:
        shard = partial(jobs.prepare, among=range(first, end))
        job = Job(f"{TASK} {first}-{end - 1}", "worker", 0, shard)
        await asyncio.to_thread(local.run_once, app, job, ended.is_set)

    async with queue.open_async():
        worker = asyncio.create_task(
            queue.run_worker_async(
                delete_jobs="always",
                install_signal_handlers=False,
                update_heartbeat_interval=BEAT,
                stalled_worker_timeout=DEAD,
            )
        )
        while not worker.done() and not ended.is_set():
            await asyncio.wait([worker], timeout=0.2)
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker
