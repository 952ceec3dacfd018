"""Runs the jobs inside this process: APScheduler wakes them, each in a thread of its own."""

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from threading import Event

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from digest import failing
from digest.app import App
from digest.errors import DigestError
from digest.jobs import JOBS, Job, Stop

log = structlog.get_logger()


@contextmanager
def running(app: App, parts: Sequence[str]) -> Iterator[None]:
    """Wakes the jobs of `parts` until the block is left; jobs under way are then told to stop, and
    waited for."""
    with waking(app, [job for job in JOBS if job.part in parts]):
        yield


@contextmanager
def waking(app: App, jobs: Sequence[Job]) -> Iterator[None]:
    """What `running` does, with these jobs."""
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a job may outlast its next wake-up
    ended = Event()
    scheduler = BackgroundScheduler(
        timezone=UTC, executors={"default": ThreadPoolExecutor(len(jobs))}
    )
    for job in jobs:
        scheduler.add_job(
            run_once,
            IntervalTrigger(seconds=job.seconds, timezone=UTC),
            args=(app, job, ended.is_set),
            id=job.name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC),
        )
    scheduler.start()
    try:
        yield
    finally:
        ended.set()
        scheduler.shutdown(wait=True)


def run_once(app: App, job: Job, stop: Stop) -> None:
    """Runs the job; what goes wrong is logged, and noted until it goes well again."""
    with structlog.contextvars.bound_contextvars(job=job.name, run=secrets.token_hex(4)):
        try:
            with app.db.turn(job.name) if job.alone else nullcontext(True) as free:
                if not free:
                    return
                job.run(app, stop)
        except DigestError as error:
            log.error("job failed", reason=str(error))
            _note(app, job, error)
        except Exception as error:
            log.exception("job crashed")
            _note(app, job, error)
        else:
            _note(app, job, None)
            _beat(app)


def _beat(app: App) -> None:
    file = app.settings.engine.beat_file
    if file is not None:
        try:
            file.touch()
        except OSError as error:
            log.warning("engine.beat_file cannot be touched", reason=str(error))


def _note(app: App, job: Job, error: Exception | None) -> None:
    """What no clock wakes was put in by another process: it is one job wherever it runs."""
    try:
        failing.note(app, job.name, error, alone=job.alone or not job.seconds)
    except (DigestError, SQLAlchemyError) as why:
        log.warning("what became of the job could not be noted", reason=str(why))
