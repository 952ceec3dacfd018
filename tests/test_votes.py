"""The page behind a mail's thumbs, over real HTTP."""

import re

import pytest
from conftest import announce
from web_door import (
    everything,
    mailed_link,
    read,
    standing,
)

from digest.delivery import deliver

pytestmark = pytest.mark.sqlite  # about pages; those of `postgres` on both


@pytest.mark.postgres
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


@pytest.mark.postgres
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
