"""The demo: a day is played by the real product, its mails are read and voted on, and the next day
is another one."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path

import httpx2
import pytest
import uvicorn
from real_browser import real_browser
from sqlmodel import col, select

from digest import outcomes
from digest.__main__ import main
from digest.demo import batches_of, door, sample, staged
from digest.demo.pages import site
from digest.demo.stage import Clock, Stage
from digest.errors import FeedError, InputError
from digest.models import Paper, Pick, Subscriber

SAMPLE = Path(sample()[0].sources[0]).parent
READERS = ["ada@readers.example", "ben@readers.example", "chiara@readers.example"]
READERS += ["dev@readers.example"]


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with door(0) as listening:
        yield listening


@pytest.fixture(scope="module")
def stage(listener: socket.socket) -> Iterator[Stage]:
    """The service after its first day; the tests below go on with it, in their order."""
    with staged([], listener.getsockname()[1]) as stage:
        stage.next_day()
        yield stage


@pytest.fixture(scope="module")
def browser(stage: Stage, listener: socket.socket) -> Iterator[httpx2.Client]:
    config = uvicorn.Config(site(stage), access_log=False, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    base = stage.app.settings.web.base_url
    with httpx2.Client(base_url=base, timeout=60, follow_redirects=True) as client:
        yield client
    server.should_exit = True
    thread.join()


def links(html: str) -> list[str]:
    return [unescape(link) for link in re.findall(r'href="([^"]+)"', html)]


def test_the_first_day_brings_each_reader_a_mail_about_just_that(stage: Stage) -> None:
    assert sorted(mail.to for mail in stage.mailbox.mails) == READERS
    with stage.app.db.read() as session:
        picked = session.exec(
            select(Subscriber.name, Paper.title, Paper.categories)
            .join(Pick, col(Pick.subscriber_id) == col(Subscriber.id))
            .join(Paper, col(Paper.id) == col(Pick.paper_id))
            .where(col(Pick.exploring).is_(False))
        ).all()
    assert len({title for _, title, _ in picked}) == len(picked)
    for name, title, categories in picked:
        assert name != "Chiara" or categories[0].startswith("astro-ph"), title
        assert name != "Ada" or re.search("diffusion|denoising", title, re.I), title
        assert name != "Ben" or re.search("language model|reward", title, re.I), title


def test_mails_come_at_the_hour_of_each_reader(stage: Stage) -> None:
    sent = {mail.to: mail.message["Date"].datetime for mail in stage.mailbox.mails}
    assert sent["ada@readers.example"] == datetime(2026, 11, 16, 6, 30, tzinfo=UTC)
    assert sent["ben@readers.example"] == datetime(2026, 11, 16, 13, 0, tzinfo=UTC)


def test_the_inbox_lists_every_mail_with_sender_subject_and_first_words(
    browser: httpx2.Client, stage: Stage
) -> None:
    page = unescape(browser.get("/inbox").text)
    for mail in stage.mailbox.mails:
        assert f'href="/inbox/{mail.number}/mail"' in page
        assert mail.message["Subject"] in page
    assert page.count('<span class="from">Paper Digest</span>') == 4
    assert page.count('<span class="preview">Also: ') == 4


def test_a_mail_is_shown_in_a_sandbox_and_its_links_open_in_new_tabs(
    browser: httpx2.Client,
) -> None:
    page = browser.get("/inbox/1/mail")
    frame = re.search(r'<iframe[^>]* sandbox="([^"]*)"[^>]* src="([^"]+)"', page.text)
    assert frame is not None
    assert frame[1] == "allow-popups allow-popups-to-escape-sandbox"
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    body = browser.get(frame[2])
    assert '<head><base target="_blank">' in body.text
    policy = body.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox allow-popups" in policy


def test_in_a_real_browser_the_frame_holds_and_its_links_open_in_new_tabs(
    browser: httpx2.Client, stage: Stage
) -> None:
    base = stage.app.settings.web.base_url
    with real_browser() as window:
        inbox = window.new_page(viewport={"width": 390, "height": 844})
        complaints: list[str] = []
        inbox.on("console", lambda message: complaints.append(message.text))
        inbox.goto(f"{base}/inbox")
        inbox.get_by_role("link", name="Driftlight").click()
        with inbox.expect_popup() as opening:
            inbox.frame_locator("iframe").get_by_text("More like this").first.click()
        opening.value.get_by_role("button", name="Yes, more like this").wait_for()
        assert inbox.evaluate("document.documentElement.scrollWidth") == 390
        assert complaints == []


def test_the_text_part_and_the_source_are_a_tap_away(browser: httpx2.Client, stage: Stage) -> None:
    mail = stage.mailbox.mails[0]
    source = unescape(browser.get("/inbox/1/source").text)
    assert f"Message-ID: {mail.message['Message-ID']}" in source
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in source
    assert mail.message["Subject"] in unescape(browser.get("/inbox/1/text").text)
    assert browser.get("/inbox/1/else").status_code == 404
    assert browser.get("/inbox/99/mail").status_code == 404


def test_every_link_of_a_mail_that_leads_here_opens(browser: httpx2.Client, stage: Stage) -> None:
    base = stage.app.settings.web.base_url
    ours = [link for link in links(browser.get("/inbox/2/body").text) if link.startswith(base)]
    assert len(ours) > 10
    assert {browser.get(link).status_code for link in ours} == {200}


def test_looking_changes_nothing(browser: httpx2.Client, stage: Stage) -> None:
    assert browser.get("/next-day").status_code == 405
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert browser.post("/next-day", headers=elsewhere).status_code == 403
    assert len(stage.mornings) == 1


def test_a_visitor_who_subscribes_finds_confirmation_and_first_digest_in_the_inbox(
    browser: httpx2.Client, stage: Stage
) -> None:
    wishes = {"email": "eva@visitor.example", "topics": "colourings of graphs"}
    assert browser.post("/subscribe", data=wishes).status_code == 200
    (mail,) = stage.mailbox.of("eva@visitor.example")
    page = browser.get(f"/inbox/{mail.number}/body").text
    (confirm,) = {link for link in links(page) if "/confirm/" in link}
    assert "on its way to eva@visitor.example" in browser.post(confirm).text
    first, _ = stage.mailbox.of("eva@visitor.example")
    assert "first digest" in browser.get(f"/inbox/{first.number}/text").text
    assert "eva@visitor.example" in browser.get("/inbox").text


def test_a_vote_is_told_of_and_changes_the_next_day(browser: httpx2.Client, stage: Stage) -> None:
    (mail,) = stage.mailbox.of("ben@readers.example")
    page = browser.get(f"/inbox/{mail.number}/body").text
    ups, downs = (
        [link for link in links(page) if re.search(rf"/vote/.*\.\d+{letter}$", link)]
        for letter in "ud"
    )
    assert browser.post(ups[1], data={"vote": "up"}).status_code == 200
    assert browser.post(downs[0], data={"vote": "down"}).status_code == 200
    assert "Tomorrow’s mail follows it." in browser.get("/inbox").text

    after = unescape(browser.post("/next-day").text)
    assert "Tuesday, 17 November 2026" in after
    assert "Yesterday’s votes changed today’s mail" in after
    effect = stage.mornings[-1].effects["ben@readers.example"]
    assert (effect.votes, effect.picks) == (2, 5)
    assert effect.new or effect.reasons
    assert list(stage.mornings[-1].effects) == ["ben@readers.example"]


def test_the_next_day_brings_everybody_other_papers(stage: Stage) -> None:
    for email in READERS:
        mails = stage.mailbox.of(email)
        assert len(mails) == 2, outcomes.why(stage.app, email)
        new, old = (
            str(mail.message.get_body(("plain",)).get_content())  # type: ignore[union-attr]
            for mail in mails
        )
        today, yesterday = (set(re.findall(r"arxiv\.org/abs/([\d.]+)", t)) for t in (new, old))
        assert today - yesterday


def test_after_the_last_day_the_button_is_gone(browser: httpx2.Client, stage: Stage) -> None:
    while stage.batches:
        browser.post("/next-day")
    mails = len(stage.mailbox.mails)
    assert "Let the next day come" not in browser.get("/inbox").text
    assert browser.post("/next-day").status_code == 200
    assert (len(stage.mornings), len(stage.mailbox.mails)) == (3, mails)


def test_the_clock_goes_on_from_where_it_was_set() -> None:
    moment = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
    clock = Clock(moment)
    assert moment <= clock() < moment + timedelta(minutes=1)
    clock.set(moment + timedelta(days=1))
    assert clock() >= moment + timedelta(days=1)


def test_feeds_of_several_days_are_taken_day_by_day(tmp_path: Path) -> None:
    shifted = tmp_path / "earlier.xml"
    text = (SAMPLE / "arxiv-day1.rss.xml").read_text("utf-8")
    shifted.write_text(text.replace("Mon, 16 Nov 2026", "Mon, 17 Nov 2025"), encoding="utf-8")
    later = tmp_path / "later.xml"
    later.write_text(text.replace("Mon, 16 Nov 2026", "Tue, 18 Nov 2025"), encoding="utf-8")
    batches = batches_of([str(later), str(shifted)], tmp_path)
    assert [batch.day for batch in batches] == [date(2025, 11, 17), date(2025, 11, 18)]
    assert batches[0].sources == (str(shifted),)
    with pytest.raises(FeedError, match=r"absent\.xml"):
        batches_of(["absent.xml"], tmp_path)


def test_a_port_that_is_taken_is_named_where_it_was_asked_for(listener: socket.socket) -> None:
    taken = listener.getsockname()[1]
    with pytest.raises(InputError, match=f"port {taken} is taken"), door(taken):
        pass


def test_where_the_usual_port_is_taken_another_one_serves(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = listener.getsockname()[1]
    monkeypatch.setattr("digest.demo.DEFAULT_PORT", taken)
    with door(None) as other:
        assert other.getsockname()[1] not in (0, taken)


def environment(tmp_path: Path) -> dict[str, str]:
    """With settings that must not reach the demo: its mails stay on this machine."""
    away = {"DIGEST_SMTP__HOST": "mail.elsewhere.test", "DIGEST_CONFIG": "absent.toml"}
    return {**away, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent.parent)}


def test_without_serving_it_ends_with_a_summary_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["digest", "demo", "--no-serve", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    told = json.loads(capsys.readouterr().out)
    assert (told["day"], told["mails"], told["inbox"]) == ("2026-11-16", 4, None)
    assert told["papers"] > 15
    assert list(tmp_path.iterdir()) == []


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "digest", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment(tmp_path),
    )
    assert process.stdout is not None
    told = ""
    while "Ctrl-C" not in told:
        line = process.stdout.readline()
        assert line, told
        told += line
    inbox = re.search(r"http://localhost:\d+/inbox", told)
    assert inbox is not None
    assert httpx2.get(inbox[0], timeout=20).status_code == 200
    process.send_signal(signal.SIGTERM)
    _, problems = process.communicate(timeout=30)
    assert (process.returncode, problems) == (0, "")
    assert list(tmp_path.iterdir()) == []
