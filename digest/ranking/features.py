"""Papers as rows of a sparse matrix: TF-IDF over title and abstract, and the categories."""

import hashlib
import io
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from digest.ranking.profile import Profile
from digest.ranking.text import terms

CATEGORY_WEIGHT = 0.1
BACKGROUND = 1000
MAX_SHARE = 0.3


class Document(Protocol):
    """Anything with a title, an abstract and categories: a row of the database, a feed's entry."""

    @property
    def title(self) -> str: ...
    @property
    def abstract(self) -> str: ...
    @property
    def categories(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class PaperRows:
    """Some papers and their rows in a feature space: ids, and a matrix of ids × width."""

    ids: tuple[str, ...]
    matrix: Any = field(repr=False, compare=False)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Which row holds which id."""
        return {paper: row for row, paper in enumerate(self.ids)}


@dataclass(frozen=True)
class FeatureSpace:
    """The vocabulary with its weights, and a sample of papers that stands for all others.

    Immutable. `terms` and `idf` have one entry per text column; the columns of `categories` follow
    them. `background` is a sample of at most 1,000 papers as rows: what a reader has not asked for.
    """

    terms: tuple[str, ...]
    idf: np.ndarray
    categories: tuple[str, ...]
    background: Any = field(repr=False, compare=False)

    @classmethod
    def fit(cls, documents: Iterable[Document], *, seed: int = 0) -> "FeatureSpace":
        """Learn vocabulary and weights from the papers of a time, from a handful to 100,000.

        A term counts that is in 3 papers (fewer where there are few papers) and in at most 3 of 10.
        The same papers in any order give the same space.
        """
        from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 (slow import)

        papers = sorted(documents, key=lambda paper: (paper.title, paper.abstract))
        if not papers:
            return cls((), np.zeros(0, np.float32), (), sp.csr_array((0, 0), dtype=np.float32))
        total = len(papers)
        least = 1 if total < 100 else 2 if total < 1000 else 3
        counter = CountVectorizer(
            analyzer=document_terms,
            min_df=least,
            max_df=1.0 if total < 20 else MAX_SHARE,
            dtype=np.float32,
        )
        try:
            counts = counter.fit_transform(papers)
            vocabulary = tuple(counter.get_feature_names_out().tolist())
            having = np.bincount(counts.indices, minlength=len(vocabulary)).astype(float)
        except ValueError:  # no term is left: all texts are empty
            vocabulary, having = (), np.zeros(0)
        idf = (np.log((1 + total) / (1 + having)) + 1).astype(np.float32)
        categories = tuple(sorted({code for paper in papers for code in paper.categories}))
        space = cls(vocabulary, idf, categories, None)
        sample = random.Random(seed).sample(papers, min(BACKGROUND, total))  # noqa: S311
        return cls(vocabulary, idf, categories, space.transform(sample))

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.terms) + len(self.categories)

    @cached_property
    def version(self) -> str:
        """A short hash of the content: equal spaces, and only those, have equal versions."""
        return hashlib.sha256(self.dumps()).hexdigest()[:16]

    @cached_property
    def _counter(self) -> Any:
        from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 (slow import)

        return CountVectorizer(
            analyzer=document_terms, vocabulary=list(self.terms), dtype=np.float32
        )

    @cached_property
    def _category_column(self) -> dict[str, int]:
        return {code: column for column, code in enumerate(self.categories)}

    def transform(self, documents: Iterable[Document]) -> Any:
        """One row per document, in order: csr float32, documents × width."""
        papers = list(documents)
        text = self._text_rows(papers)
        codes = self._category_rows([[(c, 1.0) for c in paper.categories] for paper in papers])
        return _stack_columns(text, codes)

    def profile_rows(self, profiles: Sequence[Profile]) -> Any:
        """One row per profile: its topics and categories as if they were a paper.

        Empty where the profile says nothing that this space knows.
        """
        topics = [(row, topic) for row, p in enumerate(profiles) for topic in p.topics]
        spread = sp.csr_array(
            (
                np.array([topic.weight for _, topic in topics], np.float32),
                (np.array([row for row, _ in topics], int), np.arange(len(topics))),
            ),
            shape=(len(profiles), len(topics)),
        )
        text = _unit(spread @ self._text_rows([_Text(topic.text) for _, topic in topics]))
        codes = self._category_rows([profile.categories for profile in profiles])
        return _stack_columns(text, codes)

    def topic_rows(self, texts: Sequence[str]) -> Any:
        """One row per topic's text alone, texts × width."""
        text = self._text_rows([_Text(text) for text in texts])
        return _stack_columns(
            text, sp.csr_array((len(texts), len(self.categories)), dtype=np.float32)
        )

    def _text_rows(self, papers: Sequence[Document]) -> Any:
        if not papers or not self.terms:
            return sp.csr_array((len(papers), len(self.terms)), dtype=np.float32)
        counts = self._counter.transform(papers)
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        return _unit(counts)

    def _category_rows(self, weighted: Sequence[Sequence[tuple[str, float]]]) -> Any:
        entries = [
            (row, self._category_column[code], weight)
            for row, codes in enumerate(weighted)
            for code, weight in codes
            if code in self._category_column
        ]
        rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        matrix = sp.csr_array(
            (np.array(values, np.float32), (np.array(rows, int), np.array(columns, int))),
            shape=(len(weighted), len(self.categories)),
        )
        return _unit(matrix) * np.float32(CATEGORY_WEIGHT)

    def dumps(self) -> bytes:
        """The space as bytes, the same for the same space; `loads` reads them."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            terms=_encode(self.terms),
            idf=self.idf,
            categories=_encode(self.categories),
            data=self.background.data.astype(np.float32),
            indices=self.background.indices.astype(np.int32),
            indptr=self.background.indptr.astype(np.int32),
        )
        return buffer.getvalue()

    @classmethod
    def loads(cls, content: bytes) -> "FeatureSpace":
        """Read what `dumps` wrote. Raises ValueError where it is something else."""
        with np.load(io.BytesIO(content), allow_pickle=False) as parts:
            vocabulary, categories = _decode(parts["terms"]), _decode(parts["categories"])
            indptr = parts["indptr"]
            background = sp.csr_array(
                (parts["data"], parts["indices"], indptr),
                shape=(len(indptr) - 1, len(vocabulary) + len(categories)),
            )
            return cls(vocabulary, parts["idf"], categories, background)


@dataclass(frozen=True, slots=True)
class _Text:
    title: str
    abstract: str = ""
    categories: tuple[str, ...] = ()


def document_terms(paper: Document) -> Iterator[str]:
    """All terms of a paper, title first; no pair of words spans title and abstract."""
    yield from terms(paper.title)
    yield from terms(paper.abstract)


def _stack_columns(text: Any, codes: Any) -> Any:
    return sp.csr_array(sp.hstack([text, codes], format="csr", dtype=np.float32))


def _unit(matrix: Any) -> Any:
    """The rows at length one; an empty row stays empty."""
    matrix = sp.csr_array(matrix, dtype=np.float32)
    matrix.sum_duplicates()
    length = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    matrix.data /= np.repeat(np.where(length > 0, length, 1), np.diff(matrix.indptr))
    return matrix


def _encode(names: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\n".join(names).encode(), np.uint8)


def _decode(content: np.ndarray) -> tuple[str, ...]:
    text = content.tobytes().decode()
    return tuple(text.split("\n")) if text else ()
