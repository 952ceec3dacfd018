"""The rows of the outbox: which messages are next, who has them, and what became of each.

Every step of a message is one conditional update: it is recorded only while the message is still
leased to the process that takes the step, so that two processes never send the same one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlmodel import Session, col

from digest.models import (
    Digest,
    Handover,
    OutboxMessage,
    Pick,
    Subscriber,
    Suppression,
    ToldNews,
)
from digest.prepared import Prepared

OPEN = ("queued", "deferred")
HELD = timedelta(minutes=2)  # a message not begun: who lives renews it, who is late finds it gone
LEASE = timedelta(minutes=30)  # longer than the slowest server may take for one message
UNANSWERED_TWICE = (
    "handed over twice without an answer: it may have arrived twice, once or not at all"
)


class Waiting(NamedTuple):
    """A message that this process may send."""

    id: int
    kind: str
    subscriber_id: int
    digest_id: int | None
    priority: int
    due_at: datetime
    created_at: datetime
    tries: int
    in_doubt: bool
    recipient: str | None = None


class Seen(NamedTuple):
    """What a mail was made from; it goes only while this still holds."""

    status: str
    email: str
    link_epoch: int
    address_hashes: Sequence[str]
    harmless: str  # the reason of a suppression that does not stop this kind of mail


# Tables, not models: a sender needs no mapper, whose making takes it 1 MB.
_MAILS = OutboxMessage.__table__  # type: ignore[attr-defined]
_READERS = Subscriber.__table__.c  # type: ignore[attr-defined]
_AGAINST = Suppression.__table__.c  # type: ignore[attr-defined]
_COLUMNS = [_MAILS.c[name] for name in Waiting._fields]
_ORDER = (_MAILS.c.priority, _MAILS.c.due_at, _MAILS.c.id)
_MINE = (_MAILS.c.id == bindparam("key"), _MAILS.c.leased_by == bindparam("worker"))
_OUTBOX = update(_MAILS)
_UNSETTLED = or_(*(_MAILS.c.status == status for status in (*OPEN, "sending")))
_FREE = {"leased_by": None, "leased_until": None}
_TAKE = _OUTBOX.where(_MAILS.c.id.in_(bindparam("ids", expanding=True))).values(
    leased_by=bindparam("worker"), leased_until=bindparam("until")
)


def recover(session: Session, now: datetime, *, alone: bool) -> tuple[int, int]:
    """Takes up what dead processes left: gives how many are to be sent once more and how many
    were in doubt before and have failed. With `alone`, no other process can be alive."""
    dead = _MAILS.c.id.is_not(None) if alone else _expired(now)
    sending = _MAILS.c.status == "sending"
    again = _count(
        session,
        dead & sending & ~_MAILS.c.in_doubt,
        status="queued",
        in_doubt=True,
        **_FREE,
    )
    failed = _count(session, dead & sending, status="failed", response=UNANSWERED_TWICE, **_FREE)
    leased = _MAILS.c.leased_by.is_not(None)
    _count(session, dead & leased & _MAILS.c.status.in_(OPEN), **_FREE)
    return again, failed


def lease(
    connection: Connection,
    now: datetime,
    worker: str,
    count: int,
    *,
    only: int | None = None,
    before: int | None = None,
) -> list[Waiting]:
    """Leases up to `count` messages that are due, the most urgent first; `only`: of this
    subscriber, `before`: of a more urgent priority than this one."""
    asked = {"now": now, "count": count, "only": only, "before": before}
    given = {name: value for name, value in asked.items() if value is not None}
    found = [
        Waiting._make(row)
        for status in OPEN
        for row in connection.execute(_next(status, only is None, before is None), given)
    ]
    found = sorted(found, key=lambda row: (row.priority, row.due_at, row.id))[:count]
    if found:
        taken = {"ids": [row.id for row in found], "worker": worker, "until": now + HELD}
        connection.execute(_TAKE, taken)
    return found


@cache
def _next(status: str, of_all: bool, of_any_priority: bool) -> Select[Any]:
    """The messages of this status that are next; made once, which takes as long as to ask it."""
    which = [_MAILS.c.status == status, _MAILS.c.due_at <= bindparam("now")]
    which.append(or_(_MAILS.c.leased_by.is_(None), _expired(bindparam("now"))))
    if not of_all:
        which.append(_MAILS.c.subscriber_id == bindparam("only"))
    if not of_any_priority:
        which.append(_MAILS.c.priority < bindparam("before"))
    wanted = select(*_COLUMNS).where(*which).order_by(*_ORDER).limit(bindparam("count"))
    return wanted.with_for_update(skip_locked=True)


def renew(connection: Connection, ids: Iterable[int], worker: str, now: datetime) -> None:
    """Those of the messages that are still leased to `worker`, and not begun, stay so."""
    mine = (_MAILS.c.id.in_(ids), _MAILS.c.leased_by == worker)
    which = _OUTBOX.where(*mine, _MAILS.c.status.in_(OPEN))
    connection.execute(which.values(leased_until=now + HELD))


@cache
def _beginning(hashes: int) -> Prepared:
    """The mark of a message whose reader's address has so many hashes."""
    reader = select(_READERS.id).where(
        _READERS.id == bindparam("reader"),
        _READERS.status == bindparam("reader_status"),
        _READERS.email == bindparam("reader_email"),
        _READERS.link_epoch == bindparam("reader_epoch"),
    )
    against = select(_AGAINST.reason).where(
        or_(*(_AGAINST.address_hash == bindparam(f"hash{n}") for n in range(hashes))),
        _AGAINST.reason != bindparam("harmless"),
    )
    which = _OUTBOX.where(*_MINE, _UNSETTLED, reader.exists(), ~against.exists())
    return Prepared(which.values(status="sending", leased_until=bindparam("until")))


@cache
def _settling(names: tuple[str, ...]) -> Prepared:
    """What ends a message's lease and sets these columns."""
    which = _OUTBOX.where(*_MINE, _UNSETTLED)
    return Prepared(which.values(**_FREE, **{name: bindparam(f"new_{name}") for name in names}))


def begin(connection: Connection, message: Waiting, worker: str, seen: Seen, now: datetime) -> bool:
    """Marks the message as being sent, right before its DATA. False where it may not go: it was
    cancelled, another process has it, or its reader is not as the mail was made for."""
    values = {
        "key": message.id,
        "worker": worker,
        "until": now + LEASE,
        "reader": message.subscriber_id,
        "reader_status": seen.status,
        "reader_email": seen.email,
        "reader_epoch": seen.link_epoch,
        "harmless": seen.harmless,
    }
    hashes = {f"hash{n}": one for n, one in enumerate(seen.address_hashes)}
    return _beginning(len(hashes)).run(connection, values | hashes) == 1


def settle(connection: Connection, message: Waiting, worker: str, **values: Any) -> bool:
    """Records what became of a message and ends its lease. False where it is no longer ours."""
    new = {f"new_{name}": value for name, value in values.items()}
    which = {"key": message.id, "worker": worker}
    return _settling(tuple(values)).run(connection, which | new) == 1


def bring_back(connection: Connection, digest_id: int) -> None:
    """The papers of a digest that nobody saw may be picked again, and count as covered no more, and
    its news are told again; not where another door has it."""
    elsewhere = select(col(Handover.digest_id)).where(
        col(Handover.digest_id) == digest_id, col(Handover.status).in_(("waiting", "done"))
    )
    connection.execute(delete(Pick).where(col(Pick.digest_id) == digest_id, ~elsewhere.exists()))
    reader = select(col(Digest.subscriber_id)).where(col(Digest.id) == digest_id).scalar_subquery()
    its = (col(ToldNews.subscriber_id) == reader, col(ToldNews.digest_id) == digest_id)
    connection.execute(delete(ToldNews).where(*its, ~elsewhere.exists()))


def release(connection: Connection, messages: Iterable[Waiting], worker: str) -> None:
    """Gives back what was leased and not begun."""
    chosen = _MAILS.c.id.in_([message.id for message in messages])
    mine = _MAILS.c.leased_by == worker
    connection.execute(_OUTBOX.where(chosen, mine, _MAILS.c.status.in_(OPEN)).values(**_FREE))


def standing(session: Session, message: Waiting) -> tuple[str, str | None]:
    """The message's status and who has it; "gone" where the reader was erased meanwhile."""
    found = session.execute(
        select(_MAILS.c.status, _MAILS.c.leased_by).where(_MAILS.c.id == message.id)
    ).first()
    return (found.status, found.leased_by) if found is not None else ("gone", None)


def due(session: Session, now: datetime, only: int | None = None) -> int:
    """How many messages could be sent now or are being sent."""
    waiting = select(func.count()).where(
        or_(
            _MAILS.c.status.in_(OPEN) & (_MAILS.c.due_at <= now),
            _MAILS.c.status == "sending",
        ),
        *_only(only),
    )
    return int(session.connection().execute(waiting).scalar_one())


def _only(subscriber_id: int | None) -> list[ColumnElement[bool]]:
    return [] if subscriber_id is None else [_MAILS.c.subscriber_id == subscriber_id]


def _expired(now: datetime | BindParameter[Any]) -> ColumnElement[bool]:
    until: ColumnElement[datetime] = _MAILS.c.leased_until
    return until < now


def _count(session: Session, which: ColumnElement[bool], **values: Any) -> int:
    return session.connection().execute(_OUTBOX.where(which).values(**values)).rowcount
