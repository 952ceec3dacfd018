"""The counts of a later corpus from those of the former one: what is new alone is counted."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from digest.ranking.corpus import Corpus
from digest.ranking.counting import FEW, Counts, Vocabulary, count, tally
from digest.ranking.weighing import papers_having

_BOTH: tuple[Literal["left"], Literal["right"]] = "left", "right"
_LAST = 0xFFFFF  # bits
_AT_ONCE = 500_000  # of the text's words
_MANY = 0.2  # of the papers: where so many are new, all are counted


def numbered(before: Sequence[str], after: Sequence[str]) -> np.ndarray:
    """The number among the words after of each word before, or -1; behind a 0. Both are in
    alphabetical order, and few words are in one of them alone."""
    gone = [bisect_left(before, word) for word in set(before).difference(after)]
    new = [bisect_left(after, word) for word in set(after).difference(before)]
    number = np.full(len(before) + 1, -1, np.int64)
    number[0] = 0
    stays = np.delete(np.arange(1, len(before) + 1), gone)
    number[stays] = np.delete(np.arange(1, len(after) + 1), new)
    return number


def recount(
    corpus: Corpus, vocabulary: Vocabulary, terms: Any, rows: np.ndarray, number: np.ndarray
) -> Counts:
    """What `count` gives of the corpus, whose papers are these rows of the former `terms` (-1: not
    among them); `number` has the number in the corpus of each word of the former `vocabulary`."""
    came = rows < 0
    if min(len(corpus), terms.shape[0]) < FEW or came.mean() > _MANY:
        return count(corpus)
    new, former = count(corpus.take(came), min_papers=1), _keys(vocabulary, corpus, number)
    said = np.flatnonzero(former >= 0)
    before = former[said]
    known = _found(before, new.vocabulary.keys)
    fresh, added = _fresh(corpus, new.vocabulary.keys[~known])
    kept = _rows(terms, rows)  # only now, for it is large
    having, at = papers_having(kept)[said], np.searchsorted(before, new.vocabulary.keys[known])
    having[at] += papers_having(new.terms)[known]
    keys = np.sort(np.concatenate([before[having > 1], fresh]))
    place, of_new = np.full(len(former), -1, np.int32), np.full(len(known), -1, np.int32)
    place[said] = np.where(having > 1, np.searchsorted(keys, before), -1)
    of_new[known] = place[said[at]]
    added = _moved(added, np.searchsorted(keys, fresh).astype(np.int32), len(keys))
    added += _rows(_moved(new.terms, of_new, len(keys)), np.where(came, np.cumsum(came) - 1, -1))
    kept = _moved(kept, place, len(keys))
    return Counts(corpus, Vocabulary(corpus.words, keys), kept + added)


def _keys(former: Vocabulary, corpus: Corpus, number: np.ndarray) -> np.ndarray:
    """The key of each former term in this corpus; -1 where it lacks a word here, and so is in no
    paper."""
    first, second = (number[word] for word in divmod(former.keys, len(former.words) + 1))
    return np.where((first < 0) | (second < 0), -1, first * (len(corpus.words) + 1) + second)


def _fresh(corpus: Corpus, keys: np.ndarray) -> tuple[np.ndarray, Any]:
    """Of some keys those that two papers have or more, and how often: csr, papers × such keys. What
    the former counts do not know, one of its papers may have had alone."""
    found, lengths, papers, times = tally(*_occurrences(corpus, keys), len(corpus), 2)
    column = np.repeat(np.arange(len(found), dtype=np.int32), lengths)
    return found, sp.csr_array((times, (papers, column)), shape=(len(corpus), len(found)))


def _occurrences(corpus: Corpus, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where these keys stand in the papers' texts: each time the key and the paper."""
    base = len(corpus.words) + 1
    first, second = divmod(keys, base)
    alone = _standing(corpus, first[second == 0])
    begins = _beginning(corpus, keys)
    pairs = corpus.text[begins] * np.int64(base) + corpus.text[begins + 1]
    brought, bringing = _brought(corpus, keys)
    return (
        np.concatenate([corpus.text[alone] * np.int64(base), pairs, brought]),
        corpus.paper[np.concatenate([alone, begins, bringing])],
    )


def _beginning(corpus: Corpus, keys: np.ndarray) -> np.ndarray:
    """Where in the text those of the keys begin that are two words; a part of it at a time, since
    common words stand nearly everywhere."""
    base = len(corpus.words) + 1
    first, second = divmod(keys, base)
    begins, follows = (_among(some[second > 0], base) for some in (first, second))
    parts = [np.zeros(0, np.int64)]
    for start in range(0, len(corpus.text), _AT_ONCE):
        here = corpus.text[start : start + _AT_ONCE + 1]
        at = np.flatnonzero(begins[here[:-1]] & follows[here[1:]])
        pairs = here[at] * np.int64(base) + here[at + 1]
        parts.append(start + at[_found(keys, pairs)])
    return np.concatenate(parts)


def _brought(corpus: Corpus, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the keys a word brings, and where in the text: each time."""
    word, first, second = corpus.brought
    term = first * np.int64(len(corpus.words) + 1) + second
    wanted = np.flatnonzero(_found(keys, term))
    wanted = wanted[np.argsort(word[wanted], kind="stable")]
    at = _standing(corpus, word[wanted])
    start, end = (np.searchsorted(word[wanted], corpus.text[at], side) for side in _BOTH)
    times = end - start
    which = np.arange(times.sum()) + np.repeat(start - (np.cumsum(times) - times), times)
    return term[wanted[which]], np.repeat(at, times)


def _standing(corpus: Corpus, words: np.ndarray) -> np.ndarray:
    """Where in the text one of these words stands."""
    return np.flatnonzero(_among(words, len(corpus.words) + 1)[corpus.text])


def _found(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of each value, whether it is among the ascending ones. Most are not, which their last bits
    tell ten times as fast."""
    found = np.zeros(len(values), bool)
    maybe = np.flatnonzero(_among(ascending & _LAST, _LAST + 1)[values & _LAST])
    if len(maybe):
        at = np.searchsorted(ascending, values[maybe])
        found[maybe] = ascending[np.minimum(at, len(ascending) - 1)] == values[maybe]
    return found


def _among(numbers: np.ndarray, size: int) -> np.ndarray:
    """Of each number below `size`, whether it is one of these."""
    found = np.zeros(size, bool)
    found[numbers] = True
    return found


def _rows(matrix: Any, rows: np.ndarray) -> Any:
    """Some rows of a csr matrix, an empty one for -1."""
    ends = np.r_[matrix.indptr, matrix.indptr[-1:]]
    shape = (matrix.shape[0] + 1, matrix.shape[1])
    return sp.csr_array((matrix.data, matrix.indices, ends), shape=shape)[rows]


def _moved(matrix: Any, place: np.ndarray, width: int) -> Any:
    """The matrix with its columns at other places; those without one (-1) are left out. The former
    one, whose room is needed, is gone after this."""
    np.take(place, matrix.indices, out=matrix.indices, mode="clip")
    left_out = np.flatnonzero(matrix.indices < 0)
    starts = (matrix.indptr - np.searchsorted(left_out, matrix.indptr)).astype(np.int32)
    if len(left_out):
        matrix.data = np.delete(matrix.data, left_out)
        matrix.indices = np.delete(matrix.indices, left_out)
    return sp.csr_array((matrix.data, matrix.indices, starts), shape=(matrix.shape[0], width))
