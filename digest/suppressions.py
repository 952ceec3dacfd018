"""Addresses that get no mail: by bounce, complaint, the operator's word, or after an erasure."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from sqlmodel import Session, col, select

from digest.changes import parse_address
from digest.errors import InputError, NotFound
from digest.models import Bounce, Subscriber, Suppression
from digest.schedule import next_due

if TYPE_CHECKING:
    from digest.app import App

Reason = Literal["bounce", "complaint", "operator", "erased"]


def suppressed(app: "App", session: Session, email_key: str) -> str | None:
    """Why the address gets no mail, or None."""
    found = _row(app, session, email_key)
    return found.reason if found is not None else None


def listing(session: Session) -> list[Suppression]:
    """All suppressions, the newest first; of an erased address only the hash is left."""
    newest = col(Suppression.created_at).desc()
    return list(session.exec(select(Suppression).order_by(newest, col(Suppression.address_hash))))


def add(app: "App", email: str, *, dry_run: bool = False) -> Suppression:
    """No mail goes to the address from now on, by the operator's word. Raises InputError where
    it is none, or where none goes there already."""
    address = parse_address(email)
    with app.db.write() as session:
        kept = _row(app, session, address.key)
        if kept is not None and kept.reason != "erased":
            raise InputError(f"{address.email} gets no mail already ({kept.reason})")
        if not dry_run:
            return suppress(app, session, address.key, address.email, "operator")
    return Suppression(address_hash="", reason="operator", email=address.email)


def suppress(
    app: "App", session: Session, email_key: str, email: str, reason: Reason, detail: str = ""
) -> Suppression:
    """Lets no further mail go to the address; a complaint outweighs a bounce."""
    kept = _row(app, session, email_key)
    if kept is None:
        hashed = app.tokens.address_hashes(email_key)[0]
        kept = Suppression(
            address_hash=hashed, reason=reason, detail=detail, email=email, created_at=app.now()
        )
    elif kept.reason == "erased" or reason == "complaint":
        kept.reason, kept.detail = reason, detail
    session.add(kept)
    person = _person(session, email_key)
    if person is not None and person.status == "active":
        person.next_digest_at = None
        session.add(person)
    return kept


def remove(app: "App", email: str, *, dry_run: bool = False) -> Suppression:
    """Lets mail go to the address again, and the next digest come at its hour; what bounced so far
    counts no more. A subscription that has ended stays so.

    Raises NotFound where the address is not suppressed, InputError where it was erased: only the
    person's own new sign-up lifts that.
    """
    address = parse_address(email)
    with app.db.write() as session:
        kept = _row(app, session, address.key)
        if kept is None:
            raise NotFound(f"{address.email} is not suppressed")
        if kept.reason == "erased":
            raise InputError(
                f"{address.email} was erased: only the person's own new sign-up brings it back"
            )
        person = _person(session, address.key)
        if not dry_run:
            if kept.email is None and person is None:
                kept.reason, kept.detail = "erased", ""
                session.add(kept)
            else:
                session.delete(kept)
            if person is not None:
                _readmit(session, person, app.now())
    return kept


def lift(session: Session, since: datetime, now: datetime) -> int:
    """Lets mail go again to the addresses suppressed by bounces since then; gives their number."""
    mistaken = session.exec(
        select(Suppression).where(Suppression.reason == "bounce", Suppression.created_at > since)
    ).all()
    for kept in mistaken:
        person = _person(session, kept.email.casefold()) if kept.email else None
        session.delete(kept)
        if person is not None:
            _readmit(session, person, now)
    return len(mistaken)


def _readmit(session: Session, person: Subscriber, now: datetime) -> None:
    for bounce in session.exec(select(Bounce).where(Bounce.subscriber_id == person.id)):
        bounce.settled = True
        session.add(bounce)
    if person.status == "active":
        person.next_digest_at = next_due(now, person.frequency, person.send_at, person.timezone)
        session.add(person)


def _row(app: "App", session: Session, email_key: str) -> Suppression | None:
    hashes = app.tokens.address_hashes(email_key)
    return session.exec(
        select(Suppression).where(col(Suppression.address_hash).in_(hashes))
    ).first()


def _person(session: Session, email_key: str) -> Subscriber | None:
    return session.exec(select(Subscriber).where(Subscriber.email_key == email_key)).first()
