"""What many look at just now, apart from any reader's taste."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


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
    """Papers with their scores, best first; only those that somebody wanted."""
    totals: dict[int, int] = {}
    for paper in papers:
        for vote in paper.votes:
            totals[vote.subscriber] = totals.get(vote.subscriber, 0) + 1
    scored = [(paper.paper, _score(paper, now, totals)) for paper in papers]
    kept = [(name, score) for name, score in scored if score > 0]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:limit]


def _score(paper: Attention, now: datetime, totals: Mapping[int, int]) -> float:
    shown = max((snap.count for snap in paper.upvotes if snap.at <= now), default=0)
    own = sum((1 if vote.up else -1) / math.sqrt(totals[vote.subscriber]) for vote in paper.votes)
    age = max(0.0, (now - paper.published).total_seconds() / 86400)
    return float((math.log1p(shown) + 2 * max(0.0, own)) * 0.5 ** (age / 2))
