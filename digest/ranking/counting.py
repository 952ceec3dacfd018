"""How often papers have which terms and categories."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from digest.ranking.text import PLAIN, terms

_PLACES = 2**25


class Document(Protocol):
    """Anything with a title, an abstract and categories: a row of the database, a feed's entry."""

    @property
    def title(self) -> str: ...
    @property
    def abstract(self) -> str: ...
    @property
    def categories(self) -> Sequence[str]: ...


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
        """How many of the vocabulary are terms."""
        return bisect_left(self.vocabulary, True, key=lambda term: term.startswith(PLAIN))


def count(documents: Iterable[Document], *, min_papers: int | None = None) -> Counts:
    """Count the terms of some papers; those in fewer than `min_papers` papers are left out (by
    default 2, or 1 where there are fewer than 100 papers)."""
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 (slow import)

    papers = list(documents)
    least = min_papers or (1 if len(papers) < 100 else 2)
    analyzer = document_terms if least < 2 else _without_single(papers)
    counter = CountVectorizer(analyzer=analyzer, min_df=least, dtype=np.float32)
    try:
        matrix = sp.csr_array(counter.fit_transform(papers))
        names = counter.get_feature_names_out().tolist()
    except ValueError:  # no paper, or no term is left
        matrix, names = sp.csr_array((len(papers), 0), dtype=np.float32), []
    order = sorted(range(len(names)), key=lambda at: (names[at].startswith(PLAIN), names[at]))
    categories = tuple(sorted({code for paper in papers for code in paper.categories}))
    codes = incidence([[(c, 1.0) for c in paper.categories] for paper in papers], categories)
    return Counts(tuple(names[at] for at in order), categories, matrix[:, order], codes)


def _without_single(papers: Iterable[Document]) -> Callable[[Document], list[str]]:
    """The terms of a paper less those of no other paper, which are most of all terms and would take
    most of the memory. Two terms may share a place here, so that a few of them stay."""
    once, twice = bytearray(_PLACES), bytearray(_PLACES)
    for paper in papers:
        for place in {hash(term) % _PLACES for term in document_terms(paper)}:
            if once[place]:
                twice[place] = 1
            else:
                once[place] = 1
    return lambda paper: [term for term in document_terms(paper) if twice[hash(term) % _PLACES]]


def document_terms(paper: Document) -> Iterator[str]:
    """All terms of a paper, title first; no pair of words spans title and abstract."""
    yield from terms(paper.title)
    yield from terms(paper.abstract)


def incidence(weighted: Sequence[Sequence[tuple[str, float]]], codes: Sequence[str]) -> Any:
    """A row per document with the weights of its codes, a column per code: csr float32."""
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
