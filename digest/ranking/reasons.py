"""Why a paper was picked, read off the model that picked it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from digest.categories import names
from digest.ranking.closely import terms, worth_to
from digest.ranking.insight import TOGETHER, Insight, Kind, Reason, entries

_LEAST_SHARE = 0.1


def reasons(block: Insight, at: int, rows: Sequence[int]) -> list[tuple[Reason, ...]]:
    """What speaks to reader `at` of the block for each of some papers of the day: topics,
    categories and liked papers, most telling first, those below a tenth left out; then the words
    that carry most."""
    (found,) = spoken(block, [at], [rows])
    worth = next(worth_to(block, range(at, at + 1)))
    return [(*each, *told) for each, told in zip(found, terms(block, worth, rows), strict=True)]


def spoken(
    block: Insight, readers: Sequence[int], rows: Sequence[Sequence[int]]
) -> list[list[tuple[Reason, ...]]]:
    """The reasons without the words, for each of some readers' papers.

    What a profile says through papers near its topics is its topics' saying, in proportion.
    """
    found = []
    for first in range(0, len(readers), TOGETHER):
        some = slice(first, first + TOGETHER)
        found += _spoken(block, np.array(readers[some]), rows[some])
    return found


def _spoken(
    block: Insight, readers: np.ndarray, rows: Sequence[Sequence[int]]
) -> list[list[tuple[Reason, ...]]]:
    papers, there = _table(rows)
    parts = [
        _by_topic(block, readers, papers),
        _by_liked(block, readers, papers),
        _by_code(block, readers, papers),
    ]
    whose = np.concatenate([part.reader for part in parts])
    order = np.argsort(whose, kind="stable")
    whose, said = whose[order], np.concatenate([part.said for part in parts])[order]
    whole = _sums(said, whose, len(readers))
    share = said / np.where(whole == 0, 1, whole)[whose]
    one, place = np.nonzero((said > 0) & (share >= _LEAST_SHARE) & there[whose])
    names = [name for part in parts for name in part.names]
    found: list[list[list[Reason]]] = [[[] for _ in each] for each in rows]
    for name, reader, at, part in zip(
        order[one].tolist(),
        whose[one].tolist(),
        place.tolist(),
        share[one, place].tolist(),
        strict=True,
    ):
        kind, label = names[name]
        found[reader][at].append(Reason(kind, label, part))
    return [[_best_first(each) for each in papers] for papers in found]


class _Said(NamedTuple):
    """What some things add to the score of each reader's papers: things × places; whose each is,
    by the reader's place among those that are looked at, and what it is."""

    reader: np.ndarray
    names: list[tuple[Kind, str]]
    said: np.ndarray


def _by_topic(block: Insight, readers: np.ndarray, papers: np.ndarray) -> _Said:
    topics = [block.profiles[at].topics for at in readers.tolist()]
    wanted = np.array([max(0.0, topic.weight) for each in topics for topic in each])
    near = [block.topics[at][:, those] for at, those in zip(readers.tolist(), papers, strict=True)]
    near = np.maximum(np.concatenate(near), 0) * wanted[:, None]
    whose = np.repeat(np.arange(len(readers)), [len(each) for each in topics])
    total = _sums(near, whose, len(readers))
    said = np.maximum(0, block.scored.said[readers[:, None], papers])
    said = near / np.where(total > 0, total, 1)[whose] * said[whose]
    return _Said(whose, [("topic", topic.text) for each in topics for topic in each], said)


def _by_liked(block: Insight, readers: np.ndarray, papers: np.ndarray) -> _Said:
    scored, strong = block.scored, [block.rankers[at].strength for at in readers.tolist()]
    chosen = scored.chosen[readers]
    likes = chosen.data > 0
    whose = np.repeat(np.arange(len(readers)), np.diff(chosen.indptr))[likes]
    coefficients, liked = chosen.data[likes, None], chosen.indices[likes]
    terms = np.array([strength.terms for strength in strong], np.float32)
    latent = np.array([strength.latent for strength in strong], np.float32)
    codes = np.array([strength.categories for strength in strong])
    near = terms[whose, None] * scored.near.between(liked, papers[whose])
    near += latent[whose, None] * _meant(block, liked, papers, whose)
    near += codes[whose, None] * _shared(block, liked, papers[whose])
    names: list[tuple[Kind, str]] = [("liked", scored.names[at]) for at in liked.tolist()]
    return _Said(whose, names, np.maximum(0, coefficients * near))


def _meant(block: Insight, liked: np.ndarray, papers: np.ndarray, whose: np.ndarray) -> np.ndarray:
    """The products of the latent columns of liked papers with those of their readers' papers."""
    ours, theirs = block.papers.latent[papers], block.scored.voted.latent[liked]
    found = np.empty((len(liked), papers.shape[1]), np.float32)
    ends = np.searchsorted(whose, np.arange(len(papers) + 1)).tolist()
    for reader, (start, end) in enumerate(pairwise(ends)):
        np.matmul(theirs[start:end], ours[reader].T, out=found[start:end])
    return found


def _shared(block: Insight, liked: np.ndarray, papers: np.ndarray) -> np.ndarray:
    """The products of the categories of liked papers with those of papers (liked × places). They
    are few, so that each is asked for by itself."""
    theirs = entries(block.scored.voted.categories, liked)
    whose = np.repeat(np.arange(len(liked)), theirs.lengths)
    both = block.codes[papers[whose], theirs.column[:, None]] * theirs.value[:, None]
    return _sums(both, whose, len(liked))


def _by_code(block: Insight, readers: np.ndarray, papers: np.ndarray) -> _Said:
    asked = entries(block.scored.told.categories, readers)
    whose = np.repeat(np.arange(len(readers)), asked.lengths)
    said = asked.value[:, None] * block.codes[papers[whose], asked.column[:, None]]
    codes = block.space.categories
    return _Said(whose, [("category", codes[code]) for code in asked.column.tolist()], said)


def _table(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of unequal lengths as one array, and where there is something in it."""
    longest = max(map(len, rows))
    filled = [[*each, *[0] * (longest - len(each))] for each in rows]
    there = np.arange(longest) < np.array([len(each) for each in rows])[:, None]
    return np.array(filled, int).reshape(len(rows), longest), there


def _sums(values: np.ndarray, whose: np.ndarray, count: int) -> np.ndarray:
    """The rows of each of so many summed up; they stand in the order of whose they are."""
    found = np.zeros((count, values.shape[1]))
    if len(whose):
        there, starts = np.unique(whose, return_index=True)
        found[there] = np.add.reduceat(values, starts, axis=0)
    return found


def _best_first(found: list[Reason]) -> tuple[Reason, ...]:
    if len(found) > 1:
        found.sort(key=lambda reason: (-reason.share, reason.label))
    return tuple(found)


def sentence(found: Sequence[Reason], titles: Mapping[str, str]) -> str:
    """The reasons as one sentence a person would write; "" where there are none.

    `titles` gives the titles of liked papers by id.
    """
    told: dict[Kind, list[str]] = {}
    for kind, label, _ in found:
        told.setdefault(kind, []).append(label)
    authors, topics = told.get("author"), [f"“{text}”" for text in told.get("topic", ())[:2]]
    liked = [f"“{titles[paper]}”" for paper in told.get("liked", ()) if paper in titles][:2]
    pieces = []
    if authors:
        pieces.append(f"by {_and(authors)}, whom you follow")
    if topics:
        pieces.append(f"because of your topic{'s' * (len(topics) > 1)} {_and(topics)}")
    if liked:
        pieces.append(f"close to {_and(liked)}, which you liked")
    if not pieces:
        pieces = _otherwise(told)
    text = "; ".join(pieces)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _otherwise(told: Mapping[Kind, Sequence[str]]) -> list[str]:
    """What is said where no topic and no paper speaks: words, or else fields."""
    if words := told.get("term"):
        return [f"because of {_and(words)}"]
    fields = names(told.get("category", ()), 2)
    return [f"new in {_and(fields)}"] if fields else []


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
