"""Digests at other doors: once each, tried again with growing waits, never in the way of mail."""

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest
import structlog
from conftest import announce
from sqlmodel import select

from digest import handing, subscribers
from digest.delivery import deliver, prepare
from digest.errors import InputError, NotFound
from digest.handing import Handed, hand_over
from digest.models import Door, Handover, Hold, Paper


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, self.headers["Idempotency-Key"], json.loads(body)))
        self.send_response(self.server.answer)
        if self.server.answer == 307:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.told, server.answer = [], 200
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def url(app, ada, hook, clock):
    """A webhook of Ada's, and papers of the day."""
    address = f"http://127.0.0.1:{hook.server_port}/S3CRET"
    handing.set_doors(app, ada.id, [address])
    announce(app, clock().date())
    return address


def rows(app):
    with app.db.read() as session:
        return session.exec(select(Handover)).all()


def test_a_digest_goes_to_the_webhook_once(app, ada, url, hook, mailbox):
    assert hand_over(app) == Handed()
    assert deliver(app).sent == 1
    assert hand_over(app) == Handed(done=1)
    assert hand_over(app) == Handed()
    ((path, key, told),) = hook.told
    assert path == "/S3CRET" and key == told["id"]
    assert [pick["title"] for pick in told["picks"]] and told["day"] == "2026-11-18"
    mail = mailbox.messages[0].get_body(("html",)).get_content()
    assert all(pick["url"] in mail for pick in told["picks"])
    assert told["picks"][0]["title"] in told["text"]


def test_nothing_in_it_acts_for_the_reader_or_names_the_address(app, ada, url, hook):
    prepare(app)
    hand_over(app)
    told = json.dumps(hook.told[0][2])
    assert ada.email not in told and app.settings.web.base_url not in told


def test_a_door_leads_nowhere_else(url, app, hook):
    hook.answer = 307
    prepare(app)
    hand_over(app)
    assert [path for path, _, _ in hook.told] == ["/S3CRET"]
    assert rows(app)[0].response == "it answers 307"


def test_it_does_not_wait_for_the_mail_nor_the_mail_for_it(app, ada, hook, url, mailbox):
    hook.answer = 500
    prepare(app)
    assert hand_over(app) == Handed(waiting=1)
    assert deliver(app).sent == 1


@pytest.mark.slow
def test_a_door_that_is_shut_is_tried_again_with_growing_waits_and_then_given_up(
    app, url, hook, clock
):
    hook.answer = 503
    prepare(app)
    tried = []
    with structlog.testing.capture_logs() as logged:
        for _ in range(24 * 12):
            before = len(hook.told)
            hand_over(app)
            if len(hook.told) > before:
                tried.append(clock())
            clock.forward(minutes=5)
    gaps = [after - before for before, after in pairwise(tried)]
    assert len(gaps) == len(handing.WAITS) and gaps == sorted(gaps)
    (row,) = rows(app)
    assert (row.status, row.response) == ("failed", "it answers 503")
    assert "S3CRET" not in str(logged) and "it answers 503" in str(logged)


@pytest.mark.sqlite
def test_it_opens_in_the_end(app, url, hook, clock):
    hook.answer = 302
    prepare(app)
    hand_over(app)
    hook.answer = 204
    clock.forward(minutes=1)
    assert hand_over(app) == Handed(done=1)
    assert rows(app)[0].status == "done" and rows(app)[0].response == ""


@pytest.mark.sqlite
def test_a_try_that_died_is_made_again_under_the_same_id(app, url, hook, clock):
    prepare(app)
    (found,) = handing._due(app)
    handing._begin(app, *found)  # and the process dies
    assert hand_over(app) == Handed()
    clock.forward(minutes=6)
    assert hand_over(app) == Handed(done=1)
    assert [key for _, key, _ in hook.told] == [f"digest-{found[0]}"]


@pytest.mark.sqlite
def test_digests_from_before_the_door_stay_away(app, ada, hook, clock):
    announce(app, clock().date())
    prepare(app)
    clock.forward(minutes=1)
    handing.set_doors(app, ada.id, [f"http://127.0.0.1:{hook.server_port}/"])
    assert hand_over(app) == Handed() and hook.told == []


@pytest.mark.sqlite
def test_who_has_left_or_is_held_gets_nothing(app, ada, url, hook, clock):
    prepare(app)
    with app.db.write() as session:
        session.add(Hold(id=1, since=clock(), reason="restored"))
    assert hand_over(app) == Handed()
    with app.db.write() as session:
        session.delete(session.get(Hold, 1))
    subscribers.remove(app, ada.id)
    assert hand_over(app) == Handed() and hook.told == []
    assert rows(app)[0].status == "cancelled"
    subscribers.erase(app, ada.id)
    with app.db.read() as session:
        assert session.exec(select(Door)).all() == [] and rows(app) == []


@pytest.mark.sqlite
def test_one_bad_door_keeps_no_other_waiting(app, ada, pia, url, hook):
    handing.set_doors(app, ada.id, ["http://127.0.0.1:1/", url])
    prepare(app)
    assert hand_over(app) == Handed(done=1, waiting=1)


@pytest.mark.sqlite
def test_doors_are_set_anew_shown_without_their_secret_and_taken_away(app, ada, url):
    with app.db.read() as session:
        assert handing.doors(session, ada.id) == ["http://127.0.0.1/…"]
    handing.set_doors(app, ada.id, [""])
    with app.db.read() as session:
        assert handing.doors(session, ada.id) == []


@pytest.mark.sqlite
@pytest.mark.parametrize("wrong", ["https://", "nosuch://S3CRET", "S3CRET", "slack://S3CRET"])
def test_an_address_that_is_none_is_refused(app, ada, wrong):
    pytest.importorskip("apprise")
    with pytest.raises(InputError, match="--also") as raised:
        handing.set_doors(app, ada.id, [wrong])
    assert "S3CRET" not in str(raised.value)


@pytest.mark.sqlite
def test_a_reader_who_is_none(app):
    with pytest.raises(NotFound):
        handing.set_doors(app, 999, ["https://hooks.test/x"])


@pytest.mark.sqlite
def test_a_chat_gets_the_picks_as_text_that_calls_nobody(app, ada, hook, clock):
    pytest.importorskip("apprise")
    handing.set_doors(app, ada.id, [f"json://127.0.0.1:{hook.server_port}/room"])
    papers = announce(app, clock().date())
    with app.db.write() as session:
        for paper in papers:
            session.get(Paper, paper).title += " @channel <!here>"
    prepare(app)
    hook.answer = 500
    assert hand_over(app) == Handed(waiting=1)
    hook.answer = 200
    clock.forward(minutes=2)
    assert hand_over(app) == Handed(done=1)
    text = hook.told[-1][2]["message"]
    assert "1. " in text and "https://" in text
    assert "@channel" not in text and "<!here>" not in text


def test_the_waits_grow():
    assert list(handing.WAITS) == sorted(handing.WAITS) and min(handing.WAITS) > timedelta(0)
