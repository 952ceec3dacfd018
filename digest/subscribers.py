"""The life of a subscription: add, sign up, confirm, edit, pause, resume, remove, erase."""

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from digest import bounds, seeds
from digest.changes import Address, Changes, parse_address
from digest.citations import Citations, parse_citations
from digest.db import alone, writes
from digest.errors import InputError, NotFound
from digest.mail import outbox
from digest.models import OutboxMessage, Standing, Subscriber, Suppression
from digest.schedule import next_due, parse_zone
from digest.suppressions import suppressed
from digest.tokens import LIFETIME

if TYPE_CHECKING:
    from digest.app import App

UNCONFIRMED_FOR = LIFETIME["confirm"] or timedelta(hours=48)

_SCHEDULE = {"frequency", "send_at", "timezone"}
_TASTE = {"topics", "categories", "authors", "muted"}


def add(app: "App", email: str, changes: Changes) -> Subscriber:
    """A confirmed subscriber by the operator's word.

    Raises InputError where the address is there already, gets no mail, or ended its
    subscription.
    """
    address, values, now = parse_address(email), changes.checked(), app.now()
    with app.db.write() as session:
        alone(session, f"address {address.key}")
        refuse_unwanted(app, session, address)
        person = by_key(session, address.key)
        if person is None:
            person = _new(address, now)
        elif person.status != "pending":
            raise InputError(f"{person.email} is subscribed already: `digest subscribers edit`")
        _apply(person, values)
        _activate(person, now)
        session.add(person)
        session.flush()
        _note_standing(session, person, now)
        _plant(session, person, now)
    return person


def refuse_unwanted(app: "App", session: Session, address: Address) -> None:
    """Raises InputError where only the person (or, after a bounce or a complaint, the operator)
    may let mail go to the address again."""
    reason = suppressed(app, session, address.key)
    if reason == "erased":
        raise InputError(
            f"{address.email} was erased: only the person's own new sign-up brings it back"
        )
    if reason is not None:
        raise InputError(
            f"{address.email} gets no mail ({reason}): `digest suppressions remove` lifts that"
        )
    person = by_key(session, address.key)
    if person is not None and _has_ended(person):
        raise InputError(
            f"{address.email} ended the subscription: only the person's own new sign-up brings"
            " it back"
        )


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
        person = by_key(session, address.key) or _new(address, now)
        if person.status in ("pending", "removed"):
            person.status = "pending"
            person.seeds = liked
            _apply(person, values)
        session.add(person)
        session.flush()
        _write_to(session, person, now)


def request_link(app: "App", email: str) -> None:
    """Mails a fresh link to the preferences; says the same for every address. Raises as
    `subscribe` does."""
    address, now = parse_address(email), app.now()
    with app.db.write() as session:
        bounds.refuse_flood(session, app.settings.mail.letters_per_hour, now)
        person = by_key(session, address.key)
        if person is None or suppressed(app, session, address.key) is not None:
            return
        if person.status != "removed":
            _write_to(session, person, now)


def request_data_link(app: "App", subscriber_id: int) -> None:
    """Mails the link, good for an hour, to what a forwarded mail must not give: the data, another
    address, the end. Raises NotFound, TooMany, InputError where no mail goes to the address."""
    now = app.now()
    with app.db.write() as session:
        person = get(session, subscriber_id)
        if person.status == "pending" or suppressed(app, session, person.email_key) is not None:
            raise InputError("No mail goes to this address now: please write to who runs this.")
        bounds.refuse_data_link(session, subscriber_id, now)
        outbox.enqueue(session, "sensitive", subscriber_id, now)


def renew_reading_links(app: "App", subscriber_id: int) -> None:
    """The links to digests in the browser and to the feed stop working; all others go on."""
    with app.db.write() as session:
        person = get(session, subscriber_id)
        person.view_epoch += 1
        session.add(person)


def _write_to(session: Session, person: Subscriber, now: datetime) -> None:
    if bounds.may_write_to(session, person.email_key, now):
        kind: outbox.Kind = "confirm" if person.status == "pending" else "link"
        outbox.enqueue(session, kind, _id(person), now)


def confirm(app: "App", subscriber_id: int) -> Subscriber:
    """Starts the subscription, and makes a first digest due at once: see `delivery.welcome`. Once
    more does no harm. Raises NotFound where there is nothing to confirm any more."""
    now = app.now()
    with app.db.write() as session:
        person = get(session, subscriber_id)
        if person.status == "removed":
            raise NotFound("this subscription has ended")
        if person.status == "pending":
            person.status, person.paused_until = "active", None
            person.confirmed_at = person.next_digest_at = now
            _note_standing(session, person, now)
            forget_erasure(app, session, person.email_key)
            _plant(session, person, now)
        session.add(person)
    return person


def _plant(session: Session, person: Subscriber, now: datetime) -> None:
    """The papers typed at the sign-up become votes."""
    if person.seeds:
        seeds.plant(session, _id(person), parse_citations(person.seeds), now)
        person.seeds = ""


def forget_erasure(app: "App", session: Session, email_key: str) -> None:
    """The person's own word, from that address, lets mail go there again."""
    hashes = app.tokens.address_hashes(email_key)
    erased = select(Suppression).where(
        col(Suppression.address_hash).in_(hashes), Suppression.reason == "erased"
    )
    for suppression in session.exec(erased):
        session.delete(suppression)


def edit(app: "App", subscriber_id: int, changes: Changes) -> Subscriber:
    """Changes what is given. Another hour, zone or frequency moves the next digest."""
    values, now = changes.checked(), app.now()
    with app.db.write() as session:
        person = get(session, subscriber_id)
        moved = any(values.get(name, kept) != kept for name, kept in _schedule_of(person))
        _apply(person, values)
        if moved and person.status == "active":
            person.next_digest_at = due_next(person, now)
        session.add(person)
    return person


def tried(person: Subscriber, changes: Changes) -> Subscriber:
    """A copy with the changes, stored nowhere: what the reader would be."""
    copy = Subscriber(**person.model_dump())
    _apply(copy, changes.checked())
    return copy


def like(app: "App", subscriber_id: int, named: Citations) -> seeds.Planted:
    """Papers to start from become votes up; says what became of them."""
    with app.db.write() as session:
        running(session, subscriber_id)
        return seeds.plant(session, subscriber_id, named, app.now())


def pause(app: "App", subscriber_id: int, until: date | None = None) -> Subscriber:
    """No mail before the day `until` (the reader's own), or until `resume`."""
    with app.db.write() as session:
        person = running(session, subscriber_id)
        today = app.now().astimezone(parse_zone(person.timezone)).date()
        if until is not None and until <= today:
            raise InputError(f"pause until {until}: expected a day after {today}")
        person.status, person.paused_until, person.next_digest_at = "paused", until, None
        _note_standing(session, person, app.now())
        session.add(person)
    return person


def resume(app: "App", subscriber_id: int) -> Subscriber:
    """Ends a pause; the next digest comes at the next hour chosen."""
    with app.db.write() as session:
        person = running(session, subscriber_id)
        if person.status == "paused":
            _activate(person, app.now())
            _note_standing(session, person, app.now())
        session.add(person)
    return person


def end_pauses(app: "App") -> int:
    """Ends the pauses whose last day is over, and counts them. A digest that would have been due
    since then is due at once."""
    now = app.now()
    with app.db.write() as session:
        waiting = session.exec(
            select(Subscriber).where(
                Subscriber.status == "paused",
                col(Subscriber.paused_until) <= (now + timedelta(days=1)).date(),
            )
        ).all()
        ended = 0
        for person in waiting:
            zone = parse_zone(person.timezone)
            back = datetime.combine(person.paused_until or now.date(), time.min, zone)
            if back <= now:
                _activate(person, back - timedelta(seconds=1))
                _note_standing(session, person, back)
                ended += 1
            session.add(person)
    return ended


def remove(app: "App", subscriber_id: int) -> None:
    """Ends the subscription and cancels its queued mail; once more does no harm.

    Someone who never confirmed is erased. Only the person's own new sign-up revives either.
    """
    now = app.now()
    with app.db.write() as session:
        person = get(session, subscriber_id)
        if person.status == "pending" and person.confirmed_at is None:
            _erase(app, session, person, now)
            return
        if person.status != "removed":
            person.status, person.paused_until, person.next_digest_at = "removed", None, None
            person.seeds = ""
            _note_standing(session, person, now)
        session.add(person)
        session.connection().execute(
            update(OutboxMessage)
            .where(
                col(OutboxMessage.subscriber_id) == subscriber_id,
                col(OutboxMessage.status).in_(("queued", "deferred")),
            )
            .values(status="cancelled")
        )


def erase(app: "App", subscriber_id: int) -> None:
    """Deletes all there is about the person but a keyed hash of the address, by which an import
    is refused."""
    with app.db.write() as session:
        _erase(app, session, get(session, subscriber_id), app.now())


def _erase(app: "App", session: Session, person: Subscriber, now: datetime) -> None:
    hashes = app.tokens.address_hashes(person.email_key)
    kept = session.exec(
        select(Suppression).where(col(Suppression.address_hash).in_(hashes))
    ).first()
    if kept is None:
        kept = Suppression(address_hash=hashes[0], reason="erased", created_at=now)
    kept.email = None
    session.add(kept)
    asked = func.lower(OutboxMessage.recipient) == person.email_key  # by a reader who would move
    session.connection().execute(
        delete(OutboxMessage).where(
            col(OutboxMessage.recipient).is_not(None), asked, col(OutboxMessage.kind) == "address"
        )
    )
    session.delete(person)


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


def find(session: Session, email: str) -> Subscriber:
    """The subscriber of an address, however it is spelt. Raises NotFound, InputError."""
    person = by_key(session, parse_address(email).key)
    if person is None:
        raise NotFound(f"there is no subscriber {email.strip()}")
    return person


def get(session: Session, subscriber_id: int) -> Subscriber:
    """Raises NotFound where the subscriber was erased."""
    person = by_id(session, subscriber_id)
    if person is None:
        raise NotFound("there is no such subscriber any more")
    return person


def by_id(session: Session, subscriber_id: int) -> Subscriber | None:
    """None where the subscriber was erased."""
    return session.get(Subscriber, subscriber_id, with_for_update=writes(session))


def listing(session: Session, status: str | None = None) -> list[Subscriber]:
    """All subscribers by address, or those of one status."""
    query = select(Subscriber).order_by(col(Subscriber.email_key))
    if status is not None:
        query = query.where(Subscriber.status == status)
    return list(session.exec(query))


def by_key(session: Session, key: str) -> Subscriber | None:
    """The subscriber of an address in the form that all its spellings share."""
    query = select(Subscriber).where(Subscriber.email_key == key)
    return session.exec(query.with_for_update() if writes(session) else query).first()


def running(session: Session, subscriber_id: int) -> Subscriber:
    """Raises NotFound, InputError where the subscription has not begun or has ended."""
    person = get(session, subscriber_id)
    if person.status not in ("active", "paused"):
        state = "is not confirmed yet" if person.status == "pending" else "has ended"
        raise InputError(f"the subscription of {person.email} {state}")
    return person


def _new(address: Address, now: datetime) -> Subscriber:
    return Subscriber(email=address.email, email_key=address.key, created_at=now)


def _has_ended(person: Subscriber) -> bool:
    """Also where a new sign-up after it still waits for the confirmation."""
    return person.status == "removed" or (
        person.status == "pending" and person.confirmed_at is not None
    )


def _apply(person: Subscriber, values: dict[str, Any]) -> None:
    if any(name in _TASTE and getattr(person, name) != value for name, value in values.items()):
        person.revision += 1
    for name, value in values.items():
        setattr(person, name, value)


def _activate(person: Subscriber, now: datetime) -> None:
    person.status, person.paused_until = "active", None
    person.confirmed_at = person.confirmed_at or now
    person.next_digest_at = due_next(person, now)


def _note_standing(session: Session, person: Subscriber, now: datetime) -> None:
    session.merge(Standing(subscriber_id=_id(person), since=now, status=person.status))


def _schedule_of(person: Subscriber) -> list[tuple[str, str]]:
    return [(name, getattr(person, name)) for name in sorted(_SCHEDULE)]


def due_next(person: Subscriber, now: datetime) -> datetime:
    """When the digest after `now` is due."""
    return next_due(now, person.frequency, person.send_at, person.timezone)


def _id(row: Any) -> int:
    assert row.id is not None
    return int(row.id)
