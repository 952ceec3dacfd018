"""All pages over real HTTP: looking changes nothing, wrong and old links, hostile text, health."""

import re
from dataclasses import replace
from html import unescape

import pytest
import structlog
from conftest import STRANGER, announce
from sqlmodel import select
from web_door import (
    bearer,
    by_address,
    everything,
    read,
    standing,
    without_script,
)

from digest import feedback, signup, subscribers
from digest.changes import Changes
from digest.delivery import deliver
from digest.models import (
    Feed,
    Paper,
    Subscriber,
)
from digest.tokens import Tokens
from digest.web import create

pytestmark = pytest.mark.sqlite  # about pages; those of `postgres` on both


# Nothing happens by looking


@pytest.mark.postgres
def test_no_get_or_head_changes_anything(app, web, ada, pia, links, vote_link):
    signup.subscribe(app, STRANGER, Changes())
    sam, his = by_address(app, STRANGER), bearer(app, ada)
    paths = [
        *("/", "/papers", "/papers?q=galaxy", "/papers/arxiv:2611.18001", "/healthz"),
        *("/subscribe", "/link", "/nowhere"),
        links.confirm(bearer(app, sam)),
        links.preferences(his),
        links.preferences(bearer(app, pia)),
        links.unsubscribe(his),
        links.one_click(his),
        vote_link(1, "up"),
        vote_link(2, "down"),
    ]
    before = everything(app)
    for path in paths:
        get, head = web.get(path), web.head(path)
        assert (get.status_code, head.content) == (head.status_code, b"")
        assert get.status_code in (200, 404, 405)
    assert everything(app) == before


@pytest.mark.postgres
@pytest.mark.parametrize("odd", ["%00", "http%3A//x.test/%00", "doi:10.1000/%00", "%ed%a0%80"])
def test_what_no_database_takes_is_no_paper_and_no_failure(web, odd):
    assert web.get(f"/papers/{odd}").status_code == 404
    for asked in ("q", "category", "day"):
        assert web.get(f"/papers?{asked}={odd}").status_code in (200, 400)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/vote/x", "GET, HEAD, POST"),
        ("/one-click/x", "GET, HEAD, POST"),
        ("/subscribe", "POST"),
        ("/digests/x", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_all_that_would_be_right(web, path, allowed):
    answer = web.request("PUT", path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


def test_no_page_submits_by_itself(web, ada, app, links, vote_link):
    for path in (vote_link(1, "up"), links.unsubscribe(bearer(app, ada)), "/"):
        page = without_script(web.get(path)).lower()
        assert not re.search(r"<script|http-equiv|\son\w+=|style=|<style|<img|<iframe", page)


# Wrong and old links


@pytest.mark.parametrize("path", ["confirm", "preferences", "vote", "unsubscribe", "digests"])
def test_a_forged_link_gets_a_page_that_helps(app, web, ada, links, vote_link, path):
    good = {
        "confirm": links.confirm(bearer(app, ada)),
        "preferences": links.preferences(bearer(app, ada)),
        "unsubscribe": links.unsubscribe(bearer(app, ada)),
        "vote": vote_link(1, "up"),
        "digests": links.view(bearer(app, ada)),
    }
    stem = good[path]
    other = next(link for name, link in good.items() if name != path).rpartition("/")[2]
    forged = [stem[:-4], f"/{path}/x", f"/{path}/{other}", f"/{path}/0-0-0-0.{'A' * 43}.1u"]
    before = everything(app)
    for link in forged:
        for answer in (web.get(link), *([] if path == "digests" else [web.post(link)])):
            assert answer.status_code == 404
            assert "cut short or wrong" in read(answer)
            assert 'action="/link"' in answer.text
    assert everything(app) == before


@pytest.mark.parametrize(
    ("path", "days"), [("confirm", 2), ("preferences", 30), ("vote", 60), ("unsubscribe", 730)]
)
def test_an_old_link_says_so_and_does_nothing(app, web, ada, links, vote_link, clock, path, days):
    link = {
        "confirm": links.confirm(bearer(app, ada)),
        "preferences": links.preferences(bearer(app, ada)),
        "unsubscribe": links.unsubscribe(bearer(app, ada)),
        "vote": vote_link(1, "up"),
    }[path]
    clock.forward(days=days - 1)
    assert web.get(link).status_code == 200
    clock.forward(days=1, minutes=5)
    before = everything(app)
    for answer in (web.get(link), web.post(link, data={"vote": "up"})):
        assert answer.status_code == 410
        assert "had its time" in read(answer)
    assert everything(app) == before


def test_revoked_links_are_as_old_ones(app, web, ada, links, vote_link):
    with app.db.write() as session:
        person = session.get(Subscriber, ada.id)
        person.link_epoch += 1
        session.add(person)
    for link in (links.preferences(bearer(app, ada)), vote_link(1, "up")):
        assert web.get(link).status_code == 410


def test_a_vote_link_opens_no_digest_of_another(app, web, pia, digest, links):
    link = links.votes(bearer(app, pia, digest.id))(1, "up")
    assert web.post(link, data={"vote": "up"}).status_code == 404
    assert standing(app, pia) == {}


def test_a_pick_that_the_digest_has_not(web, vote_link):
    assert web.get(vote_link(9, "up")).status_code == 404


def test_an_old_secret_still_reads(app, web, ada):
    old = Tokens(["s" * 40]).sign("one-click", ada.id, 0, app.now())
    assert Tokens(["n" * 40, "s" * 40]).read("one-click", old, app.now()).subscriber_id == ada.id
    assert web.post(f"/one-click/{old}").status_code == 200


# Safety


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7*7 }}"


def test_hostile_text_is_shown_as_text(app, web, ada, links, clock):
    announce(app, clock().date(), [HOSTILE])
    with app.db.write() as session:
        paper = session.exec(select(Paper)).one()
        paper.authors, paper.categories = [HOSTILE], [HOSTILE]
        paper.abstract = paper.journal = paper.licence = paper.doi = HOSTILE
        paper.url = paper.pdf_url = "javascript:alert(3)"
        session.add(paper)
        feedback.record(session, ada.id, paper.id, "up", source="mail", now=app.now())
        person = session.get(Subscriber, ada.id)
        person.topics, person.authors, person.name = [[HOSTILE, 1.0]], [HOSTILE], HOSTILE
        session.add(person)
    pages = [
        web.get("/"),
        web.get("/papers"),
        web.get("/papers", params={"q": HOSTILE, "category": HOSTILE}),
        web.get("/papers/arxiv:2611.18001"),
        web.get(links.preferences(bearer(app, ada))),
        web.post("/subscribe", data={"email": HOSTILE, "topics": HOSTILE}),
        web.post("/preview", data={"topics": HOSTILE, "categories": HOSTILE}),
        web.post("/preview", data={"topics": HOSTILE, "fragment": "1"}),
        web.get(f"/confirm/{HOSTILE}"),
    ]
    for page in pages:
        assert "<script" not in without_script(page)
        assert "<img" not in page.text
        assert "javascript:" not in page.text
        assert "49" not in re.findall(r"alert\(2\)[^<]{0,40}", unescape(page.text))


def test_every_answer_carries_the_safety_headers(app, web, ada, links, vote_link):
    private = [links.preferences(bearer(app, ada)), vote_link(1, "up"), "/confirm/forged"]
    public = ["/", "/papers", "/healthz", "/nowhere"]
    for path in private + public:
        headers = web.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in headers
        assert (headers.get("cache-control") == "no-store") == (path in private)
        assert ("noindex" in headers.get("x-robots-tag", "")) == (path in private)


def test_a_form_too_large_is_refused(app, web, ada, links):
    big = {"email": STRANGER, "topics": "x" * 70_000}
    assert web.post("/subscribe", data=big).status_code == 413
    assert web.post("/subscribe", files={"email": (None, "x" * 70_000)}).status_code == 413
    with app.db.read() as session:
        assert [person.email for person in subscribers.listing(session)] == [ada.email]


def test_a_file_or_a_broken_form_is_a_wrong_request(web):
    wrong = {"content-type": "multipart/form-data"}
    assert web.post("/subscribe", content=b"--x", headers=wrong).status_code == 400
    assert web.post("/subscribe", files={"email": ("a.txt", b"x")}).status_code == 400


def test_the_log_has_the_route_and_never_the_token(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    with structlog.testing.capture_logs() as logged:
        web.get(link)
        web.get("/papers?q=secret+interest")
    told = [line for line in logged if line["event"] == "request"]
    assert [line["route"] for line in told] == ["/preferences/{token}", "/papers"]
    assert told[0].keys() >= {"id", "method", "status", "ms"}
    assert link.rpartition("/")[2] not in str(logged)
    assert "interest" not in str(logged)


@pytest.mark.postgres
def test_a_failure_is_a_page_without_a_traceback(app, web):
    with app.db.connect() as connection:
        connection.exec_driver_sql("DROP TABLE upvotes")
        connection.exec_driver_sql("ALTER TABLE paper RENAME TO lost")
    answer = web.get("/papers")
    assert answer.status_code == 500
    assert "Something broke on our side" in read(answer)
    assert "lost" not in answer.text
    assert "Traceback" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_under_a_path_prefix_behind_tls(app, web, door, settings, ada, clock):
    """A proxy may take the prefix off or leave it on."""
    public = settings.web.model_copy(update={"base_url": "https://host.test/papers-digest"})
    door.pages = create(replace(app, settings=settings.model_copy(update={"web": public})))
    announce(app, clock().date())
    links = set()
    for path in ("/papers-digest/", "/", "/papers-digest"):
        answer = web.get(path)
        assert "max-age" in answer.headers["strict-transport-security"]
        assert 'action="/papers-digest/subscribe"' in answer.text
        assert 'href="https://host.test/papers-digest/"' in answer.text
        links |= set(re.findall(r'(?:href|action)="(/[^"]*)"', answer.text))
    assert all(link.startswith("/papers-digest/") for link in links)
    for link in links - {
        f"/papers-digest/{form}" for form in ("subscribe", "link", "preview#bring")
    }:
        assert web.get(link).status_code == 200


# Health


@pytest.mark.postgres
def test_healthz_tells_ages_and_no_more(app, web, ada, clock):
    assert web.get("/healthz").json()["last_ingest"] is None
    announce(app, clock().date())
    deliver(app)
    with app.db.write() as session:
        now = clock()
        session.add(
            Feed(url="http://f.test", kind="rss", next_fetch_at=now, checked_at=now, added_at=now)
        )
    clock.forward(minutes=2)
    answer = web.get("/healthz").json()
    assert (answer["status"], answer["last_ingest_age"], answer["last_delivery_age"]) == (
        "ok",
        120,
        120,
    )
    assert "f.test" not in str(answer)
