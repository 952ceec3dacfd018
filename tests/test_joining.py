"""The way in: the form with its preview, categories by field, what is wrong, the first digest."""

import re
from datetime import UTC, datetime
from html import unescape
from urllib.parse import urlsplit

import pytest
from conftest import STRANGER, announce
from real_browser import real_browser
from sqlmodel import select
from web_door import bearer, by_address, mailed_link, read, standing

from digest import signup, subscribers, training
from digest.categories import NAMES, by_field
from digest.changes import Changes
from digest.delivery import deliver, prepare
from digest.errors import NotFound
from digest.mail import outbox
from digest.mail.links import Links
from digest.models import OutboxMessage, Paper, Subscriber, Suppression, metadata
from digest.web import create

pytestmark = pytest.mark.sqlite  # about pages; those of `postgres` on both


@pytest.fixture
def papers(app, clock):
    """Today's papers, ready to be ranked."""
    ids = announce(app, clock().date())
    training.refit_if_due(app)
    return ids


def rows(app):
    with app.db.read() as session:
        connection = session.connection()
        return [len(connection.execute(table.select()).all()) for table in metadata.tables.values()]


def picker(answer):
    """The categories offered, and those ticked."""
    boxes = re.findall(r'type="checkbox" name="categories" value="([^"]+)"( checked)?', answer.text)
    return [code for code, _ in boxes], [code for code, ticked in boxes if ticked]


def test_before_the_first_papers_are_read_the_preview_says_so(app, web, clock):
    announce(app, clock().date())
    wishes = {"topics": "galaxy surveys", "fragment": "1"}
    assert "are being read" in read(web.post("/preview", data=wishes))
    training.refit_if_due(app)
    assert "These would have come" in read(web.post("/preview", data=wishes))


# The form


@pytest.mark.postgres
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


# What the topics would bring


@pytest.mark.parametrize("fragment", [{}, {"fragment": "1"}])
def test_the_preview_shows_the_papers_of_the_topics_and_changes_nothing(app, web, papers, fragment):
    before = rows(app)
    answer = web.post("/preview", data={"topics": "galaxy surveys"} | fragment)
    assert answer.status_code == 200
    shown = re.findall(r'<li><a href="/papers/[^"]+"[^>]*>([^<]+)</a>', answer.text)
    assert len(shown) == 5
    assert sum("alax" in title for title in shown) >= 4
    assert "of 10 papers of the week" in read(answer)
    assert ("<html" in answer.text) != bool(fragment)
    assert rows(app) == before


def test_categories_alone_have_a_preview_too(web, papers):
    answer = web.post("/preview", data={"categories": ["cs.CV"], "fragment": "1"})
    assert "Diffusion models" in read(answer)


def test_without_the_script_the_page_keeps_all_that_was_typed(web, papers):
    form = {
        "email": "sam@",
        "topics": "galaxy surveys ^2",
        "categories": ["cs.CV", "q-bio.XX ^2"],
        "authors": "Ada Lovelace",
        "liked": "2511.12345",
        "send_at": "05:15",
        "timezone": "Asia/Tokyo",
    }
    answer = web.post("/preview", data=form)
    assert answer.status_code == 200, "the address is not looked at yet"
    assert "These would have come" in read(answer)
    for text in ('value="sam@"', "galaxy surveys ^2</textarea>", "Ada Lovelace</textarea>"):
        assert text in answer.text
    assert 'value="q-bio.XX ^2"' in answer.text
    assert 'value="05:15"' in answer.text
    assert '<option value="Asia/Tokyo" selected' in answer.text
    assert picker(answer)[1] == ["cs.CV"]


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        ("", "Say what you want to read about"),
        ("qqqzzz xxyyzz", "None of these words"),
        ("maps ^1000", "expected a weight"),
    ],
)
def test_where_there_is_no_preview_it_says_why(web, papers, topics, said):
    answer = web.post("/preview", data={"topics": topics, "fragment": "1"})
    assert said in read(answer)
    assert "<li>" not in answer.text


def test_before_the_first_paper_the_preview_says_so(app, web):
    answer = web.post("/preview", data={"topics": "galaxy surveys"})
    assert answer.status_code == 200
    assert "No papers have come in of late" in read(answer)
    assert picker(answer)[0], "all categories are offered while none is known to come"


# The form


def test_the_picker_has_the_categories_of_the_papers_here(app, web, papers):
    with app.db.write() as session:
        paper = session.exec(select(Paper)).first()
        paper.categories = ["neuroscience", "cs.LG"]
        session.add(paper)
    codes, ticked = picker(web.get("/"))
    assert sorted(codes) == ["astro-ph.GA", "cs.CV", "cs.LG", "neuroscience"]
    assert ticked == []


def test_every_category_has_one_field():
    fields = by_field([*NAMES, "neuroscience", "cs.NOVEL"])
    assert sorted(code for codes in fields.values() for code in codes) == sorted(
        [*NAMES, "neuroscience", "cs.NOVEL"]
    )
    assert fields["Others"] == ["cs.NOVEL", "neuroscience"]
    assert "cs.NOVEL" not in fields["Computer Science"]
    assert "hep-th" in fields["High Energy, Nuclear and Gravitation"]


def test_ticked_and_typed_categories_come_together(app, web):
    form = {"email": STRANGER, "categories": ["cs.CV", "cs.LG", "q-bio.BM, math.OC ^2"]}
    assert web.post("/subscribe", data=form).status_code == 200
    with app.db.read() as session:
        sam = subscribers.find(session, STRANGER)
    assert sam.categories == [["cs.CV", 1], ["cs.LG", 1], ["q-bio.BM", 1], ["math.OC", 2]]


def test_all_categories_may_be_ticked_but_a_hundred_are_the_most(web):
    answer = web.post("/subscribe", data={"email": STRANGER, "categories": list(NAMES)})
    assert answer.status_code == 400
    assert "at most 100" in read(answer)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("email", "sam at home", "not an email address"),
        ("topics", "maps ^1000", "expected a weight"),
        ("categories", "cs.CV ^0", "expected a weight"),
        ("authors", "A" * 101, "at most 100 characters"),
        ("liked", " ".join(f"2511.{n:05}" for n in range(101)), "at most 100 papers"),
        ("per_digest", "many", "expected a number"),
        ("frequency", "hourly", "expected one of"),
        ("send_at", "25:00", "not an hour"),
        ("timezone", "Mars/Olympus", "not a time zone"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_lost(app, web, field, value, said):
    form = {"email": STRANGER, "topics": "tides"} | {field: value}
    answer = web.post("/subscribe", data=form)
    assert answer.status_code == 400
    (told,) = re.findall(rf'id="{field}-wrong">([^<]+)<', answer.text)
    assert said in unescape(told)
    assert "One thing is not right yet" in read(answer)
    if field in ("email", "topics", "authors", "liked", "categories"):
        control = re.search(rf'<(?:input|textarea) id="{field}(?:-other)?"[^>]*>', answer.text)
        assert 'aria-invalid="true"' in control[0]
        assert f"{field}-wrong" in control[0]
    assert (STRANGER if field != "email" else "tides") in answer.text
    with app.db.read() as session, pytest.raises(NotFound):
        subscribers.find(session, STRANGER)


def test_several_things_wrong_are_told_at_once(web):
    answer = web.post("/subscribe", data={"email": "", "topics": "maps ^1000"})
    assert "2 things are not right yet: Topics , Email address" in read(answer)


def test_the_front_page_is_light(web, papers):
    page = web.get("/")
    parts = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    size = len(page.content) + sum(len(web.get(part).content) for part in parts)
    assert len(parts) == 3
    assert size < 100_000


# Confirming


def confirm_link(app):
    with app.db.read() as session:
        sam = subscribers.find(session, STRANGER)
    return "/confirm/" + app.tokens.sign("confirm", sam.id, sam.link_epoch, app.now())


def test_confirming_brings_a_digest_at_once_and_offers_papers_to_rate(app, web, papers, mailbox):
    web.post("/subscribe", data={"email": STRANGER, "topics": "galaxy surveys"})
    outbox.send_due(app)
    answer = web.post(confirm_link(app))
    assert "first digest with the papers of the last days is on its way" in read(answer)
    assert deliver(app).sent == 1
    assert "Welcome" in mailbox.messages[-1].get_body(("html",)).get_content()
    (rate,) = re.findall(r'href="(/calibrate/[^"]+)"', answer.text)
    assert web.get(rate).status_code == 200
    again = web.post(confirm_link(app))
    assert "on its way" not in read(again)
    assert "Thursday 19 November, 07:00" in read(again)


def test_confirming_before_any_paper_promises_the_regular_one(app, web):
    web.post("/subscribe", data={"email": STRANGER})
    answer = web.post(confirm_link(app))
    assert "on its way" not in read(answer)
    assert "The next digest for sam@stranger.test comes on Thursday 19 November, 07:00" in read(
        answer
    )


# With the script, in a real browser


@pytest.mark.slow
def test_the_preview_comes_while_typing_and_the_zone_is_guessed(app, door, papers):
    door.pages = create(app)
    port = urlsplit(door.address).port
    with real_browser(f"--host-resolver-rules=MAP digest.test 127.0.0.1:{port}") as browser:
        context = browser.new_context(
            timezone_id="Europe/Berlin", viewport={"width": 360, "height": 740}
        )
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto("http://digest.test/")
        assert page.input_value("#timezone") == "Europe/Berlin"
        assert not page.get_by_role("button", name="Show me what").is_visible()
        assert not page.locator("#bring").is_visible()
        page.get_by_label("What do you want to read about?").press_sequentially("galaxy surveys")
        page.locator("#bring li").first.wait_for()
        assert page.locator("#bring li").count() == 5
        assert "alax" in page.locator("#bring li a").first.inner_text()
        page.get_by_label("What do you want to read about?").fill("")
        page.locator("#bring").wait_for(state="hidden")
        page.get_by_text("Categories", exact=True).click()
        page.get_by_text("Computer Science").click()
        page.get_by_label("Computer Vision").check()
        page.locator("#bring li").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert not [said for said in complaints if "Content Security Policy" in said]
    with app.db.read() as session:
        assert session.exec(select(Subscriber)).all() == []


@pytest.mark.parametrize(
    ("wishes", "unsaid"),
    [({}, True), ({"topics": "galaxy surveys"}, False), ({"liked": "2511.00001"}, False)],
)
def test_who_named_nothing_is_asked_for_a_topic_once_confirmed(app, web, papers, wishes, unsaid):
    web.post("/subscribe", data={"email": STRANGER, **wishes})
    person = by_address(app, STRANGER)
    link = f"/confirm/{app.tokens.sign('confirm', person.id, person.link_epoch, app.now())}"
    answer = read(web.post(link))
    assert ("Name your topics" in answer) == unsaid
    assert ("Rate a few papers" in answer) != unsaid
