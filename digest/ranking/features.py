"""Papers as rows of a matrix: weighted terms of title and abstract, categories, latent space."""

import hashlib
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from digest.ranking.counting import Counts, Document, count, document_terms, incidence
from digest.ranking.latent import Latent
from digest.ranking.profile import Profile
from digest.ranking.weighing import learned_idf, unit, weigh

BACKGROUND = 1000
NEIGHBOURHOOD = 40_000
NEIGHBOURS = 5
MAX_SHARE = 0.3
RARITY = 0.06
PAIR_WEIGHT = 0.65

# What a topic's words, the papers nearest to it and a wished category say for a paper, in log-odds
# per unit of likeness: fitted over many readers (docs/ranking.md).
TOPIC_TERMS, TOPIC_LATENT, CATEGORY = 2.5, 2.5, 1.7
NEAR_TERMS, NEAR_LATENT = 12.0, 2.2


_LIKENESS_KEPT = 3000


@dataclass(frozen=True, eq=False)
class PaperRows:
    """Some papers and their rows in a feature space: ids, and a matrix of ids × width."""

    ids: tuple[str, ...]
    matrix: Any = field(repr=False, compare=False)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Which row holds which id."""
        return {paper: row for row, paper in enumerate(self.ids)}

    def likeness(self, rows: Sequence[int]) -> np.ndarray:
        """The cosines of some of the papers with each other: float32, rows × rows."""
        if len(self.ids) <= _LIKENESS_KEPT:
            return np.asarray(self._likeness[np.ix_(rows, rows)], np.float32)
        return _cosines(self.matrix[list(rows)])

    @cached_property
    def _likeness(self) -> np.ndarray:
        return _cosines(self.matrix).astype(np.float16)


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """What terms weigh, what words mean, and the papers that stand for all others.

    A row has a column per term, then per category, then per latent dimension. `norm` weighs the
    terms for a row's length only. `neighbourhood` are the rows among which a topic finds the papers
    that it is about; `ordinary` says which of them are the background, up to 1,000.
    """

    vocabulary: tuple[str, ...]
    categories: tuple[str, ...]
    weight: np.ndarray
    norm: np.ndarray
    latent: Latent
    ordinary: np.ndarray = field(repr=False)
    neighbourhood: Any = field(repr=False, compare=False)

    @classmethod
    def fit(cls, documents: Iterable[Document]) -> "FeatureSpace":
        """Learn from the papers of a time, from a handful to 100,000.

        The same papers in any order give the same space.
        """
        papers = sorted(documents, key=lambda paper: (paper.title, paper.abstract))
        return cls.of_counts(count(papers))

    @classmethod
    def of_counts(cls, counts: Counts, latent: Latent | None = None) -> "FeatureSpace":
        """Learn from counted papers; a latent space learned on others of the same vocabulary may
        be given.

        A term's weight is its idf, and for the rarest terms more (their part of likeness falls
        with 1 / number of papers: two papers that share a name nobody else uses belong together);
        a pair of words weighs less than a word. A term in more than 3 of 10 papers weighs nothing.
        """
        total, width = counts.matrix.shape[0], counts.term_count
        having = np.bincount(counts.matrix.indices, minlength=len(counts.vocabulary))[:width]
        common = having > max(MAX_SHARE * total, 8)
        usable = (having > 0) & ((having > 1) | (total < 100)) & ~common
        pair = _pair_weights(counts.vocabulary)[:width]
        idf = learned_idf(counts.matrix)[:width]
        rare = RARITY * total / np.maximum(having, 1)
        space = cls(
            counts.vocabulary,
            counts.categories,
            np.where(usable, np.sqrt(idf**2 + rare) * pair, 0).astype(np.float32),
            np.where(usable, idf * pair, 0).astype(np.float32),
            latent or Latent.fit(counts.matrix[:, width:]),
            np.zeros(0, np.int32),
            None,
        )
        chance = random.Random(0)  # noqa: S311
        near = sorted(chance.sample(range(total), min(NEIGHBOURHOOD, total)))
        ordinary = sorted(chance.sample(range(len(near)), min(BACKGROUND, len(near))))
        rows = space.rows(counts.take(near))
        rows.data = rows.data.astype(np.float16).astype(np.float32)  # as it is stored
        return replace(space, ordinary=np.array(ordinary, np.int32), neighbourhood=rows)

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.latent_from + self.latent.dimensions

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """What the first columns stand for."""
        return self.vocabulary[: len(self.weight)]

    @property
    def latent_from(self) -> int:
        """The first latent column."""
        return len(self.weight) + len(self.categories)

    @cached_property
    def version(self) -> str:
        """A short hash of the content: equal spaces, and only those, have equal versions."""
        return hashlib.sha256(self.dumps()).hexdigest()[:16]

    @cached_property
    def background(self) -> Any:
        """Rows of ordinary papers: what a reader has not asked for."""
        return self.neighbourhood[self.ordinary]

    @cached_property
    def typical(self) -> np.ndarray:
        """The mean row of the background, its terms only."""
        mean: np.ndarray = np.asarray(self.background.sum(axis=0), np.float32).ravel()
        mean[len(self.weight) :] = 0
        return np.asarray(mean / max(1, self.background.shape[0]))

    @cached_property
    def typical_square(self) -> float:
        """The mean row's product with itself."""
        return float(self.typical @ self.typical)

    @cached_property
    def near_terms(self) -> Any:
        """The neighbourhood's terms as columns of papers."""
        return sp.csr_array(self.neighbourhood[:, : len(self.weight)].T)

    @cached_property
    def near_categories(self) -> Any:
        """The neighbourhood's categories."""
        return self.neighbourhood[:, len(self.weight) : self.latent_from]

    @cached_property
    def typical_spread(self) -> float:
        """By how much ordinary papers differ in their likeness to the mean one (at least 1e-6)."""
        if not self.background.shape[0]:
            return 1.0
        return max(1e-6, float((self.background @ self.typical).std()))

    @cached_property
    def _tfidf(self) -> Any:
        """scikit-learn's TF-IDF with our vocabulary and weights; lengths are ours."""
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 (slow import)

        tfidf = TfidfVectorizer(
            analyzer=document_terms,
            vocabulary=list(self.vocabulary),
            sublinear_tf=True,
            norm=None,
            dtype=np.float32,
        )
        tfidf.idf_ = self._idf
        return tfidf

    @property
    def _idf(self) -> np.ndarray:
        """Of the terms and, behind them, of the plain words: what lengths are measured by."""
        return np.concatenate([self.norm, self.latent.weight])

    def _weighed(self, papers: Sequence[Document]) -> Any:
        if not papers or not self.vocabulary:
            return sp.csr_array((len(papers), len(self.vocabulary)), dtype=np.float32)
        return sp.csr_array(self._tfidf.transform(papers))

    def transform(self, documents: Iterable[Document]) -> Any:
        """One row per document, in order: csr float32, documents × width."""
        papers = list(documents)
        codes = incidence([[(c, 1.0) for c in p.categories] for p in papers], self.categories)
        return self._rows(self._weighed(papers), codes)

    def rows(self, counts: Counts) -> Any:
        """One row per counted paper; the vocabulary must be the space's own."""
        return self._rows(weigh(counts.matrix, self._idf), counts.codes)

    def _rows(self, weighed: Any, codes: Any) -> Any:
        width = len(self.weight)
        text = unit(weighed[:, :width])
        text.data *= self._bump[text.indices]
        text.eliminate_zeros()
        return self._join(text, unit(codes), self.latent.project(weighed[:, width:]))

    @cached_property
    def _bump(self) -> np.ndarray:
        """By how much a term weighs more than its part of the length."""
        return np.asarray(self.weight / np.where(self.norm > 0, self.norm, 1), np.float32)

    def _join(self, text: Any, codes: Any, latent: np.ndarray) -> Any:
        return sp.csr_array(
            sp.hstack([text, codes, sp.csr_array(latent)], format="csr", dtype=np.float32)
        )

    def topic_rows(self, texts: Sequence[str]) -> Any:
        """One row per topic's text, texts × width; terms and meaning each of length one."""
        weighed = self._weighed([_Text(text) for text in texts])
        width = len(self.weight)
        text = sp.csr_array(weighed[:, :width])
        text.data *= self._bump[text.indices]
        latent = self.latent.project(weighed[:, width:], centred=False)
        codes = sp.csr_array((len(texts), len(self.categories)), dtype=np.float32)
        return self._join(unit(text), codes, latent)

    def profile_rows(self, profiles: Sequence[Profile]) -> Any:
        """One row per profile: what its topics and categories say of a paper, as log-odds per
        column; empty where it says nothing that this space knows.

        A topic speaks by its own words and by those of the few papers nearest to it.
        """
        asked = [(row, topic) for row, p in enumerate(profiles) for topic in p.topics]
        spread = sp.csr_array(
            (
                np.array([max(0.0, topic.weight) for _, topic in asked], np.float32),
                (np.array([row for row, _ in asked], int), np.arange(len(asked))),
            ),
            shape=(len(profiles), len(asked)),
        )
        summed = sp.csr_array(spread @ self.topic_rows([topic.text for _, topic in asked]))
        text = unit(summed[:, : len(self.weight)])
        latent = _unit_rows(summed[:, self.latent_from :].toarray())
        codes = unit(incidence([p.categories for p in profiles], self.categories))
        near = self._near(text, codes)
        return self._join(
            TOPIC_TERMS * text + NEAR_TERMS * near[:, : len(self.weight)],
            CATEGORY * codes,
            TOPIC_LATENT * latent + NEAR_LATENT * near[:, self.latent_from :].toarray(),
        )

    def _near(self, text: Any, codes: Any) -> Any:
        """Per profile the mean of the papers nearest to its topics; empty without topics."""
        profile, paper, likeness = _largest(text @ self.near_terms, 20 * NEIGHBOURS)
        worth = 11 * likeness + 1.8 * self._shared(profile, paper, codes.toarray())
        order = np.lexsort((paper, -worth, profile))
        profile, paper = profile[order], paper[order]
        place = np.arange(len(profile)) - np.searchsorted(profile, profile)
        profile, paper = profile[place < NEIGHBOURS], paper[place < NEIGHBOURS]
        size = np.bincount(profile, minlength=text.shape[0])
        mean = sp.csr_array(
            (1 / size[profile], (profile, paper)),
            shape=(text.shape[0], self.neighbourhood.shape[0]),
            dtype=np.float32,
        )
        return sp.csr_array(mean @ self.neighbourhood)

    def _shared(self, profile: np.ndarray, paper: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """How much paper i of the neighbourhood is of the categories of profile i."""
        theirs = self.near_categories[paper]
        pair = np.repeat(np.arange(len(paper)), np.diff(theirs.indptr))
        both = theirs.data * codes[profile[pair], theirs.indices]
        return np.bincount(pair, both, len(paper)).astype(np.float32)

    def dumps(self) -> bytes:
        """The space as bytes, the same for the same space; `loads` reads them."""
        buffer = io.BytesIO()
        near = self.neighbourhood[:, : self.latent_from]
        np.savez_compressed(
            buffer,
            vocabulary=_encode(self.vocabulary),
            categories=_encode(self.categories),
            weight=self.weight,
            norm=self.norm,
            latent_weight=self.latent.weight,
            components=self.latent.components.astype(np.float16),
            centre=self.latent.centre,
            ordinary=self.ordinary,
            near_latent=self.neighbourhood[:, self.latent_from :].toarray().astype(np.float16),
            near_data=near.data.astype(np.float16),
            near_indices=near.indices.astype(np.int32),
            near_indptr=near.indptr.astype(np.int32),
        )
        return buffer.getvalue()

    @classmethod
    def loads(cls, content: bytes) -> "FeatureSpace":
        """Read what `dumps` wrote. Raises ValueError where it is something else."""
        with np.load(io.BytesIO(content), allow_pickle=False) as parts:
            vocabulary, categories = _decode(parts["vocabulary"]), _decode(parts["categories"])
            components = parts["components"].astype(np.float32)
            latent = Latent(parts["latent_weight"], components, parts["centre"])
            near = sp.csr_array(
                (
                    parts["near_data"].astype(np.float32),
                    parts["near_indices"],
                    parts["near_indptr"],
                ),
                shape=(len(parts["near_latent"]), len(parts["weight"]) + len(categories)),
            )
            meaning = sp.csr_array(parts["near_latent"].astype(np.float32))
            return cls(
                vocabulary,
                categories,
                parts["weight"],
                parts["norm"],
                latent,
                parts["ordinary"],
                sp.csr_array(sp.hstack([near, meaning], format="csr")),
            )


@dataclass(frozen=True, slots=True)
class _Text:
    title: str
    abstract: str = ""
    categories: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def _pair_weights(vocabulary: tuple[str, ...]) -> np.ndarray:
    return np.array([PAIR_WEIGHT if " " in term else 1.0 for term in vocabulary])


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


def _cosines(rows: Any) -> np.ndarray:
    rows = unit(rows)
    return np.asarray((rows @ rows.T).toarray(), np.float32)


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)


def _encode(names: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\n".join(names).encode(), np.uint8)


def _decode(content: np.ndarray) -> tuple[str, ...]:
    text = content.tobytes().decode()
    return tuple(text.split("\n")) if text else ()
