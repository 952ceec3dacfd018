"""A digest in the browser and the reader's feed, over real HTTP: they show, and let nobody act."""

import re

import feedparser
import pytest
from conftest import announce
from sqlmodel import delete, select
from web_door import bearer, everything, read

from digest import subscribers
from digest.delivery import deliver
from digest.mail.links import Bearer
from digest.models import Digest, Edition, EditionPaper, Paper

pytestmark = pytest.mark.sqlite  # they are of HTTP


@pytest.fixture
def sent(app, ada, clock, mailbox):
    """Ada's digest of today, sent."""
    announce(app, clock().date())
    deliver(app)
    with app.db.read() as session:
        return session.exec(select(Digest)).one()


def whose(app, person, digest_id=0):
    return Bearer(person.id, person.link_epoch, person.created_at, digest_id, person.view_epoch)


def renewed(app, person):
    """The person as she is after new links were made."""
    subscribers.renew_reading_links(app, person.id)
    with app.db.read() as session:
        return subscribers.get(session, person.id)


def test_the_feed_has_the_picks_of_the_digests_the_newest_first(app, web, ada, sent, links, clock):
    clock.forward(days=1)
    announce(app, clock().date(), ["Diffusion models for image generation, again"])
    deliver(app)
    answer = web.get(links.feed(whose(app, ada)))
    found = feedparser.parse(answer.content)
    assert answer.headers["content-type"] == "application/atom+xml"
    assert not found.bozo
    assert found.entries[0].title == "Diffusion models for image generation, again"
    mail = read(web.get(links.view(whose(app, ada, sent.id))))
    assert len(found.entries) > 5
    for entry in found.entries[1:]:
        assert entry.title in mail
    assert any("because of your topic" in entry.summary.lower() for entry in found.entries)
    assert found.entries[0].updated == "2026-11-19T09:00:00Z" == found.feed.updated
    assert found.feed.links[0].href.endswith(links.feed(whose(app, ada)))


def test_where_the_frozen_cards_are_gone_the_papers_are_shown(app, web, ada, sent, links):
    page, feed = links.view(whose(app, ada, sent.id)), links.feed(whose(app, ada))
    before = read(web.get(page)), len(feedparser.parse(web.get(feed).content).entries)
    with app.db.write() as session:
        session.exec(delete(EditionPaper))
        session.exec(delete(Edition))
    assert (read(web.get(page)), len(feedparser.parse(web.get(feed).content).entries)) == before


def test_an_entry_keeps_its_id_and_its_text_as_it_was_sent(app, web, ada, sent, links, clock):
    link = links.feed(whose(app, ada))
    before = {each.id: each.title for each in feedparser.parse(web.get(link).content).entries}
    with app.db.write() as session:
        for paper in session.exec(select(Paper)):
            paper.title = "Withdrawn"
            session.add(paper)
    again = links.feed(whose(app, renewed(app, ada)))
    after = {each.id: each.title for each in feedparser.parse(web.get(again).content).entries}
    assert before == after != {}


def test_a_feed_reader_that_has_it_is_not_sent_it_again(app, web, ada, sent, links, clock):
    link = links.feed(whose(app, ada))
    first = web.get(link)
    mark = first.headers["etag"]
    assert "no-store" not in first.headers["cache-control"]
    for known in (mark, f"W/{mark}", f'"other", {mark}', "*"):
        again = web.get(link, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", mark)
    assert web.get(link, headers={"If-None-Match": '"other"'}).status_code == 200
    clock.forward(days=1)
    announce(app, clock().date(), ["A new image of diffusion"])
    deliver(app)
    assert web.get(link, headers={"If-None-Match": mark}).status_code == 200


def test_the_feed_lets_nobody_act_and_names_nobody(app, web, ada, sent, links):
    text = web.get(links.feed(whose(app, ada))).text
    assert not re.search("/(vote|preferences|unsubscribe|one-click|my-data)/", text)
    assert ada.email not in text
    assert ada.name not in text


@pytest.mark.slow
def test_it_goes_fifty_papers_back(app, web, ada, links, clock):
    with app.db.write() as session:
        person = subscribers.get(session, ada.id)
        person.per_digest = 40
        session.add(person)
    for day in range(2):
        announce(app, clock().date(), [f"Images {day} {n}: {n * 7}" for n in range(45)])
        deliver(app)
        clock.forward(days=1)
    found = feedparser.parse(web.get(links.feed(whose(app, ada))).content)
    assert len(found.entries) == len({entry.id for entry in found.entries}) == 50


def test_new_links_end_the_old_and_no_other(app, web, ada, sent, links):
    old = whose(app, ada, sent.id)
    for link in (links.feed(old), links.view(old)):
        assert web.get(link).status_code == 200
    page = read(web.post(links.preferences(bearer(app, ada)), data={"action": "links"}))
    assert "New links are made" in page
    for link in (links.feed(old), links.view(old)):
        assert web.get(link).status_code == 410
    with app.db.read() as session:
        fresh = whose(app, subscribers.get(session, ada.id), sent.id)
    for link in (links.feed(fresh), links.view(fresh), links.preferences(old)):
        assert web.get(link).status_code == 200
    assert web.get(links.votes(old)(1, "up")).status_code == 200
    assert web.post(links.one_click(old)).status_code == 200


def test_the_preferences_name_the_feed_and_always_the_same(app, web, ada, sent, links, clock):
    link = links.preferences(bearer(app, ada))
    found = re.findall(r'value="http://digest.test(/feed/[^"]+)"', web.get(link).text)
    clock.forward(hours=5)
    assert re.findall(r'value="http://digest.test(/feed/[^"]+)"', web.get(link).text) == found
    assert web.get(found[0]).status_code == 200


def test_the_feed_ends_with_the_subscription(app, web, ada, sent, links):
    subscribers.remove(app, ada.id)
    assert web.get(links.feed(whose(app, ada))).status_code == 410


def test_a_digest_of_another_is_not_shown(app, web, ada, pia, sent, links):
    assert web.get(links.view(whose(app, pia, sent.id))).status_code == 404


def test_a_digests_page_says_who_can_read_it(app, web, ada, sent, links):
    page = links.view(whose(app, ada, sent.id))
    told = read(web.get(page))
    assert "because of your topic" in told.lower()
    assert "whoever has its address can read it, with the reasons" in told
    assert ada.email not in told
    with app.db.write() as session:
        session.get(Digest, sent.id).reasons = []
    told = read(web.get(page))
    assert "whoever has its address can read it." in told


def test_looking_changes_nothing(app, web, ada, sent, links):
    before = everything(app)
    web.get(links.feed(whose(app, ada)))
    web.head(links.feed(whose(app, ada)))
    assert everything(app) == before
