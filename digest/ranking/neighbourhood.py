"""The papers that a feature space was learned from, which stand for all others."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from digest.ranking.rows import Rows
from digest.ranking.weighing import LOG, Weights, unit

NEIGHBOURS = 5

_PROFILES = 100


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """How often each paper has each term (csr uint8), its categories (csr) and its latent columns
    (float16). A row is made of them when it is asked for."""

    weights: Weights
    terms: Any = field(repr=False)
    codes: Any = field(repr=False)
    meaning: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.meaning)

    def rows(self, at: Any) -> Rows:
        """The rows of some of the papers."""
        at = np.arange(len(self))[at]
        return Rows(self._terms(at), unit(self.codes[at]), self.meaning[at].astype(np.float32))

    def _terms(self, at: np.ndarray) -> Any:
        """The terms of some of the papers as they weigh in a row: csr float32, papers × terms."""
        counts = self.terms[at]
        value = LOG[counts.data] * self.weights.weight[counts.indices]
        value /= np.repeat(self._length[at], np.diff(counts.indptr))
        rows = sp.csr_array((value, counts.indices, counts.indptr), shape=counts.shape)
        rows.eliminate_zeros()
        return rows

    def nearest(self, text: Any, codes: Any) -> Rows:
        """Per profile (its terms and categories, at length one) the mean row of the papers nearest
        to it, by terms and then by categories; empty where it has no term."""
        profile, paper, likeness = self._nearest(text)
        worth = 11 * likeness + 1.8 * self._shared(profile, paper, codes.toarray())
        order = np.lexsort((paper, -worth, profile))
        profile, paper = profile[order], paper[order]
        place = np.arange(len(profile)) - np.searchsorted(profile, profile)
        profile, paper = profile[place < NEIGHBOURS], paper[place < NEIGHBOURS]
        size = np.bincount(profile, minlength=text.shape[0])
        papers, at = np.unique(paper, return_inverse=True)
        mean = sp.csr_array(
            (1 / size[profile], (profile, at)), shape=(text.shape[0], len(papers)), dtype=np.float32
        )
        rows = self.rows(papers)
        return Rows(
            sp.csr_array(mean @ rows.terms),
            sp.csr_array(mean @ rows.categories),
            mean @ rows.latent,
        )

    def _nearest(self, text: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Profile, paper and likeness of those nearest by terms, a hundred profiles at a time."""
        used = np.unique(text.indices)
        if not len(used):
            return np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.float32)
        columns, text = self._columns(used), text[:, used]
        parts = [
            _largest(text[at : at + _PROFILES] @ columns, 20 * NEIGHBOURS)
            for at in range(0, text.shape[0], _PROFILES)
        ]
        starts = np.repeat(_PROFILES * np.arange(len(parts)), [len(row) for row, *_ in parts])
        profile, paper, likeness = (np.concatenate(some) for some in zip(*parts, strict=True))
        return profile + starts, paper, likeness

    def _columns(self, used: np.ndarray) -> Any:
        """These columns of the papers' terms: csr float32, columns × papers."""
        place = np.full(self.terms.shape[1], -1, np.int32)
        place[used] = np.arange(len(used))
        at = np.flatnonzero((place >= 0)[self.terms.indices])
        column = self.terms.indices[at]
        starts = np.searchsorted(at, self.terms.indptr).astype(np.int32)
        length = np.repeat(self._length, np.diff(starts))
        value = LOG[self.terms.data[at]] * self.weights.weight[column] / length
        rows = sp.csr_array((value, place[column], starts), shape=(len(self), len(used)))
        return sp.csr_array(rows.T)

    @cached_property
    def _length(self) -> np.ndarray:
        """The length of each paper's terms by their norm (1 where there are none)."""
        squares = sp.csr_array(
            (LOG[self.terms.data] ** 2, self.terms.indices, self.terms.indptr),
            shape=self.terms.shape,
        )
        length = np.sqrt(squares @ (self.weights.norm * self.weights.norm))
        return np.asarray(np.where(length > 0, length, 1), np.float32)

    def _shared(self, profile: np.ndarray, paper: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """How much paper i is of the categories of profile i."""
        theirs = unit(self.codes[paper])
        pair = np.repeat(np.arange(len(paper)), np.diff(theirs.indptr))
        both = theirs.data * codes[profile[pair], theirs.indices]
        return np.bincount(pair, both, len(paper)).astype(np.float32)


def _largest(matrix: Any, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and value of each row's `count` largest entries, and of those equal to the
    least of these."""
    matrix = sp.csr_array(matrix)
    kept = np.ones(matrix.nnz, bool)
    for start, end in zip(matrix.indptr, matrix.indptr[1:], strict=False):
        if end - start > count:
            values = matrix.data[start:end]
            kept[start:end] = values >= np.partition(values, -count)[-count]
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[kept]
    return row, matrix.indices[kept], matrix.data[kept]
