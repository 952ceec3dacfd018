"""From a full order of scores to the picks of one digest."""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from digest.ranking.features import PaperRows
from digest.ranking.names import Person, person, same
from digest.ranking.profile import Profile
from digest.ranking.text import words

_POOL = 3  # a digest is put together from this many times its length of the best papers
_STRANGEST = 5
_NAMES_KEPT = 5000


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


@dataclass(frozen=True, eq=False)
class Credits:
    """Of a day's papers, what the rules look at: authors, and the words of title and abstract."""

    authors: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]
    _asked: dict[str, dict[int, str]] = field(default_factory=dict, repr=False)

    def by(self, name: str) -> Mapping[int, str]:
        """The rows by a person of this name, each with the name as the paper gives it."""
        if name not in self._asked:
            if len(self._asked) >= _NAMES_KEPT:
                self._asked.clear()
            wanted, found = person(name), dict[int, str]()
            for row, written, who in self.by_surname.get(wanted.surname, ()):
                if same(wanted, who):
                    found.setdefault(row, written)
            self._asked[name] = found
        return self._asked[name]

    def first(self, count: int) -> "Credits":
        """Those of the first papers."""
        return Credits(self.authors[:count], self.texts[:count])

    @cached_property
    def by_author(self) -> Mapping[str, set[int]]:
        """The rows of each author, the names without case, marks and punctuation."""
        found: dict[str, set[int]] = defaultdict(set)
        for row, names in enumerate(self.authors):
            for name in names:
                found[_plain(name)].add(row)
        return dict(found)

    @cached_property
    def by_surname(self) -> Mapping[str, Sequence[tuple[int, str, Person]]]:
        """Who wrote what: (row, name as the paper gives it, person) by surname."""
        found: dict[str, list[tuple[int, str, Person]]] = {}
        for row, names in enumerate(self.authors):
            for name in names:
                who = person(name)
                found.setdefault(who.surname, []).append((row, name, who))
        return found

    @cached_property
    def plain_texts(self) -> tuple[str, ...]:
        """The texts as words between single spaces, one before and one behind."""
        return tuple(f" {_plain(text)} " for text in self.texts)

    @cached_property
    def by_word(self) -> Mapping[str, set[int]]:
        """The rows whose text has the word."""
        found: dict[str, set[int]] = defaultdict(set)
        for row, text in enumerate(self.plain_texts):
            for word in text.split():
                found[word].add(row)
        return dict(found)

    def saying(self, phrase: str) -> set[int]:
        """The rows whose text has the words of the phrase in a row; none where it has no word."""
        plain = _plain(phrase)
        having = [self.by_word.get(word, set()) for word in plain.split()]
        rows = set.intersection(*having) if having else set()
        return {row for row in rows if f" {plain} " in self.plain_texts[row]}


def select(
    scores: np.ndarray,
    day: PaperRows,
    credit: Credits,
    profile: Profile,
    rules: Rules,
    *,
    seed: str,
    topics: np.ndarray | None = None,
    skip: Collection[int] | np.ndarray = (),
) -> list[Choice]:
    """The picks, best first, at most `rules.count`; the exploring ones at the end.

    `scores` has one figure per paper of the day; `seed` names subscriber and day; `topics` is
    the likeness of the reader's topics to the papers (topics × papers), and each topic gets its
    share; `skip` names rows not to be shown (voted on, sent before), or says of each row
    whether it is one. Followed authors' papers are
    in whatever their score.
    """
    order = _order(scores, _closed(len(scores), skip, credit, profile))
    followed = _followed(credit, profile, order)
    fit = order
    if rules.min_score is not None:
        fit = order[(scores[order] >= rules.min_score) | np.isin(order, list(followed))]
    pool = fit[: _POOL * rules.count].tolist()
    if further := [row for row in list(followed)[: rules.count] if row not in pool]:
        pool = sorted([*pool, *further], key=lambda row: (-scores[row], row))
    if not pool:
        return []
    like = day.likeness(pool)
    heads, similar = _folded(len(pool), like, rules.fold)
    explore = min(rules.explore, rules.count - 1)
    first = [at for at in heads if pool[at] in followed][: rules.count]
    wanted = max(len(first), min(len(heads), rules.count - explore))
    shares = _shares(pool, heads, topics, wanted) if rules.topics else []
    taken = _varied(scores[pool], like, heads, [*first, *shares], wanted, rules.variety)
    strange = _strange(like, heads, taken, min(explore, rules.count - len(taken)), seed)
    chosen = [(at, False) for at in sorted(taken)] + [(at, True) for at in strange]
    return [
        Choice(
            pool[at],
            float(scores[pool[at]]),
            tuple(pool[copy] for copy in similar[at]),
            exploring,
            followed.get(pool[at]),
        )
        for at, exploring in chosen
    ]


def left_over(
    scores: np.ndarray,
    credit: Credits,
    profile: Profile,
    choices: Sequence[Choice],
    *,
    skip: Collection[int] | np.ndarray = (),
) -> list[int]:
    """The rows by followed authors that the choices of `select` had no room for, best first."""
    shown = {row for choice in choices for row in (choice.row, *choice.similar)}
    if not profile.authors:
        return []
    closed = _closed(len(scores), skip, credit, profile)
    closed[list(shown)] = True
    return list(_followed(credit, profile, _order(scores, closed)))


def _closed(
    size: int, skip: Collection[int] | np.ndarray, credit: Credits, profile: Profile
) -> np.ndarray:
    """Which rows are not to be shown."""
    if isinstance(skip, np.ndarray):
        closed = skip.copy()
    else:
        closed = np.zeros(size, bool)
        closed[list(skip)] = True
    closed[list(muted(credit, profile))] = True
    return closed


def _order(scores: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """The rows that are not closed, best first."""
    rows = np.flatnonzero(~closed)
    return rows[np.argsort(-scores[rows], kind="stable")]


def _folded(size: int, like: np.ndarray, fold: float) -> tuple[list[int], dict[int, list[int]]]:
    """The papers that stand for themselves, best first, and behind each its near-copies."""
    same = like >= fold if fold else np.zeros((size, size), bool)
    same.flat[:: size + 1] = False
    if not same.any():
        return list(range(size)), {at: [] for at in range(size)}
    same = np.tril(same)
    similar: dict[int, list[int]] = {}
    for at, earlier in enumerate(same.tolist()):
        head = next((h for h in similar if earlier[h]), None)
        if head is None:
            similar[at] = []
        else:
            similar[head].append(at)
    return list(similar), similar


def _shares(
    pool: Sequence[int], heads: Sequence[int], topics: np.ndarray | None, wanted: int
) -> list[int]:
    """The best paper of each topic; none where there are fewer than two topics or too many."""
    if topics is None or not 2 <= len(topics) <= wanted:
        return []
    near = topics[:, [pool[at] for at in heads]]
    nearest = np.where(near.max(axis=0) > 0, near.argmax(axis=0), -1)
    first = {int(topic): at for at, topic in reversed(list(zip(heads, nearest, strict=True)))}
    return sorted(at for topic, at in first.items() if topic >= 0)


def _varied(
    scores: np.ndarray,
    like: np.ndarray,
    heads: Sequence[int],
    taken: Sequence[int],
    wanted: int,
    variety: float,
) -> list[int]:
    """`wanted` of the heads: those taken already, then one by one the best that is not too like
    the others (maximal marginal relevance, Carbonell and Goldstein 1998). The scores come best
    first."""
    chosen = list(dict.fromkeys(taken))[:wanted]
    low, high = scores[-1], float(scores[0])
    worth = (scores - low) / max(1e-9, high - float(low))
    free = np.full(len(scores), -np.inf, worth.dtype)
    free[heads] = worth[heads]
    free[chosen] = -np.inf
    cost = variety * like
    near = cost[chosen].max(axis=0) if chosen else np.zeros(len(scores), cost.dtype)
    for _ in range(min(wanted, len(heads)) - len(chosen)):
        best = int((free - near).argmax())
        near = np.maximum(near, cost[best]) if chosen else cost[best]
        chosen.append(best)
        free[best] = -np.inf
    return chosen


def _strange(
    like: np.ndarray, heads: Sequence[int], taken: Sequence[int], count: int, seed: str
) -> list[int]:
    """Papers a little further down that are least like the picks: what a vote teaches most on."""
    left = [at for at in heads if at not in taken]
    if count <= 0 or not left:
        return []
    near = like[left][:, list(taken)].max(axis=1) if taken else np.zeros(len(left))
    strangest = [left[at] for at in np.argsort(near, kind="stable")[: max(_STRANGEST, count)]]
    return sorted(random.Random(seed).sample(strangest, min(count, len(strangest))))  # noqa: S311


def muted(credit: Credits, profile: Profile) -> set[int]:
    """The rows of papers that the reader wants to see nothing of."""
    by_name = (credit.by_author.get(_plain(name), set()) for name in profile.muted_authors)
    return set().union(*by_name, *(credit.saying(phrase) for phrase in profile.muted_words))


def _followed(credit: Credits, profile: Profile, order: np.ndarray) -> Mapping[int, str]:
    """Rows by followed authors, best first, each with the name as the paper gives it."""
    found: dict[int, str] = {}
    for name in reversed(profile.authors):
        found |= credit.by(name)
    return {row: found[row] for row in order.tolist() if row in found} if found else {}


def _plain(text: str) -> str:
    return " ".join(words(text))
