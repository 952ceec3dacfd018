"""What a reader is offered, and why."""

from datetime import timedelta

import pytest
from conftest import GALAXIES, IMAGES, announce
from sqlmodel import select

from digest import delivery, feedback
from digest.candidates import latest_day
from digest.editions import trending
from digest.errors import NotFound
from digest.models import Paper, StoredRanker, Upvotes
from digest.picking import plan, plans, rank


def test_topics_alone_put_the_right_papers_first(app, ada):
    announce(app, app.now().date())
    assert {paper.title for paper in rank(app, ada.email)[:5]} == set(IMAGES)


def test_a_score_is_a_chance_and_falls_along_the_order(app, ada):
    announce(app, app.now().date())
    scores = [paper.score for paper in rank(app, ada.email)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_the_topic_is_the_reason(app, ada):
    announce(app, app.now().date())
    best = rank(app, ada.email, limit=1)[0]
    assert any("diffusion models for image generation" in reason for reason in best.reasons)
    assert "diffusion models for image generation" in plan(app, ada.email).picks[0].reason


def test_votes_turn_tomorrows_order(app, ada, clock):
    today = announce(app, clock().date())
    with app.db.write() as session:
        for paper in today[5:8]:
            feedback.record(session, ada.id, paper, "up", source="mail", now=clock())
        for paper in today[:3]:
            feedback.record(session, ada.id, paper, "down", source="mail", now=clock())
    clock.forward(days=1)
    announce(app, clock().date(), [f"{title} again" for title in (*IMAGES, *GALAXIES)])
    first = rank(app, ada.email)[0]
    assert "alax" in first.title
    assert any(reason.startswith("liked") for reason in first.reasons)


def test_a_vote_taken_back_is_as_if_it_had_not_been(app, ada, clock):
    today = announce(app, clock().date())
    before = [(paper.id, paper.score) for paper in rank(app, ada.email)]
    for vote in ("up", "none"):
        with app.db.write() as session:
            feedback.record(session, ada.id, today[6], vote, source="mail", now=clock())
    assert [(paper.id, paper.score) for paper in rank(app, ada.email)] == before


def test_the_same_data_gives_the_same_ranking(app, ada):
    announce(app, app.now().date())
    assert rank(app, ada.email) == rank(app, ada.email)


def test_seven_days_back_and_no_further(app, ada, clock):
    old, young = clock().date() - timedelta(days=7), clock().date() - timedelta(days=6)
    announce(app, old, ["Diffusion models of last week"])
    announce(app, young, ["Diffusion models of this week"])
    titles = [paper.title for paper in rank(app, ada.email, clock().date())]
    assert titles == ["Diffusion models of this week"]


def test_who_has_no_paper_left_gets_an_empty_plan_and_no_model(app, ada, clock):
    papers = announce(app, clock().date(), IMAGES[:2])
    with app.db.write() as session:
        for paper in papers:
            feedback.record(session, ada.id, paper, "up", source="mail", now=clock())
    planned = plan(app, ada.email)
    assert (planned.picks, planned.candidates, planned.since) == ((), 0, clock().date())
    assert rank(app, ada.email) == []
    with app.db.read() as session:
        assert session.exec(select(StoredRanker)).first() is None


def test_muted_words_stay_out(app, ada):
    announce(app, app.now().date())
    with app.db.write() as session:
        ada.muted = ["hexagonal lattice"]
        session.merge(ada)
    with app.db.read() as session:
        titles = [session.get(Paper, pick.paper_id).title for pick in plan(app, ada.email).picks]
    assert titles and not any("hexagonal" in title for title in titles)


def test_what_is_too_old_is_no_news(app, ada, clock):
    announce(app, clock().date() - timedelta(days=10))
    with app.db.read() as session:
        assert latest_day(session, clock()) is None
    with pytest.raises(NotFound, match="digest ingest"):
        rank(app, ada.email)


def test_trending_shows_what_sources_and_readers_voted_for(app, ada, pia, clock):
    papers = announce(app, clock().date())
    with app.db.write() as session:
        session.add(
            Upvotes(paper_id=papers[7], source="huggingface", day=clock().date(), count=120)
        )
    with app.db.read() as session:
        found = trending(session, clock().date())
    assert [item["title"] for item in found] == [GALAXIES[2]]
    assert found[0]["upvotes"] == 120


def test_one_reader_voting_on_all_makes_no_trend(app, ada, pia, clock):
    flood = announce(app, clock().date(), [f"Paper {number} of many" for number in range(20)])
    liked = announce(app, clock().date() - timedelta(days=1), ["What one has chosen"])
    with app.db.write() as session:
        for paper in flood:
            feedback.record(session, ada.id, paper, "up", source="mail", now=clock())
        feedback.record(session, ada.id, flood[3], "none", source="mail", now=clock())
        feedback.record(session, pia.id, flood[0], "down", source="mail", now=clock())
        feedback.record(session, pia.id, liked[0], "up", source="mail", now=clock())
        later = clock() + timedelta(days=2)
        feedback.record(session, pia.id, flood[1], "up", source="mail", now=later)
    with app.db.read() as session:
        found = trending(session, clock().date())
    assert found[0]["title"] == "What one has chosen"
    assert {item["votes"] for item in found} == {1}  # a vote of a later day is not known yet
    gone = {"Paper 0 of many", "Paper 3 of many"}
    assert not gone & {item["title"] for item in found}


def test_without_any_vote_nothing_trends(app, clock):
    announce(app, clock().date())
    with app.db.read() as session:
        assert trending(session, clock().date()) == []


def titles_for(app, ada, **wishes):
    with app.db.write() as session:
        for name, value in wishes.items():
            setattr(ada, name, value)
        session.merge(ada)
    with app.db.read() as session:
        return [session.get(Paper, pick.paper_id).title for pick in plan(app, ada.email).picks]


def test_muted_authors_stay_out_with_or_without_their_accents(app, ada):
    announce(app, app.now().date())
    assert len(titles_for(app, ada, muted=["Author 3"])) == 9
    assert titles_for(app, ada, muted=["zoe angstrom"]) == []


def test_a_heavier_category_pulls_its_papers_up(app, ada):
    announce(app, app.now().date())
    cold = titles_for(app, ada, topics=[], categories=[["cs.CV", 3.0], ["astro-ph.GA", 1.0]])
    assert set(cold[:5]) == set(IMAGES)
    warm = titles_for(app, ada, topics=[], categories=[["cs.CV", 1.0], ["astro-ph.GA", 3.0]])
    assert set(warm[:5]) == set(GALAXIES)


def test_a_block_of_those_who_read_daily_and_those_who_do_not_is_as_each_of_them(
    app, ada, pia, clock
):
    announce(app, clock().date())
    delivery.prepare(app, clock().date(), among=[ada.id])
    clock.forward(days=1)
    day = clock().date()
    announce(app, day, [f"{title} again" for title in (*IMAGES, *GALAXIES)])
    block = plans(app, [pia, ada], day, again=False)
    assert [each.subscriber.id for each in block] == [pia.id, ada.id]
    assert [each.since < day for each in block] == [True, False]
    for each in block:
        (alone,) = plans(app, [each.subscriber], day, again=False)
        assert [pick._replace(score=0) for pick in alone.picks] == [
            pick._replace(score=0) for pick in each.picks
        ]
