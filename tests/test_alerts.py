"""The operator hears once of a day without mail and of a source that is late."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import structlog
from conftest import announce
from pydantic import SecretStr
from sqlmodel import select

from digest import alerts
from digest.delivery import deliver, prepare
from digest.doctor import check
from digest.mail import outbox
from digest.models import Alert, Announcement, Batch, Feed, OutboxMessage, Subscriber

TO = "operator@digest.test"


@pytest.fixture
def settings(settings):
    mail = settings.mail.model_copy(update={"alert_to": TO})
    return settings.model_copy(update={"mail": mail})


@pytest.fixture
def ada(app, ada):
    with app.db.write() as session:
        session.get(Subscriber, ada.id).confirmed_at = app.now() - timedelta(days=30)
    return ada


def feed(app, **values):
    with app.db.write() as session:
        added = Feed(
            url="https://rss.arxiv.test/rss/cs.CV",
            kind="arxiv",
            title="cs.CV on arXiv",
            next_fetch_at=app.now(),
            added_at=app.now() - timedelta(days=30),
            changed_at=app.now(),
            **values,
        )
        session.add(added)
    return added


def names(app):
    with app.db.read() as session:
        return [trouble.name for trouble in alerts.troubles(session, app.now())]


def test_a_working_day_without_mail_is_told_once_by_mail_log_and_doctor(app, ada, mailbox, clock):
    prepare(app)
    (trouble,) = alerts.watch(app)
    assert trouble.name == "silence"
    assert (
        "Wednesday, 18 November" in trouble.sentence and "nothing-announced 1" in trouble.sentence
    )
    assert alerts.watch(app) == []
    (mail,) = mailbox.messages
    assert mail["To"] == TO and "Nobody got a digest" in mail["Subject"]
    for kind in ("plain", "html"):
        assert "Wednesday, 18 November" in mail.get_body((kind,)).get_content()
    assert [found.state for found in check(app) if found.name == "silence"] == ["warn"]


def test_it_is_over_with_the_next_mail_and_told_anew_the_next_time(app, ada, mailbox, clock):
    prepare(app)
    alerts.watch(app)
    clock.forward(days=1)
    announce(app, clock().date())
    assert deliver(app).sent == 1
    assert alerts.watch(app) == []
    with app.db.read() as session:
        assert session.exec(select(Alert)).all() == []
    clock.forward(days=1)
    prepare(app)
    assert [trouble.name for trouble in alerts.watch(app)] == ["silence"]
    assert len([mail for mail in mailbox.messages if mail["To"] == TO]) == 2


def test_a_day_is_judged_when_all_have_been_served(app, ada, clock):
    assert names(app) == ["silence"]  # of yesterday: nobody got mail then either
    with app.db.write() as session:
        session.get(Subscriber, ada.id).confirmed_at = clock() - timedelta(hours=9, minutes=30)
    assert names(app) == []  # today is not over: she is due, and was not there yesterday
    prepare(app)
    assert names(app) == ["silence"]


@pytest.mark.parametrize("day", [21, 22, 26])
def test_a_weekend_and_a_holiday_are_no_silence(app, ada, clock, day):
    clock.moment = datetime(2026, 11, 20 if day < 23 else 25, 9, tzinfo=UTC)
    announce(app, clock().date())
    deliver(app)
    clock.moment = datetime(2026, 11, day, 9, tzinfo=UTC)
    feed(app)
    prepare(app)
    assert names(app) == []


def test_without_readers_there_is_no_silence(app, pia, clock):
    assert names(app) == []


def test_a_listing_that_is_hours_late(app, clock):
    source = feed(app)
    clock.moment = datetime(2026, 11, 18, 9, tzinfo=UTC)  # 04:00 Eastern
    assert names(app) == []
    clock.forward(hours=3)
    assert names(app) == [f"feed {source.id} late"]
    with app.db.write() as session:
        batch = {"feed_id": source.id, "category": "", "day": clock().date()}
        session.add(Batch(**batch, verdict="empty-expected", fetched_at=clock()))
    assert names(app) == []


def test_a_listing_that_has_come_is_not_late(app, clock):
    source = feed(app)
    clock.forward(hours=5)
    (paper, *_) = announce(app, clock().date())
    with app.db.write() as session:
        session.add(
            Announcement(
                paper_id=paper,
                day=clock().date(),
                kind="new",
                feed_id=source.id,
                recorded_at=clock(),
            )
        )
    assert names(app) == []


def test_a_feed_that_fails_or_is_silent(app, clock):
    source = feed(app, failures=3, outcome="It answered 503.")
    assert names(app) == [f"feed {source.id} fails"]
    with app.db.write() as session:
        session.get(Feed, source.id).failures = 0
    clock.forward(days=6)
    assert f"feed {source.id} silent" in names(app)


def test_a_mail_server_that_is_away_gets_the_mail_later(app, ada, mailbox, clock):
    prepare(app)
    port = app.settings.smtp.port
    object.__setattr__(app.settings.smtp, "port", 1)
    assert len(alerts.watch(app)) == 1
    object.__setattr__(app.settings.smtp, "port", port)
    alerts.watch(app)
    alerts.watch(app)
    assert len(mailbox.messages) == 1


def test_without_an_address_the_log_and_doctor_are_all(app, ada, mailbox):
    object.__setattr__(app.settings.mail, "alert_to", "")
    prepare(app)
    assert len(alerts.watch(app)) == 1
    assert mailbox.messages == []


# By a set hour


def with_alerts(app, **values):
    given = app.settings.alerts.model_copy(update=values)
    return replace(app, settings=app.settings.model_copy(update={"alerts": given}))


def test_a_delivery_that_has_not_finished_by_its_hour(app, ada, clock):
    announce(app, clock().date())
    watched = with_alerts(app, finished_by="10:00")  # it is 09:00, and she was due at 08:00
    assert "unfinished" not in [trouble.name for trouble in alerts.watch(watched)]
    clock.forward(hours=1)
    found = {trouble.name: trouble.sentence for trouble in alerts.watch(watched)}
    assert "1 digest due by 09:00 UTC on Wednesday, 18 November" in found["unfinished"]
    prepare(app)
    with app.db.write() as session:
        session.exec(select(OutboxMessage)).one().due_at = clock() - timedelta(hours=2)
    assert alerts.watch(watched) == []  # told once
    with app.db.read() as session:
        assert session.get(Alert, "unfinished") is not None
    outbox.send_due(app)
    alerts.watch(watched)
    with app.db.read() as session:
        assert session.get(Alert, "unfinished") is None


# By webhook


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, json.loads(body)))
        self.send_response(self.server.answer)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.told.append((self.path, None))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.told, server.answer = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_told_once_and_again_where_it_failed(app, ada, mailbox, hook):
    url = SecretStr(f"http://127.0.0.1:{hook.server_port}/hook/S3CRET")
    watched = with_alerts(app, webhook_url=url)
    object.__setattr__(app.settings.mail, "alert_to", "")
    hook.answer = 500
    prepare(app)
    with structlog.testing.capture_logs() as logged:
        alerts.watch(watched)
    assert "it answers 500" in str(logged) and "S3CRET" not in str(logged)
    hook.answer = 200
    alerts.watch(watched)
    alerts.watch(watched)
    assert [path for path, _ in hook.told] == ["/hook/S3CRET"] * 2
    assert "Nobody got a digest" in hook.told[-1][1]["text"]
    assert mailbox.messages == []


def test_a_webhook_that_is_away_leaves_the_mail(app, ada, mailbox):
    watched = with_alerts(app, webhook_url=SecretStr("http://127.0.0.1:1/S3CRET"))
    prepare(app)
    with structlog.testing.capture_logs() as logged:
        alerts.watch(watched)
        alerts.watch(watched)
    assert [mail["To"] for mail in mailbox.messages] == [TO]
    assert "ConnectError" in str(logged) and "S3CRET" not in str(logged)


# A heartbeat


def test_a_heartbeat_goes_out_while_nothing_is_wrong_and_not_otherwise(app, ada, clock, hook):
    url = SecretStr(f"http://127.0.0.1:{hook.server_port}/beat/S3CRET")
    watched = with_alerts(app, heartbeat_url=url)
    assert len(alerts.watch(watched)) == 1  # of yesterday: nobody got mail
    assert alerts.watch(watched) == []  # told, and not over
    assert hook.told == []
    announce(app, clock().date())
    deliver(app)
    assert alerts.watch(watched) == [] and hook.told == [("/beat/S3CRET", None)]
    alerts.watch(watched)
    assert len(hook.told) == 2


def test_a_heartbeat_that_nobody_takes_is_logged_and_no_trouble(app, hook):
    watched = with_alerts(
        app, heartbeat_url=SecretStr(f"http://127.0.0.1:{hook.server_port}/S3CRET")
    )
    hook.answer = 500
    with structlog.testing.capture_logs() as logged:
        assert alerts.watch(watched) == []
    assert "alerts.heartbeat_url: it answers 500" in str(logged) and "S3CRET" not in str(logged)
