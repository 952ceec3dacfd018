"""A change of address: asked for by a fresh link, confirmed from the new one, told to the old."""

from typing import TYPE_CHECKING

from sqlalchemy import update
from sqlmodel import Session, col

from digest import bounds, signup, subscribers
from digest.changes import Address, parse_address
from digest.errors import InputError, NotFound
from digest.mail import outbox
from digest.models import Bounce, OutboxMessage, Subscriber
from digest.suppressions import suppressed

if TYPE_CHECKING:
    from digest.app import App


def request(app: "App", subscriber_id: int, email: str) -> None:
    """Asks the new address by mail; nothing changes until it says yes.

    Says the same for every address: one that is subscribed itself, is suppressed, or was written
    to too often gets no mail. Raises InputError for what is no address, or is the reader's own.
    """
    address, now = parse_address(email), app.now()
    with app.db.write() as session:
        person = subscribers.running(session, subscriber_id)
        if address.email == person.email:
            raise InputError(f"{address.email} is the address that the digests go to already")
        bounds.refuse_flood(session, app.settings.mail.letters_per_hour, now)
        free = _is_free(app, session, address, person)
        if free and bounds.may_ask_address(session, subscriber_id, address.key, now):
            outbox.enqueue(session, "address", subscriber_id, now, recipient=address.email)


def asked(session: Session, subscriber_id: int, message_id: int) -> str:
    """The address that the mail of this id went to. Raises NotFound."""
    message = session.get(OutboxMessage, message_id)
    if message is None or message.subscriber_id != subscriber_id or message.recipient is None:
        raise NotFound("there is no such request")
    return message.recipient


def confirm(app: "App", subscriber_id: int, message_id: int) -> Subscriber:
    """The digests go to the address that was asked; the links in earlier mails stop working, and
    the old address is told. A subscription that ended or was not confirmed gives its address up.

    Raises NotFound, InputError where the address has been taken meanwhile.
    """
    now = app.now()
    with app.db.write() as session:
        person = subscribers.running(session, subscriber_id)
        address = parse_address(asked(session, subscriber_id, message_id))
        if not _is_free(app, session, address, person):
            raise InputError(f"{address.email} has a subscription of its own, or gets no mail")
        _give_up(session, address, person)
        _settle_past(session, person)
        left, person.email, person.email_key = person.email, address.email, address.key
        person.link_epoch += 1
        person.view_epoch += 1
        if person.status == "active" and person.next_digest_at is None:  # the old one was dead
            person.next_digest_at = subscribers.due_next(person, now)
        session.add(person)
        signup.forget_erasure(app, session, address.key)
        outbox.enqueue(session, "moved", subscriber_id, now, recipient=left)
    return person


def _is_free(app: "App", session: Session, address: Address, person: Subscriber) -> bool:
    if suppressed(app, session, address.key) not in (None, "erased"):
        return False
    holder = subscribers.by_key(session, address.key)
    return holder is None or holder.id == person.id or holder.status in ("pending", "removed")


def _give_up(session: Session, address: Address, person: Subscriber) -> None:
    holder = subscribers.by_key(session, address.key)
    if holder is not None and holder.id != person.id:
        session.delete(holder)
        session.flush()


def _settle_past(session: Session, person: Subscriber) -> None:
    """What went to the old address, and what comes back of it, is none of the new one's."""
    session.connection().execute(
        update(OutboxMessage)
        .where(
            col(OutboxMessage.subscriber_id) == person.id,
            col(OutboxMessage.recipient).is_(None),
            col(OutboxMessage.status).in_(("sent", "failed")),
        )
        .values(recipient=person.email)
    )
    session.connection().execute(
        update(Bounce).where(col(Bounce.subscriber_id) == person.id).values(settled=True)
    )
