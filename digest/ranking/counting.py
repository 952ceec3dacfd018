"""How often papers have which terms and words."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from digest.ranking.corpus import Corpus

FEW = 100  # papers, of which each term counts
_AT_ONCE = 500_000  # occurrences that are sorted at once, in some 20 MB


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Terms of one word or two: a column each, in the order of their `keys`.

    A key is the number of the first word times (1 + words), and the number of the second (or 0).
    """

    words: Sequence[str] = field(repr=False)
    keys: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, column: int) -> str:
        first, second = divmod(int(self.keys[column]), len(self.words) + 1)
        return (
            f"{self.words[first - 1]} {self.words[second - 1]}" if second else self.words[first - 1]
        )

    @property
    def pairs(self) -> np.ndarray:
        """Whether each term has two words."""
        return np.asarray(self.keys % (len(self.words) + 1) > 0)

    def numbers(self, words: Sequence[str]) -> np.ndarray:
        """The number here of each of some words in alphabetical order, or -1, behind a 0."""
        ours, at, found = self.words, 0, [0]
        for word in words:
            at = bisect_left(ours, word, at)
            found.append(at + 1 if at < len(ours) and ours[at] == word else -1)
        return np.array(found, np.int64)

    def columns(self, other: "Vocabulary", number: np.ndarray) -> np.ndarray:
        """The column here of each term of the other vocabulary, or -1; `number` has the number
        here of each word there."""
        if not len(self):
            return np.full(len(other), -1)
        first, second = (number[word] for word in divmod(other.keys, len(other.words) + 1))
        keys = np.where((first < 0) | (second < 0), -1, first * (len(self.words) + 1) + second)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self) - 1)
        return np.where(self.keys[at] == keys, at, -1)


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each paper of a corpus has each term: csr uint8, papers × vocabulary."""

    corpus: Corpus
    vocabulary: Vocabulary
    terms: Any = field(repr=False)

    @cached_property
    def plain(self) -> Any:
        """How often each paper has each word as it stands: csr uint8, papers × words."""
        said = np.flatnonzero(self.corpus.text)
        words, having, papers, counts = tally(
            self.corpus.text[said].astype(np.int64), self.corpus.paper[said], len(self.corpus), 1
        )
        lengths = np.zeros(len(self.corpus.words), int)
        lengths[words - 1] = having
        return _matrix(counts, papers, lengths, len(self.corpus))

    def take(self, rows: Any) -> "Counts":
        """The same vocabulary with some of the papers."""
        return replace(self, corpus=self.corpus.take(rows), terms=self.terms[rows])


def count(corpus: Corpus, *, min_papers: int | None = None) -> Counts:
    """Count the terms of some papers; those in fewer than `min_papers` papers are left out (by
    default 2, or 1 where there are fewer than 100 papers)."""
    least = min_papers or (1 if len(corpus) < FEW else 2)
    places = _Places.of(corpus.text, len(corpus.words))
    parts = [
        tally(*_occurrences(corpus, places, low, high), len(corpus), least)
        for low, high in pairwise(_bounds(corpus, places.times))
    ]
    keys, lengths, papers, counts = (np.concatenate(some) for some in zip(*parts, strict=True))
    del parts
    terms = _matrix(counts, papers, lengths, len(corpus))
    return Counts(corpus, Vocabulary(corpus.words, keys), terms)


@dataclass(frozen=True)
class _Places:
    """Where in a text each number stands: all places of one number after those of the other, from
    `starts` on, and how many `times`."""

    order: np.ndarray
    starts: np.ndarray
    times: np.ndarray

    @classmethod
    def of(cls, text: np.ndarray, highest: int) -> "_Places":
        both = (text.astype(np.int64) << 32) | np.arange(len(text), dtype=np.int64)
        both.sort()  # as one number, which is many times as fast as an argsort
        times = np.bincount(text, minlength=highest + 1)
        return cls((both & 0xFFFFFFFF).astype(np.int32), np.r_[0, np.cumsum(times)], times)

    def between(self, low: int, high: int) -> np.ndarray:
        """The places of the numbers from `low` up to `high`."""
        return self.order[self.starts[low] : self.starts[high]]

    def each(self, numbers: np.ndarray) -> np.ndarray:
        """The places of these numbers, one after the other."""
        times = self.times[numbers]
        shift = self.starts[numbers] - (np.cumsum(times) - times)
        at = np.arange(times.sum()) + np.repeat(shift, times)
        return np.asarray(self.order[at])


def _matrix(counts: np.ndarray, papers: np.ndarray, lengths: np.ndarray, total: int) -> Any:
    """From columns of so many entries each to rows of papers: csr, 32-bit."""
    starts = np.r_[0, np.cumsum(lengths)].astype(np.int32)
    return sp.csc_array((counts, papers, starts), shape=(total, len(lengths))).tocsr()


def _bounds(corpus: Corpus, said: np.ndarray) -> list[int]:
    """Numbers of words between which about as many terms begin as are sorted at once; `said` is how
    often each word is."""
    word, first, _ = corpus.brought
    begun = 2 * said + np.bincount(first, said[word], len(said)).astype(int)
    upto = np.cumsum(begun[1:])
    steps = range(_AT_ONCE, int(upto[-1]) if len(upto) else 0, _AT_ONCE)
    return [1, *sorted({int(np.searchsorted(upto, step)) + 2 for step in steps}), len(said)]


def _occurrences(
    corpus: Corpus, places: _Places, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """The keys of all terms that stand in the papers and begin with a word of these numbers, and
    whose they are: each word, each two words beside each other, and what words bring."""
    base, here = len(corpus.words) + 1, places.between(low, high)
    words = np.repeat(np.arange(low, high) * base, places.times[low:high])
    following = corpus.text[here + 1]  # a 0 stands behind the last one
    paired, papers = following > 0, corpus.paper[here]
    word, first, second = corpus.brought[:, (corpus.brought[1] >= low) & (corpus.brought[1] < high)]
    brought = np.repeat(first * np.int64(base) + second, places.times[word])
    return (
        np.concatenate([words, words[paired] + following[paired], brought]),
        np.concatenate([papers, papers[paired], corpus.paper[places.each(word)]]),
    )


def tally(
    keys: np.ndarray, papers: np.ndarray, total: int, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The distinct keys that at least so many papers have, and how many have each; then for one
    key after the other the papers and how often they have it (at most 255 times).

    Key and paper are sorted as one number, which is ten times as fast as to sort one by the other.
    """
    bits = max(1, int(total).bit_length())
    both = keys << bits
    both |= papers
    both.sort()
    first = _changes(both)
    counts = np.minimum(np.diff(first, append=len(both)), 255).astype(np.uint8)
    both = both[first]
    keys = both >> bits
    begins = _changes(keys)
    having = np.diff(begins, append=len(keys))
    kept = having >= least
    ours = np.repeat(kept, having)
    both &= (1 << bits) - 1
    return keys[begins[kept]], having[kept], both[ours].astype(np.int32), counts[ours]


def _changes(ordered: np.ndarray) -> np.ndarray:
    """Where each run of equal numbers begins."""
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return np.flatnonzero(new)
