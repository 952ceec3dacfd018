"""What stands around the pages, over real HTTP: floods, guesses, forgery, proxies, slowness."""

import re
import socket
import time
from dataclasses import replace

import pytest
import structlog
from conftest import STRANGER, announce
from sqlmodel import select
from web_door import bearer, by_address, everything, open_door, read

from digest import signup, subscribers
from digest.changes import Changes
from digest.delivery import deliver
from digest.models import OutboxMessage, Subscriber, Suppression
from digest.tokens import Tokens
from digest.web import create, guard, server

pytestmark = pytest.mark.sqlite  # they are of HTTP


def with_web(app, **values):
    web = app.settings.web.model_copy(update=values)
    return replace(app, settings=app.settings.model_copy(update={"web": web}))


def from_address(number):
    return {"X-Forwarded-For": f"203.0.113.{number % 250}"}


def letters(app):
    with app.db.read() as session:
        return session.exec(select(OutboxMessage)).all()


# Floods


def test_a_thousand_forms_for_one_victim_bring_three_letters(app, web, clock):
    """In an hour or so, and from ever other places: a few of them by the real door."""
    spellings = ("Sam@Stranger.test", STRANGER, "SAM+x@stranger.test")
    for number in range(1000):
        clock.forward(seconds=4)
        email = spellings[number % 3]
        if number % 25 == 0:
            headers = from_address(number)
            assert web.post("/subscribe", data={"email": email}, headers=headers).is_success
        elif number % 2:
            signup.subscribe(app, email, Changes())
        else:
            signup.request_link(app, email)
    assert len(letters(app)) == 3


def test_one_visitor_sends_few_forms_with_addresses(app, web, clock):
    for number in range(20):
        assert web.post("/subscribe", data={"email": f"r{number}@x.test"}).status_code == 200
    answer = web.post("/link", data={"email": "r@x.test"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) == 30
    assert "One moment, please" in read(answer)
    assert web.get("/").status_code == 200
    assert web.post("/link", data={"email": "x@x.test"}, headers=from_address(1)).status_code == 200
    clock.forward(seconds=30)
    assert web.post("/link", data={"email": "r@x.test"}).status_code == 200


def test_when_all_letters_are_used_up_the_form_says_when_to_come_back(app, door, ada):
    mail = app.settings.mail.model_copy(update={"letters_per_hour": 1})
    door.pages = create(replace(app, settings=app.settings.model_copy(update={"mail": mail})))
    door.client.post("/subscribe", data={"email": STRANGER})
    pages = set()
    for email in (ada.email, "nobody@x.test"):
        answer = door.client.post("/link", data={"email": email})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3600")
        pages.add(answer.text)
    assert len(pages) == 1
    assert "try again in an hour" in pages.pop()


# Guesses


def test_guessing_links_ends_soon_and_right_links_come_back(app, web, ada, links, clock):
    right = links.preferences(bearer(app, ada))
    tried = [web.get(f"/vote/1-0-1-1c.{'A' * 42}{n}.1u").status_code for n in range(40)]
    assert tried == [404] * 30 + [429] * 10
    assert web.get(right).status_code == 429
    assert web.get(right, headers=from_address(7)).status_code == 200
    assert web.get("/papers").status_code == 200
    one_click = links.one_click(bearer(app, ada))
    assert web.post(one_click).status_code == 200
    clock.forward(seconds=21)
    assert web.get(right).status_code == 200


def test_old_links_are_no_guesses(app, web, ada, links, clock):
    old = links.preferences(bearer(app, ada))
    clock.forward(days=31)
    for _ in range(40):
        assert web.get(old).status_code == 410


def test_another_secret_signs_nothing_here(app, web, ada):
    forger = Tokens(["f" * 40])
    before = everything(app)
    for purpose in ("confirm", "preferences", "unsubscribe"):
        forged = forger.sign(purpose, ada.id, 0, app.now())
        assert web.post(f"/{purpose}/{forged}", data={"action": "pause"}).status_code == 404
    assert web.post(f"/one-click/{forger.sign('one-click', ada.id, 0, app.now())}").is_error
    assert everything(app) == before


def test_a_confirmation_replayed_does_not_undo_leaving(app, web, links):
    signup.subscribe(app, STRANGER, Changes())
    link = links.confirm(bearer(app, by_address(app, STRANGER)))
    assert web.post(link).status_code == 200
    subscribers.remove(app, by_address(app, STRANGER).id)
    assert web.post(link).status_code == 410
    assert by_address(app, STRANGER).status == "removed"


def test_a_forwarded_vote_link_opens_nothing_else(app, web, ada, vote_link):
    signed = vote_link(1, "up").rpartition("/")[2]
    for path in ("preferences", "unsubscribe", "one-click", "confirm", "digests"):
        for token in (signed, signed.rpartition(".")[0]):
            assert web.get(f"/{path}/{token}").status_code == 404


def test_a_thousand_votes_by_one_link_are_one(app, web, ada, vote_link, clock):
    for number in range(20):
        clock.forward(seconds=3)
        web.post(vote_link(1, "up"), data={"vote": ("up", "down")[number % 2]})
    web.post(vote_link(99, "up"), data={"vote": "up"})
    rows = everything(app)["feedback"]
    assert len(rows) == 1


# Enumeration


@pytest.mark.parametrize("path", ["/subscribe", "/link"])
def test_known_and_unknown_addresses_are_answered_alike(app, web, ada, pia, path):
    """Status, body, headers; and not before what differs behind it is over."""
    with app.db.write() as session:
        hashed = app.tokens.address_hashes("out@reader.test")[0]
        session.add(Suppression(address_hash=hashed, reason="bounce", created_at=app.now()))
    answers = set()
    for email in (ada.email, pia.email, "out@reader.test", STRANGER):
        began = time.perf_counter()
        answer = web.post(path, data={"email": email})
        assert time.perf_counter() - began >= guard.EVEN
        kept = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")}
        kept.pop("content-length")
        body = answer.text.replace(email, "…")
        answers.add((answer.status_code, body, tuple(sorted(kept.items()))))
    assert len(answers) == 1


# Foreign forms


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://users.digest.test"},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
    ],
)
def test_a_form_on_another_site_does_nothing(app, web, ada, links, headers):
    before = everything(app)
    for path in ("/subscribe", "/link", links.preferences(bearer(app, ada))):
        answer = web.post(path, data={"email": STRANGER, "action": "pause"}, headers=headers)
        assert answer.status_code == 403
        assert "another site" in read(answer)
    assert everything(app) == before
    assert web.post(links.one_click(bearer(app, ada)), headers=headers).status_code == 200
    assert by_address(app, ada.email).status == "removed"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://digest.test"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://digest.test"},
    ],
)
def test_our_own_forms_are_taken(app, web, headers):
    assert web.post("/subscribe", data={"email": STRANGER}, headers=headers).status_code == 200
    assert by_address(app, STRANGER).status == "pending"


# Proxies and prefixes


def test_only_a_trusted_proxy_says_who_the_visitor_is(app, door):
    door.pages = create(with_web(app, trusted_proxies=("192.0.2.1",)))
    with structlog.testing.capture_logs() as logged:
        codes = [
            door.client.post("/link", data={"email": STRANGER}, headers=from_address(n)).status_code
            for n in range(25)
        ]
    assert codes == [200] * 20 + [429] * 5
    warned = [line for line in logged if "web.trusted_proxies" in line["event"]]
    assert [line["proxy"] for line in warned] == ["127.0.0.1"]


def test_a_visitor_cannot_forge_another_address_through_the_proxy(app, web):
    """The proxy appends what it saw to what the visitor claimed."""
    codes = []
    for number in range(25):
        headers = {"X-Forwarded-For": f"10.9.8.{number}, 198.51.100.7"}
        codes.append(web.post("/link", data={"email": STRANGER}, headers=headers).status_code)
    assert codes == [200] * 20 + [429] * 5


@pytest.mark.parametrize("asked", ["/papers-digest", ""])
def test_everything_works_below_a_prefix(app, door, ada, clock, asked):
    """`asked` is what the proxy leaves of it."""
    below = with_web(app, base_url="https://host.test/papers-digest")
    door.pages = create(below)
    announce(app, clock().date())
    deliver(below)
    token = app.tokens.sign("preferences", ada.id, 0, app.now())
    own = {"Origin": "https://host.test"}
    seen = set()
    for path in ("/", "/papers", f"/preferences/{token}", "/nowhere"):
        page = door.client.get(asked + path)
        assert "max-age" in page.headers["strict-transport-security"]
        for link in re.findall(r'(?:href|action|src)="(/[^"]*)"', page.text):
            assert link.startswith("/papers-digest/"), link
            seen.add(link)
        (style,) = re.findall(r'rel="stylesheet" href="/papers-digest([^"]+)"', page.text)
        assert door.client.get(asked + style).status_code == 200
    assert "/papers-digest/subscribe" in seen
    form = {"email": STRANGER}
    assert door.client.post(f"{asked}/subscribe", data=form, headers=own).status_code == 200
    assert door.client.post(f"{asked}/preferences/{token}", data={"action": "pause"}).is_success
    assert by_address(app, ada.email).status == "paused"
    assert door.client.get("/papers-digestion").status_code == 404


# Slow and large ones


def answer_to(door, *parts, wait=0.0):
    """What the server says to these bytes, sent one after the other."""
    host, port = door.socket.getsockname()
    with socket.create_connection((host, port), timeout=20) as client:
        for part in parts:
            client.sendall(part)
            time.sleep(wait)
        got = b""
        while piece := client.recv(65536):
            got += piece
    return got.decode()


HEAD = (
    b"POST /subscribe HTTP/1.1\r\nHost: digest.test\r\nContent-Length: 500\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
)


def test_a_form_that_trickles_is_given_up(app, web, door, monkeypatch):
    monkeypatch.setattr(guard, "SLOWEST_BODY", 0.3)
    said = answer_to(door, HEAD, *[b"email="] * 3, wait=0.05)
    assert said.startswith("HTTP/1.1 408")
    assert "That took too long" in said
    assert letters(app) == []


def test_a_head_that_trickles_is_given_up(web, door, monkeypatch):
    monkeypatch.setattr(server, "SLOWEST_HEAD", 0.3)
    assert answer_to(door) == ""
    assert answer_to(door, b"GET / HTTP/1.1\r\nHo", b"st: x\r\nX-", wait=0.05) == ""
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    assert answer_to(door, whole, b"GET / HT", wait=0.2).startswith("HTTP/1.1 200")


def test_beyond_so_many_connections_others_are_turned_away(app, monkeypatch):
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 4)
    with open_door() as door:
        door.pages = create(app)
        idle = [socket.create_connection(door.socket.getsockname()) for _ in range(4)]
        assert door.client.get("/healthz", headers={"Connection": "close"}).status_code == 503
        for client in idle:
            client.close()
        for _ in range(100):  # until the server has seen that they are gone
            if door.client.get("/healthz").status_code == 200:
                return
            time.sleep(0.05)
        pytest.fail("what has left still counts")


def test_a_head_of_any_size_is_not_read(web, door):
    said = answer_to(door, b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n")
    assert said.startswith("HTTP/1.1 4")


@pytest.mark.parametrize("path", ["/subscribe", "/link"])
def test_a_form_of_a_thousand_fields_is_refused(app, web, path):
    many = {f"field{n}": "x" for n in range(1000)} | {"email": STRANGER}
    assert web.post(path, data=many).status_code in (400, 413)
    assert web.post(path, data={"email": "x" * 70_000}).status_code == 413
    assert letters(app) == []


# Logs and templates


def test_what_a_visitor_types_is_in_no_line_of_the_log(app, web, door):
    with structlog.testing.capture_logs() as logged:
        web.get("/papers", params={"q": "a\nlevel=error event=forged\x1b[31m"})
        web.post("/subscribe", data={"email": "x\r\nforged@x.test", "topics": "\x1b[2Jforged"})
        web.get("/%0aevent=forged", headers={"User-Agent": "forged", "Referer": "forged"})
        end = b" /forged HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert answer_to(door, b"FORGED" + end).startswith("HTTP/1.1 400")
        assert answer_to(door, b"PROPFIND" + end).startswith("HTTP/1.1 404")
    assert len(logged) == 4
    assert "forged" not in str(logged).casefold()


def test_what_a_visitor_types_is_no_template(app, web, ada, links):
    wish = "{{ 7 * 191 }} {% raw %} ${7*191} #{7*191}"
    web.post("/subscribe", data={"email": STRANGER, "topics": wish})
    page = web.get(links.confirm(bearer(app, by_address(app, STRANGER))))
    assert (page.status_code, "1337" in page.text) == (200, False)
    wrong = web.post("/subscribe", data={"email": wish, "name": wish})
    assert (wrong.status_code, "1337" in wrong.text) == (400, False)


def test_who_never_confirmed_is_forgotten_after_two_days(app, web, clock):
    web.post("/subscribe", data={"email": STRANGER})
    clock.forward(hours=47)
    assert signup.purge_unconfirmed(app) == 0
    clock.forward(hours=1, minutes=1)
    assert signup.purge_unconfirmed(app) == 1
    with app.db.read() as session:
        assert session.exec(select(Subscriber)).all() == []


def test_addresses_are_one_whatever_their_case(app, web, clock):
    for email in ("sam@stranger.test", "SAM@Stranger.TEST", " Sam@stranger.test "):
        assert web.post("/subscribe", data={"email": email}).status_code == 200
        clock.forward(hours=1)
    with app.db.read() as session:
        assert len(subscribers.listing(session)) == 1
