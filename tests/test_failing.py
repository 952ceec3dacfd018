"""A job that fails is named until it goes well again, wherever the operator looks."""

from dataclasses import replace
from datetime import timedelta

import pytest
import structlog
from conftest import free_port
from pydantic import SecretStr
from sqlmodel import select

from digest import alerts, doctor, failing, jobs
from digest.app import open_app
from digest.engine.local import run_once
from digest.errors import FeedError, MailError
from digest.mail import outbox
from digest.models import JobFailure, Subscriber
from digest.stats import stats

SENDING = jobs.Job("send", "worker", 2, jobs.send)


def never() -> bool:
    return False


def found(app):
    with app.db.read() as session:
        return failing.failing(session, app.now())


def rows(app):
    with app.db.read() as session:
        return session.exec(select(JobFailure)).all()


def away(app):
    """The same service, whose mail server is not there."""
    smtp = app.settings.smtp.model_copy(update={"port": free_port()})
    return replace(app, settings=app.settings.model_copy(update={"smtp": smtp}))


@pytest.fixture
def waiting(app, ada):
    """A letter that is to be sent, so that the mail server is wanted."""
    with app.db.write() as session:
        outbox.enqueue(session, "link", ada.id, app.now())
    return app


def test_a_job_that_fails_is_named_until_it_goes_well_again(waiting, clock, mailbox):
    broken = away(waiting)
    failing.note(waiting, "send", None)
    went_well = clock()
    first = clock.forward(seconds=2)
    for _ in range(3):
        run_once(broken, SENDING, never)
        last = clock.forward(minutes=1)
    (one,) = found(broken)
    assert (one.job, one.failures, one.since, one.well_at) == ("send", 3, first, went_well)
    assert one.failed_at == last - timedelta(minutes=1)
    assert f"127.0.0.1:{broken.settings.smtp.port}" in one.error
    where = f" on {one.place}" if one.place else ""
    begins = f"The job send{where} failed 3 times in a row since 2026-11-18 09:00 UTC, after"
    assert one.sentence.startswith(begins)
    assert stats(broken).failing == [one]
    run_once(waiting, SENDING, never)
    assert rows(waiting) == [] and len(mailbox.messages) == 1
    assert stats(waiting).failing == []


def test_a_crash_is_named_by_its_kind_and_first_line(app, ada):
    def doubled(app, _stop):
        with app.db.write() as session:
            session.add(Subscriber(email="a@b.test", email_key=ada.email_key, created_at=app.now()))

    run_once(app, jobs.Job("double", "worker", 60, doubled), never)
    (one,) = found(app)
    assert one.error.startswith("IntegrityError: (") and "email_key" in one.error
    assert "INSERT" not in one.error and ada.email_key not in one.error


def test_the_operator_hears_once_of_what_lasts(waiting, clock):
    broken = away(waiting)
    run_once(broken, SENDING, never)
    for minutes in (5, 4):
        clock.forward(minutes=minutes)
        run_once(broken, SENDING, never)
        assert alerts.watch(broken) == []
    clock.forward(minutes=1)
    run_once(broken, SENDING, never)
    (trouble,) = alerts.watch(broken)
    assert trouble.name.startswith("job send") and "4 times in a row" in trouble.sentence
    assert alerts.watch(broken) == []
    run_once(waiting, SENDING, never)
    with waiting.db.read() as session:
        assert alerts.troubles(session, clock()) == []


def test_the_doctor_names_it_and_says_what_to_do(waiting, clock):
    assert told(waiting) == [("ok", "No job is failing.")]
    broken = away(waiting)
    run_once(broken, SENDING, never)
    ((state, sentence),) = told(broken)
    assert state == "warn" and "failed once since" in sentence
    for _ in range(3):
        clock.forward(minutes=5)
        run_once(broken, SENDING, never)
    ((state, sentence),) = told(broken)
    assert state == "fail" and "failed 4 times in a row since" in sentence


def told(app):
    return [(one.state, one.sentence) for one in doctor.service.jobs(app)]


def test_what_no_process_repeats_is_forgotten(waiting, clock):
    broken = away(waiting)
    run_once(broken, SENDING, never)
    clock.forward(minutes=61)
    assert found(broken) == [] and len(rows(broken)) == 1
    run_once(broken, SENDING, never)
    (one,) = found(broken)
    assert (one.failures, one.since) == (1, clock())
    clock.forward(minutes=61)
    jobs.tidy(waiting, never)
    assert rows(waiting) == []


@pytest.mark.sqlite
def test_a_job_that_goes_well_writes_nothing_where_nothing_was_noted(app, settings, clock):
    with open_app(settings, clock) as busy, busy.db.write():
        failing.note(app, "tidy", None, alone=True)  # who wrote would wait for the other
    assert rows(app) == []


def test_a_process_that_starts_clears_what_the_one_before_it_left(waiting, settings, clock):
    run_once(away(waiting), SENDING, never)
    with open_app(settings, clock) as later:
        run_once(later, SENDING, never)
        assert rows(later) == []


@pytest.mark.postgres
def test_on_many_machines_each_failing_one_is_named(waiting, settings, clock, monkeypatch):
    with open_app(settings, clock) as other:
        failing.note(other, "send", None)
        run_once(away(waiting), SENDING, never)
        monkeypatch.setattr(failing.socket, "gethostname", lambda: "second")
        failing.note(other, "send", None)
        assert len(found(other)) == 1, "that it goes well elsewhere mends nothing here"
        failing.note(waiting, "tidy", MailError("no"), alone=True)
        monkeypatch.undo()
        failing.note(other, "tidy", None, alone=True)
        assert [one.job for one in found(other)] == ["send"], "one that runs alone is one"


@pytest.mark.sqlite
def test_where_no_row_can_be_written_the_log_says_so(waiting):
    with waiting.db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with structlog.testing.capture_logs() as logged:
        run_once(away(waiting), SENDING, never)
    assert [line["event"] for line in logged] == [
        "job failed",
        "what became of the job could not be noted",
    ]


def test_what_errors_say_holds_no_address_token_or_secret(app):
    token = app.tokens.sign("preferences", 7, 0, app.now())
    smtp = app.settings.smtp.model_copy(update={"password": SecretStr("corr ect-horse")})
    web = app.settings.web.model_copy(update={"previous_secrets": (SecretStr("o" * 40),)})
    app = replace(app, settings=app.settings.model_copy(update={"smtp": smtp, "web": web}))
    error = ValueError(
        f"login corr ect-horse of <ada@reader.test> refused, {token} and {'o' * 40} at"
        " https://user:pw@hooks.test:8443/services/T0/B0/XYZ?key=hunter2, sqlite:///data/digest.db"
        "\nDETAIL: Sam Stranger"
    )
    assert failing.in_a_sentence(app, error) == (
        "ValueError: login [secret] of <[address]> refused, [token] and [secret] at"
        " https://hooks.test sqlite:///data/digest.db"
    )
    assert failing.in_a_sentence(app, KeyError()) == "KeyError"
    assert failing.in_a_sentence(app, FeedError("it is\x1b[2J\naway")) == "it is[2J away"
    assert len(failing.in_a_sentence(app, ValueError("word " * 999))) <= failing.LONG
