"""A reader is told once what became of a liked paper, in the next digest."""

from dataclasses import replace

from conftest import IMAGES, announce
from sqlmodel import select
from test_merging import ARTICLE, PREPRINT, TIED, mail_of, put, rows, vote

from digest.delivery import deliver, prepare, preview
from digest.mail import outbox
from digest.models import Digest, Door, Handover, PaperNews, Subscriber

V2 = replace(PREPRINT, version=2, kind="replace", abstract="Fog hides most of the road.")
PUBLISHED = replace(V2, journal="Annals of Fog", doi="10.1000/j.1")
HEADING = "News of papers you liked"


def next_day(app, clock, titles=IMAGES[:1]):
    clock.forward(days=1)
    announce(app, clock().date(), titles)


def liked(app, reader, clock):
    put(app, PREPRINT)
    vote(app, reader, PREPRINT.key, "up")
    clock.forward(minutes=1)


def lines(app):
    return [[note["line"] for note in digest.news] for digest in rows(app, Digest)]


def test_a_new_version_is_told_once_in_html_and_text(app, ada, mailbox, clock):
    liked(app, ada, clock)
    put(app, V2)
    next_day(app, clock)
    assert deliver(app).sent == 1
    next_day(app, clock, IMAGES[1:2])
    assert deliver(app).sent == 1
    assert lines(app) == [["v2, abstract changed"], []]
    first, second = mailbox.messages
    for kind in ("plain", "html"):
        body = first.get_body((kind,)).get_content()
        assert "v2, abstract changed" in body and PREPRINT.url in body
        assert HEADING.casefold() in body.casefold()
        assert HEADING.casefold() not in second.get_body((kind,)).get_content().casefold()


def test_a_journal_is_told_whether_the_preprint_says_it_or_the_journal(app, ada, pia, clock):
    liked(app, ada, clock)
    put(app, PUBLISHED)
    put(app, replace(PREPRINT, title="Another one that walks through the fog", key="arxiv:2611.1"))
    assert [news.line for news in rows(app, PaperNews)] == [
        "v2, abstract changed",
        "now published in Annals of Fog",
    ]
    next_day(app, clock)
    prepare(app)
    assert lines(app) == [["v2, abstract changed; now published in Annals of Fog"]]


def cancelled(app, reader, clock):
    """A digest with news that its reader, who paused, was never handed; then she comes back."""
    liked(app, reader, clock)
    put(app, V2)
    next_day(app, clock)
    prepare(app)
    with app.db.write() as session:
        session.get(Subscriber, reader.id).status = "paused"
    assert outbox.send_due(app).cancelled == 1
    with app.db.write() as session:
        session.get(Subscriber, reader.id).status = "active"


def test_what_a_digest_told_that_nobody_saw_is_told_by_the_next_one(app, ada, clock, mailbox):
    cancelled(app, ada, clock)
    for titles in (IMAGES[1:2], IMAGES[2:3]):
        next_day(app, clock, titles)
        assert deliver(app).sent == 1
    assert lines(app) == [["v2, abstract changed"], ["v2, abstract changed"], []]
    assert "v2, abstract changed" in mailbox.messages[0].get_body(("plain",)).get_content()


def test_what_an_earlier_digest_told_stays_told(app, ada, clock, mailbox):
    liked(app, ada, clock)
    put(app, replace(PREPRINT, journal="Annals of Fog", kind="replace"))
    next_day(app, clock)
    assert deliver(app).sent == 1
    cancelled(app, ada, clock)
    next_day(app, clock, IMAGES[1:2])
    assert deliver(app).sent == 1
    assert lines(app)[-1] == ["v2, abstract changed"]


def test_what_another_door_has_told_stays_told(app, ada, clock, mailbox):
    with app.db.write() as session:
        session.add(Door(subscriber_id=ada.id, url="https://chat.test/x", added_at=app.now()))
    liked(app, ada, clock)
    put(app, V2)
    next_day(app, clock)
    prepare(app)
    with app.db.write() as session:
        (digest,) = session.exec(select(Digest))
        (door,) = session.exec(select(Door))
        done = {"status": "done", "due_at": app.now()}
        session.add(Handover(digest_id=digest.id, door_id=door.id, **done))
        session.get(Subscriber, ada.id).status = "paused"
    assert outbox.send_due(app).cancelled == 1
    with app.db.write() as session:
        session.get(Subscriber, ada.id).status = "active"
    next_day(app, clock, IMAGES[1:2])
    assert deliver(app).sent == 1
    assert lines(app) == [["v2, abstract changed"], []]


def test_a_merge_tells_of_the_journal_only_who_did_not_know_it(app, ada, clock):
    put(app, ARTICLE)
    liked(app, ada, clock)
    put(app, TIED)
    assert [news.line for news in rows(app, PaperNews)] == ["now published in Annals of Fog"]


def test_who_liked_the_article_learns_nothing_from_a_merge(app, ada, clock):
    put(app, ARTICLE, PREPRINT)
    vote(app, ada, ARTICLE.key, "up")
    clock.forward(minutes=1)
    put(app, TIED)
    assert rows(app, PaperNews) == []


def test_of_two_versions_the_later_is_told(app, ada, clock):
    liked(app, ada, clock)
    put(app, V2)
    put(app, replace(V2, version=3))
    next_day(app, clock)
    prepare(app)
    next_day(app, clock, IMAGES[1:2])
    prepare(app)
    assert lines(app) == [["v3, abstract unchanged"], []]


def test_news_from_before_the_like_is_none(app, ada, pia, clock):
    put(app, PREPRINT)
    vote(app, pia, PREPRINT.key, "up")
    clock.forward(minutes=1)
    put(app, V2)
    clock.forward(minutes=1)
    vote(app, ada, PREPRINT.key, "up")
    next_day(app, clock)
    prepare(app)
    assert lines(app) == [[]]


def test_a_quiet_replacement_is_no_mail(app, ada, clock):
    liked(app, ada, clock)
    clock.forward(days=1)
    put(app, replace(V2, day=clock().date()))
    assert prepare(app) == (0, 1)
    assert rows(app, Digest) == []


def test_what_was_told_is_frozen(app, ada, clock):
    liked(app, ada, clock)
    put(app, V2)
    next_day(app, clock)
    prepare(app)
    (digest,) = rows(app, Digest)
    before = mail_of(app, ada, digest)
    assert before.news
    put(app, replace(V2, version=3, title="Another title altogether"))
    with app.db.write() as session:
        for news in session.exec(select(PaperNews)):
            session.delete(news)
    assert mail_of(app, ada, digest) == before


def test_a_preview_shows_news_and_does_not_settle_it(app, ada, clock):
    liked(app, ada, clock)
    put(app, V2)
    next_day(app, clock)
    assert "v2, abstract changed" in preview(app, "ada@reader.test").text
    prepare(app)
    assert lines(app) == [["v2, abstract changed"]]


def test_no_more_than_a_few_in_one_mail_and_the_rest_in_the_next(app, ada, clock):
    papers = [
        replace(PREPRINT, key=f"arxiv:2611.{at:05}", title=f"{'far ' * at}{PREPRINT.title}")
        for at in range(7)
    ]
    put(app, *papers)
    for paper in papers:
        vote(app, ada, paper.key, "up")
    put(app, *(replace(paper, version=2, kind="replace") for paper in papers))
    next_day(app, clock)
    prepare(app)
    next_day(app, clock, IMAGES[1:2])
    prepare(app)
    assert [len(told) for told in lines(app)] == [5, 2]


def test_who_liked_both_rows_is_told_once(app, ada, clock):
    """Ada heard of the article's second version before the two were known to be one."""
    put(app, ARTICLE, PREPRINT)
    for paper in (ARTICLE, PREPRINT):
        vote(app, ada, paper.key, "up")
    clock.forward(minutes=1)
    put(app, replace(ARTICLE, version=2, kind="replace"))
    next_day(app, clock)
    prepare(app)
    put(app, replace(PREPRINT, version=2, kind="replace"))
    put(app, TIED)
    next_day(app, clock, IMAGES[1:2])
    prepare(app)
    assert lines(app) == [["v2, abstract unchanged"], []]


def test_one_readers_knowledge_is_not_anothers(app, ada, pia, clock):
    """Pia liked the article and knows its journal; Ada liked the preprint alone."""
    put(app, ARTICLE, PREPRINT)
    vote(app, ada, PREPRINT.key, "up")
    vote(app, pia, ARTICLE.key, "up")
    with app.db.write() as session:
        session.get(Subscriber, pia.id).status = "active"
        session.get(Subscriber, pia.id).next_digest_at = clock()
    clock.forward(minutes=1)
    put(app, TIED)
    next_day(app, clock)
    assert prepare(app) == (2, 0)
    told = {digest.subscriber_id: digest.news for digest in rows(app, Digest)}
    assert [note["line"] for note in told[ada.id]] == ["now published in Annals of Fog"]
    assert told[pia.id] == []
