"""A visitor's way in: the sign-up, its confirmation, and the letters that anybody may ask for."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlmodel import Session, col, select

from digest import bounds, subscribers
from digest.changes import Changes, parse_address
from digest.citations import parse_citations
from digest.db import alone
from digest.errors import InputError, NotFound
from digest.mail import outbox
from digest.models import OutboxMessage, Subscriber, Suppression
from digest.suppressions import suppressed
from digest.tokens import LIFETIME

if TYPE_CHECKING:
    from digest.app import App

UNCONFIRMED_FOR = LIFETIME["confirm"] or timedelta(hours=48)


def subscribe(app: "App", email: str, changes: Changes, liked: str = "") -> None:
    """A visitor's sign-up: the wishes, and `liked`, papers to start from, wait until the address
    is confirmed by mail.

    Says the same for every address, known or not. Someone subscribed already gets a link to the
    preferences instead, and nothing is changed. Raises InputError for what is no address, TooMany
    where too many letters were asked for of late.
    """
    address, values, now = parse_address(email), changes.checked(), app.now()
    parse_citations(liked)
    with app.db.write() as session:
        alone(session, f"address {address.key}")  # as when a button is pressed twice
        bounds.refuse_flood(session, app.settings.mail.letters_per_hour, now)
        if suppressed(app, session, address.key) not in (None, "erased"):
            return
        person = subscribers.by_key(session, address.key) or subscribers.new(address, now)
        if person.status in ("pending", "removed"):
            person.status = "pending"
            person.seeds = liked
            subscribers.apply(person, values)
        session.add(person)
        session.flush()
        _write_to(session, person, now)


def request_link(app: "App", email: str) -> None:
    """Mails a fresh link to the preferences; says the same for every address. Raises as
    `subscribe` does."""
    address, now = parse_address(email), app.now()
    with app.db.write() as session:
        bounds.refuse_flood(session, app.settings.mail.letters_per_hour, now)
        person = subscribers.by_key(session, address.key)
        if person is None or suppressed(app, session, address.key) is not None:
            return
        if person.status != "removed":
            _write_to(session, person, now)


def request_data_link(app: "App", subscriber_id: int) -> None:
    """Mails the link, good for an hour, to what a forwarded mail must not give: the data, another
    address, the end. Raises NotFound, TooMany, InputError where no mail goes to the address."""
    now = app.now()
    with app.db.write() as session:
        person = subscribers.get(session, subscriber_id)
        if person.status == "pending" or suppressed(app, session, person.email_key) is not None:
            raise InputError("No mail goes to this address now: please write to who runs this.")
        bounds.refuse_data_link(session, subscriber_id, now)
        outbox.enqueue(session, "sensitive", subscriber_id, now)


def _write_to(session: Session, person: Subscriber, now: datetime) -> None:
    if bounds.may_write_to(session, person.email_key, now):
        kind: outbox.Kind = "confirm" if person.status == "pending" else "link"
        outbox.enqueue(session, kind, subscribers.id_of(person), now)


def confirm(app: "App", subscriber_id: int) -> Subscriber:
    """Starts the subscription, and makes a first digest due at once: see `delivery.welcome`. Once
    more does no harm. Raises NotFound where there is nothing to confirm any more."""
    now = app.now()
    with app.db.write() as session:
        person = subscribers.get(session, subscriber_id)
        if person.status == "removed":
            raise NotFound("this subscription has ended")
        if person.status == "pending":
            person.status, person.paused_until = "active", None
            person.confirmed_at = person.next_digest_at = now
            subscribers.note_standing(session, person, now)
            forget_erasure(app, session, person.email_key)
            subscribers.plant(session, person, now)
        session.add(person)
    return person


def forget_erasure(app: "App", session: Session, email_key: str) -> None:
    """The person's own word, from that address, lets mail go there again."""
    hashes = app.tokens.address_hashes(email_key)
    erased = select(Suppression).where(
        col(Suppression.address_hash).in_(hashes), Suppression.reason == "erased"
    )
    for suppression in session.exec(erased):
        session.delete(suppression)


def purge_unconfirmed(app: "App") -> int:
    """Forgets, 48 hours after the last letter, those who did not confirm; returns how many.
    Someone who had been subscribed before goes back to having ended it."""
    since = app.now() - UNCONFIRMED_FOR
    with app.db.write() as session:
        lately = select(OutboxMessage.subscriber_id).where(
            OutboxMessage.kind == "confirm", OutboxMessage.created_at > since
        )
        stale = session.exec(
            select(Subscriber).where(
                Subscriber.status == "pending",
                Subscriber.created_at <= since,
                col(Subscriber.id).not_in(lately),
            )
        ).all()
        for person in stale:
            if person.confirmed_at is None:
                session.delete(person)
            else:
                person.status, person.seeds = "removed", ""
                session.add(person)
    return len(stale)
