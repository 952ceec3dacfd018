"""Papers like one: those that share the words by which it differs from most others."""

from collections import Counter
from datetime import date
from functools import lru_cache
from math import log, sqrt

from sqlmodel import col, func, select

from digest import searching
from digest.db import Db
from digest.editions import papers_by_id
from digest.models import Paper

SHOWN = 5
TELLING = 8  # words that are searched for
LOOKED_AT = 30
LEAST = 0.12  # cosine of two papers' words: below, they have little in common
SAMPLE = 500  # papers, in which a word that is common at all is met
RARE = 0.02  # of the papers
_TITLE = 3


def like(db: Db, paper: Paper) -> list[Paper]:
    """The papers most like this one, at most SHOWN; none where no other has much in common."""
    with db.read() as session:
        found_in = _sample(db, session.exec(select(func.max(Paper.announced_day))).one())
        own = _vector(paper, found_in)
        telling = [
            word
            for word in sorted(own, key=lambda word: (-own[word], word))
            if found_in[word] <= RARE * SAMPLE and len(word) > 2 and not word.isdigit()
        ]
        ids = searching.alike(session, telling[:TELLING], LOOKED_AT)
        others = papers_by_id(session, set(ids) - {paper.id})
    scored = [(_cosine(own, _vector(other, found_in)), other) for other in others]
    scored.sort(key=lambda pair: (-pair[0], -(pair[1].id or 0)))
    return [other for score, other in scored[:SHOWN] if score >= LEAST]


@lru_cache(maxsize=2)
def _sample(db: Db, day: date | None) -> Counter[str]:  # noqa: ARG001 (another day, another sample)
    """In how many of the newest papers each word occurs; counted once a day."""
    with db.read() as session:
        newest = select(Paper.title, Paper.abstract).where(col(Paper.announced_day).is_not(None))
        rows = session.exec(newest.order_by(col(Paper.announced_day).desc()).limit(SAMPLE))
        return Counter(word for said in rows for word in set(searching.words(" ".join(said))))


def _vector(paper: Paper, found_in: Counter[str]) -> dict[str, float]:
    """The words of title and abstract, weighed by how often they occur here and how seldom
    elsewhere; of length 1."""
    counts = Counter(searching.words(paper.abstract))
    for word in searching.words(paper.title):
        counts[word] += _TITLE
    weights = {
        word: (1 + log(n)) * log((SAMPLE + 1) / (found_in[word] + 1)) for word, n in counts.items()
    }
    length = sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {word: weight / length for word, weight in weights.items()}


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    return sum(weight * other[word] for word, weight in one.items() if word in other)
