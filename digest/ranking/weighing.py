"""From counts to weights by scikit-learn's TF-IDF: 1 + ln(count), times what each term weighs."""

from typing import Any

import numpy as np
import scipy.sparse as sp


def learned_idf(counts: Any) -> np.ndarray:
    """ln((1 + papers) / (1 + papers with the term)) + 1 per column of a count matrix."""
    if not all(counts.shape):
        return np.zeros(counts.shape[1], np.float32)
    return np.asarray(_transformer().fit(counts).idf_, np.float32)


def weigh(counts: Any, idf: np.ndarray) -> Any:
    """The weights of counted terms, by an idf of our own; lengths stay as they come out."""
    if not all(counts.shape):
        return sp.csr_array(counts.shape, dtype=np.float32)
    tfidf = _transformer()
    tfidf.idf_ = np.asarray(idf, np.float32)
    return sp.csr_array(tfidf.transform(sp.csr_array(counts, dtype=np.float32)))


def _transformer() -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer  # noqa: PLC0415 (slow import)

    return TfidfTransformer(sublinear_tf=True, norm=None)


def unit(matrix: Any) -> Any:
    """The rows at length one; an empty row stays empty."""
    matrix = sp.csr_array(matrix, dtype=np.float32, copy=True)
    length = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    matrix.data /= np.repeat(np.where(length > 0, length, 1), np.diff(matrix.indptr))
    return matrix
