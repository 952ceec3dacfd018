"""The life of a subscription: add, edit, pause, resume, remove, erase; and who there is."""

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from digest import seeds
from digest.changes import Address, Changes, parse_address
from digest.citations import Citations, parse_citations
from digest.db import alone, writes
from digest.errors import InputError, NotFound
from digest.models import OutboxMessage, Standing, Subscriber, Suppression
from digest.schedule import next_due, parse_zone
from digest.suppressions import suppressed

if TYPE_CHECKING:
    from digest.app import App

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
            person = new(address, now)
        elif person.status != "pending":
            raise InputError(f"{person.email} is subscribed already: `digest subscribers edit`")
        apply(person, values)
        _activate(person, now)
        session.add(person)
        session.flush()
        note_standing(session, person, now)
        plant(session, person, now)
    return person


def refuse_unwanted(app: "App", session: Session, address: Address) -> None:
    """Raises InputError where only the person (or, after a bounce or a complaint, the operator)
    may let mail go to the address again."""
    person = by_key(session, address.key)
    ended = person is not None and has_ended(person)
    refuse(address, suppressed(app, session, address.key), ended=ended)


def refuse(address: Address, reason: str | None, *, ended: bool) -> None:
    """Raises InputError where the address gets no mail for a `reason`, or the subscription has
    `ended`."""
    if reason == "erased":
        raise InputError(
            f"{address.email} was erased: only the person's own new sign-up brings it back"
        )
    if reason is not None:
        raise InputError(
            f"{address.email} gets no mail ({reason}): `digest suppressions remove` lifts that"
        )
    if ended:
        raise InputError(
            f"{address.email} ended the subscription: only the person's own new sign-up brings"
            " it back"
        )


def renew_reading_links(app: "App", subscriber_id: int) -> None:
    """The links to digests in the browser and to the feed stop working; all others go on."""
    with app.db.write() as session:
        person = get(session, subscriber_id)
        person.view_epoch += 1
        session.add(person)


def plant(session: Session, person: Subscriber, now: datetime) -> None:
    """The papers typed at the sign-up become votes."""
    if person.seeds:
        seeds.plant(session, id_of(person), parse_citations(person.seeds), now)
        person.seeds = ""


def edit(app: "App", subscriber_id: int, changes: Changes) -> Subscriber:
    """Changes what is given. Another hour, zone or frequency moves the next digest."""
    values, now = changes.checked(), app.now()
    with app.db.write() as session:
        person = get(session, subscriber_id)
        moved = any(values.get(name, kept) != kept for name, kept in _schedule_of(person))
        apply(person, values)
        if moved and person.status == "active":
            person.next_digest_at = due_next(person, now)
        session.add(person)
    return person


def tried(person: Subscriber, changes: Changes) -> Subscriber:
    """A copy with the changes, stored nowhere: what the reader would be."""
    copy = Subscriber(**person.model_dump())
    apply(copy, changes.checked())
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
        note_standing(session, person, app.now())
        session.add(person)
    return person


def resume(app: "App", subscriber_id: int) -> Subscriber:
    """Ends a pause; the next digest comes at the next hour chosen."""
    with app.db.write() as session:
        person = running(session, subscriber_id)
        if person.status == "paused":
            _activate(person, app.now())
            note_standing(session, person, app.now())
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
                note_standing(session, person, back)
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
            note_standing(session, person, now)
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


def beginning(session: Session, text: str, most: int) -> list[str]:
    """The first addresses that begin so."""
    key = col(Subscriber.email_key)
    some = select(Subscriber.email).where(key.startswith(text.casefold(), autoescape=True))
    return list(session.exec(some.order_by(key).limit(most)))


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


def new(address: Address, now: datetime) -> Subscriber:
    """Somebody pending, stored nowhere yet."""
    return Subscriber(email=address.email, email_key=address.key, created_at=now)


def has_ended(person: Subscriber) -> bool:
    """Also where a new sign-up after it still waits for the confirmation."""
    return person.status == "removed" or (
        person.status == "pending" and person.confirmed_at is not None
    )


def apply(person: Subscriber, values: dict[str, Any]) -> None:
    """Sets what was checked; another taste makes the stored ranker stale."""
    if any(name in _TASTE and getattr(person, name) != value for name, value in values.items()):
        person.revision += 1
    for name, value in values.items():
        setattr(person, name, value)


def _activate(person: Subscriber, now: datetime) -> None:
    person.status, person.paused_until = "active", None
    person.confirmed_at = person.confirmed_at or now
    person.next_digest_at = due_next(person, now)


def note_standing(session: Session, person: Subscriber, now: datetime) -> None:
    """Keeps since when the subscription has its status."""
    session.merge(Standing(subscriber_id=id_of(person), since=now, status=person.status))


def _schedule_of(person: Subscriber) -> list[tuple[str, str]]:
    return [(name, getattr(person, name)) for name in sorted(_SCHEDULE)]


def due_next(person: Subscriber, now: datetime) -> datetime:
    """When the digest after `now` is due."""
    return next_due(now, person.frequency, person.send_at, person.timezone)


def id_of(row: Any) -> int:
    """The id of a row that is stored."""
    assert row.id is not None
    return int(row.id)
