"""A latent space: what words mean by the company they keep (LSA: a truncated SVD of TF-IDF)."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from digest.ranking.weighing import learned_idf, papers_having, unit, weigh

DIMENSIONS = 200
_FEWEST_PAPERS = 200
_MIN_PAPERS = 5
_MAX_SHARE = 0.3


@dataclass(frozen=True, eq=False)
class Latent:
    """The words that have a meaning (their places among all words, ascending), what each weighs,
    words × dimensions (float16), and the point where the mean paper lies.

    `moved` are the papers that came, or if more of them went, that went, since these were learned.
    """

    words: np.ndarray = field(repr=False)
    weight: np.ndarray = field(repr=False)
    components: np.ndarray = field(repr=False)
    centre: np.ndarray = field(repr=False)
    moved: int = 0

    @property
    def dimensions(self) -> int:
        return int(self.components.shape[1])

    @classmethod
    def fit(cls, counts: Any) -> "Latent":
        """Learn from a count matrix (papers × words); no dimension where there are few papers.

        scikit-learn's randomised SVD with a fixed seed: the same counts give the same space.
        """
        from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 (slow import)

        total = counts.shape[0]
        having = papers_having(counts)
        words = np.flatnonzero((having >= _MIN_PAPERS) & (having <= _MAX_SHARE * total))
        words = words.astype(np.int32)
        size = min(DIMENSIONS, total // 10, len(words) // 10)
        if total < _FEWEST_PAPERS or size < 2:
            none = np.zeros(0, np.float32)
            return cls(words[:0], none, np.zeros((0, 0), np.float16), none)
        weight = learned_idf(having[words], total)
        rows = unit(weigh(counts[:, words], weight))
        *_, axes = randomized_svd(rows, size, n_iter=3, random_state=0)
        components = axes.T.astype(np.float16)
        centre = np.asarray((rows @ components.astype(np.float32)).mean(axis=0))
        return cls(words, weight, components, centre)

    def among(self, number: np.ndarray, moved: int) -> "Latent":
        """The same where the words have other numbers now (from 1 on; -1: none, and such a
        word says nothing), and so many more papers have come or gone."""
        words = (number[self.words + 1] - 1).astype(np.int32)
        kept = words >= 0
        return replace(
            self,
            words=words[kept],
            weight=self.weight[kept],
            components=self.components[kept],
            moved=self.moved + moved,
        )

    def project(self, weighed: Any, *, centred: bool = True) -> np.ndarray:
        """Unit rows of documents, whose words `weight` has weighed: documents × dimensions; zero
        where no word is known. A topic, which has nothing of the ordinary paper in it, is not
        centred."""
        weighed = unit(weighed)
        used, column = np.unique(weighed.indices, return_inverse=True)
        said = (weighed.data, column.astype(np.int32), weighed.indptr)
        said = sp.csr_array(said, shape=(weighed.shape[0], len(used)))
        rows = np.asarray(said @ self.components[used].astype(np.float32))
        known = (np.abs(rows).sum(axis=1) > 0)[:, None]
        rows = np.where(known, rows - self.centre, 0) if centred else rows
        length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        return np.asarray(rows / np.where(length > 0, length, 1), np.float32)
