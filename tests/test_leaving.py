"""Leaving by the mail's link and by the one click of mail programs, over real HTTP."""

import re

import pytest
from web_door import (
    bearer,
    by_address,
    read,
)

from digest import subscribers
from digest.models import (
    Subscriber,
)

pytestmark = pytest.mark.sqlite  # about pages; those of `postgres` on both


@pytest.mark.postgres
def test_unsubscribing_takes_the_button(app, web, ada, links):
    link = links.unsubscribe(bearer(app, ada))
    assert "No more digests?" in read(web.get(link))
    assert by_address(app, ada.email).status == "active"
    assert "You are unsubscribed" in read(web.post(link))
    assert by_address(app, ada.email).status == "removed"
    assert "You are unsubscribed" in read(web.post(link))


@pytest.mark.postgres
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
