"""From full orders of scores to the picks of each digest."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from digest.ranking.credits import Credits, followed, muted
from digest.ranking.features import PaperRows
from digest.ranking.profile import Profile

_POOL = 3  # a digest is put together from this many times its length of the best papers
_STRANGEST = 5
_TOGETHER = 100  # readers


@dataclass(frozen=True, slots=True)
class Rules:
    """How a digest is put together. A zero turns the rule off (`min_score`: None; `topics`: False).

    `fold` is the cosine from which two papers count as one; `variety` how much likeness to what is
    picked already costs, as a share of the way from the pool's best score to its worst; `explore`
    the number of marked slots; `topics` whether each topic gets its share.
    """

    count: int = 10
    min_score: float | None = None
    fold: float = 0.85
    variety: float = 0.1
    explore: int = 1
    topics: bool = True


class Choice(NamedTuple):
    """One picked paper: its row in the day, its score, and why it was let in apart from that.

    `similar` are the rows of near-copies that stand behind it.
    """

    row: int
    score: float
    similar: tuple[int, ...] = ()
    exploring: bool = False
    followed: str | None = None


class Wish(NamedTuple):
    """What one reader's digest is put together by. `seed` names subscriber and day; `topics` is the
    likeness of the reader's topics to the papers (topics × papers), and each topic gets its share.
    """

    profile: Profile
    rules: Rules
    seed: str
    topics: np.ndarray | None = None


def select(
    scores: np.ndarray,
    day: PaperRows,
    credit: Credits,
    wishes: Sequence[Wish],
    closed: np.ndarray,
) -> list[list[Choice]]:
    """Each reader's picks, best first, at most `rules.count`; the exploring ones at the end.

    `scores` and `closed` are readers × papers: figures, and whether a paper is not to be shown
    (voted on, sent before). Followed authors' papers are in whatever their score.
    """
    chosen: list[list[Choice]] = []
    for first in range(0, len(wishes), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        chosen += _selected(scores[some], day, credit, wishes[some], closed[some])
    return chosen


def left_over(
    scores: np.ndarray,
    credit: Credits,
    profile: Profile,
    choices: Sequence[Choice],
    closed: np.ndarray,
) -> list[int]:
    """The rows by followed authors that the choices of `select` had no room for, best first."""
    if not profile.authors:
        return []
    shown = {row for choice in choices for row in (choice.row, *choice.similar)}
    shown |= muted(credit, profile)
    return [row for row in followed(credit, profile, scores, closed) if row not in shown]


def _selected(
    scores: np.ndarray,
    day: PaperRows,
    credit: Credits,
    wishes: Sequence[Wish],
    closed: np.ndarray,
) -> list[list[Choice]]:
    closed = closed.copy()
    for at, wish in enumerate(wishes):
        if out := muted(credit, wish.profile):
            closed[at, list(out)] = True
    known = [
        followed(credit, wish.profile, scores[at], closed[at]) if wish.profile.authors else {}
        for at, wish in enumerate(wishes)
    ]
    pools = _pools(scores, ~closed, wishes, known)
    chosen: list[list[Choice]] = [[] for _ in wishes]
    for readers in _alike(pools, wishes):
        pool = np.array([pools[at] for at in readers])
        group = _Group(
            pool,
            scores[np.array(readers)[:, None], pool],
            day.likeness(pool),
            [wishes[at] for at in readers],
            [known[at] for at in readers],
        )
        for at, choices in zip(readers, group.choices(), strict=True):
            chosen[at] = choices
    return chosen


def _alike(pools: Sequence[Sequence[int]], wishes: Sequence[Wish]) -> list[list[int]]:
    """The readers by the sizes of their pools and by their rules; without those who have none."""
    found: dict[tuple[float, ...], list[int]] = {}
    for at, (pool, (_, rules, *_)) in enumerate(zip(pools, wishes, strict=True)):
        by = (rules.count, rules.fold, rules.variety, rules.explore, rules.topics)
        found.setdefault((len(pool), *by), []).append(at)
    return [readers for (size, *_), readers in found.items() if size]


def _pools(
    scores: np.ndarray,
    fit: np.ndarray,
    wishes: Sequence[Wish],
    known: Sequence[Mapping[int, str]],
) -> list[list[int]]:
    """The papers from which each digest is put together, best first."""
    for at, (_, rules, *_) in enumerate(wishes):
        if rules.min_score is not None:
            fit[at] &= scores[at] >= rules.min_score
            fit[at, list(known[at])] = True
    pools = _best(scores, fit, _POOL * max(wish.rules.count for wish in wishes))
    for at, wish in enumerate(wishes):
        pools[at] = pool = pools[at][: _POOL * wish.rules.count]
        if further := [row for row in list(known[at])[: wish.rules.count] if row not in pool]:
            pools[at] = sorted([*pool, *further], key=lambda row: (-scores[at, row], row))
    return pools


def _best(scores: np.ndarray, fit: np.ndarray, count: int) -> list[list[int]]:
    """Each reader's best rows of those that are fit, best first."""
    worth = np.where(fit, scores, -np.inf)
    if count < worth.shape[1]:
        fit = fit & (worth >= np.partition(worth, -count, axis=1)[:, -count, None])
    reader, row = np.nonzero(fit)
    rows = row[np.lexsort((-worth[reader, row], reader))].tolist()
    ends = np.cumsum(fit.sum(axis=1)).tolist()
    return [rows[start:end][:count] for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Readers of the same rules and with pools of the same size: the rows in their pools and the
    scores of these, readers × places; the likeness of these, readers × places × places."""

    pool: np.ndarray
    scores: np.ndarray
    like: np.ndarray
    wishes: Sequence[Wish]
    followed: Sequence[Mapping[int, str]]

    @property
    def rules(self) -> Rules:
        return self.wishes[0].rules

    def choices(self) -> list[list[Choice]]:
        heads, similar = self._folded()
        explore = min(self.rules.explore, self.rules.count - 1)
        pools = self.pool.tolist()
        first = [
            [at for at in np.flatnonzero(head).tolist() if pool[at] in known][: self.rules.count]
            if known
            else []
            for head, pool, known in zip(heads, pools, self.followed, strict=True)
        ]
        wanted = np.minimum(heads.sum(axis=1), self.rules.count - explore)
        wanted = np.maximum(wanted, [len(each) for each in first])
        for at, places in self._shares(heads, wanted) if self.rules.topics else ():
            first[at] = list(dict.fromkeys([*first[at], *places]))[: wanted[at]]
        taken = self._varied(heads, first, wanted)
        strange = self._strange(heads & ~taken, taken, explore)
        return [
            [
                Choice(
                    pool[at],
                    scores[at],
                    tuple(pool[copy] for copy in copies.get(at, ())),
                    at in odd,
                    known.get(pool[at]),
                )
                for at in [*np.flatnonzero(own).tolist(), *odd]
            ]
            for pool, scores, own, odd, copies, known in zip(
                pools, self.scores.tolist(), taken, strange, similar, self.followed, strict=True
            )
        ]

    def _folded(self) -> tuple[np.ndarray, list[Mapping[int, list[int]]]]:
        """Which papers stand for themselves, and behind which of them there are near-copies."""
        heads = np.ones(self.pool.shape, bool)
        similar: list[Mapping[int, list[int]]] = [{}] * len(heads)
        if not self.rules.fold:
            return heads, similar
        same = self.like >= self.rules.fold
        same &= np.tri(self.pool.shape[1], k=-1, dtype=np.bool)
        for at in np.flatnonzero(same.any(axis=(1, 2))).tolist():
            similar[at] = copies = _copies(same[at])
            heads[at, [copy for each in copies.values() for copy in each]] = False
        return heads, similar

    def _shares(self, heads: np.ndarray, wanted: np.ndarray) -> list[tuple[int, list[int]]]:
        """Of readers with topics, two or more and not too many, the best paper of each topic."""
        asked = [
            (at, wish.topics) for at, wish in enumerate(self.wishes) if wish.topics is not None
        ]
        asked = [(at, topics) for at, topics in asked if 2 <= len(topics) <= wanted[at]]
        if not asked:
            return []
        near = np.concatenate([topics[:, self.pool[at]] for at, topics in asked])
        sizes = np.array([len(topics) for _, topics in asked])
        starts, asker = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(asked)), sizes)
        nearest = np.maximum.reduceat(near, starts, axis=0)[asker]
        own = (near == nearest) & (near > 0) & heads[[at for at, _ in asked]][asker]
        upto = np.cumsum(own, axis=0)  # where topics are as near, the first has it
        own &= upto - (upto - own)[starts][asker] == 1
        best = np.where(own.any(axis=1), own.argmax(axis=1), -1).tolist()
        return [
            (at, sorted(place for place in best[start : start + size] if place >= 0))
            for (at, _), start, size in zip(asked, starts.tolist(), sizes.tolist(), strict=True)
        ]

    def _varied(
        self, heads: np.ndarray, first: Sequence[Sequence[int]], wanted: np.ndarray
    ) -> np.ndarray:
        """Which are taken, `wanted` of the heads: those of `first`, then one by one the best that
        is not too like the others (maximal marginal relevance, Carbonell and Goldstein 1998)."""
        low, high = self.scores[:, -1:], self.scores[:, :1]
        spread = np.maximum(1e-9, high.astype(float) - low).astype(high.dtype)
        free = np.where(heads, (self.scores - low) / spread, -np.inf)
        taken = np.zeros(heads.shape, bool)
        for reader, places in enumerate(first):
            taken[reader, places or 0] = True  # the best one is always a head
        free[taken] = -np.inf
        cost = self.rules.variety * self.like
        near = np.where(taken[:, :, None], cost, -np.inf).max(axis=1)
        left = wanted - taken.sum(axis=1)
        for step in range(int(left.max())):
            at = np.flatnonzero(left > step)
            best = (free[at] - near[at]).argmax(axis=1)
            taken[at, best] = True
            free[at, best] = -np.inf
            near[at] = np.maximum(near[at], cost[at, best])
        return taken

    def _strange(self, left: np.ndarray, taken: np.ndarray, explore: int) -> list[list[int]]:
        """Some a little further down that are least like the picks: a vote teaches most on them."""
        counts = np.clip(self.rules.count - taken.sum(axis=1), 0, max(0, explore)).tolist()
        if not max(counts):
            return [[] for _ in counts]
        near = np.where(taken[:, :, None], self.like, -np.inf).max(axis=1)
        order = np.argsort(np.where(left, near, np.inf), axis=1, kind="stable").tolist()
        chance = random.Random(0)  # noqa: S311
        found = []
        for wish, places, count, size in zip(
            self.wishes, order, counts, left.sum(axis=1).tolist(), strict=True
        ):
            chance.seed(wish.seed)
            strangest = places[: min(size, max(_STRANGEST, count))]
            found.append(sorted(chance.sample(strangest, min(count, len(strangest)))))
        return found


def _copies(same: np.ndarray) -> dict[int, list[int]]:
    """The papers that stand for themselves, best first, and behind each its near-copies; `same`
    says of each which of those before it are such."""
    similar: dict[int, list[int]] = {}
    for at, earlier in enumerate(same.tolist()):
        head = next((h for h in similar if earlier[h]), None)
        if head is None:
            similar[at] = []
        else:
            similar[head].append(at)
    return similar
