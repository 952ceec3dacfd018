"""What a reader's model says of single words and sentences of the papers picked."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from digest.ranking.corpus import Document
from digest.ranking.features import FeatureSpace
from digest.ranking.insight import TOGETHER, Insight, Reason, entries
from digest.ranking.rows import Rows
from digest.ranking.text import sentences

_TERMS = 3
_POOL = 3 * _TERMS
_ENDING = re.compile("(?<=...)(?:ies|ied|ing|ed|es|(?<!s)s|y|e)$")


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


def read_closely(
    block: Insight,
    sentences: SentenceRows,
    rows: Sequence[Sequence[int]],
    bare: Sequence[Sequence[int]],
) -> Iterator[tuple[list[int | None], list[list[Reason]]]]:
    """For each reader of the block in turn: which sentence of each of the papers in `rows` matters
    most, None where none speaks for the paper; and of those in `bare` the words that speak most."""
    parts = sentences.placed(block.place, {row for papers in rows for row in papers})
    meant = _meant(block, parts, rows)
    worths = worth_to(block, range(len(rows)))
    for worth, papers, means, wordless in zip(worths, rows, meant, bare, strict=True):
        marked = _marked(worth, [parts[paper] for paper in papers], means)
        yield marked, terms(block, worth, wordless) if wordless else []


def _meant(
    block: Insight, parts: "Mapping[int, _Parts]", rows: Sequence[Sequence[int]]
) -> list[list[np.ndarray]]:
    """What the meanings of each paper's sentences are worth to each reader; many readers get the
    same papers, so that a paper is looked at once for all of them."""
    found: list[list[Any]] = [[None] * len(papers) for papers in rows]
    whose: dict[int, list[tuple[int, int]]] = {}
    for reader, papers in enumerate(rows):
        for at, paper in enumerate(papers):
            whose.setdefault(paper, []).append((reader, at))
    for paper, places in whose.items():
        latent = block.scored.latent[[reader for reader, _ in places]]
        for (reader, at), worth in zip(places, latent @ parts[paper].latent.T, strict=True):
            found[reader][at] = worth
    return found


def _marked(
    worth: np.ndarray, parts: Sequence[_Parts], meant: Sequence[np.ndarray]
) -> list[int | None]:
    """Of each paper's sentences the one that matters most to whom terms are worth this, and the
    meanings of the sentences that."""
    if not parts:
        return []
    lengths = np.concatenate([part.lengths for part in parts])
    said = worth[np.concatenate([part.place for part in parts])]
    said = said * np.concatenate([part.value for part in parts])
    value = np.add.reduceat(said, np.cumsum(lengths) - lengths)
    value += np.concatenate(meant)
    found, ends = value.tolist(), accumulate(map(len, meant))
    return [_best(found[start:end]) for start, end in pairwise((0, *ends))]


def _best(worth: list[float]) -> int | None:
    best = max(worth, default=0.0)
    return worth.index(best) if best > 0 else None


def worth_to(block: Insight, readers: range) -> Iterator[np.ndarray]:
    """What the day's terms are worth to each of some readers, in their places, and behind them
    nothing, which is the place of all other terms. It holds until the next is asked for."""
    worth = np.empty(int(block.place.max(initial=0)) + 1, np.float32)
    for first in range(readers.start, readers.stop, TOGETHER):
        some = slice(first, min(first + TOGETHER, readers.stop))
        for parts in zip(*_said(block, some), strict=True):
            worth.fill(0)
            for place, value in parts:
                np.add.at(worth, place, value)
            worth[-1] = 0
            yield worth


def _said(block: Insight, readers: slice) -> "tuple[Sequence[_Told], Sequence[_Told]]":
    """What the votes of some readers and what their profiles say for terms."""
    chosen, told = block.scored.chosen[readers], block.scored.told.terms[readers]
    votes = entries(block.scored.voted.terms, chosen.indices)
    strength = np.array([ranker.strength.terms for ranker in block.rankers[readers]], np.float32)
    weight = chosen.data * np.repeat(strength, np.diff(chosen.indptr))
    votes.value[:] *= np.repeat(weight, votes.lengths)
    ends = np.r_[0, np.cumsum(votes.lengths)][chosen.indptr]
    return (
        _told(block.place[votes.column], votes.value, ends),
        _told(block.place[told.indices], told.data, told.indptr),
    )


_Told = tuple[np.ndarray, np.ndarray]  # places, and what is said for them


def _told(place: np.ndarray, value: np.ndarray, ends: np.ndarray) -> list[_Told]:
    spans = [slice(start, end) for start, end in pairwise(ends.tolist())]
    return [(place[span], value[span]) for span in spans]


def terms(block: Insight, worth: np.ndarray, rows: Sequence[int]) -> list[list[Reason]]:
    """The words that speak most for each of some papers of the day to the reader to whom the day's
    terms are worth this."""
    held, found = block.papers.terms, []
    for row in rows:
        span = slice(*held.indptr[row : row + 2].tolist())
        columns = held.indices[span]
        found.append(_terms(block.space, columns, worth[block.place[columns]] * held.data[span]))
    return found


def _terms(space: FeatureSpace, columns: np.ndarray, said: np.ndarray) -> list[Reason]:
    """The terms that add most to the score, but for figures; of two that say the same, the one
    that adds more."""
    told = said > 0
    said, columns = said[told], columns[told]
    whole = float(said.sum()) or 1.0
    if len(said) > _POOL:
        best = said >= np.partition(said, -_POOL)[-_POOL]
        said, columns = said[best], columns[best]
    found: list[Reason] = []
    for less, column in sorted(zip((-said).tolist(), columns.tolist(), strict=True)):
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
