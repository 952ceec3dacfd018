"""What many look at just now, apart from any reader's taste."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
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
class ReaderVote:
    """One of our own readers' votes on a paper; `subscriber` is any stable key of the reader."""

    subscriber: int
    up: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Attention:
    """All that is known of one paper's reception."""

    paper: str
    published: datetime
    upvotes: Sequence[Upvotes] = ()
    votes: Sequence[ReaderVote] = ()


def trending(
    papers: Sequence[Attention], now: datetime, *, limit: int = 5
) -> list[tuple[str, float]]:
    """Papers with their scores, best first; only those that somebody wanted, and none too old.

        score = (ln(1 + upvotes) + ln(1 + upvotes of the last day) + 2 · votes) · ½^(age / 2 days)

    `votes` are our readers' ups less their downs, at least 0. A reader has five votes' weight to
    give among these papers: who votes on fifty counts a tenth on each, so that no one reader makes
    a trend. A paper older than 14 days is left out whatever it gathers. What lies after `now` is
    not looked at.
    """
    fresh = [p for p in papers if now - GONE_AFTER < p.published <= now + _LAST]
    cast = Counter(reader for paper in fresh for reader in _latest(paper, now))
    scored = [(paper.paper, _score(paper, now, cast)) for paper in fresh]
    kept = [(name, score) for name, score in scored if score > 0]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:limit]


def _latest(paper: Attention, now: datetime) -> dict[int, bool]:
    """Each reader's last word on a paper."""
    votes = sorted((vote.at, vote.subscriber, vote.up) for vote in paper.votes if vote.at <= now)
    return {subscriber: up for _, subscriber, up in votes}


def _score(paper: Attention, now: datetime, cast: Mapping[int, int]) -> float:
    total, before = _count(paper, now), _count(paper, now - _LAST)
    own = sum(
        min(1.0, VOTER_BUDGET / cast[reader]) * (1 if up else -1)
        for reader, up in _latest(paper, now).items()
    )
    heat = math.log1p(total) + math.log1p(max(0, total - before)) + _READER_VOTE * max(0.0, own)
    age = max(timedelta(0), now - paper.published)
    return float(heat * 0.5 ** (age / HALF_LIFE))


def _count(paper: Attention, at: datetime) -> int:
    """The upvotes at a time: those of the last snapshot before it."""
    seen = [(snap.at, snap.count) for snap in paper.upvotes if snap.at <= at]
    return max(0, max(seen)[1]) if seen else 0
