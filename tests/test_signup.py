"""Signing up: what waits for the confirmation, who gets a letter, whom it alone brings back."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import STRANGER
from sqlmodel import select
from test_subscribers import by_address, get, letters, suppress

from digest import signup, subscribers
from digest.changes import Changes
from digest.errors import InputError, NotFound
from digest.models import Subscriber


def test_a_sign_up_waits_for_its_confirmation(app):
    signup.subscribe(app, STRANGER, Changes(topics=[("maps", 1.0)]))
    person = by_address(app, STRANGER)
    assert (person.status, person.next_digest_at, letters(app)) == ("pending", None, ["confirm"])
    person = signup.confirm(app, person.id)
    assert (person.status, person.confirmed_at) == ("active", app.now())
    assert person.next_digest_at == app.now(), "the first digest is due at once"


def test_confirming_twice_does_no_harm(app, ada):
    assert signup.confirm(app, ada.id).next_digest_at == ada.next_digest_at


def test_the_newest_sign_up_of_a_pending_address_counts(app):
    signup.subscribe(app, STRANGER, Changes(topics=[("maps", 1.0)], per_digest=5))
    signup.subscribe(app, STRANGER.upper(), Changes(topics=[("tides", 1.0)]))
    person = by_address(app, STRANGER)
    assert (person.topics, person.per_digest) == ([["tides", 1.0]], 5)


def test_a_sign_up_changes_nothing_of_someone_subscribed(app, ada):
    signup.subscribe(app, ada.email, Changes(topics=[("tides", 1.0)], per_digest=50))
    assert get(app, ada) == ada
    assert letters(app) == ["link"]


@pytest.mark.parametrize("reason", ["bounce", "complaint"])
def test_a_suppressed_address_gets_no_letter(app, reason):
    suppress(app, STRANGER, reason)
    signup.subscribe(app, STRANGER, Changes())
    signup.request_link(app, STRANGER)
    assert letters(app) == []


@pytest.mark.slow
def test_nobody_is_bombed_with_letters(app, clock):
    for _ in range(50):
        signup.subscribe(app, STRANGER, Changes())
        signup.request_link(app, STRANGER)
    assert letters(app) == ["confirm"]
    for _ in range(40):
        clock.forward(minutes=11)
        signup.subscribe(app, STRANGER, Changes())
    assert letters(app) == ["confirm"] * 3
    clock.forward(days=1)
    signup.subscribe(app, STRANGER, Changes())
    assert letters(app) == ["confirm"] * 4


def test_a_link_goes_to_readers_only(app, ada, pia):
    for email in (ada.email, pia.email, STRANGER):
        signup.request_link(app, email)
    assert letters(app) == ["link", "link"]


def test_one_who_left_may_come_back_by_a_new_sign_up_only(app, ada):
    subscribers.remove(app, ada.id)
    with pytest.raises(NotFound):
        signup.confirm(app, ada.id)
    signup.subscribe(app, ada.email, Changes())
    with pytest.raises(InputError, match="own new sign-up"):
        subscribers.add(app, ada.email, Changes())
    person = signup.confirm(app, ada.id)
    assert (person.status, person.topics) == ("active", ada.topics)


def test_one_erased_may_come_back_by_a_new_sign_up(app, ada):
    subscribers.erase(app, ada.id)
    signup.subscribe(app, ada.email, Changes())
    person = by_address(app, ada.email)
    assert person.id != ada.id
    signup.confirm(app, person.id)
    with app.db.read() as session:
        assert subscribers.suppressed(app, session, person.email_key) is None


def test_the_unconfirmed_are_forgotten_after_two_days(app, clock):
    signup.subscribe(app, STRANGER, Changes())
    clock.forward(hours=47)
    signup.subscribe(app, "late@stranger.test", Changes())
    assert signup.purge_unconfirmed(app) == 0
    clock.forward(hours=2)
    assert signup.purge_unconfirmed(app) == 1
    with app.db.read() as session:
        assert [p.email for p in subscribers.listing(session, "pending")] == ["late@stranger.test"]


def test_a_new_letter_gives_two_more_days(app, clock):
    signup.subscribe(app, STRANGER, Changes())
    clock.forward(hours=40)
    signup.subscribe(app, STRANGER, Changes())
    clock.forward(hours=40)
    assert signup.purge_unconfirmed(app) == 0


def test_a_sign_up_by_someone_else_costs_one_who_left_nothing(app, ada, clock):
    subscribers.remove(app, ada.id)
    signup.subscribe(app, ada.email, Changes())
    clock.forward(hours=49)
    signup.purge_unconfirmed(app)
    assert get(app, ada).status == "removed"


def test_sign_ups_for_one_address_at_once_make_one_person(app):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: signup.subscribe(app, STRANGER, Changes()), range(6)))
    with app.db.read() as session:
        assert len(session.exec(select(Subscriber)).all()) == 1
