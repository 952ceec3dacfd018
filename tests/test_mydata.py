"""What takes a fresh link, over real HTTP: a forwarded mail gives nobody one's data, address or
end."""

import json
import re

import pytest
from conftest import announce
from sqlmodel import select
from web_door import bearer, by_address, everything, mailed_link, read

from digest import bounds, moving, signup, subscribers
from digest.changes import Changes
from digest.delivery import deliver
from digest.errors import NotFound
from digest.mail import outbox
from digest.models import OutboxMessage

pytestmark = pytest.mark.sqlite  # they are of HTTP

NEW = "ada@elsewhere.test"


@pytest.fixture
def fresh(app, web, ada, links, mailbox):
    """The link that the preferences mail."""
    page = read(web.post(links.preferences(bearer(app, ada)), data={"action": "data"}))
    assert f"A mail to {ada.email} is on its way" in page
    outbox.send_due(app)
    return mailed_link(mailbox, "my-data")


def test_the_link_comes_by_mail_and_is_good_for_an_hour(app, web, fresh, clock):
    assert "Download my data" in read(web.get(fresh))
    clock.forward(minutes=59)
    assert web.get(fresh).status_code == 200
    clock.forward(minutes=5)
    for answer in (web.get(fresh), web.post(fresh, data={"action": "erase-all"})):
        assert answer.status_code == 410


def test_all_the_data_is_a_file(app, web, ada, fresh):
    answer = web.post(fresh, data={"action": "export"})
    assert answer.headers["content-disposition"] == 'attachment; filename="my-data-2026-11-18.json"'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    told = json.loads(answer.text)
    assert told["email"] == ada.email
    assert {"standing", "days_without_mail", "votes_by_mail", "digests", "bounces"} <= told.keys()


def test_erasing_is_asked_once_more_and_leaves_a_hash(app, web, ada, fresh):
    assert "Erase everything?" in read(web.post(fresh, data={"action": "erase"}))
    assert by_address(app, ada.email).status == "active"
    assert "You are erased" in read(web.post(fresh, data={"action": "erase-all"}))
    left = everything(app)
    assert ada.email not in str(left)
    assert len(left["suppression"]) == 1
    assert web.get(fresh).status_code == 410


def test_another_address_says_yes_and_the_old_links_end(app, web, ada, fresh, links, mailbox):
    page = read(web.post(fresh, data={"action": "address", "email": NEW}))
    assert f"If {NEW} has no subscription of its own, a mail to it is on its way" in page
    outbox.send_due(app)
    yes = mailed_link(mailbox, "address")
    before = everything(app)
    assert "Your digests, to this address?" in read(web.get(yes))
    assert everything(app) == before
    page = web.post(yes)
    assert f"Your address is {NEW}" in read(page)
    (preferences,) = re.findall(r'href="(/preferences/[^"]+)"', page.text)
    assert NEW in read(web.get(preferences))
    old = bearer(app, ada)
    for link in (fresh, links.preferences(old)):
        assert web.get(link).status_code == 410
    again = web.post(yes)
    assert again.status_code == 200
    assert "/preferences/" not in again.text
    assert web.post(links.one_click(old)).status_code == 200
    assert by_address(app, NEW).status == "removed"


def test_another_request_is_no_good_once_one_was_confirmed(app, web, ada, fresh, mailbox, clock):
    for name in ("one", "two"):
        web.post(fresh, data={"action": "address", "email": f"{name}@elsewhere.test"})
    outbox.send_due(app)
    found = {
        mail["To"]: re.search(r"http://digest.test(/address/\S+)", _text(mail))[1]
        for mail in mailbox.messages[1:]
    }
    assert web.post(found["two@elsewhere.test"]).status_code == 200
    assert web.post(found["one@elsewhere.test"]).status_code == 410
    assert by_address(app, "two@elsewhere.test").id == ada.id


def _text(mail):
    return mail.get_body(("plain",)).get_content()


def test_the_answer_does_not_tell_who_is_subscribed(app, web, ada, pia, fresh):
    pages = {
        (answer.status_code, answer.text.replace(name, "xyz"))
        for name in ("pia", "who")
        for answer in [web.post(fresh, data={"action": "address", "email": f"{name}@reader.test"})]
    }
    assert len(pages) == 1


def test_a_wrong_address_is_said_and_stays_in_the_form(app, web, ada, fresh):
    answer = web.post(fresh, data={"action": "address", "email": "ada(at)home"})
    assert answer.status_code == 400
    assert "is not an email address" in read(answer)
    assert 'value="ada(at)home"' in answer.text


def test_what_is_no_button_does_nothing(app, web, ada, fresh):
    before = everything(app)
    for form in ({}, {"action": "erase-me"}, {"action": "save"}):
        assert web.post(fresh, data=form).status_code == 400
    assert everything(app) == before


def test_a_mail_that_is_passed_on_gives_none_of_it(app, web, ada, mailbox, clock):
    """Every link of a digest, tried as every page that takes a fresh one."""
    announce(app, clock().date())
    deliver(app)
    mail = mailbox.messages[-1]
    text = mail["List-Unsubscribe"] + _text(mail)
    found = dict(re.findall(r"http://digest\.test/([\w-]+)/([\w.-]+)", text))
    assert found.keys() >= {"vote", "preferences", "unsubscribe", "one-click", "digests"}
    before = everything(app)
    for token in found.values():
        for path in ("my-data", "address"):
            assert web.get(f"/{path}/{token}").status_code == 404
            form = {"action": "erase-all", "email": NEW}
            assert web.post(f"/{path}/{token}", data=form).status_code == 404
    for action in ("export", "erase", "erase-all", "address"):
        answer = web.post(
            f"/preferences/{found['preferences']}", data={"action": action, "email": NEW}
        )
        assert "attachment" not in answer.headers.get("content-disposition", "")
    assert everything(app) == before


@pytest.mark.slow
def test_the_link_is_mailed_three_times_an_hour(app, web, ada, links, clock):
    link = links.preferences(bearer(app, ada))
    answers = [web.post(link, data={"action": "data"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400, 400]
    assert "3 such links were mailed within the last hour" in read(answers[-1])
    clock.forward(hours=1, minutes=1)
    assert web.post(link, data={"action": "data"}).status_code == 200
    for _ in range(30):
        clock.forward(minutes=20)
        web.post(link, data={"action": "data"})
    with app.db.read() as session:
        sent = session.exec(select(OutboxMessage).where(OutboxMessage.kind == "sensitive")).all()
    assert len(sent) == bounds.DATA_LINKS_A_DAY


def test_who_has_left_still_gets_at_the_data(app, web, ada, links, mailbox):
    link = links.unsubscribe(bearer(app, ada))
    assert "Mail me that link" in read(web.post(link))
    web.post(link, data={"action": "data"})
    outbox.send_due(app)
    mailed = mailed_link(mailbox, "my-data")
    assert "Another address" not in read(web.get(mailed))
    assert web.post(mailed, data={"action": "address", "email": NEW}).status_code == 400
    web.post(mailed, data={"action": "erase-all"})
    with pytest.raises(NotFound):
        by_address(app, ada.email)
    assert web.post(link).status_code == 200


def test_an_unconfirmed_address_is_mailed_no_such_link(app, web, links):
    signup.subscribe(app, "sam@stranger.test", Changes())
    link = links.preferences(bearer(app, by_address(app, "sam@stranger.test")))
    assert web.post(link, data={"action": "data"}).status_code == 400


def test_a_request_dies_with_its_reader(app, web, ada, fresh, mailbox):
    moving.request(app, ada.id, NEW)
    outbox.send_due(app)
    yes = mailed_link(mailbox, "address")
    subscribers.erase(app, ada.id)
    assert web.get(yes).status_code == web.post(yes).status_code == 410
