"""Papers as rows of a matrix: weighted terms of title and abstract, categories, latent space."""

import hashlib
import io
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from digest.ranking.latent import Latent
from digest.ranking.profile import Profile
from digest.ranking.text import PLAIN, terms

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


class Document(Protocol):
    """Anything with a title, an abstract and categories: a row of the database, a feed's entry."""

    @property
    def title(self) -> str: ...
    @property
    def abstract(self) -> str: ...
    @property
    def categories(self) -> Sequence[str]: ...


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


@dataclass(frozen=True)
class Counts:
    """How often each paper has each term (papers × vocabulary) and category (papers × codes).

    The vocabulary has the terms first and the plain words, marked, behind them.
    """

    vocabulary: tuple[str, ...]
    categories: tuple[str, ...]
    matrix: Any = field(repr=False, compare=False)
    codes: Any = field(repr=False, compare=False)

    def take(self, rows: Any) -> "Counts":
        """The same vocabulary with some of the papers."""
        return replace(self, matrix=self.matrix[rows], codes=self.codes[rows])

    @cached_property
    def term_count(self) -> int:
        return sum(not term.startswith(PLAIN) for term in self.vocabulary)


def count(documents: Iterable[Document], *, min_papers: int | None = None) -> Counts:
    """Count the terms of some papers; those in fewer than `min_papers` papers are left out (by
    default 2, or 1 where there are fewer than 100 papers)."""
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 (slow import)

    papers = list(documents)
    least = min_papers or (1 if len(papers) < 100 else 2)
    counter = CountVectorizer(analyzer=document_terms, min_df=least, dtype=np.float32)
    try:
        matrix = sp.csr_array(counter.fit_transform(papers))
        names = counter.get_feature_names_out().tolist()
    except ValueError:  # no paper, or no term is left
        matrix, names = sp.csr_array((len(papers), 0), dtype=np.float32), []
    order = sorted(range(len(names)), key=lambda at: (names[at].startswith(PLAIN), names[at]))
    categories = tuple(sorted({code for paper in papers for code in paper.categories}))
    codes = _incidence([[(c, 1.0) for c in paper.categories] for paper in papers], categories)
    return Counts(tuple(names[at] for at in order), categories, matrix[:, order], codes)


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
        pair = np.array([PAIR_WEIGHT if " " in t else 1.0 for t in counts.vocabulary[:width]])
        idf = np.log((1 + total) / (1 + having)) + 1
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

    def _count(self, papers: Sequence[Document]) -> Counts:
        codes = _incidence([[(c, 1.0) for c in p.categories] for p in papers], self.categories)
        matrix = sp.csr_array((len(papers), len(self.vocabulary)), dtype=np.float32)
        if papers and self.vocabulary:
            matrix = sp.csr_array(_counter(self.vocabulary).transform(papers))
        return Counts(self.vocabulary, self.categories, matrix, codes)

    def transform(self, documents: Iterable[Document]) -> Any:
        """One row per document, in order: csr float32, documents × width."""
        return self.rows(self._count(list(documents)))

    def rows(self, counts: Counts) -> Any:
        """One row per counted paper; the vocabulary must be the space's own."""
        width = len(self.weight)
        text = self._text(counts.matrix[:, :width])
        return self._join(text, _unit(counts.codes), self.latent.project(counts.matrix[:, width:]))

    def _text(self, counts: Any) -> Any:
        rows = sp.csr_array(counts, dtype=np.float32, copy=True)
        rows.data = 1 + np.log(rows.data)
        square = sp.csr_array(rows, copy=True)
        square.data = (rows.data * self.norm[rows.indices]) ** 2
        length = np.sqrt(square.sum(axis=1))
        rows.data *= self.weight[rows.indices]
        rows.data /= np.repeat(np.where(length > 0, length, 1), np.diff(rows.indptr))
        rows.eliminate_zeros()
        return rows

    def _join(self, text: Any, codes: Any, latent: np.ndarray) -> Any:
        return sp.csr_array(
            sp.hstack([text, codes, sp.csr_array(latent)], format="csr", dtype=np.float32)
        )

    def topic_rows(self, texts: Sequence[str]) -> Any:
        """One row per topic's text, texts × width; terms and meaning each of length one."""
        counts = self._count([_Text(text) for text in texts]).matrix
        width = len(self.weight)
        text = sp.csr_array(counts[:, :width], copy=True)
        text.data = (1 + np.log(text.data)) * self.weight[text.indices]
        latent = self.latent.project(counts[:, width:], centred=False)
        codes = sp.csr_array((len(texts), len(self.categories)), dtype=np.float32)
        return self._join(_unit(text), codes, latent)

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
        text = _unit(summed[:, : len(self.weight)])
        latent = _unit_rows(summed[:, self.latent_from :].toarray())
        codes = _unit(_incidence([p.categories for p in profiles], self.categories))
        near = self._near(text, codes)
        return self._join(
            TOPIC_TERMS * text + NEAR_TERMS * near[:, : len(self.weight)],
            CATEGORY * codes,
            TOPIC_LATENT * latent + NEAR_LATENT * near[:, self.latent_from :].toarray(),
        )

    def _near(self, text: Any, codes: Any) -> Any:
        """Per profile the mean of the papers nearest to its topics; empty without topics."""
        hits = sp.csr_array(text @ self.near_terms)
        likeness = codes.toarray()
        chosen, at = [], []
        for row in range(text.shape[0]):
            span = slice(hits.indptr[row], hits.indptr[row + 1])
            found, value = hits.indices[span], hits.data[span]
            if len(found) > 20 * NEIGHBOURS:
                least = np.partition(value, -20 * NEIGHBOURS)[-20 * NEIGHBOURS]
                found, value = found[value >= least], value[value >= least]
            shared = self.near_categories[found] @ likeness[row]
            top = found[np.lexsort((found, -(11 * value + 1.8 * shared)))][:NEIGHBOURS]
            chosen += top.tolist()
            at += [row] * len(top)
        size = np.maximum(1, np.bincount(at, minlength=text.shape[0])) if at else np.ones(1)
        mean = sp.csr_array(
            (1 / size[np.array(at, int)], (np.array(at, int), np.array(chosen, int))),
            shape=(text.shape[0], self.neighbourhood.shape[0]),
            dtype=np.float32,
        )
        return sp.csr_array(mean @ self.neighbourhood)

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


@lru_cache(maxsize=2)
def _counter(vocabulary: tuple[str, ...]) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 (slow import)

    return CountVectorizer(analyzer=document_terms, vocabulary=list(vocabulary), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Text:
    title: str
    abstract: str = ""
    categories: tuple[str, ...] = ()


def document_terms(paper: Document) -> Iterator[str]:
    """All terms of a paper, title first; no pair of words spans title and abstract."""
    yield from terms(paper.title)
    yield from terms(paper.abstract)


def _incidence(weighted: Sequence[Sequence[tuple[str, float]]], codes: Sequence[str]) -> Any:
    column = {code: at for at, code in enumerate(codes)}
    entries = [
        (row, column[code], weight)
        for row, pairs in enumerate(weighted)
        for code, weight in dict(pairs).items()
        if code in column and weight > 0
    ]
    rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
    return sp.csr_array(
        (np.array(values, np.float32), (np.array(rows, int), np.array(columns, int))),
        shape=(len(weighted), len(codes)),
    )


def _unit(matrix: Any) -> Any:
    """The rows at length one; an empty row stays empty."""
    matrix = sp.csr_array(matrix, dtype=np.float32, copy=True)
    length = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    matrix.data /= np.repeat(np.where(length > 0, length, 1), np.diff(matrix.indptr))
    return matrix


def _cosines(rows: Any) -> np.ndarray:
    rows = _unit(rows)
    return np.asarray((rows @ rows.T).toarray(), np.float32)


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)


def _encode(names: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\n".join(names).encode(), np.uint8)


def _decode(content: np.ndarray) -> tuple[str, ...]:
    text = content.tobytes().decode()
    return tuple(text.split("\n")) if text else ()
