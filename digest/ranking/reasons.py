"""Why a paper was picked, read off the model that picked it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from digest.categories import names
from digest.ranking.corpus import Document
from digest.ranking.features import FeatureSpace, PaperRows
from digest.ranking.profile import Profile
from digest.ranking.ranker import Ranker, Scored, day_likeness, scored
from digest.ranking.rows import Rows
from digest.ranking.text import sentences

Kind = Literal["topic", "category", "term", "liked", "author"]

_LEAST_SHARE = 0.1
_TERMS = 3
_POOL = 3 * _TERMS
_ENDING = re.compile("(?<=...)(?:ies|ied|ing|ed|es|(?<!s)s|y|e)$")
_TOGETHER = 50  # readers


class Reason(NamedTuple):
    """One thing that spoke for a paper; `share` is its part of all that spoke for it (0 to 1).

    `label` is the topic's text, the category's code, the term, the author's name, or the id of the
    liked paper. Terms tell the same story by its words, so their shares are of their own whole.
    """

    kind: Kind
    label: str
    share: float


class SentenceRows:
    """The sentences of a day's abstracts as rows, made of a paper when it is first picked."""

    def __init__(self, space: FeatureSpace, papers: Sequence[Document]) -> None:
        self._space, self._papers = space, papers
        self._kept: dict[int, _Parts] = {}

    def make(self, papers: Iterable[int]) -> None:
        """Makes the rows of these papers (by their place in the day), where they are not yet."""
        new = sorted(set(papers) - self._kept.keys())
        if not new:
            return
        texts = [sentences(self._papers[paper].abstract) for paper in new]
        rows = self._space.transform([_Sentence(text) for each in texts for text in each])
        ends = np.cumsum([len(each) for each in texts], dtype=int)
        for paper, each, end in zip(new, texts, ends.tolist(), strict=True):
            self._kept[paper] = _parts(rows[end - len(each) : end])

    def placed(self, place: np.ndarray, papers: Iterable[int]) -> "dict[int, _Parts]":
        """What each paper's sentences hold, terms by their places."""
        wanted = sorted(set(papers))
        self.make(wanted)
        if not wanted:
            return {}
        parts = [self._kept[paper] for paper in wanted]
        columns = place[np.concatenate([part.place for part in parts])]
        ends = np.cumsum([len(part.place) for part in parts])
        return {
            paper: part._replace(place=columns[end - len(part.place) : end])
            for paper, part, end in zip(wanted, parts, ends.tolist(), strict=True)
        }


class _Parts(NamedTuple):
    """A paper's sentences: the terms that they hold, one sentence after the other, and what of
    them; how many each holds; and their latent columns. Each begins with a term of which it holds
    nothing, so that none is empty."""

    place: np.ndarray
    value: np.ndarray
    lengths: np.ndarray
    latent: np.ndarray


def _parts(rows: Rows) -> _Parts:
    starts = rows.terms.indptr[:-1]
    return _Parts(
        np.insert(rows.terms.indices, starts, 0),
        np.insert(rows.terms.data.astype(float), starts, 0),
        np.diff(rows.terms.indptr) + 1,
        rows.latent,
    )


@dataclass(frozen=True, slots=True)
class _Sentence:
    title: str
    abstract: str = ""
    categories: tuple[str, ...] = ()


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

    def worth(self, readers: range) -> Iterator[np.ndarray]:
        """What the day's terms are worth to each of some readers, in their places, and behind them
        nothing, which is the place of all other terms. It holds until the next is asked for."""
        worth = np.empty(int(self.place.max(initial=0)) + 1, np.float32)
        for first in range(readers.start, readers.stop, _TOGETHER):
            some = slice(first, min(first + _TOGETHER, readers.stop))
            for parts in zip(*self._said(some), strict=True):
                worth.fill(0)
                for place, value in parts:
                    np.add.at(worth, place, value)
                worth[-1] = 0
                yield worth

    def _said(self, readers: slice) -> "tuple[Sequence[_Told], Sequence[_Told]]":
        """What the votes of some readers and what their profiles say for terms."""
        chosen, told = self.scored.chosen[readers], self.scored.told.terms[readers]
        votes = _entries(self.scored.voted.terms, chosen.indices)
        strength = np.array([ranker.strength.terms for ranker in self.rankers[readers]], np.float32)
        weight = chosen.data * np.repeat(strength, np.diff(chosen.indptr))
        votes.value[:] *= np.repeat(weight, votes.lengths)
        ends = np.r_[0, np.cumsum(votes.lengths)][chosen.indptr]
        return (
            _told(self.place[votes.column], votes.value, ends),
            _told(self.place[told.indices], told.data, told.indptr),
        )


@dataclass(frozen=True, slots=True)
class _Entries:
    """What some rows of a matrix hold, one row after the other: where, what; and how much each row
    holds."""

    column: np.ndarray
    value: np.ndarray
    lengths: np.ndarray


def _entries(matrix: Any, rows: np.ndarray) -> _Entries:
    starts = matrix.indptr[rows]
    lengths = matrix.indptr[rows + 1] - starts
    at = _ranges(starts, lengths)
    return _Entries(matrix.indices[at], matrix.data[at], lengths)


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """So many numbers from each start on, one range after the other."""
    ends = np.cumsum(lengths)
    at = np.repeat(starts - ends + lengths, lengths)
    at += np.arange(len(at), dtype=at.dtype)
    return at


_Told = tuple[np.ndarray, np.ndarray]  # places, and what is said for them


def _told(place: np.ndarray, value: np.ndarray, ends: np.ndarray) -> list[_Told]:
    spans = [slice(start, end) for start, end in pairwise(ends.tolist())]
    return [(place[span], value[span]) for span in spans]


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


def reasons(block: Insight, at: int, rows: Sequence[int]) -> list[tuple[Reason, ...]]:
    """What speaks to reader `at` of the block for each of some papers of the day: topics,
    categories and liked papers, most telling first, those below a tenth left out; then the words
    that carry most."""
    found = spoken(block, at, rows)
    worth = next(block.worth(range(at, at + 1)))
    return [(*each, *told) for each, told in zip(found, terms(block, worth, rows), strict=True)]


def spoken(block: Insight, at: int, rows: Sequence[int]) -> list[tuple[Reason, ...]]:
    """The reasons without the words.

    What a profile says through papers near its topics is its topics' saying, in proportion.
    """
    if not rows:
        return []
    papers = np.array(rows)
    liked, by_liked = _liked(block, at, papers)
    asked = _entries(block.scored.told.categories, np.array([at]))
    codes, by_code = (
        asked.column,
        asked.value[:, None] * block.codes[papers[:, None], asked.column].T,
    )
    topics = [topic.text for topic in block.profiles[at].topics]
    by_all = np.concatenate([_by_topic(block, at, papers), by_liked, by_code])
    whole = by_all.sum(axis=0)
    share = by_all / np.where(whole == 0, 1, whole)
    found: list[list[Reason]] = [[] for _ in rows]
    for name, paper in np.argwhere((by_all > 0) & (share >= _LEAST_SHARE)).tolist():
        part = float(share[name, paper])
        if name < len(topics):
            reason = Reason("topic", topics[name], part)
        elif (vote := name - len(topics)) < len(liked):
            reason = Reason("liked", block.scored.names[liked[vote]], part)
        else:
            reason = Reason("category", block.space.categories[codes[vote - len(liked)]], part)
        found[paper].append(reason)
    return [tuple(sorted(each, key=lambda reason: (-reason.share, reason.label))) for each in found]


def _by_topic(block: Insight, at: int, papers: np.ndarray) -> np.ndarray:
    """What each topic adds to the score of each paper: topics × papers."""
    said = np.maximum(0, block.scored.said[at, papers])
    wanted = np.array([max(0.0, topic.weight) for topic in block.profiles[at].topics])
    near = np.maximum(block.topics[at][:, papers], 0) * wanted[:, None]
    total = near.sum(axis=0)
    return np.asarray(near / np.where(total > 0, total, 1) * said)


def _liked(block: Insight, at: int, papers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The liked papers, and what each adds to the score of each paper: liked × papers."""
    scored, strength = block.scored, block.rankers[at].strength
    votes = slice(scored.chosen.indptr[at], scored.chosen.indptr[at + 1])
    coefficients, liked = scored.chosen.data[votes], scored.chosen.indices[votes]
    liked, coefficients = liked[coefficients > 0], coefficients[coefficients > 0]
    if not len(liked):
        return liked, np.zeros((0, len(papers)), np.float32)
    near = strength.terms * scored.near.between(liked, papers)
    near += strength.latent * (scored.voted.latent[liked] @ block.papers.latent[papers].T)
    near += strength.categories * _shared(block, liked, papers)
    return liked, np.maximum(0, coefficients[:, None] * near)


def _shared(block: Insight, voted: np.ndarray, papers: np.ndarray) -> np.ndarray:
    """The products of the categories of voted papers with those of papers: voted × papers. They
    are few, so that each is asked for by itself."""
    theirs = _entries(block.scored.voted.categories, voted)
    said = np.zeros((len(theirs.column) + 1, len(papers)))
    np.cumsum(
        block.codes[papers[:, None], theirs.column].T * theirs.value[:, None], 0, out=said[1:]
    )
    ends = np.cumsum(theirs.lengths)
    return np.asarray(said[ends] - said[ends - theirs.lengths])


def terms(block: Insight, worth: np.ndarray, rows: Sequence[int]) -> list[list[Reason]]:
    """The words that speak most for each of some papers of the day to the reader to whom the day's
    terms are worth this."""
    entries = _entries(block.papers.terms, np.array(rows, int))
    said = worth[block.place[entries.column]] * entries.value
    ends = np.cumsum(entries.lengths).tolist()
    spans = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    return [_terms(block.space, entries.column[span], said[span]) for span in spans]


def _terms(space: FeatureSpace, columns: np.ndarray, said: np.ndarray) -> list[Reason]:
    """The terms that add most to the score, but for figures; of two that say the same, the one
    that adds more."""
    whole = float(said[said > 0].sum()) or 1.0
    least = np.partition(said, -_POOL)[-_POOL] if len(said) > _POOL else 0
    told = np.flatnonzero((said > 0) & (said >= least))
    found: list[Reason] = []
    for less, column in sorted(zip((-said[told]).tolist(), columns[told].tolist(), strict=True)):
        term = space.terms[column]
        says = any(map(str.isalpha, term)) and not any(_alike(term, each.label) for each in found)
        if says:
            found.append(Reason("term", term, -less / whole))
        if len(found) == _TERMS:
            break
    return found


def _alike(one: str, other: str) -> bool:
    """Whether all words of one are, but for their endings, among those of the other."""
    return _stems(one) <= _stems(other) or _stems(other) <= _stems(one)


@lru_cache(maxsize=4096)
def _stems(term: str) -> frozenset[str]:
    return frozenset(_ENDING.sub("", word) for word in term.split())


def sentence(found: Sequence[Reason], titles: Mapping[str, str]) -> str:
    """The reasons as one sentence a person would write; "" where there are none.

    `titles` gives the titles of liked papers by id.
    """
    authors = [reason.label for reason in found if reason.kind == "author"]
    topics = [f"“{reason.label}”" for reason in found if reason.kind == "topic"][:2]
    liked = [f"“{titles[r.label]}”" for r in found if r.kind == "liked" and r.label in titles][:2]
    pieces = []
    if authors:
        pieces.append(f"by {_and(authors)}, whom you follow")
    if topics:
        pieces.append(f"because of your topic{'s' * (len(topics) > 1)} {_and(topics)}")
    if liked:
        pieces.append(f"close to {_and(liked)}, which you liked")
    if not pieces:
        pieces = _otherwise(found)
    text = "; ".join(pieces)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _otherwise(found: Sequence[Reason]) -> list[str]:
    """What is said where no topic and no paper speaks: words, or else fields."""
    if words := [reason.label for reason in found if reason.kind == "term"]:
        return [f"because of {_and(words)}"]
    fields = names((reason.label for reason in found if reason.kind == "category"), 2)
    return [f"new in {_and(fields)}"] if fields else []


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def read_closely(
    block: Insight,
    sentences: SentenceRows,
    rows: Sequence[Sequence[int]],
    bare: Sequence[Sequence[int]],
) -> Iterator[tuple[list[int | None], list[list[Reason]]]]:
    """For each reader of the block in turn: which sentence of each of the papers in `rows` matters
    most, None where none speaks for the paper; and of those in `bare` the words that speak most."""
    readers = range(len(rows))
    parts = sentences.placed(block.place, {row for papers in rows for row in papers})
    for at, worth, papers, wordless in zip(readers, block.worth(readers), rows, bare, strict=True):
        marked = _marked(worth, block.scored.latent[at], [parts[paper] for paper in papers])
        yield marked, terms(block, worth, wordless) if wordless else []


def _marked(worth: np.ndarray, latent: np.ndarray, parts: Sequence[_Parts]) -> list[int | None]:
    """Of each paper's sentences the one that matters most to whom terms and latent dimensions are
    worth this."""
    if not parts:
        return []
    lengths = np.concatenate([part.lengths for part in parts])
    said = worth[np.concatenate([part.place for part in parts])]
    said = said * np.concatenate([part.value for part in parts])
    value = np.add.reduceat(said, np.cumsum(lengths) - lengths)
    value += np.concatenate([part.latent for part in parts]) @ latent
    found, ends = value.tolist(), accumulate(len(part.lengths) for part in parts)
    return [_best(found[start:end]) for start, end in pairwise((0, *ends))]


def _best(worth: list[float]) -> int | None:
    best = max(worth, default=0.0)
    return worth.index(best) if best > 0 else None
