"""Votes that come by a mail's links: those of a scanner are told from a person's and do not count.

A scanner that also presses the buttons votes on a whole mail within seconds, both ways on each
paper. Nobody reads that fast. What such a burst has recorded is taken back; the votes that its
reader casts later count.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import NamedTuple, Protocol

import structlog
from sqlalchemy import bindparam, delete, func, insert
from sqlmodel import Session, col, select

from digest import feedback
from digest.errors import NotFound
from digest.models import Feedback, MailVote, Paper, Pick, Subscriber

WINDOW = timedelta(seconds=10)
MOST = 8
SWIFT = timedelta(seconds=1.5)
PRUNED_EVERY = 64

log = structlog.get_logger("digest.votes")


# What one vote asks, as statements that are made once.
_MAIL_VOTE = MailVote.__table__  # type: ignore[attr-defined]
_LOCKED = (  # so that two votes at once follow each other
    select(col(Subscriber.id)).where(col(Subscriber.id) == bindparam("reader")).with_for_update()
)
_PAPER = func.coalesce(Paper.merged_into, Pick.paper_id)
_PICK = (
    select(_PAPER.label("paper_id"), Feedback.vote, Feedback.source, Feedback.voted_at)
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
_RECENT = (
    _MAIL_VOTE.select()
    .where(
        _MAIL_VOTE.c.digest_id == bindparam("digest"), _MAIL_VOTE.c.cast_at >= bindparam("since")
    )
    .order_by(_MAIL_VOTE.c.id)
)


class Cast(Protocol):
    """A vote (1 up, -1 down, 0 taken back) on a paper, and when it came."""

    @property
    def paper_id(self) -> int: ...

    @property
    def vote(self) -> int: ...

    @property
    def cast_at(self) -> datetime: ...


class _Latest(NamedTuple):
    paper_id: int
    vote: int
    cast_at: datetime


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


def vote_on(
    session: Session, subscriber_id: int, digest_id: int, position: int, vote: str, now: datetime
) -> bool:
    """Records the reader's vote on the pick at this position of the digest as `feedback.record`
    does, within the caller's transaction; False where it belongs to a burst, and then nothing of
    the burst is left. Raises NotFound where the reader's digest has no such pick."""
    feedback.check(vote)
    connection = session.connection()
    person = connection.execute(_LOCKED, {"reader": subscriber_id}).first()
    at = {"digest": digest_id, "position": position, "reader": subscriber_id}
    pick = connection.execute(_PICK, at).first()
    if person is None or pick is None:
        raise NotFound("this digest has no such paper")
    since = now - WINDOW
    recent = connection.execute(_RECENT, {"digest": digest_id, "since": since}).all()
    latest = _Latest(pick.paper_id, feedback.VOTES[vote], now)
    burst = is_burst([*recent, latest])
    made = connection.execute(
        insert(_MAIL_VOTE),
        {
            "digest_id": digest_id,
            "paper_id": latest.paper_id,
            "vote": latest.vote,
            "cast_at": now,
            "counted": not burst,
            "before": pick.vote,
            "before_source": pick.source or "",
            "before_at": pick.voted_at,
        },
    )
    number = made.inserted_primary_key
    if number is not None and number[0] % PRUNED_EVERY == 0:
        connection.execute(delete(_MAIL_VOTE).where(_MAIL_VOTE.c.cast_at < since))
    if not burst:
        if pick.vote != latest.vote:
            held = pick.vote is not None
            feedback.put(connection, subscriber_id, *latest, source="mail", held=held)
        return True
    counted = [each.id for each in recent if each.counted]
    if counted:
        _take_back(session, subscriber_id, counted)
        log.warning("votes of a burst are not counted", digest=digest_id, votes=len(counted))
    return False


def _take_back(session: Session, subscriber_id: int, counted: Sequence[int]) -> None:
    """Each paper is again as it was before the first of these votes, the earliest first."""
    person = feedback.reader(session, subscriber_id)
    votes = session.exec(
        select(MailVote).where(col(MailVote.id).in_(counted)).order_by(col(MailVote.id))
    )
    first: dict[int, MailVote] = {}
    for each in votes:
        first.setdefault(each.paper_id, each)
        each.counted = False
        session.add(each)
    for paper_id, each in first.items():
        held = session.get(Feedback, (person.id, paper_id))
        if held is None:  # the paper's row was merged into another meanwhile
            continue
        if each.before is None or each.before_at is None:
            session.delete(held)
        else:
            held.vote, held.source, held.voted_at = each.before, each.before_source, each.before_at
            session.add(held)
    person.revision += 1
    session.add(person)
