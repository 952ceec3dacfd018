"""Votes that come by a mail's links: those of a scanner are told from a person's and do not count.

A scanner that also presses the buttons votes on a whole mail within seconds, both ways on each
paper. Nobody reads that fast. What such a burst has recorded is taken back; the votes that its
reader casts later count.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any, NamedTuple, Protocol

import structlog
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlmodel import col

from digest import feedback
from digest.errors import NotFound
from digest.models import Feedback, MailVote, Paper, Pick, Subscriber
from digest.prepared import Prepared
from digest.tokens import ExpiredToken, Token

WINDOW = timedelta(seconds=10)
MOST = 8
SWIFT = timedelta(seconds=1.5)
PRUNED_EVERY = 64

log = structlog.get_logger("digest.votes")


# What one vote asks and writes, as statements that are made once.
_VOTE = Feedback.__table__  # type: ignore[attr-defined]
_MAIL_VOTE = MailVote.__table__  # type: ignore[attr-defined]
_READER = Subscriber.__table__  # type: ignore[attr-defined]
_LOCKED = Prepared(  # so that two votes at once follow each other
    select(_READER.c.link_epoch).where(_READER.c.id == bindparam("reader")).with_for_update()
)
_PAPER = func.coalesce(Paper.merged_into, Pick.paper_id)
_PICK = Prepared(
    select(_PAPER, _VOTE.c.vote, _VOTE.c.source, _VOTE.c.voted_at)
    .select_from(Pick)
    .join(Paper, col(Paper.id) == col(Pick.paper_id))
    .outerjoin(
        Feedback,
        (col(Feedback.subscriber_id) == col(Pick.subscriber_id))
        & (col(Feedback.paper_id) == _PAPER),
    )
    .where(
        col(Pick.digest_id) == bindparam("digest"),
        col(Pick.position) == bindparam("position"),
        col(Pick.subscriber_id) == bindparam("reader"),
    )
)
_RECENT = Prepared(
    select(_MAIL_VOTE.c.paper_id, _MAIL_VOTE.c.vote, _MAIL_VOTE.c.cast_at, _MAIL_VOTE.c.id)
    .where(
        _MAIL_VOTE.c.digest_id == bindparam("digest"),
        _MAIL_VOTE.c.cast_at >= bindparam("since"),
    )
    .order_by(_MAIL_VOTE.c.id)
)
_CAST = Prepared(
    insert(_MAIL_VOTE)
    .values({name: bindparam(f"new_{name}") for name in MailVote.model_fields if name != "id"})
    .returning(_MAIL_VOTE.c.id)
)
_PRUNE = Prepared(delete(_MAIL_VOTE).where(_MAIL_VOTE.c.cast_at < bindparam("since")))
_MINE = (
    _VOTE.c.subscriber_id == bindparam("reader"),
    _VOTE.c.paper_id == bindparam("paper"),
)
_SAID: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("vote", "source", "voted_at")}
_FIRST = Prepared(
    insert(_VOTE).values(subscriber_id=bindparam("reader"), paper_id=bindparam("paper"), **_SAID)
)
_CHANGED = Prepared(update(_VOTE).where(*_MINE).values(_SAID))
_NONE = Prepared(delete(_VOTE).where(*_MINE))
_REVISED = Prepared(
    update(_READER)
    .where(_READER.c.id == bindparam("reader"))
    .values(revision=_READER.c.revision + 1)
)


class Cast(Protocol):
    """A vote (1 up, -1 down, 0 taken back) on a paper, and when it came."""

    @property
    def paper_id(self) -> int: ...

    @property
    def vote(self) -> int: ...

    @property
    def cast_at(self) -> datetime: ...


class _Vote(NamedTuple):
    paper_id: int
    vote: int
    cast_at: datetime
    id: int = 0


def is_burst(casts: Sequence[Cast]) -> bool:
    """Whether these votes of one digest, all within WINDOW, are nobody's: more than MOST, one paper
    voted up and down within SWIFT, or two papers voted both ways. The same vote again is one."""
    if len({(cast.paper_id, cast.vote) for cast in casts}) > MOST:
        return True
    torn = [
        (one.paper_id, abs(one.cast_at - other.cast_at))
        for one, other in combinations(casts, 2)
        if one.paper_id == other.paper_id and one.vote * other.vote < 0
    ]
    return len({paper for paper, _ in torn}) > 1 or any(apart <= SWIFT for _, apart in torn)


def vote_on(connection: Connection, token: Token, position: int, vote: str, now: datetime) -> bool:
    """Records the reader's vote on the pick at this position of the token's digest as
    `feedback.record` does, within the caller's transaction; False where it belongs to a burst, and
    then nothing of the burst is left. Raises ExpiredToken where the link was revoked or the reader
    is gone, NotFound where the digest has no such pick."""
    reader, digest = token.subscriber_id, token.subject
    if _LOCKED.rows(connection, {"reader": reader}) != [(token.epoch,)]:
        raise ExpiredToken
    feedback.check(vote)
    at = {"digest": digest, "position": position, "reader": reader}
    picks = _PICK.rows(connection, at)
    if not picks:
        raise NotFound("this digest has no such paper")
    [(paper, *before)] = picks
    since = now - WINDOW
    recent = [_Vote(*row) for row in _RECENT.rows(connection, {"digest": digest, "since": since})]
    latest = _Vote(paper, feedback.VOTES[vote], now)
    burst = is_burst([*recent, latest])
    _note(connection, digest, latest, before, counted=not burst)
    if not burst:
        if before[0] != latest.vote:
            said = {"new_vote": latest.vote, "new_source": "mail", "new_voted_at": now}
            put = _FIRST if before[0] is None else _CHANGED
            put.run(connection, {"reader": reader, "paper": paper} | said)
            _REVISED.run(connection, {"reader": reader})
        return True
    if counted := [each.id for each in recent]:
        _take_back(connection, reader, digest, counted)
    return False


def _note(
    connection: Connection, digest: int, vote: _Vote, before: Sequence[Any], *, counted: bool
) -> None:
    """Remembers the vote, and what stood `before` it; now and then forgets the old ones."""
    said, source, said_at = before
    new = {
        "digest_id": digest,
        "paper_id": vote.paper_id,
        "vote": vote.vote,
        "cast_at": vote.cast_at,
        "counted": counted,
        "before": said,
        "before_source": source or "",
        "before_at": said_at,
    }
    [(number,)] = _CAST.rows(connection, {f"new_{name}": value for name, value in new.items()})
    if number % PRUNED_EVERY == 0:
        _PRUNE.run(connection, {"since": vote.cast_at - WINDOW})


def _take_back(connection: Connection, reader: int, digest: int, recent: Sequence[int]) -> None:
    """Each paper is again as it was before the first of these votes that were counted."""
    which = _MAIL_VOTE.c.id.in_(recent) & _MAIL_VOTE.c.counted
    votes = connection.execute(
        select(_MAIL_VOTE).where(which).order_by(_MAIL_VOTE.c.id.desc())
    ).all()
    if not votes:
        return
    connection.execute(update(_MAIL_VOTE).where(which).values(counted=False))
    for each in {vote.paper_id: vote for vote in votes}.values():  # the earliest of each paper
        mine = {"reader": reader, "paper": each.paper_id}
        if each.before is None or each.before_at is None:
            _NONE.run(connection, mine)
        else:
            said = {"vote": each.before, "source": each.before_source, "voted_at": each.before_at}
            _CHANGED.run(connection, mine | {f"new_{name}": value for name, value in said.items()})
    _REVISED.run(connection, {"reader": reader})
    log.warning("votes of a burst are not counted", digest=digest, votes=len(votes))
