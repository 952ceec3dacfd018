"""Why a paper was picked, read off the model that picked it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from digest.categories import names
from digest.ranking.counting import Document
from digest.ranking.features import FeatureSpace, PaperRows
from digest.ranking.profile import Profile
from digest.ranking.ranker import (
    Ranker,
    latent_weights,
    products,
    split,
    strengths,
    weights,
)
from digest.ranking.text import sentences

Kind = Literal["topic", "category", "term", "liked", "author"]

_LEAST_SHARE = 0.1
_AT_ONCE = 50  # papers
_TERMS = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that spoke for a paper; `share` is its part of all that spoke for it (0 to 1).

    `label` is the topic's text, the category's code, the term, the author's name, or the id of the
    liked paper. Terms tell the same story by its words, so their shares are of their own whole.
    """

    kind: Kind
    label: str
    share: float


class SentenceRows:
    """The sentences of a day's abstracts as rows, made of a paper when it is first picked."""

    def __init__(self, space: FeatureSpace, papers: Sequence[Document]) -> None:
        self._space, self._papers = space, papers
        self._kept: dict[int, tuple[_Entries, np.ndarray]] = {}

    def make(self, papers: Iterable[int]) -> None:
        """Makes the rows of these papers (by their place in the day), where they are not yet."""
        new = sorted(set(papers) - self._kept.keys())
        if not new:
            return
        texts = [sentences(self._papers[paper].abstract) for paper in new]
        rows = _halves(
            self._space,
            self._space.transform([_Sentence(text) for each in texts for text in each]),
        )
        ends = np.cumsum([len(each) for each in texts], dtype=int)
        for paper, each, end in zip(new, texts, ends.tolist(), strict=True):
            mine = np.arange(end - len(each), end)
            self._kept[paper] = _entries(rows.sparse, mine), rows.latent[mine]

    def of(self, papers: Sequence[int]) -> "list[tuple[_Entries, np.ndarray]]":
        """What each paper's sentences hold, and their latent columns."""
        self.make(papers)
        return [self._kept[paper] for paper in papers]


@dataclass(frozen=True, slots=True)
class _Sentence:
    title: str
    abstract: str = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Insight:
    """A block of readers' models laid open before a day's papers: `weights` and what of them the
    profiles say (`told`), readers × width; `topics`, the likeness of each reader's topics to the
    papers, topics × papers. Rows are split into the sparse columns and the latent ones."""

    space: FeatureSpace
    rankers: Sequence[Ranker]
    profiles: Sequence[Profile]
    row_of: Mapping[str, int]
    known: "_Split"
    day: "_Split"
    weights: "_Split"
    told: "_Split"
    topics: Sequence[np.ndarray]

    @cached_property
    def _row(self) -> np.ndarray:
        """Room for one row of the sparse columns, empty between two uses."""
        return np.zeros(self.space.latent_from, np.float32)

    @cached_property
    def _rows(self) -> np.ndarray:
        """Room for some rows beside each other, empty between two uses."""
        return np.zeros((self.space.latent_from, _AT_ONCE), np.float32)

    def along(self, matrix: Any, at: int, columns: np.ndarray) -> np.ndarray:
        """What row `at` of a matrix holds in these columns, in their order."""
        span = slice(matrix.indptr[at], matrix.indptr[at + 1])
        self._row[matrix.indices[span]] = matrix.data[span]
        found: np.ndarray = self._row[columns]
        self._row[matrix.indices[span]] = 0
        return found

    def crossed(self, left: "_Entries", right: "_Entries") -> np.ndarray:
        """The products of the rows of `left` with at most 50 of `right`: left × right."""
        count = len(right.lengths)
        self._rows[right.column, right.row] = right.value
        parts = self._rows[left.column, :count] * left.value[:, None]
        self._rows[right.column, right.row] = 0
        found = np.zeros((len(left.lengths), count), np.float32)
        filled = left.lengths > 0
        if filled.any():
            starts = (np.cumsum(left.lengths) - left.lengths)[filled]
            found[filled] = np.add.reduceat(parts, starts, axis=0)
        return found


@dataclass(frozen=True, slots=True)
class _Split:
    """Rows as their sparse columns (terms and categories) and their latent ones."""

    sparse: Any
    latent: np.ndarray


@dataclass(frozen=True, slots=True)
class _Entries:
    """What some rows of a matrix hold, one row after the other: which `row` of them, where, what;
    and how much each row holds."""

    row: np.ndarray
    column: np.ndarray
    value: np.ndarray
    lengths: np.ndarray


def _entries(matrix: Any, rows: np.ndarray) -> _Entries:
    lengths = matrix.indptr[rows + 1] - matrix.indptr[rows]
    row, at = _spans(matrix.indptr[rows], lengths)
    return _Entries(row, matrix.indices[at], matrix.data[at], lengths)


def _spans(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions of some spans one behind the other, and before it whose each is."""
    whose = np.repeat(np.arange(len(lengths)), lengths)
    shift = starts - (np.cumsum(lengths) - lengths)
    return whose, np.arange(len(whose)) + np.repeat(shift, lengths)


def _sums(where: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """What the values at each of so many places sum up to."""
    return np.bincount(where, values, count).astype(float)  # whole numbers where there is no value


def _halves(space: FeatureSpace, rows: Any) -> _Split:
    return _Split(
        sp.csr_array(rows[:, : space.latent_from]), rows[:, space.latent_from :].toarray()
    )


@lru_cache(maxsize=1)
def _day(space: FeatureSpace, day: PaperRows) -> _Split:
    """The day's rows in halves, for one block of readers after the other."""
    return _halves(space, day.matrix)


def insight(
    space: FeatureSpace,
    rankers: Sequence[Ranker],
    profiles: Sequence[Profile],
    profile_rows: Any,
    known: PaperRows,
    day: PaperRows,
) -> Insight:
    """Lay open what `ranker.score` summed up, for a block of readers (some hundred at a time)."""
    asked = space.topic_rows([topic.text for profile in profiles for topic in profile.topics])
    near = products(split(space, asked), split(space, day.matrix))
    ends = np.cumsum([len(profile.topics) for profile in profiles])
    told = sp.diags_array([r.strength.profile for r in rankers]) @ profile_rows
    voted = _halves(space, known.matrix)
    spoken = _halves(space, sp.csr_array(told, dtype=np.float32))
    own = weights(
        space, rankers, profile_rows[:, : space.latent_from], PaperRows(known.ids, voted.sparse)
    )
    return Insight(
        space,
        rankers,
        profiles,
        known.row_of,
        voted,
        _day(space, day),
        _Split(own, latent_weights(rankers, known, voted.latent) + spoken.latent),
        spoken,
        np.split(near, ends[:-1]),
    )


def reasons(block: Insight, at: int, rows: Sequence[int]) -> list[tuple[Reason, ...]]:
    """What speaks to reader `at` of the block for each of some papers of the day: topics,
    categories and liked papers, most telling first, those below a tenth left out; then the words
    that carry most."""
    found = spoken(block, at, rows)
    return [(*each, *terms(block, at, row)) for each, row in zip(found, rows, strict=True)]


def spoken(block: Insight, at: int, rows: Sequence[int]) -> list[tuple[Reason, ...]]:
    """The reasons without the words.

    What a profile says through papers near its topics is its topics' saying, in proportion.
    """
    parts = (np.array(rows[at : at + _AT_ONCE], int) for at in range(0, len(rows), _AT_ONCE))
    return [found for some in parts for found in _spoken(block, at, some)]


def _spoken(block: Insight, at: int, rows: np.ndarray) -> list[tuple[Reason, ...]]:
    papers = _entries(block.day.sparse, rows)
    said = block.along(block.told.sparse, at, papers.column) * papers.value
    coded = papers.column >= len(block.space.weight)
    by_text = _sums(papers.row[~coded], said[~coded], len(rows))
    by_text += block.day.latent[rows] @ block.told.latent[at]
    by_topic = _by_topic(block, at, rows, np.maximum(0, by_text))
    liked, by_liked = _liked(block, at, rows, papers)
    whole = by_topic.sum(axis=0) + by_liked.sum(axis=0)
    whole += _sums(papers.row[coded], said[coded], len(rows))
    whole[whole == 0] = 1
    found: list[list[Reason]] = [[] for _ in rows]
    labels = [topic.text for topic in block.profiles[at].topics]
    for kind, names_, parts in (("topic", labels, by_topic), ("liked", liked, by_liked)):
        share = parts / whole
        for name, paper in np.argwhere((parts > 0) & (share >= _LEAST_SHARE)).tolist():
            found[paper].append(Reason(kind, names_[name], float(share[name, paper])))  # type: ignore[arg-type]
    share = said[coded] / whole[papers.row[coded]]
    for entry in np.flatnonzero((said[coded] > 0) & (share >= _LEAST_SHARE)).tolist():
        code = block.space.categories[papers.column[coded][entry] - len(block.space.weight)]
        found[papers.row[coded][entry]].append(Reason("category", code, float(share[entry])))
    return [tuple(sorted(each, key=lambda reason: (-reason.share, reason.label))) for each in found]


def _by_topic(block: Insight, at: int, rows: np.ndarray, said: np.ndarray) -> np.ndarray:
    """What each topic adds to the score of each paper: topics × papers."""
    wanted = np.array([max(0.0, topic.weight) for topic in block.profiles[at].topics])
    near = np.maximum(block.topics[at][:, rows], 0) * wanted[:, None]
    total = near.sum(axis=0)
    return np.asarray(near / np.where(total > 0, total, 1) * said)


def _liked(
    block: Insight, at: int, rows: np.ndarray, papers: _Entries
) -> tuple[list[str], np.ndarray]:
    """The liked papers, and what each adds to the score of each paper: liked × papers."""
    ranker, row_of = block.rankers[at], block.row_of
    votes = zip(ranker.papers, ranker.coefficients, strict=True)
    liked = [(name, c) for name, c in votes if c > 0 and name in row_of]
    if not liked:
        return [], np.zeros((0, len(rows)), np.float32)
    mine = np.array([row_of[name] for name, _ in liked])
    strong = strengths(block.space, ranker.strength, papers.column) * papers.value
    told = _Entries(papers.row, papers.column, strong, papers.lengths)
    near = block.crossed(_entries(block.known.sparse, mine), told)
    meaning = block.known.latent[mine] @ block.day.latent[rows].T
    near += ranker.strength.latent * meaning
    coefficients = np.array([c for _, c in liked], np.float32)
    return [name for name, _ in liked], np.maximum(0, coefficients[:, None] * near)


def terms(block: Insight, at: int, row: int) -> list[Reason]:
    """The words that speak most to reader `at` for a paper of the day."""
    paper = _entries(block.day.sparse, np.array([row]))
    said = block.along(block.weights.sparse, at, paper.column) * paper.value
    return _terms(block.space, paper.column, said)


def _terms(space: FeatureSpace, columns: np.ndarray, said: np.ndarray) -> list[Reason]:
    """The terms that add most to the score."""
    text = columns < len(space.weight)
    columns, said = columns[text], said[text]
    whole = float(said[said > 0].sum()) or 1.0
    best = np.lexsort((columns, -said))[:_TERMS]
    return [
        Reason("term", space.terms[columns[at]], float(said[at] / whole))
        for at in best
        if said[at] > 0
    ]


def sentence(found: Sequence[Reason], titles: Mapping[str, str]) -> str:
    """The reasons as one sentence a person would write; "" where there are none.

    `titles` gives the titles of liked papers by id.
    """
    authors = [reason.label for reason in found if reason.kind == "author"]
    topics = [f"“{reason.label}”" for reason in found if reason.kind == "topic"][:2]
    liked = [f"“{titles[r.label]}”" for r in found if r.kind == "liked" and r.label in titles][:2]
    fields = names((reason.label for reason in found if reason.kind == "category"), 2)
    terms = [reason.label for reason in found if reason.kind == "term"]
    pieces = []
    if authors:
        pieces.append(f"by {_and(authors)}, whom you follow")
    if topics:
        pieces.append(f"because of your topic{'s' * (len(topics) > 1)} {_and(topics)}")
    if liked:
        pieces.append(f"close to {_and(liked)}, which you liked")
    if not pieces and terms:
        pieces.append(f"because of {_and(terms)}")
    elif not pieces and fields:
        pieces.append(f"new in {_and(fields)}")
    text = "; ".join(pieces)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def key_sentences(
    block: Insight, at: int, sentences: SentenceRows, rows: Sequence[int]
) -> list[int | None]:
    """Which sentence of each of some papers matters most to reader `at` of the block; None where
    no sentence speaks for the paper."""
    parts = sentences.of(rows)
    if not parts:
        return []
    lengths = np.concatenate([entries.lengths for entries, _ in parts])
    columns = np.concatenate([entries.column for entries, _ in parts])
    values = np.concatenate([entries.value for entries, _ in parts])
    said = block.along(block.weights.sparse, at, columns) * values
    value = _sums(np.repeat(np.arange(len(lengths)), lengths), said, len(lengths))
    value += np.concatenate([latent for _, latent in parts]) @ block.weights.latent[at]
    ends = np.cumsum([len(latent) for _, latent in parts]).tolist()
    starts = [0, *ends[:-1]]
    return [_best(value[start:end]) for start, end in zip(starts, ends, strict=True)]


def _best(values: np.ndarray) -> int | None:
    best = int(values.argmax()) if len(values) else 0
    return best if len(values) and values[best] > 0 else None
