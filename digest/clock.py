"""What a clock that ran ahead for a while has put too far off comes back to where it belongs."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from digest.feeds import leases
from digest.mail import queue, sending
from digest.models import Digest, Feed, OutboxMessage, Subscriber
from digest.schedule import next_due

if TYPE_CHECKING:
    from digest.app import App

DAY = timedelta(days=1)
# Two dates of a reader's, at the most: nothing of ours puts a digest off by more.
FARTHEST = {"daily": 2 * DAY, "weekdays": 4 * DAY, "weekly": 8 * DAY}
LONGEST_REST = 4 * DAY  # of a feed over days on which it says that it brings nothing


def put_right(app: "App") -> int:
    """Brings back leases, fetches, mails and digests that stand farther ahead than they can
    by a clock that is right; counts the readers whose date was brought back."""
    now = app.now()
    with app.db.write() as session:
        waiting = col(OutboxMessage.status).in_(queue.OPEN)
        _back(session, Feed.leased_until, now, leases.LEASE)
        _back(session, Feed.next_fetch_at, now, LONGEST_REST)
        wrongly = sa.update(Feed).where(col(Feed.checked_at) > now + leases.SKEW)
        session.execute(wrongly.values(next_fetch_at=now))
        _back(session, OutboxMessage.leased_until, now, queue.LEASE)
        _back(session, OutboxMessage.due_at, now, sending.GIVE_UP, waiting)
        return sum(_readers(session, name, now) for name in FARTHEST)


def ran_ahead(session: Session, now: datetime) -> datetime | None:
    """The moment of something that is done and that lies in the future: the clock was wrong then,
    or is now."""
    done = (Feed.checked_at, Digest.created_at)
    latest = [session.execute(sa.select(sa.func.max(col(each)))).scalar() for each in done]
    ahead = [moment for moment in latest if moment is not None and moment > now + leases.SKEW]
    return max(ahead, default=None)


def _back(session: Session, column: Any, now: datetime, most: timedelta, *which: Any) -> None:
    """What stands farther ahead than `most` is due now; a lease, whose holder may live, so long
    from now on."""
    instead = now + most if column.key == "leased_until" else now
    far = sa.update(column.class_).where(column > now + most, *which)
    session.execute(far.values({column.key: instead}))


def _readers(session: Session, frequency: str, now: datetime) -> int:
    late = select(Subscriber).where(
        Subscriber.frequency == frequency,
        Subscriber.status == "active",
        col(Subscriber.next_digest_at) > now + FARTHEST[frequency],
    )
    readers = session.exec(late.with_for_update()).all()
    for reader in readers:
        reader.next_digest_at = next_due(now, frequency, reader.send_at, reader.timezone)
        session.add(reader)
    return len(readers)
