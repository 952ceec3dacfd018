"""No line of the log holds an address, a token or a secret, and each names its run or request."""

import io
import json
import re
import sys
import time
from contextlib import contextmanager

import pytest
import structlog
from conftest import STRANGER, announce, free_port
from hypothesis import given
from hypothesis import strategies as st
from web_door import mailed_link

from digest import alerts, logs
from digest.app import App
from digest.engine.local import run_once
from digest.jobs import JOBS
from digest.mail import bounces, outbox
from digest.mail.reports import Report
from digest.models import Feed, Subscriber
from digest.web import create


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def written(monkeypatch, *, form="plain", to=None):
    """What the log writes meanwhile."""
    held = to or io.StringIO()
    monkeypatch.setattr(sys, "stderr", held)
    logs.configure(verbose=True, form=form)
    yield held
    monkeypatch.undo()


@pytest.mark.slow
def test_a_whole_day_leaves_nobody_in_the_log(app: App, door, ada, mailbox, clock, monkeypatch):
    """Signing up, voting, failing, leaving; as the lines are before anything is taken out."""
    door.pages, web = create(app), door.client
    token = app.tokens.sign("preferences", ada.id, 0, app.now())
    with structlog.testing.capture_logs() as raw:
        web.post("/subscribe", data={"email": STRANGER, "name": "Sam Stranger"})
        outbox.send_due(app)
        confirm = mailed_link(mailbox, "confirm")
        web.get(confirm)
        web.post(confirm)
        announce(app, clock().date())
        run_all(app)
        vote = mailed_link(mailbox, "vote")
        web.post(vote, data={"vote": "up"})
        web.post(f"/preferences/{token}", data={"action": "pause", "until": "nonsense"})
        web.get(f"/preferences/{token[:-3]}")
        person = app.tokens.mark(ada.id, 1)
        bounces.record(app, Report("policy", (person,), "5.7.1", f"{ada.email} refused"))
        failing(app, mailbox, ada)
        with app.db.connect() as connection:
            connection.exec_driver_sql("ALTER TABLE feedback RENAME TO lost")
        web.post(vote, data={"vote": "down"})
        run_all(app)
    told = json.dumps(raw, default=str)
    assert len(raw) > 12
    assert {"request", "sent", "prepared", "a page failed"} <= {line["event"] for line in raw}
    secret = app.settings.web.secret.get_secret_value()
    for word in (ada.email, STRANGER, "Sam Stranger", token, person, secret, "hunter2"):
        assert word.casefold() not in told.casefold(), word
    for link in (confirm, vote):
        assert link.rpartition("/")[2].split(".")[1] not in told


def run_all(app):
    for job in JOBS:
        run_once(app, job, lambda: False)


def failing(app, mailbox, ada):
    """A feed with a key in its address that is away, a mail server that is, an unknown reader."""
    with app.db.write() as session:
        address = f"http://user:hunter2@127.0.0.1:{free_port()}/feed?key=hunter2"
        session.add(Feed(url=address, kind="rss", next_fetch_at=app.now(), added_at=app.now()))
        session.get(Subscriber, ada.id).next_digest_at = app.now()
    port = app.settings.smtp.port
    object.__setattr__(app.settings.smtp, "port", free_port())
    alerts.watch(app)
    run_all(app)
    object.__setattr__(app.settings.smtp, "port", port)


def test_each_line_names_its_run_or_request(app, door, monkeypatch):
    door.pages = create(app)
    with written(monkeypatch, form="json") as held:
        structlog.get_logger().warning("one")
        structlog.get_logger().warning("two")
        asked = door.client.get("/healthz").headers["x-request-id"]
        until_logged(held)
        run_once(app, next(job for job in JOBS if job.name == "tidy"), lambda: False)
        with structlog.contextvars.bound_contextvars(run="9", job="tidy"):
            structlog.get_logger().info("three")
    lines = [json.loads(line) for line in held.getvalue().splitlines()]
    assert [line["run"] for line in lines] == [logs.RUN, logs.RUN, logs.RUN, "9"]
    assert [line["id"] for line in lines if line["event"] == "request"] == [asked]


def until_logged(held):
    """The line of a request is written once its answer is on the way."""
    end = time.monotonic() + 20
    while '"event": "request"' not in held.getvalue() and time.monotonic() < end:
        time.sleep(0.01)


def test_a_failing_page_is_logged_under_its_request(app, door, monkeypatch):
    door.pages = create(app)
    with app.db.connect() as connection:
        connection.exec_driver_sql("DROP TABLE upvotes")
        connection.exec_driver_sql("ALTER TABLE paper RENAME TO lost")
    with written(monkeypatch, form="json") as held:
        asked = door.client.get("/papers").headers["x-request-id"]
        until_logged(held)
    lines = [json.loads(line) for line in held.getvalue().splitlines()]
    assert {line["event"] for line in lines} == {"a page failed", "request"}
    assert {line["id"] for line in lines} == {asked}


@pytest.mark.parametrize("form", ["plain", "json"])
@given(text=st.text(), error=st.text())
def test_nothing_in_a_line_makes_another_or_steers_the_terminal(text, error, form):
    with pytest.MonkeyPatch.context() as patch, written(patch, form=form) as held:
        structlog.get_logger().warning("event", reason=text, more=[text, {text: error}])
    [line] = held.getvalue().split("\n")[:-1]
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)


def test_what_a_library_says_in_an_error_is_made_harmless(app, monkeypatch):
    token = app.tokens.sign("preferences", 7, 0, app.now())
    mark = app.tokens.mark(7, 9)
    for to in (io.StringIO(), Terminal()):
        with written(monkeypatch, to=to) as held:
            try:
                raise ValueError(
                    f"<ada@reader.test> /preferences/{token} {mark} \x1b[2J {token}.1u"
                )
            except ValueError:
                structlog.get_logger().exception("broken")
        said = held.getvalue()
        assert "ValueError: <[address]> /preferences/[token] [mark] " in said
        assert "x1b[2J [token]" in said
        assert not re.search("\x1b\\[2J|ada@", said)
        assert token not in said
