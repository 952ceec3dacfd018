"""The rows of the outbox: which message is next, who has it, and what became of it."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, update
from sqlmodel import Session, col, select

from digest.models import OutboxMessage

OPEN = ("queued", "deferred")
LEASE = timedelta(minutes=30)  # longer than the slowest server may take for one message
UNANSWERED_TWICE = (
    "handed over twice without an answer: it may have arrived twice, once or not at all"
)


def recover(session: Session, now: datetime, *, alone: bool) -> tuple[int, int]:
    """Takes up what dead processes left: gives how many are to be sent once more and how many
    were in doubt before and have failed. With `alone`, no other process can be alive."""
    dead = col(OutboxMessage.id).is_not(None) if alone else _expired(now)
    sending = col(OutboxMessage.status) == "sending"
    free = {"leased_by": None, "leased_until": None}
    again = _count(
        session,
        dead & sending & ~col(OutboxMessage.in_doubt),
        status="queued",
        in_doubt=True,
        **free,
    )
    failed = _count(session, dead & sending, status="failed", response=UNANSWERED_TWICE, **free)
    leased = col(OutboxMessage.leased_by).is_not(None)
    _count(session, dead & leased & col(OutboxMessage.status).in_(OPEN), **free)
    return again, failed


def claim(
    session: Session, now: datetime, worker: str, only: int | None = None
) -> OutboxMessage | None:
    """Leases the most urgent message that is due; None where nothing is."""
    found = [
        message
        for status in OPEN
        for message in session.exec(
            select(OutboxMessage)
            .where(col(OutboxMessage.status) == status, *_due(now, only))
            .order_by(col(OutboxMessage.priority), col(OutboxMessage.due_at), col(OutboxMessage.id))
            .limit(1)
        )
    ]
    if not found:
        return None
    message = min(found, key=lambda row: (row.priority, row.due_at, row.id))
    message.leased_by, message.leased_until = worker, now + LEASE
    return message


def due(session: Session, now: datetime, only: int | None = None) -> int:
    """How many messages could be sent now or are being sent."""
    waiting = select(func.count()).where(
        or_(
            col(OutboxMessage.status).in_(OPEN) & (col(OutboxMessage.due_at) <= now),
            col(OutboxMessage.status) == "sending",
        ),
        *_only(only),
    )
    return session.exec(waiting).one()


def mark(session: Session, message: OutboxMessage, **values: Any) -> None:
    """Records a step of a message that this process has claimed."""
    _count(session, col(OutboxMessage.id) == message.id, **values)


def _due(now: datetime, only: int | None) -> list[ColumnElement[bool]]:
    free = or_(col(OutboxMessage.leased_by).is_(None), _expired(now))
    return [col(OutboxMessage.due_at) <= now, free, *_only(only)]


def _only(subscriber_id: int | None) -> list[ColumnElement[bool]]:
    return [] if subscriber_id is None else [col(OutboxMessage.subscriber_id) == subscriber_id]


def _expired(now: datetime) -> ColumnElement[bool]:
    return col(OutboxMessage.leased_until) < now


def _count(session: Session, which: ColumnElement[bool], **values: Any) -> int:
    return session.exec(update(OutboxMessage).where(which).values(**values)).rowcount
