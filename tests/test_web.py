"""The pages over real HTTP: what a visitor, a reader, a mail provider and a scanner do."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import unescape

import httpx2
import pytest
import structlog
from conftest import STRANGER, announce
from sqlmodel import select
from web_door import Door

from digest import feedback, merging, signup, subscribers
from digest.app import App
from digest.changes import Changes
from digest.delivery import deliver, prepare
from digest.errors import NotFound
from digest.mail import outbox
from digest.mail.links import Bearer, Links
from digest.models import (
    Digest,
    Feed,
    OutboxMessage,
    Paper,
    Pick,
    Subscriber,
    Suppression,
    Upvotes,
    metadata,
)
from digest.tokens import Tokens
from digest.web import create

BASE = "http://digest.test"


@pytest.fixture
def web(app: App, door: Door) -> httpx2.Client:
    door.pages = create(app)
    return door.client


@pytest.fixture
def links(app: App) -> Links:
    """Links without the service's address, to be asked of the test's server."""
    return Links("", app.tokens)


def bearer(app, person, digest_id=0):
    return Bearer(person.id, person.link_epoch, app.now(), digest_id)


@pytest.fixture
def digest(app, ada, clock):
    """Ada's digest of today: three picks, not sent."""
    papers = announce(app, clock().date())
    with app.db.write() as session:
        kept = Digest(
            subscriber_id=ada.id,
            day=clock().date(),
            since=clock().date(),
            candidates=10,
            created_at=clock(),
        )
        session.add(kept)
        session.flush()
        session.add_all(
            Pick(
                digest_id=kept.id,
                position=position,
                subscriber_id=ada.id,
                paper_id=paper,
                score=1.0,
            )
            for position, paper in enumerate(papers[:3], 1)
        )
    return kept


@pytest.fixture
def vote_link(app, ada, digest, links):
    return links.votes(bearer(app, ada, digest.id))


def everything(app):
    """Every row of every table but the short memory of votes by mail."""
    with app.db.read() as session:
        connection = session.connection()
        return {
            name: [tuple(row) for row in connection.execute(table.select())]
            for name, table in metadata.tables.items()
            if name != "mail_vote"
        }


def by_address(app, email):
    with app.db.read() as session:
        return subscribers.find(session, email)


def standing(app, person):
    """The reader's votes that stand, by the paper's id."""
    with app.db.read() as session:
        return {voted.paper.id: voted.vote for voted in feedback.votes(session, person.id)}


def read(answer):
    """The page's words, as a reader sees them."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def without_script(answer):
    """The page without our own script, a file beside it."""
    return re.sub(r'<script src="/static/script[^"]+" defer></script>', "", answer.text)


def mailed_link(mailbox, path):
    """The path of the newest mail's link that begins so."""
    text = mailbox.messages[-1].get_body(("plain",)).get_content()
    found = re.search(rf"{BASE}(/{path}/\S+)", text)
    assert found, text
    return found[1]


# Subscribing


def test_from_the_form_by_mail_to_a_digest(app, web, mailbox):
    form = {
        "email": "Sam@Stranger.test",
        "topics": "galaxy surveys ^2\ntides",
        "categories": "astro-ph.GA",
        "per_digest": "5",
        "send_at": "06:30",
        "timezone": "Europe/Berlin",
        "frequency": "weekdays",
    }
    assert "Sam@Stranger.test is on its way" in read(web.post("/subscribe", data=form))
    outbox.send_due(app)
    link = mailed_link(mailbox, "confirm")
    assert "galaxy surveys; tides" in read(web.get(link))
    assert by_address(app, STRANGER).status == "pending"
    assert "Thursday 19 November, 06:30 (Europe/Berlin)" in read(web.post(link))
    sam = by_address(app, STRANGER)
    assert (sam.status, sam.per_digest, sam.frequency) == ("active", 5, "weekdays")
    assert sam.topics == [["galaxy surveys", 2.0], ["tides", 1.0]]
    announce(app, app.now().date())
    assert "first digest" in read(web.post(link)) and deliver(app).sent == 1
    assert by_address(app, STRANGER).next_digest_at == datetime(2026, 11, 19, 5, 30, tzinfo=UTC)
    assert "Galaxy" in mailbox.messages[-1]["Subject"]


def test_papers_to_start_from_are_told_at_once_and_count_once_confirmed(app, web, mailbox):
    announce(app, app.now().date())
    liked = "https://arxiv.org/abs/2611.18006\n@misc{x, title={Of <i>maps</i>}, doi={10.1/x}}\nhm"
    answer = read(web.post("/subscribe", data={"email": STRANGER, "liked": liked}))
    assert "2 papers you like" in answer and "Of <i>maps</i>" in answer
    assert "Not understood as papers: hm" in answer
    sam = by_address(app, STRANGER)
    assert standing(app, sam) == {}
    outbox.send_due(app)
    web.post(mailed_link(mailbox, "confirm"))
    assert sorted(standing(app, sam).values()) == ["up", "up"]


def test_the_address_alone_will_do(app, web):
    assert web.post("/subscribe", data={"email": STRANGER, "topics": ""}).status_code == 200
    assert by_address(app, STRANGER).per_digest == 10


def test_two_spellings_are_one_subscriber(app, web):
    for email in (STRANGER, STRANGER.upper(), f" {STRANGER.title()} "):
        web.post("/subscribe", data={"email": email})
    with app.db.read() as session:
        assert len(subscribers.listing(session)) == 1


@pytest.mark.parametrize("path", ["/subscribe", "/link"])
def test_the_answer_does_not_tell_who_is_known(app, web, ada, pia, path):
    with app.db.write() as session:
        hashed = app.tokens.address_hashes("out@reader.test")[0]
        session.add(Suppression(address_hash=hashed, reason="complaint", created_at=app.now()))
    signup.subscribe(app, "new@reader.test", Changes())
    emails = ["ada", "pia", "out", "new", "who"]
    answers = [web.post(path, data={"email": f"{name}@reader.test"}) for name in emails]
    pages = {
        (answer.status_code, answer.text.replace(f"{name}@", "xyz@"))
        for name, answer in zip(emails, answers, strict=True)
    }
    assert len(pages) == 1


def test_many_forms_send_one_letter(app, web):
    for _ in range(8):
        web.post("/subscribe", data={"email": STRANGER})
        web.post("/link", data={"email": STRANGER})
    with app.db.read() as session:
        assert len(session.exec(select(OutboxMessage)).all()) == 1


def test_a_robot_that_fills_every_field_is_thanked_and_forgotten(app, web):
    answer = web.post("/subscribe", data={"email": STRANGER, "website": "http://spam.test"})
    assert "on its way" in read(answer)
    with pytest.raises(NotFound):
        by_address(app, STRANGER)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("email", "sam(at)stranger", "is not an email address"),
        ("per_digest", "500", "1 to 50"),
        ("per_digest", "-1", "expected a number"),
        ("timezone", "Mars/Olympus", "is not a time zone"),
        ("send_at", "noonish", "expected HH:MM"),
        ("topics", "x" * 600, "at most 500 characters"),
    ],
)
def test_a_wrong_form_comes_back_with_what_was_typed(app, web, field, value, said):
    form = {"email": STRANGER, "topics": "<b>maps</b>", field: value}
    answer = web.post("/subscribe", data=form)
    assert answer.status_code == 400
    assert said in read(answer)
    assert "<b>maps" not in answer.text
    with app.db.read() as session:
        assert subscribers.listing(session) == []


def test_the_preferences_tell_of_the_last_days(app, web, ada):
    link = Links("", app.tokens).preferences(bearer(app, ada))
    assert "Nothing was announced" not in read(web.get(link))
    prepare(app)
    assert "Nothing was announced" in read(web.get(link))


def test_a_fresh_link_opens_the_preferences(app, web, ada, mailbox):
    web.post("/link", data={"email": ada.email})
    outbox.send_due(app)
    assert "Your preferences" in read(web.get(mailed_link(mailbox, "preferences")))


# Nothing happens by looking


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


def test_no_page_submits_by_itself(web, ada, app, links, vote_link):
    for path in (vote_link(1, "up"), links.unsubscribe(bearer(app, ada)), "/"):
        page = without_script(web.get(path)).lower()
        assert not re.search(r"<script|http-equiv|\son\w+=|style=|<style|<img|<iframe", page)


# Votes


def test_a_vote_is_recorded_by_the_button_changed_and_taken_back(
    app, web, ada, digest, vote_link, clock
):
    up = vote_link(2, "up")
    assert "Yes, more like this" in read(web.get(up))
    assert standing(app, ada) == {}
    assert "Noted: more like this" in read(web.post(up, data={"vote": "up"}))
    assert standing(app, ada) == {2: "up"}
    assert "You want more like this" in read(web.get(up))
    clock.forward(seconds=3)
    assert "Noted: less like this" in read(web.post(up, data={"vote": "down"}))
    assert standing(app, ada) == {2: "down"}
    assert "Taken back" in read(web.post(up, data={"vote": "none"}))
    assert standing(app, ada) == {}


def test_the_first_button_is_the_one_the_mail_promised(web, vote_link):
    for vote, first in (("up", "Yes, more like this"), ("down", "No, less like this")):
        buttons = re.findall(r"<button[^>]*>([^<]+)", web.get(vote_link(1, vote)).text)
        assert buttons[0] == first


def test_pressing_twice_is_voting_once(app, web, ada, vote_link):
    web.post(vote_link(1, "up"), data={"vote": "up"})
    once = everything(app)
    web.post(vote_link(1, "up"), data={"vote": "up"})
    assert everything(app) == once


def test_the_other_picks_can_be_voted_on_there(app, web, ada, vote_link):
    page = web.get(vote_link(1, "up")).text
    (second, third) = re.findall(r'action="(/vote/[^"]+)"', page)[1:]
    web.post(second, data={"vote": "down"})
    web.post(third, data={"vote": "up"})
    assert standing(app, ada) == {2: "down", 3: "up"}


def test_what_is_no_vote_records_nothing(app, web, ada, vote_link):
    for form in ({"vote": "sideways"}, {}):
        assert web.post(vote_link(1, "up"), data=form).status_code == 400
    assert standing(app, ada) == {}


def test_a_vote_from_the_mail_itself(app, web, ada, mailbox, clock):
    announce(app, clock().date())
    deliver(app)
    link = mailed_link(mailbox, "vote")
    web.post(link, data={"vote": "up"})
    assert list(standing(app, ada).values()) == ["up"]


# Leaving


def test_unsubscribing_takes_the_button(app, web, ada, links):
    link = links.unsubscribe(bearer(app, ada))
    assert "No more digests?" in read(web.get(link))
    assert by_address(app, ada.email).status == "active"
    assert "You are unsubscribed" in read(web.post(link))
    assert by_address(app, ada.email).status == "removed"
    assert "You are unsubscribed" in read(web.post(link))


def test_one_click_acts_without_cookie_redirect_or_page(app, web, ada, links):
    link = links.one_click(bearer(app, ada))
    for _ in range(2):
        answer = web.post(link, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert "location" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert "<" not in answer.text
        assert by_address(app, ada.email).status == "removed"


def test_one_click_takes_other_forms_of_the_same_body(app, web, ada, links):
    files = {"List-Unsubscribe": (None, "One-Click")}
    assert web.post(links.one_click(bearer(app, ada)), files=files).status_code == 200
    assert by_address(app, ada.email).status == "removed"


def test_one_click_in_a_browser_shows_the_button(app, web, ada, links):
    page = web.get(links.one_click(bearer(app, ada))).text
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    assert by_address(app, ada.email).status == "active"
    web.post(action)
    assert by_address(app, ada.email).status == "removed"


def test_leaving_still_works_when_erased_or_after_the_links_were_revoked(app, web, ada, pia, links):
    with app.db.write() as session:
        person = session.get(Subscriber, ada.id)
        person.link_epoch += 1
        session.add(person)
    assert web.post(links.one_click(bearer(app, ada))).status_code == 200
    assert by_address(app, ada.email).status == "removed"
    subscribers.erase(app, pia.id)
    assert web.post(links.one_click(bearer(app, pia))).status_code == 200
    assert web.post(links.unsubscribe(bearer(app, pia))).status_code == 200


def test_leaving_works_for_two_years(app, web, ada, links, clock):
    link = links.one_click(bearer(app, ada))
    clock.forward(days=729)
    assert web.post(link).status_code == 200


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


# Preferences


def profile_form(**changed):
    form = {
        "topics": "maps ^2\ntides",
        "categories": "cs.CV",
        "authors": "Emmy Noether",
        "muted": "",
        "per_digest": "7",
        "frequency": "weekly",
        "send_at": "18:00",
        "timezone": "Asia/Tokyo",
        "action": "save",
    }
    return form | changed


def test_preferences_are_saved_and_shown(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    assert "Saved" in read(web.post(link, data=profile_form()))
    person = by_address(app, ada.email)
    assert (person.topics, person.authors) == ([["maps", 2.0], ["tides", 1.0]], ["Emmy Noether"])
    assert (person.per_digest, person.frequency, person.timezone) == (7, "weekly", "Asia/Tokyo")
    assert person.next_digest_at == datetime(2026, 11, 23, 9, tzinfo=UTC)
    page = web.get(link).text
    assert "maps ^2\ntides</textarea>" in page
    assert '<option value="Asia/Tokyo" selected>' in page


def test_papers_are_liked_in_the_preferences(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    pasted = "2405.00001\n@article{x, title={Never announced here}, doi={10.1/x}}\nno paper"
    answer = read(web.post(link, data={"action": "like", "liked": pasted}))
    assert "2 papers liked" in answer and "Not understood: no paper" in answer
    assert "Never announced here" in answer and "arxiv:2405.00001" in answer
    assert list(standing(app, ada).values()) == ["up", "up"]
    for key in ("arxiv:2405.00001", "doi:10.1/x"):
        assert web.get(f"/papers/{key}").status_code == 404
    web.post(link, data={"action": "undo", "paper": "arxiv:2405.00001"})
    assert list(standing(app, ada).values()) == ["up"]


def test_too_many_papers_are_refused_and_kept_in_the_form(app, web, ada, links):
    many = " ".join(f"2405.{number:05}" for number in range(101))
    answer = web.post(links.preferences(bearer(app, ada)), data={"action": "like", "liked": many})
    assert answer.status_code == 400
    assert "at most 100 papers" in read(answer) and "2405.00100" in answer.text
    assert standing(app, ada) == {}


def test_an_empty_field_empties(app, web, ada, links):
    web.post(links.preferences(bearer(app, ada)), data=profile_form(topics="", categories=""))
    person = by_address(app, ada.email)
    assert (person.topics, person.categories) == ([], [])


def test_a_wrong_preference_changes_nothing_and_keeps_what_was_typed(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    before = everything(app)
    answer = web.post(link, data=profile_form(per_digest="500", topics="my long list"))
    assert answer.status_code == 400
    assert "1 to 50" in read(answer)
    assert "my long list" in answer.text
    assert everything(app) == before


def test_pause_and_back(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    web.post(link, data={"action": "pause", "until": "2026-12-01"})
    person = by_address(app, ada.email)
    assert (person.status, person.paused_until) == ("paused", date(2026, 12, 1))
    assert "from Tuesday, 1 December 2026" in read(web.get(link))
    web.post(link, data={"action": "resume"})
    assert by_address(app, ada.email).status == "active"


def test_a_pause_until_yesterday_is_refused(app, web, ada, links):
    form = {"action": "pause", "until": "2026-11-17"}
    assert web.post(links.preferences(bearer(app, ada)), data=form).status_code == 400
    assert by_address(app, ada.email).status == "active"


def test_a_vote_is_taken_back_in_the_preferences(app, web, ada, links, vote_link):
    web.post(vote_link(1, "up"), data={"vote": "up"})
    link = links.preferences(bearer(app, ada))
    page = web.get(link).text
    (paper,) = re.findall(r'name="paper" value="([^"]+)"', page)
    web.post(link, data={"action": "undo", "paper": paper})
    assert standing(app, ada) == {}


def test_after_the_end_the_preferences_offer_a_new_sign_up_only(app, web, ada, links):
    subscribers.remove(app, ada.id)
    link = links.preferences(bearer(app, ada))
    assert "has ended" in read(web.get(link))
    web.post(link, data={"action": "resume"})
    assert by_address(app, ada.email).status == "removed"


# Papers


def test_the_front_page_shows_what_is_trending(app, web, clock):
    first, second, *_ = announce(app, clock().date())
    assert "New today" in read(web.get("/"))
    with app.db.write() as session:
        for paper, count in ((first, 3), (second, 40)):
            session.add(Upvotes(paper_id=paper, source="hf", day=clock().date(), count=count))
    page = read(web.get("/"))
    assert "Trending now" in page
    assert page.index("40 upvotes") < page.index("3 upvotes")


def test_the_front_page_is_light_and_stands_alone(app, web, clock):
    announce(app, clock().date())
    page = web.get("/")
    (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
    sheet = web.get(style)
    assert "immutable" in sheet.headers["cache-control"]
    assert len(page.content) + len(sheet.content) < 100_000
    assert not re.search(r'(src|href)="(https?:)?//(?!digest\.test)', page.text)


def test_days_have_neighbours(app, web, clock):
    for back in (0, 1, 5):
        announce(app, clock().date() - timedelta(days=back))
    page = web.get("/papers?day=2026-11-17").text
    assert 'rel="prev" href="/papers?day=2026-11-13"' in page
    assert 'rel="next" href="/papers?day=2026-11-18"' in page
    assert read(web.get("/papers")).startswith("Papers of Wednesday, 18 November 2026")


def test_a_category_narrows_the_day(app, web, clock):
    announce(app, clock().date())
    page = read(web.get("/papers?category=astro-ph.GA"))
    assert "Galaxy surveys" in page
    assert "denoising" not in page
    assert "Nothing in cs on this day" in read(web.get("/papers?category=cs"))


def test_search_finds_all_words_in_titles_abstracts_and_authors(app, web, clock):
    announce(app, clock().date())
    for query in ("hexagonal lattice", "LATTICE hexagonal", "hexagonal ångström", "lattice cases"):
        page = read(web.get("/papers", params={"q": query}))
        assert "on the hexagonal lattice" in page
        assert "denoising" not in page
    for query in ("hexagonal galaxies", "100%", "hex_gonal", "'; drop table paper; --", '"'):
        assert "Nothing found" in read(web.get("/papers", params={"q": query}))


def test_long_lists_come_in_pages(app, web, clock):
    announce(app, clock().date(), [f"Tides of moon number {n}" for n in range(90)])
    seen = []
    for number in (1, 2, 3):
        page = web.get("/papers", params={"q": "tides", "page": number}).text
        seen += re.findall(r"moon number (\d+)<", page)
    assert sorted(map(int, seen)) == list(range(90))
    assert web.get("/papers?q=tides&page=99999999999").status_code == 200


@pytest.mark.parametrize(
    "query, said",
    [
        ("day=yesterday", "2026-11-18"),
        ("day=2026-13-45", "2026-11-18"),
        ("page=two", "page: expected a number"),
        ("page=0", "page: expected a number"),
        ("sort=hot", "sort: expected newest or trending"),
        ("sort=best", "sort: expected newest or trending"),
        ("q=moon&sort=trending", "sort: expected newest or best"),
    ],
)
def test_what_cannot_be_asked_is_a_page_that_says_so(web, query, said):
    answer = web.get(f"/papers?{query}")
    assert (answer.status_code, said in read(answer)) == (400, True)


def test_a_listing_keeps_what_was_chosen(app, web, clock):
    announce(app, clock().date(), [f"Tides of moon number {n}" for n in range(50)])
    page = web.get("/papers?category=cs.CV&sort=trending")
    assert "50 papers" in read(page)
    assert "Page 1 of 2" in read(page)
    assert '<input type="hidden" name="category" value="cs.CV">' in page.text
    links = [unescape(link) for link in re.findall(r'href="(/papers[?][^"]+)"', page.text)]
    assert "/papers?day=2026-11-18&category=cs.CV&sort=trending&page=2" in links
    assert "/papers?day=2026-11-18&category=cs.CV" in links
    (canonical,) = re.findall(r'rel="canonical" href="([^"]+)"', page.text)
    assert unescape(canonical) == f"{BASE}/papers?day=2026-11-18&category=cs.CV"
    found = web.get("/papers?q=tides&category=cs.CV&sort=best")
    assert 'name="robots" content="noindex"' in found.text
    assert "/papers?q=tides&category=cs.CV" in unescape(found.text)


def test_an_id_that_is_searched_leads_to_its_paper(app, web, clock):
    announce(app, clock().date())
    for asked in ("2611.18001v2", "https://arxiv.org/abs/2611.18001"):
        answer = web.get("/papers", params={"q": asked})
        there = (answer.status_code, answer.headers.get("location"))
        assert there == (302, "/papers/arxiv:2611.18001")


def test_a_papers_page_shows_its_like_and_who_liked_it_in_round_numbers(app, web, clock):
    ids = announce(app, clock().date())
    with app.db.write() as session:
        session.add(Upvotes(paper_id=ids[0], source="hub", day=clock().date(), count=3))
        for n in range(6):
            reader = Subscriber(email=f"{n}@r.test", email_key=f"{n}@r.test", created_at=app.now())
            session.add(reader)
            session.flush()
            feedback.record(session, reader.id, ids[0], "up", source="mail", now=app.now())
            if n < 4:
                feedback.record(session, reader.id, ids[1], "up", source="mail", now=app.now())
    page = web.get("/papers/arxiv:2611.18001")
    assert "3 upvotes on Hugging Face, liked by 5 readers here or more" in read(page)
    assert "Papers like this one" in read(page)
    assert "Guided diffusion sampling" in read(page)
    assert '<meta name="description" content="We study diffusion models' in page.text
    assert "liked by" not in read(web.get("/papers/arxiv:2611.18002"))


def test_a_record_that_became_part_of_another_has_no_page(app, web, clock):
    first, second = announce(app, clock().date())[:2]
    with app.db.write() as session:
        merging.absorb(session, first, second, app.now())
    assert web.get(f"/papers/merged:{second}").status_code == 404
    assert web.get("/papers/arxiv:2611.18002").status_code == 200


def test_an_empty_day_and_an_empty_service_are_normal(web):
    assert "No papers have come in yet" in read(web.get("/"))
    assert "No papers have come in yet" in read(web.get("/papers"))
    assert "arXiv rests" in read(web.get("/papers?day=2026-11-15"))


@pytest.mark.parametrize(
    "key", ["arxiv:hep-th/9901001", "doi:10.1000/a(b)c;d", "url:https://x.test/a?b=c&d=é"]
)
def test_a_paper_of_any_id_has_a_page(app, web, clock, key):
    announce(app, clock().date(), ["Tides of the moon"])
    with app.db.write() as session:
        paper = session.exec(select(Paper)).one()
        paper.key = key
        session.add(paper)
    (link,) = re.findall(r'<h3><a href="([^"]+)"', web.get("/papers").text)
    page = web.get(unescape(link))
    assert page.status_code == 200
    assert f'<link rel="canonical" href="{BASE}{link}">' in page.text


def test_another_id_of_a_paper_leads_to_the_same_page(app, web, clock):
    announce(app, clock().date())
    page = web.get("/papers/2611.18001v2").text
    assert f'<link rel="canonical" href="{BASE}/papers/arxiv:2611.18001">' in page


@pytest.mark.parametrize("path", ["/papers/arxiv:2611.99999", "/papers/nonsense", "/nowhere/x"])
def test_what_is_not_there_is_a_page(web, path):
    answer = web.get(path)
    assert (answer.status_code, "There is no such page" in read(answer)) == (404, True)


def test_the_digest_in_the_browser_gives_none_of_its_readers_rights(app, web, ada, links, clock):
    announce(app, clock().date())
    deliver(app)
    with app.db.read() as session:
        kept = session.exec(select(Digest)).one()
    page = web.get(links.view(bearer(app, ada, kept.id)))
    assert "Guided diffusion sampling" in read(page)
    assert not re.search("/(vote|preferences|unsubscribe|one-click|digests)/", page.text)
    assert ada.email not in page.text
    assert ada.name not in page.text


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
