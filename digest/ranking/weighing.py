"""From counts to weights by scikit-learn's TF-IDF: 1 + ln(count), times what each term weighs."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

MAX_SHARE = 0.3
RARITY = 0.06
PAIR_WEIGHT = 0.65
LOG = np.r_[0, 1 + np.log(np.arange(1, 256))].astype(np.float32)  # what a count weighs

_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class Weights:
    """What terms weigh (float32): `weight` in a paper's row, `norm` for the row's length only."""

    weight: np.ndarray = field(repr=False)
    norm: np.ndarray = field(repr=False)

    @classmethod
    def learned(cls, counts: Any, pairs: np.ndarray) -> "Weights":
        """From how often papers have terms (papers × terms), and which terms are two words.

        A term's weight is its idf, and for the rarest terms more (their part of likeness falls
        with 1 / number of papers: two papers that share a name nobody else uses belong together);
        a pair of words weighs less than a word. A term in more than 3 of 10 papers weighs nothing.
        """
        total = counts.shape[0]
        having = papers_having(counts)
        common = having > max(MAX_SHARE * total, 8)
        usable = (having > 0) & ((having > 1) | (total < 100)) & ~common
        pair = np.where(pairs, PAIR_WEIGHT, 1.0)
        idf = learned_idf(having, total)
        rare = RARITY * total / np.maximum(having, 1)
        return cls(
            np.where(usable, np.sqrt(idf**2 + rare) * pair, 0).astype(np.float32),
            np.where(usable, idf * pair, 0).astype(np.float32),
        )

    @cached_property
    def bump(self) -> np.ndarray:
        """By how much a term weighs more than its part of the length."""
        return np.asarray(self.weight / np.where(self.norm > 0, self.norm, 1), np.float32)

    def rows(self, weighed: Any) -> Any:
        """The rows of texts whose terms `norm` has weighed."""
        text = unit(weighed)
        text.data *= self.bump[text.indices]
        text.eliminate_zeros()
        return text


def papers_having(counts: Any) -> np.ndarray:
    """How many rows have each column of a csr matrix; some of its entries at a time, since numpy
    makes eight bytes of each."""
    having = np.zeros(counts.shape[1], int)
    for start in range(0, counts.nnz, _AT_ONCE):
        some = counts.indices[start : start + _AT_ONCE]
        having += np.bincount(some, minlength=counts.shape[1])
    return having


def learned_idf(having: np.ndarray, total: int) -> np.ndarray:
    """scikit-learn's idf of terms that so many papers have, of so many in all:
    ln((1 + total) / (1 + having)) + 1."""
    return np.asarray(np.log((1 + total) / (1 + having)) + 1, np.float32)


def weigh(counts: Any, idf: np.ndarray) -> Any:
    """The weights of counted terms, by an idf of our own; lengths stay as they come out."""
    if not all(counts.shape):
        return sp.csr_array(counts.shape, dtype=np.float32)
    from sklearn.feature_extraction.text import TfidfTransformer  # noqa: PLC0415 (slow import)

    tfidf = TfidfTransformer(sublinear_tf=True, norm=None)
    tfidf.idf_ = np.asarray(idf, np.float32)
    return sp.csr_array(tfidf.transform(counts.astype(np.float32), copy=False))


def unit(matrix: Any) -> Any:
    """The rows at length one; an empty row stays empty."""
    matrix = sp.csr_array(matrix, dtype=np.float32, copy=True)
    length = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    matrix.data /= np.repeat(np.where(length > 0, length, 1), np.diff(matrix.indptr))
    return matrix
