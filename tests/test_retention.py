"""Old listings go; likes, and what was sent, do not."""

from dataclasses import replace
from datetime import timedelta

from conftest import GALAXIES, IMAGES, announce
from sqlmodel import select

from digest import feedback, training
from digest.delivery import deliver
from digest.library import Query, browse
from digest.models import Announcement, Paper, PaperAlias, Pick, Subscriber
from digest.retention import forget_listings
from digest.settings import Papers


def keeping(app, days):
    return replace(app, settings=app.settings.model_copy(update={"papers": Papers(keep_days=days)}))


def titles(app, *, listed=None):
    with app.db.read() as session:
        papers = session.exec(select(Paper)).all()
    return {p.title for p in papers if listed is None or (p.announced_day is not None) == listed}


def like(app, reader, papers):
    with app.db.write() as session:
        for paper in papers:
            feedback.record(session, reader.id, paper, "up", source="web", now=app.now())


def listings(app, clock):
    """A listing of more than a year ago, and one of today."""
    old = announce(app, clock().date() - timedelta(days=366))
    with app.db.write() as session:
        day = clock().date() - timedelta(days=366)
        for paper in old:
            session.add(PaperAlias(alias=f"doi:10.1/{paper}", paper_id=paper))
            session.add(Announcement(paper_id=paper, day=day, kind="new", recorded_at=clock()))
    announce(app, clock().date(), [f"{title}, seen again" for title in (*IMAGES, *GALAXIES)])
    return old


def test_a_listing_of_last_year_goes_and_todays_stays(app, clock):
    listings(app, clock)
    assert forget_listings(keeping(app, 365)) == 10
    assert titles(app) == {f"{title}, seen again" for title in (*IMAGES, *GALAXIES)}
    assert forget_listings(keeping(app, 365)) == 0


def test_nothing_goes_where_nothing_is_said(app, clock):
    listings(app, clock)
    assert forget_listings(app) == 0
    assert forget_listings(keeping(app, 366)) == 0
    assert len(titles(app)) == 20


def test_all_goes_however_much_there_is_and_a_stop_is_heard(app, clock, monkeypatch):
    monkeypatch.setattr("digest.retention.AT_ONCE", 3)
    listings(app, clock)
    asked = iter((False, True))
    assert forget_listings(keeping(app, 30), stop=lambda: next(asked)) == 3
    assert forget_listings(keeping(app, 30)) == 7


def test_likes_stay_and_teach_as_before(app, ada, clock):
    old = listings(app, clock)
    like(app, ada, old[5:8])
    with app.db.read() as session:
        reader = session.get(Subscriber, ada.id)
    space = training.feature_space(app)
    (before,) = training.ready(app, space, [reader]).rankers
    assert forget_listings(keeping(app, 365)) == 10
    (after,) = training.ready(app, space, [reader]).rankers
    assert after == before and len(after.papers) == 3
    assert titles(app, listed=False) == set(GALAXIES[:3])
    assert len(training.refit(app).weight) > 0
    (anew,) = training.ready(app, training.feature_space(app), [reader]).rankers
    assert anew.papers == before.papers


def test_what_was_sent_is_not_sent_again_when_a_feed_brings_it_back(app, ada, clock, mailbox):
    announce(app, clock().date())
    assert deliver(app).sent == 1
    clock.forward(days=400)
    assert forget_listings(keeping(app, 365)) == 10
    with app.db.read() as session:
        sent = {pick.paper_id for pick in session.exec(select(Pick))}
    assert len(sent) == 10 and not titles(app, listed=True)
    with app.db.write() as session:
        for paper in session.exec(select(Paper)):
            paper.announced_day, paper.announced_at = clock().date(), clock()
    assert deliver(app).sent == 0
    assert len(mailbox.messages) == 1


def test_a_forgotten_listing_is_on_no_page(app, ada, clock):
    old = listings(app, clock)
    like(app, ada, old[:1])
    forget_listings(keeping(app, 365))
    day = clock().date() - timedelta(days=366)
    with app.db.read() as session:
        assert not browse(session, Query(day=day)).papers
