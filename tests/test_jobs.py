"""What the service does by itself."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from conftest import announce
from sqlmodel import select

from digest import jobs
from digest.cli import service
from digest.engine import local
from digest.errors import DatabaseError
from digest.mail import outbox
from digest.models import Digest, Subscriber


def digests(app) -> int:
    with app.db.read() as session:
        return len(session.exec(select(Digest)).all())


def never() -> bool:
    return False


def eventually(true, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def test_a_tick_makes_and_sends_what_is_due(app, ada, clock, mailbox):
    announce(app, clock().date())
    for job in jobs.JOBS:
        job.run(app, never)
        job.run(app, never)
    assert len(mailbox.messages) == 1


def test_a_pause_ends_on_its_day(app, pia, clock):
    with app.db.write() as session:
        session.merge(pia).paused_until = clock().date() + timedelta(days=1)
    jobs.tidy(app, never)
    with app.db.read() as session:
        assert session.get(Subscriber, pia.id).status == "paused"
    clock.forward(days=1)
    jobs.tidy(app, never)
    with app.db.read() as session:
        assert session.get(Subscriber, pia.id).status == "active"


def test_the_engine_wakes_the_jobs_of_its_parts(app, ada, clock, mailbox):
    announce(app, clock().date())
    with local.running(app, ["scheduler"]):
        assert eventually(lambda: digests(app) == 1)
    assert mailbox.messages == []


def test_a_job_that_fails_does_not_stop_the_others(app, monkeypatch):
    done = []

    def fail(app, stop):
        raise outbox.MailError("the server refuses our password")

    both = (
        jobs.Job("bad", "worker", 60, fail),
        jobs.Job("good", "worker", 60, lambda app, stop: done.append(app)),
    )
    monkeypatch.setattr(local, "JOBS", both)
    with local.running(app, ["worker"]):
        assert eventually(lambda: done == [app])


def test_a_file_is_touched_whenever_a_job_went_well(app, tmp_path):
    beat = tmp_path / "beat"
    engine = app.settings.engine.model_copy(update={"beat_file": beat})
    watched = replace(app, settings=app.settings.model_copy(update={"engine": engine}))

    def fail(app, stop):
        raise outbox.MailError("the server refuses our password")

    local.run_once(watched, jobs.Job("bad", "worker", 60, fail), never)
    assert not beat.exists()
    local.run_once(watched, jobs.Job("good", "worker", 60, jobs.send), never)
    assert beat.exists()


@pytest.mark.sqlite
def test_a_second_service_on_one_file_refuses_to_start(app):
    with app.db.exclusive("scheduler"), pytest.raises(DatabaseError, match="another process"):
        service.scheduler(app)
