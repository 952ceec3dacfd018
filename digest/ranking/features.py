"""Papers as rows of a matrix: weighted terms of title and abstract, categories, latent space."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from digest.ranking.corpus import Corpus, Document, incidence, ones
from digest.ranking.counting import Counts, Vocabulary, count
from digest.ranking.latent import Latent
from digest.ranking.neighbourhood import Neighbourhood
from digest.ranking.packing import lines, packed, texts, unpacked
from digest.ranking.profile import Profile, Topic
from digest.ranking.recounting import numbered, recount
from digest.ranking.rows import Rows
from digest.ranking.weighing import Weights, papers_having, unit, weigh

BACKGROUND = 1000
# A latent space serves until a fifth of the papers are others than it was learned from.
LATENT_LASTS = 0.2

# What a topic's words, the papers nearest to it and a wished category say for a paper, in log-odds
# per unit of likeness: fitted over many readers (docs/ranking.md).
TOPIC_TERMS, TOPIC_LATENT, CATEGORY = 2.5, 2.5, 1.7
NEAR_TERMS, NEAR_LATENT = 12.0, 2.2

_LIKENESS_KEPT = 3000
_PROFILES_KEPT = 1000  # in some 7 MB

_Wish = tuple[tuple[Topic, ...], tuple[tuple[str, float], ...]]


@dataclass(frozen=True, eq=False)
class PaperRows:
    """Some papers' ids, and their rows in a feature space."""

    ids: tuple[str, ...]
    rows: Rows = field(repr=False)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Which row holds which id."""
        return {paper: row for row, paper in enumerate(self.ids)}

    def likeness(self, rows: np.ndarray) -> np.ndarray:
        """The cosines of some of the papers with each other, for some sets of as many papers:
        float32, sets × rows × rows."""
        if len(self.ids) <= _LIKENESS_KEPT:
            return np.asarray(self._likeness[rows[:, :, None], rows[:, None]], np.float32)
        return np.stack([self.rows[each].cosines() for each in rows])

    @cached_property
    def _likeness(self) -> np.ndarray:
        return self.rows.cosines().astype(np.float16)


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """What terms weigh, what words mean, and the papers that stand for all others.

    A row has a column per term, per category and per latent dimension. The `neighbourhood`
    are the papers that the space was learned from, in the order in which they came, and among
    which a topic finds those that it is about; `ordinary` says which of them are the background, up
    to 1,000.
    """

    vocabulary: Vocabulary
    categories: tuple[str, ...]
    weights: Weights
    latent: Latent
    ordinary: np.ndarray = field(repr=False)
    neighbourhood: Neighbourhood

    @classmethod
    def fit(cls, documents: Iterable[Document]) -> "FeatureSpace":
        """Learn from the papers of a time, from a handful to 100,000.

        The same papers in any order give the same space.
        """
        corpus = Corpus.of(documents)
        return cls.of_counts(count(corpus.take(corpus.order)))

    @classmethod
    def of_counts(cls, counts: Counts, latent: Latent | None = None) -> "FeatureSpace":
        """Learn from counted papers; a latent space learned on others of the same words may be
        given."""
        latent = latent or Latent.fit(counts.plain)
        return cls._of(counts, latent, _meaning(latent, counts).astype(np.float16))

    @classmethod
    def _of(cls, counts: Counts, latent: Latent, meaning: np.ndarray) -> "FeatureSpace":
        corpus = counts.corpus
        weights = Weights.learned(counts.terms, counts.vocabulary.pairs)
        return cls(
            counts.vocabulary,
            corpus.categories,
            weights,
            latent,
            np.sort(corpus.order[:BACKGROUND]).astype(np.int32),
            Neighbourhood(weights, counts.terms, corpus.codes, meaning),
        )

    def renewed(self, corpus: Corpus, rows: np.ndarray) -> "FeatureSpace":
        """The space of a later corpus, whose papers are these of the neighbourhood (-1: none).

        Terms are weighed anew. What words mean is learned anew where enough papers came and went;
        until then papers of both have their meaning as it is.
        """
        space = self._renewed(corpus, rows)
        vars(space)["_expected"] = self._wishes()
        return space

    def _renewed(self, corpus: Corpus, rows: np.ndarray) -> "FeatureSpace":
        came = rows < 0
        gone = len(self.neighbourhood) - int((~came).sum())
        moved = max(int(came.sum()), gone)  # of one that changed, both
        if self.latent.moved + moved > LATENT_LASTS * len(rows):
            return FeatureSpace.of_counts(count(corpus))
        number = numbered(self.vocabulary.words, corpus.words)
        counts = recount(corpus, self.vocabulary, self.neighbourhood.terms, rows, number)
        latent = self.latent.among(number, moved)
        meaning = self.neighbourhood.meaning[rows]
        meaning[came] = _meaning(latent, counts.take(came))
        return FeatureSpace._of(counts, latent, meaning)

    @property
    def terms(self) -> Vocabulary:
        """What the first columns stand for."""
        return self.vocabulary

    @property
    def weight(self) -> np.ndarray:
        """What each term weighs."""
        return self.weights.weight

    @cached_property
    def version(self) -> str:
        """A short hash of the content: equal spaces, and only those, have equal versions."""
        digest = hashlib.sha256()
        for name, part in self._parts().items():
            digest.update(f"{name} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()[:16]

    @cached_property
    def having(self) -> np.ndarray:
        """How many papers of the neighbourhood have each term."""
        return papers_having(self.neighbourhood.terms)

    @cached_property
    def background(self) -> Rows:
        """Rows of ordinary papers: what a reader has not asked for."""
        return self.neighbourhood.rows(self.ordinary)

    @cached_property
    def typical(self) -> np.ndarray:
        """The terms of the background's mean row."""
        mean = np.asarray(self.background.terms.sum(axis=0), np.float32).ravel()
        return np.asarray(mean / max(1, len(self.background)))

    @cached_property
    def typical_square(self) -> float:
        """The mean row's product with itself."""
        return float(self.typical @ self.typical)

    @cached_property
    def typical_spread(self) -> float:
        """By how much ordinary papers differ in their likeness to the mean one (at least 1e-6)."""
        if not len(self.background):
            return 1.0
        return max(1e-6, float((self.background.terms @ self.typical).std()))

    def transform(self, documents: Iterable[Document]) -> Rows:
        """One row per document, in order."""
        corpus = Corpus.of(documents)
        weighed, width = self._weighed(corpus), len(self.weight)
        text = self.weights.rows(weighed[:, :width])
        codes = unit(corpus.coded(self.categories))
        return Rows(text, codes, self.latent.project(weighed[:, width:]))

    def rows(self, counts: Counts) -> Rows:
        """One row per counted paper; words, terms and categories must be the space's own."""
        text = self.weights.rows(weigh(counts.terms, self.weights.norm))
        return Rows(text, unit(counts.corpus.codes), _meaning(self.latent, counts))

    def _weighed(self, corpus: Corpus) -> Any:
        """The papers' terms and, behind them, their words that have a meaning, by scikit-learn's
        TF-IDF with what a term weighs in a row's length, and a word in its meaning, as idf."""
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 (slow import)

        said, ends = self._said(corpus)
        used = np.unique(said)
        idf = np.concatenate([self.weights.norm, self.latent.weight])
        if not len(used):
            return sp.csr_array((len(corpus), len(idf)), dtype=np.float32)
        tfidf = TfidfVectorizer(
            analyzer=np.ndarray.tolist,
            vocabulary={column: at for at, column in enumerate(used.tolist())},
            sublinear_tf=True,
            norm=None,
            dtype=np.float32,
        )
        tfidf.idf_ = idf[used]
        found = tfidf.transform(np.split(said, ends)[: len(corpus)])
        column = used[found.indices].astype(np.int32)
        return sp.csr_array((found.data, column, found.indptr), shape=(len(corpus), len(idf)))

    def _said(self, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
        """The columns of the papers' terms and words, each as often as a paper has it, and where
        each paper ends; what the space does not know is left out."""
        counts, width = count(corpus, min_papers=1), len(self.weight)
        number = self.vocabulary.numbers(corpus.words)
        meant = np.full(len(self.vocabulary.words) + 1, -1)
        meant[self.latent.words + 1] = width + np.arange(len(self.latent.words))
        column = np.concatenate(
            [
                self.vocabulary.columns(counts.vocabulary, number),
                np.where(number[1:] < 0, -1, meant[number[1:]]),
            ]
        )
        both = sp.hstack([counts.terms, counts.plain], format="csr")
        column = column[both.indices]
        times = np.where(column < 0, 0, both.data)
        return np.repeat(column, times), np.r_[0, np.cumsum(times)][both.indptr[1:]]

    def topic_rows(self, texts: Sequence[str]) -> Rows:
        """One row per topic's text; terms and meaning each of length one. Those of one block of
        readers are asked for twice."""
        return _topic_rows(self, tuple(texts))

    def profile_rows(self, profiles: Sequence[Profile]) -> Rows:
        """One row per profile: what its topics and categories say of a paper, as log-odds per
        column; empty where it says nothing that this space knows.

        A topic speaks by its own words and by those of the few papers nearest to it. To look for
        these takes longest, so the rows of the first profiles are kept.
        """
        wishes = [(profile.topics, profile.categories) for profile in profiles]
        row_of, rows = self._asked[-1]
        new = list(dict.fromkeys(wish for wish in wishes if wish not in row_of))
        if len(row_of) + len(new) > _PROFILES_KEPT:
            return self._profile_rows(wishes)
        if new:
            row_of = row_of | {wish: len(rows) + at for at, wish in enumerate(new)}
            rows = Rows.stacked([rows, self._profile_rows(new)])
            self._asked[:] = [(row_of, rows)]  # at once, for another thread may be at it too
        return rows[np.array([row_of[wish] for wish in wishes], int)]

    @cached_property
    def _asked(self) -> list[tuple[dict[_Wish, int], Rows]]:
        """The profiles asked for so far, and their rows; at first those that the former space was
        asked for, since to look for all at once takes half the time."""
        wishes = self._expected
        return [({wish: at for at, wish in enumerate(wishes)}, self._profile_rows(wishes))]

    @cached_property
    def _expected(self) -> list[_Wish]:
        return []

    def _wishes(self) -> list[_Wish]:
        """What this space was asked for. Too many are none, so that those of readers who have left
        or ask for something else do not pile up."""
        wishes = list(self._asked[-1][0]) if "_asked" in vars(self) else self._expected
        return wishes if len(wishes) <= _PROFILES_KEPT // 2 else []

    def _profile_rows(self, wishes: Sequence[_Wish]) -> Rows:
        asked = [(row, topic) for row, (topics, _) in enumerate(wishes) for topic in topics]
        spread = sp.csr_array(
            (
                np.array([max(0.0, topic.weight) for _, topic in asked], np.float32),
                (np.array([row for row, _ in asked], int), np.arange(len(asked))),
            ),
            shape=(len(wishes), len(asked)),
        )
        topics = self.topic_rows([topic.text for _, topic in asked])
        text = unit(spread @ topics.terms)
        latent = _unit_rows(spread @ topics.latent)
        codes = unit(incidence([categories for _, categories in wishes], self.categories))
        near = self.neighbourhood.nearest(text, codes)
        return Rows(
            sp.csr_array(TOPIC_TERMS * text + NEAR_TERMS * near.terms),
            sp.csr_array(CATEGORY * codes),
            np.asarray(TOPIC_LATENT * latent + NEAR_LATENT * near.latent, np.float32),
        )

    def _parts(self) -> dict[str, np.ndarray]:
        near = self.neighbourhood
        return {
            "words": lines(self.vocabulary.words),
            "keys": np.diff(self.vocabulary.keys, prepend=0),
            "categories": lines(self.categories),
            "weight": self.weights.weight,
            "norm": self.weights.norm,
            "latent_words": self.latent.words,
            "latent_weight": self.latent.weight,
            "components": self.latent.components,
            "centre": self.latent.centre,
            "moved": np.array([self.latent.moved]),
            "ordinary": self.ordinary,
            "terms": np.diff(near.terms.indices, prepend=np.int32(0)),
            "starts": near.terms.indptr.astype(np.int32),
            "times": near.terms.data,
            "codes": near.codes.indices.astype(np.int32),
            "coded": near.codes.indptr.astype(np.int32),
            "meaning": near.meaning,
        }

    def dumps(self) -> bytes:
        """The space as bytes; `loads` reads them."""
        return packed(self._parts())

    @classmethod
    def loads(cls, content: bytes) -> "FeatureSpace":
        """Read what `dumps` wrote. Raises ValueError where it is something else."""
        try:
            return cls._of_parts(unpacked(content))
        except (KeyError, ValueError) as error:
            raise ValueError(f"no stored feature space: {error}") from error

    @classmethod
    def _of_parts(cls, parts: Mapping[str, np.ndarray]) -> "FeatureSpace":
        weights = Weights(parts["weight"], parts["norm"])
        words, categories = texts(parts["words"]), texts(parts["categories"])
        terms = sp.csr_array(
            (parts["times"], np.cumsum(parts["terms"], out=parts["terms"]), parts["starts"]),
            shape=(len(parts["starts"]) - 1, len(weights.weight)),
        )
        latent = Latent(
            parts["latent_words"],
            parts["latent_weight"],
            parts["components"],
            parts["centre"],
            int(parts["moved"][0]),
        )
        codes = ones(parts["codes"], parts["coded"], len(categories))
        return cls(
            Vocabulary(words, np.cumsum(parts["keys"])),
            categories,
            weights,
            latent,
            parts["ordinary"],
            Neighbourhood(weights, terms, codes, parts["meaning"]),
        )


@lru_cache(maxsize=1)
def _topic_rows(space: FeatureSpace, texts: tuple[str, ...]) -> Rows:
    weighed = space._weighed(Corpus.of([_Text(text) for text in texts]))
    width = len(space.weight)
    text = sp.csr_array(weighed[:, :width])
    text.data *= space.weights.bump[text.indices]
    codes = sp.csr_array((len(texts), len(space.categories)), dtype=np.float32)
    meaning = space.latent.project(weighed[:, width:], centred=False)
    return Rows(unit(text), codes, meaning)


def _meaning(latent: Latent, counts: Counts) -> np.ndarray:
    return latent.project(weigh(counts.plain[:, latent.words], latent.weight))


@dataclass(frozen=True, slots=True)
class _Text:
    title: str
    abstract: str = ""
    categories: tuple[str, ...] = ()


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)
