"""All there is about one person: complete, and nothing of anybody else."""

import json
from datetime import timedelta

import pytest
from conftest import announce

from digest import bursts, dossier, feedback, subscribers
from digest.delivery import deliver, prepare
from digest.models import Bounce, Door, Handover, PaperNews, ToldNews, metadata
from digest.suppressions import suppress
from digest.tokens import Token

# Where each table that knows readers shows in the file.
SHOWN = {
    "subscriber": "email",
    "feedback": "feedback",
    "standing": "standing",
    "digest": "digests",
    "pick": "digests",
    "mail_vote": "votes_by_mail",
    "passed_over": "days_without_mail",
    "told_news": "news_told",
    "outbox": "mails",
    "bounce": "bounces",
    "door": "other_doors",
    "handover": "other_doors",
    "ranker": "model",
}


@pytest.fixture
def full(app, ada, pia, clock, mailbox):
    """What is told of Ada after a few days in which all that can happen did."""
    prepare(app)  # nothing to read: passed over
    clock.forward(days=1)
    papers = announce(app, clock().date())
    deliver(app)
    with app.db.write() as session:
        link = Token("vote", ada.id, 0, 1, clock())
        bursts.vote_on(session.connection(), link, 1, "up", clock())
        feedback.record(session, pia.id, papers[7], "up", source="web", now=clock())
        news = PaperNews(
            paper_id=papers[0], kind="version", version=2, line="v2", recorded_at=clock()
        )
        session.add(news)
        session.flush()
        session.add(ToldNews(subscriber_id=ada.id, news_id=news.id))
        session.add(Bounce(message_id=1, kind="soft", subscriber_id=ada.id, at=clock()))
        door = Door(subscriber_id=ada.id, url="https://chat.test/S3CRET", added_at=clock())
        session.add(door)
        session.flush()
        session.add(Handover(digest_id=1, door_id=door.id, due_at=clock()))
        suppress(app, session, ada.email_key, ada.email, "operator", "by the phone")
    subscribers.pause(app, ada.id)
    with app.db.read() as session:
        person = subscribers.get(session, ada.id)
        return json.loads(json.dumps(dossier.all_about(app, session, person)))


def test_every_table_that_knows_readers_is_told(full):
    """A new table must show here, too."""
    readers = {"subscriber.id", "digest.id"}
    knowing = {
        table.name
        for table in metadata.tables.values()
        if any(key.target_fullname in readers for key in table.foreign_keys)
    }
    assert knowing | {"subscriber"} == set(SHOWN)
    assert all(full[place] for place in SHOWN.values())
    assert full["suppression"]["detail"] == "by the phone"


def test_it_says_what_happened_and_names_papers_by_their_ids(full, ada, clock):
    (sent,) = full["digests"]
    assert full["email"] == ada.email
    assert sent["papers"][0]["id"].startswith("arxiv:2611.19")
    assert full["feedback"][0]["paper"] == sent["papers"][0]["id"]
    assert full["days_without_mail"][0]["outcome"] == "nothing-announced"
    assert full["days_without_mail"][0]["day"] == str(clock().date() - timedelta(days=1))
    assert full["standing"][-1]["status"] == "paused"
    assert [mail["status"] for mail in full["mails"]] == ["sent"]


def test_nobody_else_is_in_it(full, pia):
    text = json.dumps(full)
    assert pia.email not in text
    assert "arxiv:2611.19008" not in json.dumps(full["feedback"])
