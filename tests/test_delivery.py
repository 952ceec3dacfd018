"""One digest a reader and day, whatever is restarted or run twice."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from conftest import GALAXIES, IMAGES, announce
from sqlmodel import select

from digest.app import open_app
from digest.delivery import deliver, prepare, preview
from digest.errors import NotFound
from digest.mail.compose import load
from digest.mail.links import Links
from digest.models import Digest, EditionPaper, OutboxMessage, Paper, Pick, Subscriber
from digest.settings import Challenger


def rows(app, model):
    with app.db.read() as session:
        return session.exec(select(model)).all()


def test_a_due_reader_gets_a_digest_and_a_new_date(app, ada, clock):
    announce(app, clock().date())
    assert prepare(app) == (1, 0)
    (digest,) = rows(app, Digest)
    assert (digest.subscriber_id, digest.day, digest.candidates) == (ada.id, clock().date(), 10)
    assert len(rows(app, Pick)) == 10
    (message,) = rows(app, OutboxMessage)
    assert (message.digest_id, message.status) == (digest.id, "queued")
    (reader,) = rows(app, Subscriber)
    assert reader.next_digest_at == datetime(2026, 11, 19, 7, tzinfo=UTC)


def test_it_arrives_with_the_right_papers(app, ada, mailbox, clock):
    announce(app, clock().date())
    assert deliver(app).sent == 1
    (mail,) = mailbox.messages
    assert "ada@reader.test" in mail["To"]
    text = mail.get_body(("plain",)).get_content()
    assert min(text.index(title[:30]) for title in IMAGES) < text.index("Galaxy surveys and")


def test_twice_is_once(app, ada, clock):
    announce(app, clock().date())
    assert prepare(app) == (1, 0)
    assert prepare(app) == (0, 0)
    assert prepare(app, day=clock().date()) == (0, 0)
    assert len(rows(app, OutboxMessage)) == 1


def test_a_second_process_with_an_older_view_adds_nothing(app, ada, clock, monkeypatch):
    """Both saw the same due reader; the one that commits second finds the date moved on."""
    from digest import delivery

    announce(app, clock().date())
    planned = delivery.plans

    def meanwhile(*args, **kwargs):
        monkeypatch.setattr(delivery, "plans", planned)
        prepare(app)
        return planned(*args, **kwargs)

    monkeypatch.setattr(delivery, "plans", meanwhile)
    prepare(app)
    assert len(rows(app, Digest)) == len(rows(app, OutboxMessage)) == 1


def test_the_paused_get_none(app, pia, clock):
    announce(app, clock().date())
    assert prepare(app) == (0, 0)
    assert prepare(app, day=clock().date()) == (0, 0)


def test_not_before_the_hour(app, ada, clock):
    announce(app, clock().date())
    with app.db.write() as session:
        session.merge(ada).next_digest_at = clock() + timedelta(minutes=1)
    assert prepare(app) == (0, 0)
    clock.forward(minutes=1)
    assert prepare(app) == (1, 0)


def test_a_named_day_comes_at_once_and_leaves_the_schedule(app, ada, clock):
    announce(app, clock().date())
    tomorrow = clock() + timedelta(days=1)
    with app.db.write() as session:
        session.merge(ada).next_digest_at = tomorrow
    assert prepare(app, day=clock().date()) == (1, 0)
    assert rows(app, Subscriber)[0].next_digest_at == tomorrow


def test_after_downtime_one_digest_covers_what_was_missed(app, ada, clock):
    for _ in range(3):
        announce(app, clock().date())
        clock.forward(days=1)
    assert prepare(app) == (1, 0)
    (digest,) = rows(app, Digest)
    assert digest.candidates == 30
    assert digest.since == clock().date() - timedelta(days=3)
    assert rows(app, Subscriber)[0].next_digest_at > clock()


def test_a_quiet_day_is_merged_into_the_next_digest(app, ada, clock):
    announce(app, clock().date(), IMAGES[:1])
    assert prepare(app) == (1, 0)
    clock.forward(days=1)
    assert prepare(app) == (0, 1)
    announce(app, clock().date(), IMAGES[1:3])
    clock.forward(days=1)
    announce(app, clock().date(), IMAGES[3:])
    assert prepare(app) == (1, 0)
    assert [digest.candidates for digest in rows(app, Digest)] == [1, 4]


def test_a_paper_that_comes_late_is_not_lost(app, ada, clock):
    day = clock().date()
    announce(app, day, IMAGES[:2])
    prepare(app)
    clock.forward(hours=5)
    with app.db.write() as session:  # the feed grew after the digest of its day
        session.add(
            Paper(
                key="arxiv:2611.99999",
                title=IMAGES[3],
                url="https://arxiv.org/abs/2611.99999",
                announced_day=day,
                announced_at=clock(),
                updated_at=clock(),
            )
        )
    clock.forward(days=1)
    announce(app, day + timedelta(days=1), IMAGES[4:])
    prepare(app)
    last = max(digest.id for digest in rows(app, Digest))
    assert sum(pick.digest_id == last for pick in rows(app, Pick)) == 2


def test_no_paper_is_sent_twice(app, ada, clock):
    """Even if its announcement seems new: the record of picks decides."""
    (paper,) = announce(app, clock().date(), IMAGES[:1])
    prepare(app)
    clock.forward(days=1)
    with app.db.write() as session:
        again = session.get(Paper, paper)
        again.announced_day, again.announced_at = clock().date(), clock()
    assert prepare(app) == (0, 1)


def test_a_bar_that_nothing_clears_means_no_mail(app, ada, clock):
    announce(app, clock().date())
    with app.db.write() as session:
        session.merge(ada).min_score = 1.0
    assert prepare(app) == (0, 1)


def test_what_was_sent_is_frozen(app, ada, clock):
    announce(app, clock().date())
    prepare(app)
    with app.db.write() as session:
        for paper in session.exec(select(Paper)):
            paper.title = "Changed since"
    cards = [row.card["title"] for row in rows(app, EditionPaper)]
    assert len(cards) == 10 and "Changed since" not in cards


def test_the_subject_tells_the_readers_topics_and_near_copies_stand_behind(
    app, ada, mailbox, clock
):
    announce(app, clock().date(), [*IMAGES, f"{IMAGES[0]}, again", *GALAXIES])
    preview_text = preview(app, ada.email).text
    assert deliver(app).sent == 1
    mail = mailbox.messages[-1]
    assert " on diffusion models for image generation: " in mail["Subject"]
    text = mail.get_body(("plain",)).get_content()
    (first,) = [paper for paper in text.split("-" * 72) if "And 1 similar:" in paper]
    assert IMAGES[0][:40] in first
    assert first.count("https://arxiv.org/abs/") == 2
    assert preview_text.count("And 1 similar:") == 1
    with app.db.write() as session:
        for paper in session.exec(select(Paper)):
            paper.title = "Renamed"
        digest, reader = session.exec(select(Digest)).one(), session.get_one(Subscriber, ada.id)
        links = Links("", app.tokens)
        again = load(session, reader, digest, app.settings, links)
    (folded,) = [item.similar for item in again.items if item.similar]
    assert IMAGES[0][:40] in folded[0].title


def test_a_dry_run_changes_nothing(app, ada, clock, mailbox):
    announce(app, clock().date())
    assert deliver(app, dry_run=True).sent == 1
    assert rows(app, Digest) == [] and rows(app, OutboxMessage) == []
    assert mailbox.messages == []


def test_an_unknown_reader_is_named(app):
    with pytest.raises(NotFound, match=r"nobody@reader\.test"):
        deliver(app, only="nobody@reader.test")


def test_nothing_announced_at_all(app, ada, clock):
    assert prepare(app) == (0, 1)
    assert rows(app, Subscriber)[0].next_digest_at > clock()


def test_a_preview_is_the_mail_that_would_come_and_leaves_no_trace(app, ada, mailbox):
    announce(app, app.now().date())
    shown = preview(app, "ada@reader.test")
    assert "vote/" in shown.html
    assert message_from_bytes(shown.raw, policy=policy.default)["Subject"] == shown.subject
    assert shown.text.startswith("PAPER DIGEST\n")
    assert rows(app, Digest) == [] and rows(app, OutboxMessage) == []
    deliver(app)
    [mail] = mailbox.messages
    assert mail["Subject"] == shown.subject


def follow(app, ada, author, per_digest):
    with app.db.write() as session:
        ada.authors, ada.per_digest = [author], per_digest
        session.merge(ada)


def test_papers_of_followed_authors_are_in_and_the_rest_is_linked(app, ada, mailbox, clock):
    announce(app, clock().date())
    follow(app, ada, "Z. Angstrom", 3)
    assert deliver(app).sent == 1
    assert len(rows(app, Pick)) == 3
    (digest,) = rows(app, Digest)
    assert all("whom you follow" in reason for reason in digest.reasons)
    assert len(digest.also) == 7
    (mail,) = mailbox.messages
    for part in ("plain", "html"):
        content = mail.get_body((part,)).get_content()
        assert "also by authors you follow" in content.casefold()
        assert all(f"abs/2611.{18000 + at}" in content for at in range(1, 11))


def test_without_more_of_theirs_there_is_no_such_line(app, ada, mailbox, clock):
    announce(app, clock().date())
    follow(app, ada, "Author 7", 3)
    assert deliver(app).sent == 1
    assert any("Author 7, whom you follow" in reason for reason in rows(app, Digest)[0].reasons)
    (mail,) = mailbox.messages
    assert "authors you follow" not in mail.get_body(("html",)).get_content().casefold()


def test_two_rankings_share_a_digest_where_two_are_set(app, ada, clock):
    announce(app, clock().date())
    challenged = app.settings.model_copy(update={"challenger": Challenger(explore=0, variety=1)})
    with open_app(challenged, clock) as both:
        prepare(both)
    teams = [pick.team for pick in rows(app, Pick)]
    assert teams.count("ranking") >= 4 and teams.count("challenger") >= 4
    assert len({pick.paper_id for pick in rows(app, Pick)}) == 10
