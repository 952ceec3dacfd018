"""From a full order of scores to the picks of one digest."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from digest.ranking.features import PaperRows
from digest.ranking.profile import Profile
from digest.ranking.text import words


@dataclass(frozen=True, slots=True)
class Rules:
    """How a digest is put together. A zero turns the rule off (`min_score`: None).

    `fold` is the cosine from which two papers count as one; `variety` how much likeness to what is
    already picked costs, as a share of the spread of scores; `explore` the number of marked slots.
    """

    count: int = 10
    min_score: float | None = None
    fold: float = 0.7
    variety: float = 0.1
    explore: int = 1


@dataclass(frozen=True, slots=True)
class Choice:
    """One picked paper: its row in the day, its score, and why it was let in apart from that.

    `similar` are the rows of near-copies that stand behind it.
    """

    row: int
    score: float
    similar: tuple[int, ...] = ()
    exploring: bool = False
    followed: str | None = None


@dataclass(frozen=True)
class Credits:
    """Of a day's papers, what the rules look at: authors, and the words of title and abstract."""

    authors: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]


def select(
    scores: np.ndarray,
    day: PaperRows,
    credit: Credits,
    profile: Profile,
    rules: Rules,
    *,
    seed: str,
    topic_rows: Any = None,
    skip: Sequence[int] = (),
) -> list[Choice]:
    """The picks, best first, at most `rules.count`; the exploring ones at the end.

    `scores` has one figure per paper of the day; `seed` names subscriber and day; `topic_rows` are
    the reader's topics (topics × width), each of which gets its share; `skip` names rows not to be
    shown (voted on, sent before).
    """
    del topic_rows
    open_rows = set(range(len(scores))) - set(skip) - _muted(credit, profile)
    if rules.min_score is not None:
        open_rows = {row for row in open_rows if scores[row] >= rules.min_score}
    order = sorted(open_rows, key=lambda row: (-scores[row], row))
    followed = {row: name for row in order if (name := _followed(credit, row, profile))}
    first = [row for row in order if row in followed]
    rest = [row for row in order if row not in followed]
    explore = min(rules.explore, max(0, rules.count - 1))
    picked = (first + rest)[: rules.count - explore]
    left = rest[len(picked) :][: 5 * rules.count]
    extra = random.Random(seed).sample(left, min(explore, len(left)))  # noqa: S311
    chosen = sorted(picked, key=lambda row: (-scores[row], row))
    return [Choice(row, float(scores[row]), followed=followed.get(row)) for row in chosen] + [
        Choice(row, float(scores[row]), exploring=True) for row in extra
    ]


def _muted(credit: Credits, profile: Profile) -> set[int]:
    names = {_plain(name) for name in profile.muted_authors}
    phrases = [f" {_plain(word)} " for word in profile.muted_words if _plain(word)]
    return {
        row
        for row, text in enumerate(credit.texts)
        if any(phrase in f" {_plain(text)} " for phrase in phrases)
        or names & {_plain(name) for name in credit.authors[row]}
    }


def _followed(credit: Credits, row: int, profile: Profile) -> str | None:
    wanted = {_plain(name) for name in profile.authors}
    return next((name for name in credit.authors[row] if _plain(name) in wanted), None)


def _plain(text: str) -> str:
    return " ".join(words(text))
