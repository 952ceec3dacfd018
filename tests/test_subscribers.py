"""A subscription from its beginning to its end, and what cannot bring it back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest
from conftest import STRANGER, announce
from sqlmodel import select

from digest import feedback, signup, subscribers
from digest.changes import Changes
from digest.citations import parse_citations
from digest.errors import InputError, NotFound
from digest.models import Feedback, OutboxMessage, Subscriber, Suppression, metadata


def get(app, person):
    with app.db.read() as session:
        return session.get(Subscriber, person.id)


def by_address(app, email):
    with app.db.read() as session:
        return subscribers.find(session, email)


def letters(app):
    with app.db.read() as session:
        return [message.kind for message in session.exec(select(OutboxMessage))]


def suppress(app, email, reason):
    with app.db.write() as session:
        hashed = app.tokens.address_hashes(email)[0]
        session.add(Suppression(address_hash=hashed, reason=reason, created_at=app.now()))


# By the operator


def test_an_added_subscriber_is_active_and_due_at_the_next_chosen_hour(app):
    changes = Changes(topics=[("maps", 2.0)], send_at="18:30", timezone="Asia/Tokyo")
    person = subscribers.add(app, "Sam@Stranger.test", changes)
    assert (person.email, person.status, person.topics) == (
        "Sam@stranger.test",
        "active",
        [["maps", 2.0]],
    )
    assert person.next_digest_at == datetime(2026, 11, 18, 9, 30, tzinfo=UTC)


def test_liked_papers_count_as_votes(app, clock):
    first, *_ = announce(app, clock().date())
    person = subscribers.add(app, STRANGER, Changes())
    subscribers.like(app, person.id, parse_citations("2611.18001"))
    with app.db.read() as session:
        assert feedback.training_set(session, [person.id]) == {person.id: [(first, 1)]}
        assert session.get(Feedback, (person.id, first)).source == "seed"


def test_an_address_is_added_once_whatever_its_case(app, ada):
    with pytest.raises(InputError, match="subscribed already"):
        subscribers.add(app, "ADA@Reader.Test", Changes())


def test_someone_who_left_is_not_added_again(app, ada):
    subscribers.remove(app, ada.id)
    with pytest.raises(InputError, match="own new sign-up"):
        subscribers.add(app, ada.email, Changes())


def test_someone_erased_is_not_added_again(app, ada):
    subscribers.erase(app, ada.id)
    with pytest.raises(InputError, match="own new sign-up"):
        subscribers.add(app, ada.email, Changes())


def test_a_bounced_address_is_not_added(app):
    suppress(app, STRANGER, "bounce")
    with pytest.raises(InputError, match="suppressions remove"):
        subscribers.add(app, STRANGER, Changes())


# Changes, pauses


def test_another_hour_moves_the_next_digest(app, ada):
    person = subscribers.edit(app, ada.id, Changes(send_at="08:00", timezone="Europe/Berlin"))
    assert person.next_digest_at == datetime(2026, 11, 19, 7, tzinfo=UTC)


def test_other_changes_leave_the_next_digest_where_it_is(app, ada):
    person = subscribers.edit(app, ada.id, Changes(name="Ada L.", send_at="07:00", per_digest=3))
    assert (person.next_digest_at, person.revision) == (ada.next_digest_at, ada.revision)


def test_another_taste_raises_the_revision(app, ada):
    assert subscribers.edit(app, ada.id, Changes(muted=["tides"])).revision > ada.revision


def test_a_pause_ends_on_its_day_in_the_readers_zone(app, ada, clock):
    subscribers.edit(app, ada.id, Changes(timezone="America/New_York"))
    subscribers.pause(app, ada.id, date(2026, 11, 25))
    assert (get(app, ada).status, get(app, ada).next_digest_at) == ("paused", None)
    clock.moment = datetime(2026, 11, 25, 4, 59, tzinfo=UTC)
    assert subscribers.end_pauses(app) == 0
    clock.moment = datetime(2026, 11, 25, 14, tzinfo=UTC)  # after downtime
    assert subscribers.end_pauses(app) == 1
    person = get(app, ada)
    assert (person.status, person.paused_until) == ("active", None)
    assert person.next_digest_at == datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_a_pause_without_a_day_lasts_until_it_is_ended(app, ada, clock):
    subscribers.pause(app, ada.id)
    clock.forward(days=400)
    assert subscribers.end_pauses(app) == 0
    person = subscribers.resume(app, ada.id)
    assert (person.status, person.next_digest_at > clock()) == ("active", True)


@pytest.mark.parametrize("day", [date(2026, 11, 18), date(2020, 1, 1)])
def test_a_pause_until_the_past_is_refused(app, ada, day):
    with pytest.raises(InputError, match="expected a day after"):
        subscribers.pause(app, ada.id, day)


def test_there_is_nothing_to_pause_after_the_end(app, ada):
    subscribers.remove(app, ada.id)
    for verb in (subscribers.pause, subscribers.resume):
        with pytest.raises(InputError, match="has ended"):
            verb(app, ada.id)


# The end


def test_leaving_cancels_what_is_queued(app, ada):
    signup.request_link(app, ada.email)
    subscribers.remove(app, ada.id)
    subscribers.remove(app, ada.id)
    person = get(app, ada)
    assert (person.status, person.next_digest_at) == ("removed", None)
    with app.db.read() as session:
        assert session.exec(select(OutboxMessage.status)).all() == ["cancelled"]


def test_one_who_never_confirmed_and_leaves_is_erased(app):
    signup.subscribe(app, STRANGER, Changes())
    person = by_address(app, STRANGER)
    subscribers.remove(app, person.id)
    with pytest.raises(NotFound):
        by_address(app, STRANGER)
    with pytest.raises(InputError, match="own new sign-up"):
        subscribers.add(app, STRANGER, Changes())


def test_erasing_leaves_nothing_but_a_keyed_hash(app, ada, clock):
    paper, *_ = announce(app, clock().date())
    with app.db.write() as session:
        feedback.record(session, ada.id, paper, "up", source="mail", now=app.now())
    signup.request_link(app, ada.email)
    subscribers.erase(app, ada.id)
    with app.db.read() as session:
        for name in ("subscriber", "feedback", "outbox"):
            assert session.connection().execute(metadata.tables[name].select()).all() == []
        (kept,) = session.exec(select(Suppression))
    assert (kept.reason, kept.email) == ("erased", None)
    assert kept.address_hash in app.tokens.address_hashes(ada.email)
    assert "ada" not in kept.address_hash


def test_an_erased_readers_id_is_not_given_again(app, ada):
    subscribers.erase(app, ada.id)
    assert subscribers.add(app, STRANGER, Changes()).id != ada.id


def test_changes_at_once_each_make_the_ranker_stale(app, ada):
    wishes = [Changes(topics=[(f"topic {at}", 1.0)]) for at in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda wish: subscribers.edit(app, ada.id, wish), wishes))
    assert get(app, ada).revision == ada.revision + 6
