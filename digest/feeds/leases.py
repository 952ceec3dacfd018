"""A feed is in one process's hands at a time: a lease that ends by itself, committed before the
network is touched."""

from datetime import timedelta
from typing import Any

from sqlmodel import Session, col, or_, select, update

from digest.app import App
from digest.models import Feed

LEASE = timedelta(minutes=15)  # longer than a fetch can take with all its redirects
SKEW = timedelta(minutes=5)  # by which the clocks of two machines may differ


def lease(app: App, feed_id: int | None, *, only_due: bool) -> Feed | None:
    """The feed, ours until its lease ends; None where another process has it or it is gone."""
    now = app.now()
    free = or_(col(Feed.leased_until).is_(None), col(Feed.leased_until) <= now)
    claim = update(Feed).where(col(Feed.id) == feed_id, free).values(leased_until=now + LEASE)
    if only_due:
        claim = claim.where(col(Feed.next_fetch_at) <= now)
    with app.db.write() as session:
        if session.exec(claim).rowcount != 1:
            return None
        leased: Feed = session.exec(select(Feed).where(Feed.id == feed_id)).one()
    return leased


def prolong(app: App, feed: Feed) -> None:
    """Begins the lease anew, for work in many steps."""
    until = app.now() + LEASE
    with app.db.write() as session:
        session.exec(update(Feed).where(*_ours(feed)).values(leased_until=until))
    feed.leased_until = until


def settle(session: Session, feed: Feed, **values: object) -> None:
    """Writes what became of a visit and ends the lease, unless another has taken the feed over."""
    session.exec(update(Feed).where(*_ours(feed)).values(leased_until=None, **values))


def _ours(feed: Feed) -> tuple[Any, Any]:
    return col(Feed.id) == feed.id, col(Feed.leased_until) == feed.leased_until
