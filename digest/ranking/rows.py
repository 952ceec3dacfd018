"""Rows of a feature space, in three blocks of columns: papers, sentences, topics, profiles."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import scipy.sparse as sp

_FEW = 4  # rows


@dataclass(frozen=True, eq=False)
class Rows:
    """What each row holds: `terms` and `categories` (csr float32) and the `latent` columns
    (float32, rows × dimensions). These are dense, for a paper has nearly all of them: as entries of
    a sparse matrix they would be twice as large, and more than its terms."""

    terms: Any = field(repr=False)
    categories: Any = field(repr=False)
    latent: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.latent)

    def __getitem__(self, at: Any) -> "Rows":
        """Some of the rows, by their places or a slice."""
        return Rows(self.terms[at], self.categories[at], self.latent[at])

    @property
    def empty(self) -> bool:
        """Whether no row holds anything."""
        return not (self.terms.nnz or self.categories.nnz or self.latent.any())

    @classmethod
    def stacked(cls, parts: "Sequence[Rows]") -> "Rows":
        """All rows of some parts of one space, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            sp.csr_array(sp.vstack([part.terms for part in parts], format="csr")),
            sp.csr_array(sp.vstack([part.categories for part in parts], format="csr")),
            np.concatenate([part.latent for part in parts]),
        )

    def times(self, weights: np.ndarray) -> "Rows":
        """Each row times its weight."""
        return Rows(
            _times(self.terms, weights),
            _times(self.categories, weights),
            weights[:, None] * self.latent,
        )

    def cosines(self) -> np.ndarray:
        """Of each row with each: float32, rows × rows; an empty row has nothing in common."""
        products = (self.terms @ self.terms.T).toarray()
        products += (self.categories @ self.categories.T).toarray() + self.latent @ self.latent.T
        length = np.sqrt(products.diagonal())
        length = np.where(length > 0, length, 1)
        return np.asarray(products / length / length[:, None], np.float32)


def products(matrix: Any) -> np.ndarray:
    """The products of a csr matrix's rows with each other: float64, rows × rows. Most columns that
    rows share are those of a few rows, which are paired; only those of more are multiplied as a
    whole. A column that one row alone has counts in its own square only."""
    size = matrix.shape[0]
    row = np.repeat(np.arange(size, dtype=np.int32), np.diff(matrix.indptr))
    both = (matrix.indices.astype(np.int64) << 32) | np.arange(len(row))
    both.sort()  # as one number, which is many times as fast as an argsort
    column, at = both >> 32, both & 0xFFFFFFFF
    row, value = row[at], matrix.data[at]
    first = np.flatnonzero(np.diff(column, prepend=-1))
    times = np.diff(first, append=len(column))
    many = times > _FEW
    place = np.repeat(np.where(many, np.cumsum(many) - 1, -1), times)
    whole = np.zeros((size, int(many.sum())), np.float32)
    whole[row[place >= 0], place[place >= 0]] = value[place >= 0]
    one, other = _pairs(first[~many], times[~many])
    paired = np.bincount(row[one] * size + row[other], value[one] * value[other], size * size)
    paired = paired.reshape(size, size)
    found = whole @ whole.T + paired + paired.T
    np.fill_diagonal(found, np.bincount(row, value * value, size))
    return np.asarray(found, float)


def _pairs(first: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of places in runs that begin at `first` and have so many places."""
    found = [
        (first[times == length] + one, first[times == length] + other)
        for length in range(2, _FEW + 1)
        for one, other in combinations(range(length), 2)
    ]
    one, other = zip(*found, strict=True)
    return np.concatenate(one), np.concatenate(other)


def _times(matrix: Any, weights: np.ndarray) -> Any:
    each = np.repeat(weights, np.diff(matrix.indptr))  # a product takes as long as it has columns
    parts = (each * matrix.data, matrix.indices, matrix.indptr)
    return sp.csr_array(parts, shape=matrix.shape)
