"""Scanners that follow a mail's links leave nothing behind, whatever they run or press; people can
vote, change their mind and take it back."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from urllib.parse import urlsplit

import pytest
from conftest import MORNING, announce
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Error
from real_browser import real_browser
from sqlmodel import select
from structlog.testing import capture_logs
from web_door import Door, everything, standing

from digest import subscribers
from digest.bursts import MOST, is_burst
from digest.delivery import deliver
from digest.models import MailVote, Subscriber

BASE = "http://digest.test"


@dataclass
class Said:
    paper_id: int
    vote: int
    cast_at: object


def said(*votes):
    """Votes as (paper, vote, seconds)."""
    return [Said(paper, vote, MORNING + timedelta(seconds=at)) for paper, vote, at in votes]


# The rule


def test_eight_papers_in_ten_seconds_are_a_fast_reader_and_nine_are_nobody():
    assert not is_burst(said(*((paper, 1, paper) for paper in range(8))))
    assert is_burst(said(*((paper, 1, paper) for paper in range(9))))


def test_a_finger_that_trembles_is_no_burst():
    assert not is_burst(said(*[(1, 1, 0.1 * press) for press in range(20)]))


def test_up_and_down_at_once_are_no_opinion():
    assert is_burst(said((1, 1, 0), (1, -1, 0.4)))
    assert is_burst(said((1, -1, 0), (2, 1, 0.1), (1, 1, 0.5)))


def test_a_person_who_corrects_a_slip_is_no_burst():
    assert not is_burst(said((1, 1, 0), (1, -1, 3)))
    assert not is_burst(said((1, 1, 0), (1, 0, 0.5), (2, -1, 2)))


def test_two_papers_voted_both_ways_are_a_slow_scanner():
    assert is_burst(said((1, 1, 0), (1, -1, 2), (2, 1, 4), (2, -1, 6)))


@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from([-1, 0, 1]), st.floats(0, 10))))
def test_what_is_a_burst_stays_one_whatever_is_added(votes):
    for end in range(len(votes)):
        if is_burst(said(*votes[:end])):
            assert is_burst(said(*votes))


# A mail and its links


def ours(message, path=""):
    """The mail's links that lead to us, in their order, as paths."""
    html = message.get_body(("html",)).get_content()
    links = dict.fromkeys(unescape(link) for link in re.findall(r'href="([^"]+)"', html))
    return [link.removeprefix(BASE) for link in links if link.startswith(f"{BASE}/{path}")]


@pytest.fixture
def mail(app, ada, mailbox, clock) -> list[str]:
    """The links of a digest of ten papers that lead to us."""
    with app.db.write() as session:
        session.get_one(Subscriber, ada.id).per_digest = 10
    announce(app, clock().date())
    assert deliver(app).sent == 1
    paths = ours(mailbox.messages[-1])
    assert sum(path.startswith("/vote/") for path in paths) == 20
    assert {path.split("/")[1] for path in paths} >= {"vote", "digests", "preferences"}
    return paths


@pytest.fixture
def votes(mail) -> list[str]:
    return [path for path in mail if path.startswith("/vote/")]


def revisions_aside(app):
    rows = everything(app)
    del rows["subscriber"]
    return rows


def forms(html):
    """The forms of a page as (path, name, value) of each button."""
    form = r'<form method="post"(?: action="([^"]+)")?[^>]*>(.*?)</form>'
    for action, inside in re.findall(form, html, re.S):
        for name, value in re.findall(r'<button[^>]* name="([^"]+)" value="([^"]+)"', inside):
            yield unescape(action), name, value


# Scanners over plain HTTP


@pytest.mark.sqlite
@pytest.mark.parametrize("method", ["HEAD", "GET", "OPTIONS"])
def test_a_scanner_that_opens_each_link_at_once_and_a_day_later(app, web, mail, clock, method):
    before = everything(app)
    for _ in range(2):
        for path in mail:
            assert web.request(method, path).status_code in (200, 405)
        clock.forward(days=1)
    assert everything(app) == before


@pytest.mark.sqlite
def test_a_scanner_that_follows_the_links_of_the_pages_too(app, web, mail):
    before = everything(app)
    seen, ahead = set(), list(mail)
    while ahead and len(seen) < 120:
        path = ahead.pop(0)
        if path not in seen:
            seen.add(path)
            page = web.get(path).text
            ahead += [unescape(link) for link in re.findall(r'(?:href|src)="(/[^"]*)"', page)]
    assert len(seen) > len(mail)
    assert everything(app) == before


def test_a_scanner_that_presses_every_button_leaves_nothing(app, web, votes, ada, clock):
    before = revisions_aside(app)
    with capture_logs() as logs:
        for path in votes[:4]:
            for action, name, value in forms(web.get(path).text):
                assert web.post(action, data={name: value}).status_code == 200
                clock.forward(seconds=0.05)
    assert revisions_aside(app) == before
    told = [entry for entry in logs if "burst" in entry["event"]]
    assert told
    assert "@" not in str(told)


def test_a_scanner_that_presses_the_first_button_of_each_link(app, web, votes, ada, clock):
    before = revisions_aside(app)
    for path in votes:
        web.post(path, data={"vote": "up" if path.endswith("u") else "down"})
        clock.forward(seconds=0.8)
    assert revisions_aside(app) == before


def test_a_scanner_that_presses_up_everywhere(app, web, votes, ada, clock):
    before = revisions_aside(app)
    for path in votes:
        web.post(path, data={"vote": "up"})
        clock.forward(seconds=0.3)
    assert revisions_aside(app) == before


def test_a_scanner_that_presses_all_buttons_at_once(app, web, votes):
    before = revisions_aside(app)
    said = {"u": "up", "d": "down"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: web.post(path, data={"vote": said[path[-1]]}), votes))
    assert revisions_aside(app) == before


def test_a_burst_takes_back_its_own_votes_and_no_others(app, web, votes, ada, clock):
    web.post(votes[0], data={"vote": "up"})
    clock.forward(minutes=1)
    before = revisions_aside(app)
    for path in votes:
        web.post(path, data={"vote": "down"})
    assert revisions_aside(app) == before
    assert list(standing(app, ada).values()) == ["up"]
    assert "You want more like this" in unescape(web.get(votes[0]).text)


def test_what_the_reader_says_after_a_burst_counts(app, web, votes, ada, clock):
    for path in votes:
        answer = web.post(path, data={"vote": "up"})
    assert "Not counted." in answer.text
    clock.forward(seconds=11)
    assert "Noted: more like this" in web.post(votes[0], data={"vote": "up"}).text
    assert "Noted: less like this" in web.post(votes[3], data={"vote": "down"}).text
    assert sorted(standing(app, ada).values()) == ["down", "up"]


@pytest.mark.sqlite
def test_the_memory_of_votes_stays_small(app, web, votes, clock):
    for path in votes[::2] * 10:
        web.post(path, data={"vote": "up"})
        clock.forward(seconds=2)
    with app.db.read() as session:
        assert len(session.exec(select(MailVote)).all()) < 50


def test_a_reader_at_leisure_may_vote_on_all_papers(app, web, votes, ada, clock):
    for path in votes[::2]:
        assert "Noted" in web.post(path, data={"vote": "up"}).text
        clock.forward(seconds=2)
    assert len(standing(app, ada)) == 10 > MOST


def test_a_burst_on_one_digest_is_no_matter_of_anothers(app, web, ada, pia, mailbox, clock):
    subscribers.resume(app, pia.id)
    announce(app, clock().date())
    clock.forward(days=1)
    assert deliver(app).sent == 2
    one, other = (ours(message, "vote") for message in mailbox.messages)
    for path in one:
        web.post(path, data={"vote": "up"})
    assert "Noted" in web.post(other[0], data={"vote": "up"}).text


# Scanners with a browser


@pytest.fixture
def browser(door: Door, mail) -> Iterator[Browser]:
    """Started after the mail was sent, since each has an event loop of its own."""
    port = urlsplit(door.address).port
    rules = f"MAP digest.test 127.0.0.1:{port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with real_browser(f"--host-resolver-rules={rules}") as started:
        yield started


def visit(browser: Browser, paths: list[str]) -> None:
    """Opens one link after the other, runs what is there, scrolls, and waits before it leaves."""
    with browser.new_context() as context:
        page = context.new_page()
        for path in paths:
            answer = page.goto(f"{BASE}{path}")
            assert answer is not None
            assert answer.status == 200
            page.mouse.wheel(0, 600)
        page.wait_for_load_state("networkidle")
        page.close(run_before_unload=True)


def test_a_robot_with_a_browser_at_delivery_and_a_day_later(app, web, mail, clock, browser):
    before = everything(app)
    visit(browser, mail)
    clock.forward(days=1)
    visit(browser, mail[:6])
    assert everything(app) == before


def test_a_robot_that_presses_what_it_sees_is_not_counted(app, web, votes, ada, browser):
    before = revisions_aside(app)
    with browser.new_context() as context:
        page = context.new_page()
        for path in votes[:6]:
            page.goto(f"{BASE}{path}")
            page.locator("form button").first.click()
            page.wait_for_load_state()
    assert revisions_aside(app) == before


def test_a_person_needs_one_tap_and_can_take_it_back(app, web, votes, ada, clock, browser):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{BASE}{votes[0]}")
        page.get_by_role("button", name="Yes, more like this").click()
        page.get_by_text("Noted: more like this.").wait_for()
        assert list(standing(app, ada).values()) == ["up"]
        clock.forward(seconds=5)
        page.get_by_role("button", name="Take it back").first.click()
        page.get_by_text("Taken back.").wait_for()
        assert standing(app, ada) == {}


def test_no_page_behind_a_link_may_run_a_script(web, mail, browser):
    """What the header forbids, a real browser does not run."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{BASE}{mail[0]}")
        with pytest.raises(Error, match="Content Security Policy"):
            page.add_script_tag(content="document.forms[0].submit()")
