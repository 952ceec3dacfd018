"""A sentence about a paper by somebody's endpoint: hostile, bounded, and never in the way."""

import json
import threading
import time
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import structlog
from conftest import announce
from sqlmodel import select

from digest.delivery import deliver, preview
from digest.errors import SettingsError
from digest.models import EditionPaper, Paper, Subscriber, Summary
from digest.settings import Summaries, load
from digest.summaries import TRIES, summarise


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Authorization"], json.loads(body)))
        status, answer = self.server.answer(json.loads(body))
        self.send_response(status)
        self.end_headers()
        for piece in answer if isinstance(answer, list) else [answer]:
            try:
                self.wfile.write(piece)
                self.wfile.flush()
            except OSError:  # who asked has gone
                return
            if isinstance(answer, list):
                time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        pass


def said(text, status=200):
    def answer(_request):
        return status, json.dumps({"choices": [{"message": {"content": text}}]}).encode()

    return answer


def about(request):
    """What a model that behaves says: the paper's own words."""
    title = request["messages"][1]["content"].splitlines()[0].removeprefix("Title: ")
    return said(f"This work shows {title.lower()} in practice.")(request)


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.asked, server.answer = [], about
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def asking(app, endpoint, **values):
    url = f"http://127.0.0.1:{endpoint.server_port}/v1"
    on = Summaries.model_validate({"url": url, "model": "small", "key": "S3CRET"} | values)
    return replace(app, settings=app.settings.model_copy(update={"summaries": on}))


@pytest.fixture
def papers(app, ada, clock):
    """Papers of the day, and Ada due in half an hour."""
    listed = announce(app, clock().date())
    with app.db.write() as session:
        session.get(Subscriber, ada.id).next_digest_at = clock() + timedelta(minutes=30)
    return listed


def rows(app):
    with app.db.read() as session:
        return session.exec(select(Summary)).all()


def test_the_papers_about_to_be_mailed_are_asked_about_once_and_shown(
    app, ada, papers, endpoint, clock, mailbox
):
    on = asking(app, endpoint)
    came = summarise(on)
    assert came == len(rows(app)) == len(endpoint.asked) > 0
    assert summarise(on) == 0 and len(endpoint.asked) == came
    path, key, request = endpoint.asked[0]
    assert (path, key, request["model"]) == ("/v1/chat/completions", "Bearer S3CRET", "small")
    assert ada.email not in json.dumps([each for _, _, each in endpoint.asked])
    assert "In short (by a machine): This work shows" in preview(app, ada.email).text
    clock.forward(hours=1)
    assert deliver(app).sent == 1
    (mail,) = mailbox.messages
    for kind in ("plain", "html"):
        body = mail.get_body((kind,)).get_content()
        assert body.count("(by a machine)") >= 1 and "This work shows" in body
    with app.db.read() as session:
        cards = session.exec(select(EditionPaper.card)).all()
    assert sum("summary" in card for card in cards) == came


def test_off_is_the_default_and_nothing_leaves(app, papers, endpoint, ada):
    assert app.settings.summaries.url == ""
    assert summarise(app) == 0 and rows(app) == []
    assert "by a machine" not in preview(app, ada.email).text


def test_nobody_due_soon_asks_nothing(app, papers, endpoint, ada, clock):
    with app.db.write() as session:
        session.get(Subscriber, ada.id).next_digest_at = clock() + timedelta(hours=3)
    assert summarise(asking(app, endpoint)) == 0 and endpoint.asked == []


def own_words(request):
    return request["messages"][1]["content"].splitlines()[0].removeprefix("Title: ")


BAD = {
    "500": lambda _: (500, b"no"),
    "redirect": lambda _: (302, b""),
    "not JSON": lambda _: (200, b"<html><body>busy</body></html>"),
    "other JSON": lambda _: (200, b'{"choices": []}'),
    "a list": lambda _: (200, b"[[[[1]]]]"),
    "deep": lambda _: (200, b"[" * 60_000),
    "no text": said(None),
    "parts": said([{"type": "text", "text": "Hello"}]),
    "empty": said("  \n "),
    "100 kB": said("word " * 20_000),
    "a long sentence": lambda r: said(f"{own_words(r)} " + "and so on " * 60)(r),
    "HTML": lambda r: said(f"<b>{own_words(r)}</b> is what this shows.")(r),
    "script": lambda r: said(f"{own_words(r)} <script>alert(1)</script> shown.")(r),
    "entities": lambda r: said(f"{own_words(r)} &lt;b&gt; is what this shows.")(r),
    "a link": lambda r: said(f"{own_words(r)}: see https://evil.test/now for more")(r),
    "a bare link": lambda r: said(f"{own_words(r)}: more at evil.com today")(r),
    "Markdown": lambda r: said(f"[{own_words(r)}](javascript:alert) is shown here")(r),
    "an address": lambda r: said(f"{own_words(r)}: write to me@evil for more")(r),
    "an apology": said("I am sorry, but I cannot help with that request today."),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.sqlite
@pytest.mark.slow
def test_a_bad_answer_leaves_the_mail_as_it_was(app, ada, papers, endpoint, clock, mailbox, name):
    endpoint.answer = BAD[name]
    with structlog.testing.capture_logs() as logged:
        assert summarise(asking(app, endpoint)) == 0
    assert "no summary" in str(logged) and "S3CRET" not in str(logged)
    assert 0 < len(endpoint.asked) <= 3  # a pass ends after three in a row
    assert all(row.failed and not row.sentence for row in rows(app))
    clock.forward(hours=1)
    assert deliver(app).sent == 1
    assert "by a machine" not in mailbox.messages[0].get_body(("plain",)).get_content()


@pytest.mark.sqlite
def test_a_slow_answer_is_left(app, papers, endpoint):
    endpoint.answer = lambda _: (200, [b" "] * 100)
    assert summarise(asking(app, endpoint, timeout=0.2)) == 0
    assert all(row.failed for row in rows(app))


@pytest.mark.sqlite
def test_nobody_there_is_logged_without_the_key(app, papers, endpoint):
    on = asking(app, endpoint, url="http://127.0.0.1:1/v1")
    with structlog.testing.capture_logs() as logged:
        assert summarise(on) == 0
    assert "ConnectError" in str(logged) and "S3CRET" not in str(logged)


@pytest.mark.sqlite
def test_what_is_around_the_sentence_is_taken_off(app, papers, endpoint):
    endpoint.answer = lambda r: said(
        f"<think>Hm.</think>\n**TL;DR: This work\u202e shows {own_words(r).lower()}\n in short.**"
        " And another sentence."
    )(r)
    summarise(asking(app, endpoint))
    for row in rows(app):
        assert row.sentence.startswith("This work shows ") and row.sentence.endswith(" in short.")


@pytest.mark.sqlite
def test_failures_are_followed_by_growing_waits_and_an_end(app, ada, papers, endpoint, clock):
    on = asking(app, endpoint)
    endpoint.answer = BAD["500"]
    waits, last = [], clock()
    for _ in range(60):
        before = len(endpoint.asked)
        with app.db.write() as session:
            session.get(Subscriber, ada.id).next_digest_at = clock() + timedelta(minutes=30)
        summarise(on)
        if len(endpoint.asked) > before:
            waits.append(clock() - last)
            last = clock()
        clock.forward(minutes=10)
    assert waits[1] >= timedelta(minutes=10) and waits[1] < waits[2] <= waits[3]
    assert all(row.tries <= TRIES for row in rows(app))


@pytest.mark.sqlite
def test_the_budget_of_a_day_holds_and_begins_anew(app, ada, papers, endpoint, clock):
    on = asking(app, endpoint, per_day=2)
    summarise(on)
    summarise(on)
    assert len(endpoint.asked) == 2
    clock.forward(days=1)
    with app.db.write() as session:
        session.get(Subscriber, ada.id).next_digest_at = clock() + timedelta(minutes=30)
    summarise(on)
    assert len(endpoint.asked) == 4


@pytest.mark.sqlite
def test_a_paper_that_is_forgotten_takes_its_sentence_along(app, papers, endpoint):
    summarise(asking(app, endpoint))
    with app.db.write() as session:
        session.delete(session.get(Paper, rows(app)[0].paper_id))
    assert len(rows(app)) == len(endpoint.asked) - 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ('url = "ftp://x"\nmodel = "m"', "summaries.url"),
        ('url = "https://x.test/v1"', "summaries.model"),
        ('url = "http://x.test/v1"\nmodel = "m"\nkey = "S3CRET"', "unencrypted"),
    ],
)
def test_settings_that_cannot_work_are_named(tmp_path, given, named):
    file = tmp_path / "config.toml"
    file.write_text(f"[summaries]\n{given}\n", "utf-8")
    with pytest.raises(SettingsError, match=named) as raised:
        load(file)
    assert "S3CRET" not in str(raised.value)
