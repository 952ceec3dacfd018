"""Which jobs fail, since when and why: a row for each until it goes well again."""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr
from sqlalchemy import delete
from sqlmodel import Session, col, select

from digest.app import App
from digest.db import insert_new
from digest.errors import DigestError
from digest.logs import nameless
from digest.models import JobFailure
from digest.papers import clean, shortened

FORGET = timedelta(hours=1)  # each job runs more often: who has not failed since is gone
LASTING = timedelta(minutes=10)  # a server that starts again is no trouble yet
TIMES = 3
LONG = 300  # characters
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Failing:
    """A job that failed `failures` times in a row, first `since`; `error` is what it said the last
    time, at `failed_at`. `place` is the machine, where there may be many; `well_at` is None where
    it is not known to have gone well before."""

    job: str
    place: str
    since: datetime
    failures: int
    error: str
    failed_at: datetime
    well_at: datetime | None

    @property
    def lasts(self) -> bool:
        """Whether it is more than a hiccup."""
        return self.failures >= TIMES and self.failed_at - self.since >= LASTING

    @property
    def sentence(self) -> str:
        where = f" on {self.place}" if self.place else ""
        times = f"{self.failures} times in a row" if self.failures > 1 else "once"
        before = f", after it had gone well at {_shown(self.well_at)}" if self.well_at else ""
        return (
            f"The job {self.job}{where} failed {times} since {_shown(self.since)} UTC{before}:"
            f" {self.error.rstrip('.')}."
        )


def note(app: App, job: str, error: Exception | None, *, alone: bool = False) -> None:
    """Keeps what became of the job: how it failed, or that it went well. One that runs `alone` is
    one job on all machines. Raises DatabaseError and what the database raises."""
    place = "" if alone or app.db.file is not None else socket.gethostname()
    if error is not None:
        _failed(app, job, place, in_a_sentence(app, error))
    else:
        if alone or job not in app.well:  # another process may have left a row
            _well(app, job, place)
        app.well[job] = app.now()


def _well(app: App, job: str, place: str) -> None:
    """Deletes the row where there is one: a job that goes well writes nothing."""
    of_it = (col(JobFailure.job) == job, col(JobFailure.place) == place)
    with app.db.read() as session:
        failed = session.exec(select(JobFailure.job).where(*of_it)).first()
    if failed is not None:
        with app.db.write() as session:
            session.exec(delete(JobFailure).where(*of_it))


def _failed(app: App, job: str, place: str, sentence: str) -> None:
    now = app.now()
    well_at = app.well.pop(job, None)
    fresh = {"since": now, "failures": 0, "error": "", "failed_at": now, "well_at": well_at}
    with app.db.write() as session:
        insert_new(session, JobFailure, [{"job": job, "place": place} | fresh])
        row = session.get_one(JobFailure, (job, place), with_for_update=True)
        if abs(now - row.failed_at) > FORGET:
            row.sqlmodel_update(fresh)
        row.failures, row.failed_at, row.error = row.failures + 1, now, sentence


def failing(session: Session, now: datetime) -> list[Failing]:
    """The jobs that fail now, those first that have failed for longest."""
    lately = col(JobFailure.failed_at).between(now - FORGET, now + FORGET)
    rows = session.exec(select(JobFailure).where(lately).order_by(col(JobFailure.since)))
    return [Failing(**row.model_dump()) for row in rows]


def forget(app: App) -> None:
    """Deletes what processes left that are gone."""
    with app.db.write() as session:
        lately = col(JobFailure.failed_at).between(app.now() - FORGET, app.now() + FORGET)
        session.exec(delete(JobFailure).where(~lately))


def in_a_sentence(app: App, error: Exception) -> str:
    """What the error says, in one line without addresses, tokens and secrets: of an address of the
    web only the host, as the rest may be a key. An error of ours is a sentence; of another one it
    is the kind and the first line, as what follows may be a reader's row."""
    text = str(error).strip()
    if not isinstance(error, DigestError):
        first = text.partition("\n")[0]
        text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    for secret in sorted(_secrets(app), key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return shortened(clean(nameless(_URL.sub(_host, text))), LONG)


def _secrets(app: App) -> set[str]:
    found = {app.db.url.password or "", *_secrets_in(app.settings.model_dump())}
    return {secret for secret in found if secret}


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _secrets_in(each)


def _host(found: re.Match[str]) -> str:
    try:
        parts = urlsplit(found[0])
        return f"{parts.scheme}://{parts.hostname}" if parts.netloc else found[0]
    except ValueError:
        return "[address]"


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
