"""The ranker of today before the votes recorded here."""

from datetime import timedelta

import pytest
from conftest import GALAXIES, IMAGES, announce

from digest import feedback, hindsight
from digest.models import Digest, Pick, Subscriber

TITLES = [*IMAGES, *GALAXIES]


@pytest.fixture
def readers(app):
    """Three who read of images, and one of galaxies."""
    topics = ["diffusion models for image generation"] * 3 + ["spiral galaxies"]
    people = [
        Subscriber(
            email=f"reader{at}@reader.test",
            email_key=f"reader{at}@reader.test",
            status="active",
            topics=[[topic, 1.0]],
            created_at=app.now(),
        )
        for at, topic in enumerate(topics)
    ]
    with app.db.write() as session:
        session.add_all(people)
    return people


def send(app, reader, papers):
    """A digest of today with these papers."""
    with app.db.write() as session:
        day = app.now().date()
        digest = Digest(
            subscriber_id=reader.id, day=day, since=day, candidates=10, created_at=app.now()
        )
        session.add(digest)
        session.flush()
        for position, paper in enumerate(papers, start=1):
            session.add(
                Pick(
                    digest_id=digest.id,
                    position=position,
                    subscriber_id=reader.id,
                    paper_id=paper,
                    score=0,
                )
            )


def vote(app, reader, paper, word, **values):
    with app.db.write() as session:
        told = {"source": "mail", "now": app.now()} | values
        feedback.record(session, reader.id, paper, word, **told)


def days(app, clock, readers, count, liked):
    """Each day ten papers, all sent, of which each reader votes up the one of that place."""
    for number in range(count):
        papers = announce(app, clock().date(), [f"{title} part {number}" for title in TITLES])
        for reader in readers:
            send(app, reader, papers)
        clock.forward(hours=1)
        for reader in readers:
            vote(app, reader, papers[liked], "up")
        clock.forward(hours=23)


def test_without_votes_there_is_nothing_to_measure(app, readers, clock):
    send(app, readers[0], announce(app, clock().date()))
    found = hindsight.recorded(app)
    assert (found.users, found.user_days, dict(found.metrics)) == (0, 0, {})
    assert "nothing to measure" in found.note


def test_few_votes_are_too_few(app, readers, clock):
    days(app, clock, readers[:1], 2, liked=0)
    found = hindsight.recorded(app)
    assert not found.metrics
    assert "2 digests of 1 reader" in found.note and "too few" in found.note


def test_a_ranker_that_serves_its_readers_scores_high_and_one_that_does_not_low(
    app, readers, clock
):
    days(app, clock, readers[:3], 4, liked=2)
    found = hindsight.recorded(app)
    assert (found.users, found.user_days) == (3, 12)
    good = found.metrics["mrr"].mean
    assert good > 0.4
    with app.db.write() as session:
        for reader in readers[:3]:
            reader.topics = [["spiral galaxies", 1.0]]
            session.merge(reader)
    assert hindsight.recorded(app).metrics["mrr"].mean < good


def test_only_what_was_known_then_is_used(app, readers, clock):
    """A vote cast before the digest takes its paper out; a paper that came later is no candidate;
    one that was sent before is not offered again."""
    papers = announce(app, clock().date())
    reader = readers[0]
    send(app, reader, papers[:3])
    clock.forward(hours=1)
    vote(app, reader, papers[0], "up")
    clock.forward(hours=22)
    vote(app, reader, papers[1], "down")
    clock.forward(hours=1)
    fresh = announce(app, clock().date(), [f"{title} two" for title in TITLES])
    send(app, reader, fresh[:3])
    clock.forward(hours=1)
    vote(app, reader, fresh[0], "up")
    vote(app, reader, papers[2], "up", source="seed")
    late = announce(app, clock().date() - timedelta(days=2), ["A late one on diffusion"])
    with app.db.read() as session:
        first, second = hindsight._cases(session)
    assert set(first.candidates) == {str(paper) for paper in papers}
    assert first.relevant == {str(papers[0])}
    assert set(second.candidates) == {str(paper) for paper in fresh}
    assert second.reader.likes == (str(papers[0]),)
    assert second.reader.dislikes == (str(papers[1]),)
    assert second.relevant == {str(fresh[0])}
    assert str(late[0]) not in second.candidates
