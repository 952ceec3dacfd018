"""Whose turn it is to ask a host, in rows that all processes share."""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta

from sqlmodel import col, or_, select, update

from digest.app import App
from digest.db import insert_new
from digest.feeds.fetch import Fetcher
from digest.feeds.leases import SKEW
from digest.models import HostTurn

POLL = timedelta(seconds=0.25)  # between two looks at a turn that another process holds


@dataclass(frozen=True, eq=False)
class Turns:
    """`longest` is how long a turn may last: after it, its holder is taken for dead."""

    app: App
    longest: timedelta
    holder: str = field(default_factory=lambda: secrets.token_hex(8))

    def claim(self, host: str) -> float:
        """Takes the host's turn: 0 where it is ours now, else the seconds until asking again. What
        is farther off than it can be was written by a clock that ran ahead, and holds nobody."""
        now = self.app.now()
        leased_until, ready_at = col(HostTurn.leased_until), col(HostTurn.ready_at)
        with self.app.db.write() as session:
            insert_new(session, HostTurn, [{"host": host, "holder": "", "ready_at": now}])
            over = or_(leased_until <= now, leased_until > now + self.longest + SKEW)
            ready = or_(ready_at <= now, ready_at > now + SKEW)
            claim = update(HostTurn).where(col(HostTurn.host) == host, ready)
            claim = claim.where(or_(leased_until.is_(None), over))
            values = {"holder": self.holder, "leased_until": now + self.longest}
            if session.exec(claim.values(**values)).rowcount == 1:
                return 0.0
            turn = session.exec(select(HostTurn).where(HostTurn.host == host)).one()
        held = turn.leased_until is not None and turn.leased_until > now
        return (POLL if held else max(turn.ready_at - now, timedelta())).total_seconds()

    def release(self, host: str, pause: float) -> None:
        """Gives the turn back; nobody has it for the next `pause` seconds."""
        ready_at = self.app.now() + timedelta(seconds=pause)
        ours = (col(HostTurn.host) == host, col(HostTurn.holder) == self.holder)
        with self.app.db.write() as session:
            session.exec(
                update(HostTurn)
                .where(*ours)
                .values(holder="", leased_until=None, ready_at=ready_at)
            )


def fetcher(app: App) -> Fetcher:
    """How this installation fetches: as its settings say, in turn with all its processes."""
    feeds = app.settings.feeds
    # one turn ends with the whole answer; a redirect takes another
    longest = timedelta(seconds=feeds.timeout * 2 + 10)
    most_bytes = int(feeds.max_megabytes * 1_000_000)
    turns = Turns(app, longest)
    private = frozenset(host.lower() for host in feeds.private_hosts)
    return Fetcher(
        feeds.contact,
        feeds.timeout,
        most_bytes,
        now=app.now,
        turns=turns,
        private_hosts=private,
    )
