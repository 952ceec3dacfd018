"""The figures of the last weeks count what the rows hold, by the day in UTC."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from conftest import announce

from digest.app import App
from digest.models import (
    Announcement,
    Bounce,
    Digest,
    Feed,
    Feedback,
    OutboxMessage,
    Pick,
    Subscriber,
)
from digest.weeks import DAYS, weeks

TODAY = date(2026, 11, 18)


def sent(
    app: App, reader: Subscriber, papers: list[int], days_ago: int, status: str = "sent"
) -> datetime:
    """A digest of these papers, in their order, made at 09:00 so many days ago."""
    at = app.now() - timedelta(days=days_ago)
    with app.db.write() as session:
        digest = Digest(
            subscriber_id=reader.id or 0,
            day=at.date(),
            since=at.date(),
            candidates=len(papers),
            created_at=at,
        )
        session.add(digest)
        session.flush()
        for position, paper in enumerate(papers, 1):
            topic = "diffusion <b>" if position < 3 else None
            session.add(
                Pick(
                    digest_id=digest.id or 0,
                    position=position,
                    subscriber_id=reader.id or 0,
                    paper_id=paper,
                    score=1.0,
                    topic=topic,
                )
            )
        session.add(
            OutboxMessage(
                kind="digest",
                subscriber_id=reader.id or 0,
                digest_id=digest.id,
                status=status,
                due_at=at,
                created_at=at,
                sent_at=at + timedelta(minutes=1) if status == "sent" else None,
            )
        )
    return at


def vote(app: App, reader: Subscriber, **votes: int) -> None:
    with app.db.write() as session:
        for paper, said in votes.items():
            session.add(
                Feedback(
                    subscriber_id=reader.id or 0,
                    paper_id=int(paper.removeprefix("p")),
                    vote=said,
                    source="mail",
                    voted_at=app.now(),
                )
            )


@pytest.fixture
def history(app: App, ada: Subscriber, pia: Subscriber) -> App:
    """Two days with digests: four picks yesterday, of which the first and the third are liked and
    the second is not; two for another reader, one liked; today one that waits."""
    with app.db.write() as session:
        feed = Feed(
            url="https://rss.arxiv.org/rss/cs.CV",
            kind="arxiv",
            title="cs.CV updates",
            next_fetch_at=app.now(),
            added_at=app.now(),
        )
        session.add(feed)
    one, two, three, four, *_ = announce(app, TODAY - timedelta(days=1))
    with app.db.write() as session:
        for paper in (one, two, three):
            session.add(
                Announcement(
                    paper_id=paper,
                    day=TODAY - timedelta(days=1),
                    kind="new",
                    feed_id=1,
                    recorded_at=app.now(),
                )
            )
    at = sent(app, ada, [one, two, three, four], 1)
    sent(app, pia, [two, one], 1)
    sent(app, ada, [], 0, status="queued")
    sent(app, pia, [four], DAYS + 1)
    vote(app, ada, **{f"p{one}": 1, f"p{two}": -1, f"p{three}": 1})
    vote(app, pia, **{f"p{one}": 1, f"p{four}": 1})
    with app.db.write() as session:
        session.add(Bounce(message_id=1, kind="hard", subscriber_id=ada.id or 0, at=at))
        session.add(Bounce(message_id=2, kind="soft", subscriber_id=pia.id or 0, at=at))
        session.add(Bounce(message_id=1, kind="complaint", subscriber_id=ada.id or 0, at=app.now()))
    return app


def test_each_day_counts_its_digests_picks_votes_and_mails(history: App) -> None:
    days = weeks(history).days
    assert [day.day for day in days] == [TODAY - timedelta(days=n) for n in range(DAYS)][::-1]
    yesterday, today = days[-2:]
    assert (yesterday.digests, yesterday.picks) == (2, 6)
    assert (yesterday.up, yesterday.down) == (3, 1)
    assert yesterday.ranks == 1 + 2 + 3 + 4 + 1 + 2
    assert yesterday.up_ranks == 1 + 3 + 2
    assert (yesterday.sent, yesterday.failed, yesterday.waiting) == (2, 0, 0)
    assert (yesterday.came_back("hard"), yesterday.came_back("soft")) == (1, 1)
    assert (today.digests, today.picks, today.waiting, today.sent) == (1, 0, 1, 0)
    assert today.came_back("complaint") == 1
    assert not any(day.digests for day in days[:-2])


def test_a_source_counts_the_papers_it_announced(history: App) -> None:
    (share,) = weeks(history).sources
    assert (share.name, share.papers) == ("cs.CV updates", 3)
    # Of the seven picks, two readers' one and two, and Ada's three.
    assert (share.picks, share.up, share.down) == (5, 3, 1)
    assert share.liked == pytest.approx(3 / 5)


def test_a_topic_counts_the_picks_for_which_it_spoke(history: App) -> None:
    found = weeks(history)
    (share,) = found.topics
    assert (share.name, share.picks, share.up, share.down) == ("diffusion <b>", 4, 2, 1)
    assert found.all_topics == 1


def test_an_empty_database_has_days_without_anything(app: App) -> None:
    found = weeks(app)
    assert len(found.days) == DAYS
    assert not any(day.digests or day.sent or day.bounces for day in found.days)
    assert (found.readers, found.sources, found.topics) == (0, (), ())


def test_the_day_is_that_of_utc(app: App, ada: Subscriber, clock: Any) -> None:
    clock.moment = clock.moment.replace(hour=23, minute=59)
    sent(app, ada, [], 0)  # it goes out a minute after midnight
    clock.forward(minutes=2)
    before, after = weeks(app).days[-2:]
    assert (before.digests, before.sent) == (1, 0)
    assert (after.digests, after.sent) == (0, 1)
