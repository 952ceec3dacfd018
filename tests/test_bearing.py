"""Whose link a page was opened with: guesses, cuts, swaps and the links of the erased learn
nothing."""

from dataclasses import replace

import pytest
from conftest import STRANGER
from web_door import bearer, by_address, everything

from digest import editions, moving, subscribers
from digest.changes import Changes
from digest.mail.links import Bearer
from digest.models import OutboxMessage
from digest.tokens import Tokens
from digest.web import create

pytestmark = pytest.mark.sqlite  # they are of HTTP

ACTING = ["confirm", "preferences", "my-data", "address", "vote", "unsubscribe"]
SHOWING = ["digests", "feed"]


@pytest.fixture
def good(app, ada, digest, links):
    """A good link for each page of Ada's, by the page."""
    whose = bearer(app, ada, digest.id)
    moving.request(app, ada.id, "ada@elsewhere.test")
    with app.db.write() as session:
        asked = session.get(OutboxMessage, 1)
        editions.freeze(session, digest.day, [1, 2, 3], app.now())
    return {
        "confirm": links.confirm(whose),
        "preferences": links.preferences(whose),
        "my-data": links.my_data(whose),
        "address": links.address(whose, asked.id),
        "vote": links.votes(whose)(1, "up"),
        "unsubscribe": links.unsubscribe(whose),
        "digests": links.view(whose),
        "feed": links.feed(whose),
    }


def answers(web, link):
    """What the page says to whoever looks and, where it acts, presses a button."""
    tried = [web.get(link)]
    if link.split("/")[1] in ACTING:
        tried.append(web.post(link, data={"action": "erase-all", "vote": "up", "email": STRANGER}))
    return tried


@pytest.mark.parametrize("path", [*ACTING, *SHOWING])
def test_all_that_is_no_link_of_ours_gets_the_same_answer(app, web, clock, good, path):
    link = good[path]
    _, _, token = link.rpartition("/")
    end = ".xml" if path == "feed" else ""
    token = token.removesuffix(end)
    payload, _, rest = token.partition(".")
    person, epoch, subject, minute = payload.split("-")
    another = Tokens(["z" * 40]).sign("preferences", int(person, 16), 0, clock())
    wrong = {
        "cut": token[:-3],
        "of another reader": f"{int(person, 16) + 1:x}-{epoch}-{subject}-{minute}.{rest}",
        "of an unknown one": f"fffff-{epoch}-{subject}-{minute}.{rest}",
        "newer": f"{person}-{epoch}-{subject}-{int(minute, 16) + 9:x}.{rest}",
        "by another secret": another,
        "rubbish": "x",
        "huge": "A" * 12_000,  # beyond 16 kB the server itself refuses
        "not ASCII": "%C3%A9%00%ff",
    }
    before, said = everything(app), set()
    for text in wrong.values():
        for answer in answers(web, f"/{path}/{text}{end}"):
            said.add((answer.status_code, answer.text))
        clock.forward(minutes=3)  # who guesses faster is shut out
    assert {status for status, _ in said} == {404}
    assert len(said) == 1
    assert everything(app) == before


@pytest.mark.parametrize("path", [*ACTING, *SHOWING])
def test_a_link_opens_its_own_page_alone(app, web, clock, good, path):
    token = good[path].rpartition("/")[2].removesuffix(".xml")
    before = everything(app)
    for other in {*ACTING, *SHOWING} - {path}:
        end = {"feed": ".xml", "vote": ".1u"}.get(other, "")
        for answer in answers(web, f"/{other}/{token}{end}"):
            assert answer.status_code == 404
        clock.forward(minutes=3)
    assert everything(app) == before


@pytest.mark.parametrize("path", [*ACTING, *SHOWING])
def test_a_good_link_opens_until_its_reader_is_erased(app, web, ada, good, path):
    assert web.get(good[path]).status_code == 200
    subscribers.erase(app, ada.id)
    before = everything(app)
    expected = 200 if path == "unsubscribe" else 410
    assert [answer.status_code for answer in answers(web, good[path])] == [expected] * (
        2 if path in ACTING else 1
    )
    assert everything(app) == before


def test_an_erased_readers_links_never_open_a_newcomers_pages(app, web, ada, good):
    subscribers.erase(app, ada.id)
    newcomer = subscribers.add(app, STRANGER, Changes())
    assert newcomer.id != ada.id
    for path in set(good) - {"unsubscribe"}:
        assert web.get(good[path]).status_code == 410
    web.post(good["unsubscribe"])
    assert by_address(app, STRANGER).status == "active"


@pytest.mark.parametrize("purpose", ["unsubscribe", "one_click"])
def test_leaving_works_after_a_year_a_rotation_and_new_links(
    app, web, door, ada, links, clock, purpose
):
    link = getattr(links, purpose)(Bearer(ada.id, ada.link_epoch, clock()))
    moving.request(app, ada.id, "ada@elsewhere.test")
    moving.confirm(app, ada.id, 1)
    clock.forward(days=366)
    door.pages = create(replace(app, tokens=Tokens(["n" * 40, "s" * 40])))
    assert web.post(link).status_code == 200
    assert by_address(app, "ada@elsewhere.test").status == "removed"
