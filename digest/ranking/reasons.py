"""Why a paper was picked, read off the model that picked it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from digest.ranking.features import TOPIC_TERMS, Document, FeatureSpace, PaperRows
from digest.ranking.profile import Profile
from digest.ranking.ranker import Ranker
from digest.ranking.text import sentences

Kind = Literal["topic", "category", "term", "liked", "author"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that spoke for a paper; `share` is its part of all that spoke for it (0 to 1).

    `label` is the topic's text, the category's code, the term, the author's name, or the id of the
    liked paper.
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
    """What speaks for paper `row` of the day, most telling first, at most three of a kind."""
    paper = day.matrix[[row]]
    parts: list[tuple[Kind, str, float]] = []
    for topic, near in zip(
        profile.topics,
        _near(space.topic_rows([t.text for t in profile.topics]), paper),
        strict=True,
    ):
        parts.append(
            (
                "topic",
                topic.text,
                ranker.strength.profile * TOPIC_TERMS * topic.weight * float(near),
            )
        )
    have = [(p, c) for p, c in zip(ranker.papers, ranker.coefficients, strict=True) if c > 0]
    have = [(paper_id, c) for paper_id, c in have if paper_id in known.row_of]
    near = _near(known.matrix[[known.row_of[p] for p, _ in have]], paper)
    parts += [("liked", p, c * float(n)) for (p, c), n in zip(have, near, strict=True)]
    total = sum(max(0.0, part) for _, _, part in parts) or 1.0
    found = [Reason(kind, label, part / total) for kind, label, part in parts if part > 0]
    found.sort(key=lambda reason: (-reason.share, reason.label))
    return tuple(found[:3])


def sentence(found: Sequence[Reason], titles: Mapping[str, str]) -> str:
    """The reasons as one sentence a person would write; "" where there are none.

    `titles` gives the titles of liked papers by id.
    """
    topics = [f"“{reason.label}”" for reason in found if reason.kind == "topic"]
    liked = [titles[r.label] for r in found if r.kind == "liked" and r.label in titles]
    pieces = []
    if topics:
        pieces.append(f"because of your topic {' and '.join(topics)}")
    if liked:
        pieces.append(f"close to “{liked[0]}”, which you liked")
    text = "; ".join(pieces)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


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


def _near(rows: Any, paper: Any) -> np.ndarray:
    return np.asarray((rows @ paper.T).toarray().ravel())
