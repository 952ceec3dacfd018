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

_AT_ONCE = 1_000_000  # occurrences that are sorted at once, in some 30 MB; of many a sixth


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
        words, having, papers, counts = _tally(
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
    least = min_papers or (1 if len(corpus) < 100 else 2)
    parts = [
        _tally(*_occurrences(corpus, low, high), len(corpus), least)
        for low, high in pairwise(_bounds(corpus))
    ]
    keys, lengths, papers, counts = (np.concatenate(some) for some in zip(*parts, strict=True))
    del parts
    terms = _matrix(counts, papers, lengths, len(corpus))
    return Counts(corpus, Vocabulary(corpus.words, keys), terms)


def _matrix(counts: np.ndarray, papers: np.ndarray, lengths: np.ndarray, total: int) -> Any:
    """From columns of so many entries each to rows of papers: csr, 32-bit."""
    starts = np.r_[0, np.cumsum(lengths)].astype(np.int32)
    return sp.csc_array((counts, papers, starts), shape=(total, len(lengths))).tocsr()


def _bounds(corpus: Corpus) -> list[int]:
    """Numbers of words between which about as many terms begin as are sorted at once."""
    size = len(corpus.words) + 1
    said = np.bincount(corpus.text, minlength=size)
    begun = 2 * said
    begun += np.bincount(corpus.brought[1], said[corpus.brought[0]], size).astype(int)
    upto = np.cumsum(begun[1:])
    total = int(upto[-1]) if len(upto) else 0
    steps = range(0, total, max(_AT_ONCE, total // 6 + 1))[1:]
    return [1, *sorted({int(np.searchsorted(upto, step)) + 2 for step in steps}), size + 1]


def _occurrences(corpus: Corpus, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """The keys of all terms that stand in the papers and begin with a word of these numbers, and
    whose they are: each word, each two words beside each other, and what words bring."""
    text, base = corpus.text, len(corpus.words) + 1
    here = np.flatnonzero((text >= low) & (text < high))
    words = text[here].astype(np.int64) * base
    following = text[here + 1]  # a 0 stands behind the last one
    paired = following > 0
    word, first, second = corpus.brought[:, (corpus.brought[1] >= low) & (corpus.brought[1] < high)]
    order = np.argsort(word, kind="stable")
    brings = np.bincount(word, minlength=base)
    bringing = np.flatnonzero(brings[text])
    times = brings[text[bringing]]
    last = np.cumsum(brings)[text[bringing]]
    at = order[np.repeat(last - np.cumsum(times), times) + np.arange(times.sum())]
    return (
        np.concatenate(
            [
                words,
                words[paired] + following[paired],
                first[at].astype(np.int64) * base + second[at],
            ]
        ),
        np.concatenate(
            [
                corpus.paper[here],
                corpus.paper[here[paired]],
                np.repeat(corpus.paper[bringing], times),
            ]
        ),
    )


def _tally(
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
