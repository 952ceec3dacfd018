"""Papers like one: those that share the words by which it differs from most others."""

from collections import Counter
from dataclasses import dataclass
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
RARE = 0.01  # of the papers
FEW = 5  # papers: rare among however few
_TITLE = 3
_EVERYWHERE = frozenset(  # which few papers cannot show
    searching.words(
        "a an and are as at be by can for from has have in into is it its not of on or our over"
        " than that the their these this to under via we which while with"
    )
)


def like(db: Db, paper: Paper) -> list[Paper]:
    """The papers most like this one, at most SHOWN; none where no other has much in common."""
    with db.read() as session:
        usual = _sample(db, session.exec(select(func.max(Paper.announced_day))).one())
        own = _vector(paper, usual)
        ids = searching.alike(session, _telling(own, usual), LOOKED_AT)
        others = papers_by_id(session, set(ids) - {paper.id})
    scored = [(_cosine(own, _vector(other, usual)), other) for other in others]
    scored.sort(key=lambda pair: (-pair[0], -(pair[1].id or 0)))
    return [other for score, other in scored[:SHOWN] if score >= LEAST]


@dataclass(frozen=True, slots=True)
class _Usual:
    """In how many of some papers each word occurs."""

    papers: int
    found_in: Counter[str]

    def weight(self, word: str) -> float:
        return log((self.papers + 1) / (self.found_in[word] + 1))


@lru_cache(maxsize=2)
def _sample(db: Db, day: date | None) -> _Usual:  # noqa: ARG001 (another day, another sample)
    """The newest papers' words, counted once a day."""
    with db.read() as session:
        newest = select(Paper.title, Paper.abstract).where(col(Paper.announced_day).is_not(None))
        rows = session.exec(newest.order_by(col(Paper.announced_day).desc()).limit(SAMPLE)).all()
    counts = Counter(word for said in rows for word in set(searching.words(" ".join(said))))
    return _Usual(len(rows), counts)


def _telling(own: dict[str, float], usual: _Usual) -> list[str]:
    """The words that tell most of a paper, of those that few papers have."""
    few = max(FEW, RARE * usual.papers)
    heavy = sorted(own, key=lambda word: (-own[word], word))
    rare = (word for word in heavy if usual.found_in[word] <= few)
    return [word for word in rare if len(word) > 2 and not word.isdigit()][:TELLING]


def _vector(paper: Paper, usual: _Usual) -> dict[str, float]:
    """The words of title and abstract, weighed by how often they occur here and how seldom
    elsewhere; of length 1."""
    counts = Counter(searching.words(paper.abstract))
    for word in searching.words(paper.title):
        counts[word] += _TITLE
    told = {word: n for word, n in counts.items() if word not in _EVERYWHERE}
    weights = {word: (1 + log(n)) * usual.weight(word) for word, n in told.items()}
    length = sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {word: weight / length for word, weight in weights.items()}


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    return sum(weight * other[word] for word, weight in one.items() if word in other)
