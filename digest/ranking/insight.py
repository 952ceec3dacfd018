"""A block of readers' models laid open before a day's papers, for what is read off them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from digest.ranking.features import FeatureSpace, PaperRows
from digest.ranking.profile import Profile
from digest.ranking.ranker import Ranker, Scored, day_likeness, scored
from digest.ranking.rows import Rows

Kind = Literal["topic", "category", "term", "liked", "author"]

TOGETHER = 50  # readers whom the model is read for at once


class Reason(NamedTuple):
    """One thing that spoke for a paper; `share` is its part of all that spoke for it (0 to 1).

    `label` is the topic's text, the category's code, the term, the author's name, or the id of the
    liked paper. Terms tell the same story by its words, so their shares are of their own whole.
    """

    kind: Kind
    label: str
    share: float


@dataclass(frozen=True, eq=False)
class Insight:
    """A block of readers' models laid open before a day's papers: what their scores were summed up
    from, the papers' categories (`codes`, papers × categories), and the likeness of each reader's
    `topics` to the papers, topics × papers."""

    space: FeatureSpace
    rankers: Sequence[Ranker]
    profiles: Sequence[Profile]
    papers: Rows
    codes: np.ndarray
    scored: Scored
    topics: Sequence[np.ndarray]

    @cached_property
    def place(self) -> np.ndarray:
        """Where each term stands among those of the day's papers; behind them for all others."""
        used = np.unique(self.papers.terms.indices)
        place = np.full(len(self.space.weight), len(used))
        place[used] = np.arange(len(used))
        return place


def insight(
    space: FeatureSpace,
    rankers: Sequence[Ranker],
    profiles: Sequence[Profile],
    profile_rows: Rows,
    known: PaperRows,
    day: PaperRows,
) -> Insight:
    """Score a block of readers (some hundred at a time), and lay open what was summed up."""
    asked = space.topic_rows([topic.text for each in profiles for topic in each.topics])
    near = day_likeness(day).made(asked.terms) + asked.latent @ day.rows.latent.T
    ends = np.cumsum([len(profile.topics) for profile in profiles])
    return Insight(
        space,
        rankers,
        profiles,
        day.rows,
        _codes(day),
        scored(space, rankers, profile_rows, known, day),
        np.split(near, ends[:-1]),
    )


@lru_cache(maxsize=2)
def _codes(day: PaperRows) -> np.ndarray:
    return np.asarray(day.rows.categories.toarray())


@dataclass(frozen=True, slots=True)
class Entries:
    """What some rows of a matrix hold, one row after the other: where, what; and how much each row
    holds."""

    column: np.ndarray
    value: np.ndarray
    lengths: np.ndarray


def entries(matrix: Any, rows: np.ndarray) -> Entries:
    starts = matrix.indptr[rows]
    lengths = matrix.indptr[rows + 1] - starts
    at = ranges(starts, lengths)
    return Entries(matrix.indices[at], matrix.data[at], lengths)


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """So many numbers from each start on, one range after the other."""
    ends = np.cumsum(lengths)
    at = np.repeat(starts - ends + lengths, lengths)
    at += np.arange(len(at), dtype=at.dtype)
    return at
