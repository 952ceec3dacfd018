"""What many look at just now, apart from any reader's taste."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

HALF_LIFE = timedelta(days=2)
GONE_AFTER = timedelta(days=14)
VOTER_BUDGET = 5.0
_LAST = timedelta(days=1)
_READER_VOTE = 2.0


@dataclass(frozen=True, slots=True)
class Upvotes:
    """A source's count of upvotes for a paper at a time."""

    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Attention:
    """All that is known of one paper's reception. `votes` are our own readers' ups less their
    downs, of whom each has VOTER_BUDGET to give: who votes on fifty papers counts a tenth on each,
    so that no one reader makes a trend."""

    paper: str
    published: datetime
    upvotes: Sequence[Upvotes] = ()
    votes: float = 0.0


def trending(
    papers: Sequence[Attention], now: datetime, *, limit: int = 5
) -> list[tuple[str, float]]:
    """Papers with their scores, best first; only those that somebody wanted, and none too old.

        score = (ln(1 + upvotes) + ln(1 + upvotes of the last day) + 2 · votes) · ½^(age / 2 days)

    `votes` count from 0. A paper older than 14 days is left out whatever it gathers. Upvotes after
    `now` are not looked at.
    """
    fresh = [p for p in papers if now - GONE_AFTER < p.published <= now + _LAST]
    scored = [(paper.paper, _score(paper, now)) for paper in fresh]
    kept = [(name, score) for name, score in scored if score > 0]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:limit]


def _score(paper: Attention, now: datetime) -> float:
    total, before = _count(paper, now), _count(paper, now - _LAST)
    gained = max(0, total - before)
    heat = math.log1p(total) + math.log1p(gained) + _READER_VOTE * max(0.0, paper.votes)
    age = max(timedelta(0), now - paper.published)
    return float(heat * 0.5 ** (age / HALF_LIFE))


def _count(paper: Attention, at: datetime) -> int:
    """The upvotes at a time: those of the last snapshot before it."""
    seen = [(snap.at, snap.count) for snap in paper.upvotes if snap.at <= at]
    return max(0, max(seen)[1]) if seen else 0
