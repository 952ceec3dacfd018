"""A latent space: what words mean by the company they keep (LSA: a truncated SVD of TF-IDF)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from digest.ranking.weighing import learned_idf, unit, weigh

DIMENSIONS = 200
_FEWEST_PAPERS = 200
_MIN_PAPERS = 5
_MAX_SHARE = 0.3


@dataclass(frozen=True)
class Latent:
    """Words × dimensions, the weight of each word, and the point where the mean paper lies."""

    weight: np.ndarray
    components: np.ndarray
    centre: np.ndarray

    @property
    def dimensions(self) -> int:
        return int(self.components.shape[1])

    @classmethod
    def fit(cls, counts: Any) -> "Latent":
        """Learn from a count matrix (papers × words); no dimension where there are few papers.

        scikit-learn's randomised SVD with a fixed seed: the same counts give the same space.
        """
        from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 (slow import)

        total, width = counts.shape
        having = np.bincount(counts.indices, minlength=width)
        known = (having >= _MIN_PAPERS) & (having <= _MAX_SHARE * total)
        size = min(DIMENSIONS, total // 10, int(known.sum()) // 10)
        weight = np.where(known, learned_idf(counts), 0).astype(np.float32)
        if total < _FEWEST_PAPERS or size < 2:
            return cls(weight, np.zeros((width, 0), np.float32), np.zeros(0, np.float32))
        columns = np.flatnonzero(known)
        rows = unit(weigh(counts, weight))[:, columns]
        *_, axes = randomized_svd(rows, size, n_iter=3, random_state=0)
        components = np.zeros((width, size), np.float32)
        components[columns] = axes.T.astype(np.float16)
        return cls(weight, components, np.asarray((rows @ components[columns]).mean(axis=0)))

    def project(self, weighed: Any, *, centred: bool = True) -> np.ndarray:
        """Unit rows of documents, whose words `weight` has weighed: documents × dimensions; zero
        where no word is known. A topic, which has nothing of the ordinary paper in it, is not
        centred."""
        rows = np.asarray(unit(weighed) @ self.components)
        known = (np.abs(rows).sum(axis=1) > 0)[:, None]
        rows = np.where(known, rows - self.centre, 0) if centred else rows
        length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        return np.asarray(rows / np.where(length > 0, length, 1), np.float32)
