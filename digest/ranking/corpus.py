"""Papers as the numbers of their words, so that none has to be read a second time."""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from digest.ranking.packing import lines, packed, texts, unpacked
from digest.ranking.text import tells, variants, words

_STOP, _END = -1, 0


class Document(Protocol):
    """Anything with a title, an abstract and categories: a row of the database, a feed's entry."""

    @property
    def title(self) -> str: ...
    @property
    def abstract(self) -> str: ...
    @property
    def categories(self) -> Sequence[str]: ...


@dataclass(frozen=True, eq=False)
class Corpus:
    """Some papers, in order: their words as they stand, and their categories.

    `words` are in alphabetical order and have numbers from 1; `text` are the papers' numbers, with
    a 0 at the end of each title and each abstract, and `ends` is where in it each paper ends.
    `brought` are the terms that some words bring besides themselves: three rows of numbers, of the
    word and of the term's first and second word (or 0). A mark tells what a paper says from what
    another one says, whatever the other papers are.
    """

    words: tuple[str, ...] = field(repr=False)
    text: np.ndarray = field(repr=False)
    ends: np.ndarray = field(repr=False)
    brought: np.ndarray = field(repr=False)
    marks: np.ndarray = field(repr=False)
    categories: tuple[str, ...]
    codes: Any = field(repr=False)

    @classmethod
    def of(cls, documents: Iterable[Document]) -> "Corpus":
        """Reads each paper once, and keeps none."""
        numbers, text = _Numbers(), array("i")
        ends, marks, codes = array("q"), array("Q"), list[list[tuple[str, float]]]()
        for paper in documents:
            for piece in (paper.title, paper.abstract):
                text.extend(map(numbers.__getitem__, words(piece)))
                text.append(_END)
            ends.append(len(text))
            marks.append(_mark(paper))
            codes.append([(code, 1.0) for code in paper.categories])
        brought = [(w, *map(numbers.__getitem__, term)) for w, term in numbers.bring()]
        pairs = np.array([(*each, _END)[:3] for each in brought], np.int32).reshape(-1, 3).T
        categories = tuple(sorted({code for pairs in codes for code, _ in pairs}))
        said = np.array(text, np.int32)
        told = said != _STOP
        names = sorted(numbers.told)
        place = np.zeros(len(numbers.told) + 1, np.int32)
        place[np.array([numbers[name] for name in names], int)] = np.arange(1, len(names) + 1)
        return cls(
            tuple(names),
            place[said[told]],
            np.r_[0, np.cumsum(told)][np.array(ends, np.int64)],
            place[pairs],
            np.array(marks, np.uint64),
            categories,
            incidence(codes, categories),
        )

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def paper(self) -> np.ndarray:
        """Whose each number of the text is."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.ends, prepend=0))

    def take(self, rows: Any) -> "Corpus":
        """Some of the papers, with the words and categories of all."""
        rows = np.arange(len(self))[rows]
        starts = np.r_[0, self.ends[:-1]][rows] if len(self) else self.ends
        lengths = self.ends[rows] - starts
        ends = np.cumsum(lengths)
        at = np.repeat((starts - (ends - lengths)).astype(np.int32), lengths)
        at += np.arange(len(at), dtype=np.int32)
        return replace(
            self, text=self.text[at], ends=ends, marks=self.marks[rows], codes=self.codes[rows]
        )

    def joined(self, other: "Corpus") -> "Corpus":
        """These papers and behind them the other ones."""
        names, mine = _merged(self.words, other.words)
        theirs = np.array([_END, *(bisect_left(names, word) + 1 for word in other.words)], np.int32)
        categories = tuple(sorted({*self.categories, *other.categories}))
        size = len(self.text)
        known = np.isin(theirs[other.brought[0]], mine[self.brought[0]])
        return Corpus(
            names,
            np.concatenate([mine[self.text], theirs[other.text]]),
            np.concatenate([self.ends, other.ends + size]),
            np.hstack([mine[self.brought], theirs[other.brought[:, ~known]]]),
            np.concatenate([self.marks, other.marks]),
            categories,
            sp.vstack([c.coded(categories) for c in (self, other)], format="csr"),
        )

    def compact(self) -> "Corpus":
        """Without the words and categories that no paper has, and that no such word brings: so
        the same papers are the same, whatever was there before them."""
        used = np.zeros(len(self.words) + 1, bool)
        used[self.text] = True
        brought = self.brought[:, used[self.brought[0]]]
        used[brought.ravel()] = True
        used[_END] = False
        number = np.cumsum(used, dtype=np.int32) * used
        kept = tuple(compress(self.words, used[1:].tolist()))
        coded = np.flatnonzero(np.bincount(self.codes.indices, minlength=len(self.categories)))
        categories = tuple(self.categories[at] for at in coded)
        return replace(
            self,
            words=kept,
            text=number[self.text],
            brought=number[brought],
            categories=categories,
            codes=self.coded(categories),
        )

    def coded(self, categories: Sequence[str]) -> Any:
        """Which papers have which of these categories: csr float32, papers × categories."""
        at = {code: column for column, code in enumerate(categories)}
        column = np.array([at.get(code, -1) for code in self.categories], np.int32)
        here = sp.coo_array(self.codes)
        known = column[here.col] >= 0
        where = (here.row[known], column[here.col[known]])
        return sp.csr_array((here.data[known], where), shape=(len(self), len(categories)))

    @property
    def order(self) -> np.ndarray:
        """The rows in an order that hangs on what the papers say alone."""
        return np.argsort(self.marks, kind="stable")

    def dumps(self) -> bytes:
        """The corpus as bytes; `loads` reads them."""
        return packed(
            {
                "words": lines(self.words),
                "text": self.text,
                "ends": self.ends,
                "brought": self.brought.ravel(),
                "marks": self.marks,
                "categories": lines(self.categories),
                "codes": self.codes.indices.astype(np.int32),
                "coded": self.codes.indptr.astype(np.int32),
            }
        )

    @classmethod
    def loads(cls, content: bytes) -> "Corpus":
        """Read what `dumps` wrote. Raises ValueError where it is something else."""
        try:
            return cls._of_parts(unpacked(content))
        except (KeyError, ValueError) as error:
            raise ValueError(f"no stored corpus: {error}") from error

    @classmethod
    def _of_parts(cls, parts: Mapping[str, np.ndarray]) -> "Corpus":
        categories = texts(parts["categories"])
        return cls(
            texts(parts["words"]),
            parts["text"],
            parts["ends"],
            parts["brought"].reshape(3, -1),
            parts["marks"],
            categories,
            ones(parts["codes"], parts["coded"], len(categories)),
        )


def ones(columns: np.ndarray, starts: np.ndarray, width: int) -> Any:
    """A matrix whose rows have ones in these columns: csr float32, rows × width."""
    shape = (len(starts) - 1, width)
    return sp.csr_array((np.ones(len(columns), np.float32), columns, starts), shape=shape)


def _merged(words: Sequence[str], more: Iterable[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The words of both in alphabetical order, in which the first ones are already; and the number
    that each of these has now, behind a 0."""
    new = sorted(set(more).difference(words))
    before = np.array([bisect_left(words, word) for word in new], np.int64)
    names = np.insert(np.array(words, object), before, np.array(new, object))
    number = np.arange(len(words) + 1, dtype=np.int32)
    number[1:] += np.searchsorted(before, np.arange(len(words)), side="right").astype(np.int32)
    return tuple(names.tolist()), number


class _Numbers(dict[str, int]):
    """The numbers of words, as they come; a word that tells nothing has -1."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __missing__(self, word: str) -> int:
        if tells(word):
            return self.number(word)
        self[word] = _STOP
        return _STOP

    def number(self, word: str) -> int:
        self.told.append(word)
        self[word] = len(self.told)
        return len(self.told)

    def bring(self) -> Iterable[tuple[int, tuple[str, ...]]]:
        """What each word so far brings."""
        for number, word in enumerate(tuple(self.told), 1):
            for term in variants(word):
                for part in term:
                    if self.get(part, _STOP) == _STOP:
                        self.number(part)
                yield number, term


def _mark(paper: Document) -> int:
    content = "\0".join((paper.title, paper.abstract, *paper.categories)).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


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
