"""Votes that come by a mail's links: those of a scanner are told from a person's and do not count.

A scanner that also presses the buttons votes on a whole mail within seconds, both ways on each
paper. Nobody reads that fast. What such a burst has recorded is taken back; the votes that its
reader casts later count.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Protocol

import structlog
from sqlalchemy import delete
from sqlmodel import Session, col, select

from digest import feedback
from digest.errors import NotFound
from digest.models import Feedback, MailVote, Pick, Subscriber

WINDOW = timedelta(seconds=10)
MOST = 8
SWIFT = timedelta(seconds=1.5)
PRUNED_EVERY = 64

log = structlog.get_logger("digest.votes")


class Cast(Protocol):
    """A vote (1 up, -1 down, 0 taken back) on a paper, and when it came."""

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
    """What `record` does, for the pick at this position of the reader's digest. Raises NotFound
    where it has none there."""
    pick = session.get(Pick, (digest_id, position))
    if pick is None or pick.subscriber_id != subscriber_id:
        raise NotFound("this digest has no such paper")
    return record(session, pick, vote, now)


def record(session: Session, pick: Pick, vote: str, now: datetime) -> bool:
    """Records the reader's vote on the pick as `feedback.record` does, within the caller's
    transaction; False where it belongs to a burst, and then nothing of the burst is left."""
    feedback.check(vote)
    person = feedback.reader(session, pick.subscriber_id)
    since = now - WINDOW
    window = (MailVote.digest_id == pick.digest_id, col(MailVote.cast_at) >= since)
    recent = list(session.exec(select(MailVote).where(*window).order_by(col(MailVote.id))))
    latest = _mail_vote(session, pick, vote, now)
    session.add(latest)
    session.flush()
    if (latest.id or 0) % PRUNED_EVERY == 0:
        session.exec(delete(MailVote).where(col(MailVote.cast_at) < since))
    if not is_burst([*recent, latest]):
        feedback.note(session, person, pick.paper_id, vote, source="mail", now=now)
        return True
    latest.counted = False
    counted = [each for each in recent if each.counted]
    if counted:
        _take_back(session, person, counted)
        log.warning("votes of a burst are not counted", digest=pick.digest_id, votes=len(counted))
    return False


def _mail_vote(session: Session, pick: Pick, vote: str, now: datetime) -> MailVote:
    made = MailVote(
        digest_id=pick.digest_id,
        paper_id=pick.paper_id,
        vote=feedback.VOTES[vote],
        cast_at=now,
    )
    held = session.get(Feedback, (pick.subscriber_id, pick.paper_id))
    if held is not None:
        made.before, made.before_source, made.before_at = held.vote, held.source, held.voted_at
    return made


def _take_back(session: Session, person: Subscriber, counted: Iterable[MailVote]) -> None:
    """Each paper is again as it was before the first of these votes, the earliest first."""
    first: dict[int, MailVote] = {}
    for each in counted:
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
