"""Two rows that a later record ties together become one, and nothing of either is lost."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from conftest import announce
from sqlmodel import select

from digest import feedback, training
from digest.delivery import deliver, prepare
from digest.feeds.store import store
from digest.mail.compose import load
from digest.mail.links import Links
from digest.models import (
    Announcement,
    Batch,
    Digest,
    Edition,
    EditionPaper,
    Feedback,
    OutboxMessage,
    Paper,
    PaperAlias,
    Pick,
    Subscriber,
    Upvotes,
)
from digest.papers import Entry, Listing

DAY = date(2026, 11, 18)
PREPRINT = Entry(
    key="arxiv:2611.01234",
    title="Diffusion models for image generation in the fog",
    abstract="Fog hides the road.",
    authors=("Mira Koval", "Tomás Ferreira"),
    categories=("cs.CV",),
    url="https://arxiv.org/abs/2611.01234",
    day=DAY,
)
ARTICLE = replace(
    PREPRINT,
    key="doi:10.1000/j.1",
    title="On lanterns and what they show of a road",
    journal="Annals of Fog",
    doi="10.1000/j.1",
    url="https://doi.org/10.1000/j.1",
    categories=(),
    aliases=("url:https://j.test/1",),
)
TIED = replace(PREPRINT, doi="10.1000/j.1", aliases=("doi:10.1000/j.1",), kind="replace", version=2)


def put(app, *entries, feed_id=None):
    with app.db.write() as session:
        return store(session, Listing("", None, entries), feed_id, app.now())


def rows(app, table):
    with app.db.read() as session:
        return list(session.exec(select(table)))


def listed(app):
    return [paper for paper in rows(app, Paper) if paper.merged_into is None]


def vote(app, reader, key, said):
    with app.db.write() as session:
        paper = feedback.find_paper(session, key)
        feedback.record(session, reader.id, paper.id, said, source="cli", now=app.now())


def found(app, text):
    with app.db.read() as session:
        return feedback.find_paper(session, text).key


def test_every_id_leads_to_the_paper_that_stays(app):
    put(app, ARTICLE)
    put(app, PREPRINT)
    assert len(listed(app)) == 2
    put(app, TIED)
    (paper,) = listed(app)
    assert (paper.key, paper.journal, paper.version) == (PREPRINT.key, "Annals of Fog", 2)
    assert {found(app, name) for name in ("10.1000/j.1", "https://j.test/1", "2611.01234")} == {
        PREPRINT.key
    }
    put(app, ARTICLE, PREPRINT, TIED)
    assert len(listed(app)) == 1


def test_title_and_authors_tie_where_no_id_does(app):
    put(app, PREPRINT)
    put(app, replace(ARTICLE, title=PREPRINT.title.upper(), authors=("M. Koval",)))
    (paper,) = rows(app, Paper)
    assert (paper.key, paper.journal) == (PREPRINT.key, "Annals of Fog")
    assert found(app, "10.1000/j.1") == PREPRINT.key


def test_two_new_entries_of_one_listing_can_be_one_paper(app):
    put(app, replace(ARTICLE, title=PREPRINT.title), PREPRINT)
    (paper,) = rows(app, Paper)
    assert paper.key == PREPRINT.key
    assert {row.alias for row in rows(app, PaperAlias)} == {
        "doi:10.1000/j.1",
        "url:https://j.test/1",
    }


def test_a_feed_that_changes_its_guids_brings_nothing_new(app):
    first = replace(ARTICLE, key="url:https://j.test/1?token=a", doi=None, aliases=())
    put(app, first)
    for token in "bcd":
        put(app, replace(first, key=f"url:https://j.test/1?token={token}", day=DAY))
    assert len(rows(app, Paper)) == 1


def test_the_earlier_listing_day_and_all_announcements_stay(app, clock):
    put(app, ARTICLE)
    earlier = clock()
    clock.forward(days=1)
    put(app, replace(PREPRINT, day=DAY + timedelta(days=1)))
    put(app, replace(TIED, day=DAY + timedelta(days=1)))
    (paper,) = listed(app)
    assert (paper.announced_day, paper.announced_at) == (DAY, earlier)
    told = {(row.paper_id, row.day, row.kind) for row in rows(app, Announcement)}
    later = DAY + timedelta(days=1)
    assert told == {
        (paper.id, DAY, "new"),
        (paper.id, later, "new"),
        (paper.id, later, "replace"),
    }


def test_votes_follow_and_the_later_word_holds(app, ada, pia, clock):
    put(app, ARTICLE, PREPRINT)
    vote(app, ada, ARTICLE.key, "up")
    vote(app, pia, PREPRINT.key, "up")
    clock.forward(hours=1)
    vote(app, ada, PREPRINT.key, "down")
    vote(app, pia, ARTICLE.key, "none")
    before = {person.id: person.revision for person in rows(app, Subscriber)}
    put(app, TIED)
    (paper,) = listed(app)
    votes = {(row.subscriber_id, row.paper_id): row.vote for row in rows(app, Feedback)}
    assert votes == {(ada.id, paper.id): -1, (pia.id, paper.id): 0}
    assert all(person.revision > before[person.id] for person in rows(app, Subscriber))


def test_the_higher_count_of_upvotes_stays(app):
    put(app, replace(ARTICLE, upvotes=7), replace(PREPRINT, upvotes=3))
    put(app, TIED)
    (counted,) = rows(app, Upvotes)
    assert (counted.paper_id, counted.count) == (listed(app)[0].id, 7)


def test_a_ranker_that_named_the_row_is_trained_anew(app, ada):
    announce(app, DAY)
    put(app, ARTICLE, PREPRINT)
    vote(app, ada, ARTICLE.key, "up")

    def named():
        with app.db.read() as session:
            reader = session.get(Subscriber, ada.id)
        (ranker,) = training.ready(app, training.feature_space(app), [reader]).rankers
        return ranker.papers

    gone = named()
    put(app, TIED)
    (stays,) = {paper.id for paper in listed(app) if paper.key == PREPRINT.key}
    assert named() == (str(stays),) != gone


@pytest.mark.parametrize("first", [ARTICLE, PREPRINT])
def test_who_was_sent_one_of_them_never_gets_the_other(app, ada, clock, first):
    other = PREPRINT if first is ARTICLE else ARTICLE
    put(app, first)
    assert prepare(app) == (1, 0)
    clock.forward(days=1)
    put(app, replace(other, day=clock().date()))
    put(app, replace(TIED, day=clock().date()))
    assert prepare(app) == (0, 1)
    (pick,) = rows(app, Pick)
    assert pick.paper_id == listed(app)[0].id


def mail_of(app, reader, digest):
    links = Links(app.settings.web.base_url, app.tokens)
    with app.db.read() as session:
        return load(session, reader, digest, app.settings, links)


def test_a_mail_shows_what_it_showed_after_a_merge(app, ada, pia, clock):
    """Both rows went to Ada in one digest before they were known to be one."""
    put(app, ARTICLE, PREPRINT)
    prepare(app)
    (digest,) = rows(app, Digest)
    before = mail_of(app, ada, digest)
    assert len(before.items) == 2
    put(app, replace(TIED, title="Another title altogether"))
    assert mail_of(app, ada, digest) == before
    pairs = [(pick.subscriber_id, pick.paper_id) for pick in rows(app, Pick)]
    assert len(pairs) == len(set(pairs)) == 2
    with app.db.write() as session:  # the old link's vote counts for the paper that stays
        for pick in session.exec(select(Pick)):
            feedback.record(session, ada.id, pick.paper_id, "up", source="mail", now=app.now())
    assert [row.paper_id for row in rows(app, Feedback)] == [listed(app)[0].id]


def test_a_merge_between_planning_and_keeping_repeats_nothing(app, ada, clock, monkeypatch):
    from digest import delivery

    put(app, ARTICLE)
    prepare(app)
    clock.forward(days=1)
    put(app, replace(PREPRINT, day=clock().date()))
    planned = delivery.plans

    def meanwhile(*args, **kwargs):
        made = planned(*args, **kwargs)
        put(app, replace(TIED, day=clock().date()))
        return made

    monkeypatch.setattr(delivery, "plans", meanwhile)
    prepare(app)
    assert len(rows(app, Pick)) == 1
    assert len(rows(app, OutboxMessage)) == 1


def test_never_twice_outlives_the_listings(app, ada, clock, mailbox):
    """All that a retention may delete is gone, and the feed brings the paper as if it were new."""
    put(app, replace(ARTICLE, key="url:https://j.test/1?token=a", doi=None, aliases=()))
    assert deliver(app).sent == 1
    clock.forward(days=400)
    with app.db.write() as session:
        for table in (Announcement, EditionPaper, Edition, Batch, OutboxMessage):
            for row in session.exec(select(table)):
                session.delete(row)
        for paper in session.exec(select(Paper)):
            paper.announced_day = paper.announced_at = None
    again = replace(ARTICLE, key="url:https://j.test/9?token=b", doi=None, aliases=())
    put(app, replace(again, day=clock().date()))
    assert [paper.announced_day for paper in rows(app, Paper)] == [clock().date()]
    assert deliver(app).sent == 0
    assert len(mailbox.messages) == 1
