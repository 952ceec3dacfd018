"""Why a paper was picked, read off the model that picked it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from digest.categories import names
from digest.ranking.counting import Document
from digest.ranking.features import FeatureSpace, PaperRows
from digest.ranking.profile import Profile
from digest.ranking.ranker import Ranker, products, split, strengths, weights
from digest.ranking.text import sentences

Kind = Literal["topic", "category", "term", "liked", "author"]

_LEAST_SHARE = 0.1
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


@dataclass(frozen=True)
class SentenceRows:
    """The sentences of a day's abstracts: those of paper i are rows starts[i] to starts[i + 1]."""

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    matrix: Any


@dataclass(frozen=True, slots=True)
class _Sentence:
    title: str
    abstract: str = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Insight:
    """A block of readers' models laid open before a day's papers: `weights` and what of them the
    profiles say (`told`), readers × width; `topics`, the likeness of each reader's topics to the
    papers, topics × papers."""

    space: FeatureSpace
    rankers: Sequence[Ranker]
    profiles: Sequence[Profile]
    known: PaperRows
    day: PaperRows
    weights: Any
    told: Any
    topics: Sequence[np.ndarray]


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
    return Insight(
        space,
        rankers,
        profiles,
        known,
        day,
        weights(space, rankers, profile_rows, known),
        sp.csr_array(told, dtype=np.float32),
        np.split(near, ends[:-1]),
    )


def reasons(block: Insight, at: int, rows: Sequence[int]) -> list[tuple[Reason, ...]]:
    """What speaks to reader `at` of the block for each of some papers of the day: topics,
    categories and liked papers, most telling first, those below a tenth left out; then the words
    that carry most.

    What a profile says through papers near its topics is its topics' saying, in proportion.
    """
    told, weight = _dense_row(block.told, at), _dense_row(block.weights, at)
    liked, parts = _liked(block, at, rows)
    found = []
    for row, theirs in zip(rows, parts.T, strict=True):
        columns, values = _entries(block.day.matrix, row)
        said = told[columns] * values
        spoke = _asked(block, at, row, columns, said)
        spoke += [("liked", name, float(part)) for name, part in zip(liked, theirs, strict=True)]
        terms = _terms(block.space, columns, weight[columns] * values)
        found.append((*_told(spoke), *terms))
    return found


def _told(parts: Sequence[tuple[Kind, str, float]]) -> list[Reason]:
    total = sum(part for _, _, part in parts) or 1.0
    found = [Reason(kind, label, part / total) for kind, label, part in parts if part > 0]
    found.sort(key=lambda reason: (-reason.share, reason.label))
    return [reason for reason in found if reason.share >= _LEAST_SHARE]


def _dense_row(matrix: Any, row: int) -> np.ndarray:
    dense = np.zeros(matrix.shape[1], np.float32)
    columns, values = _entries(matrix, row)
    dense[columns] = values
    return dense


def _entries(matrix: Any, row: int) -> tuple[np.ndarray, np.ndarray]:
    span = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[span], matrix.data[span]


def _asked(
    block: Insight, at: int, row: int, columns: np.ndarray, said: np.ndarray
) -> list[tuple[Kind, str, float]]:
    """What each topic and category of the profile adds to the score."""
    space, topics = block.space, block.profiles[at].topics
    first = len(space.weight)
    category = (columns >= first) & (columns < space.latent_from)
    wanted = np.array([max(0.0, topic.weight) for topic in topics])
    near = np.maximum(block.topics[at][:, row], 0) * wanted
    share = near / near.sum() if near.sum() > 0 else near
    by_topics = max(0.0, float(said[~category].sum()))
    parts: list[tuple[Kind, str, float]] = [
        ("topic", topic.text, by_topics * float(part))
        for topic, part in zip(topics, share, strict=True)
    ]
    return parts + [
        ("category", space.categories[int(column) - first], float(part))
        for column, part in zip(columns[category], said[category], strict=True)
    ]


def _liked(block: Insight, at: int, rows: Sequence[int]) -> tuple[list[str], np.ndarray]:
    """The liked papers, and what each adds to the score of each paper: liked × papers."""
    ranker, row_of = block.rankers[at], block.known.row_of
    votes = zip(ranker.papers, ranker.coefficients, strict=True)
    liked = [(name, c) for name, c in votes if c > 0 and name in row_of]
    if not liked or not len(rows):
        return [], np.zeros((0, len(rows)), np.float32)
    papers = block.day.matrix[list(rows)]
    papers.data *= strengths(block.space, ranker.strength, papers.indices)
    near = (block.known.matrix[[row_of[name] for name, _ in liked]] @ papers.T).toarray()
    coefficients = np.array([c for _, c in liked], np.float32)
    return [name for name, _ in liked], np.maximum(0, coefficients[:, None] * near)


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


def sentence_rows(space: FeatureSpace, papers: Sequence[Document]) -> SentenceRows:
    """The day's abstracts cut into sentences, as rows of the space; made once, for all readers."""
    per_paper = [sentences(paper.abstract) for paper in papers]
    texts = tuple(text for pieces in per_paper for text in pieces)
    starts = np.r_[0, np.cumsum([len(pieces) for pieces in per_paper], dtype=int)]
    matrix = space.transform([_Sentence(text) for text in texts])
    return SentenceRows(texts, tuple(starts.tolist()), matrix)


def key_sentences(
    block: Insight, at: int, sentences: SentenceRows, rows: Sequence[int]
) -> list[int | None]:
    """Which sentence of each of some papers matters most to reader `at` of the block; None where
    no sentence speaks for the paper."""
    weight = _dense_row(block.weights, at)
    return [_key_sentence(sentences, row, weight) for row in rows]


def _key_sentence(sentences: SentenceRows, row: int, weight: np.ndarray) -> int | None:
    start, end = sentences.starts[row], sentences.starts[row + 1]
    if start == end:
        return None
    bounds = sentences.matrix.indptr[start : end + 1]
    span = slice(bounds[0], bounds[-1])
    said = sentences.matrix.data[span] * weight[sentences.matrix.indices[span]]
    value = np.bincount(np.repeat(np.arange(end - start), np.diff(bounds)), said, end - start)
    best = int(np.argmax(value))
    return best if value[best] > 0 else None
