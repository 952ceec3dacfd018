"""Why a paper was picked, read off the model that picked it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from digest.categories import names
from digest.ranking.counting import Document
from digest.ranking.features import FeatureSpace, PaperRows
from digest.ranking.profile import Profile, Topic
from digest.ranking.ranker import Ranker, Strength, strengths, weights
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


def reasons(
    space: FeatureSpace,
    ranker: Ranker,
    profile: Profile,
    known: PaperRows,
    day: PaperRows,
    row: int,
) -> tuple[Reason, ...]:
    """What speaks for paper `row` of the day: topics, categories and liked papers, most telling
    first, those below a tenth left out; then the words that carry most.

    What a profile says through papers near its topics is its topics' saying, in proportion.
    """
    view = _view(space, ranker, profile, known)
    span = slice(day.matrix.indptr[row], day.matrix.indptr[row + 1])
    columns, values = day.matrix.indices[span], day.matrix.data[span]
    paper = np.zeros(space.width, np.float32)
    paper[columns] = values
    parts = _asked(space, view, columns, paper) + _liked(space, view, paper)
    total = sum(part for _, _, part in parts) or 1.0
    found = [Reason(kind, label, part / total) for kind, label, part in parts if part > 0]
    found.sort(key=lambda reason: (-reason.share, reason.label))
    told = [reason for reason in found if reason.share >= _LEAST_SHARE]
    return (*told, *_terms(space, view, columns, values))


@dataclass(frozen=True)
class _View:
    """One reader's model laid open: weights by column, what of them the profile says, the topics'
    rows, and the liked papers with their coefficients and rows."""

    weight: np.ndarray
    told: np.ndarray
    topics: tuple[Topic, ...]
    topic_rows: Any
    liked: tuple[str, ...]
    coefficients: np.ndarray
    liked_rows: Any
    strength: Strength


@lru_cache(maxsize=2)
def _view(space: FeatureSpace, ranker: Ranker, profile: Profile, known: PaperRows) -> _View:
    """Kept, since a reader's picks are explained one after the other."""
    told = space.profile_rows([profile])
    topics = tuple(topic for topic in profile.topics if topic.weight > 0)
    votes = zip(ranker.papers, ranker.coefficients, strict=True)
    liked = [(name, c) for name, c in votes if c > 0 and name in known.row_of]
    return _View(
        weights(space, [ranker], told, known).toarray().ravel(),
        told.toarray().ravel() * ranker.strength.profile,
        topics,
        space.topic_rows([topic.text for topic in topics]),
        tuple(name for name, _ in liked),
        np.array([c for _, c in liked], np.float32),
        known.matrix[[known.row_of[name] for name, _ in liked]],
        ranker.strength,
    )


def _asked(
    space: FeatureSpace, view: _View, columns: np.ndarray, paper: np.ndarray
) -> list[tuple[Kind, str, float]]:
    """What each topic and category of the profile adds to the score."""
    first = len(space.weight)
    said = view.told[columns] * paper[columns]
    category = (columns >= first) & (columns < space.latent_from)
    near = np.asarray(view.topic_rows @ paper)
    near = np.maximum(near * np.array([topic.weight for topic in view.topics]), 0)
    share = near / near.sum() if near.sum() > 0 else near
    by_topics = max(0.0, float(said[~category].sum()))
    parts: list[tuple[Kind, str, float]] = [
        ("topic", topic.text, by_topics * float(part))
        for topic, part in zip(view.topics, share, strict=True)
    ]
    return parts + [
        ("category", space.categories[int(column) - first], float(part))
        for column, part in zip(columns[category], said[category], strict=True)
    ]


def _liked(space: FeatureSpace, view: _View, paper: np.ndarray) -> list[tuple[Kind, str, float]]:
    """What each liked paper adds to the score."""
    near = view.coefficients * (view.liked_rows @ (paper * strengths(space, view.strength)))
    return [
        ("liked", name, max(0.0, float(part))) for name, part in zip(view.liked, near, strict=True)
    ]


def _terms(
    space: FeatureSpace, view: _View, columns: np.ndarray, values: np.ndarray
) -> list[Reason]:
    """The terms that add most to the score."""
    text = columns < len(space.weight)
    columns, said = columns[text], view.weight[columns[text]] * values[text]
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


def key_sentence(rows: SentenceRows, row: int, weight: Any) -> int | None:
    """Which sentence of paper `row` matters most to the reader of weight vector `weight`
    (1 × width, from `ranker.weights`); None where no sentence speaks for the paper.
    """
    start, end = rows.starts[row], rows.starts[row + 1]
    if start == end:
        return None
    value = (rows.matrix[start:end] @ weight.T).toarray().ravel()
    best = int(np.argmax(value))
    return best if value[best] > 0 else None
