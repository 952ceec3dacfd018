"""What the model has learned about a reader, in words."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import Session

from digest import feedback, training
from digest.editions import papers_by_id
from digest.models import Paper, Subscriber

if TYPE_CHECKING:
    from digest.app import App
    from digest.ranking.features import FeatureSpace
    from digest.ranking.ranker import Ranker

TERMS = 12
PAPERS = 3
_POOL = 4 * TERMS
_LEAST = 0.15  # of the strongest term: what says less is noise
_RAREST = 1000  # a term that fewer than one paper in so many has is a name, not a theme
_OF_LINKS = {"com", "github", "http", "https", "io", "org", "www"}


@dataclass(frozen=True, slots=True)
class Learned:
    """`stage` says in a sentence what the ranking goes by at this number of votes; `waiting` likes
    are of papers whose text is not here yet, and tell nothing so far. `toward` and `away` are the
    terms that draw a paper up and down, `papers` the liked ones that weigh most."""

    likes: int
    dislikes: int
    stage: str
    waiting: int = 0
    toward: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    papers: tuple[Paper, ...] = ()


def learned(app: "App", person: Subscriber) -> Learned:
    """Reads the stored model, or trains the reader's own in memory where votes came since; nothing
    is kept, and no feature space is fitted."""
    from digest.ranking.ranker import weights  # noqa: PLC0415 (slow import)

    with app.db.read() as session:
        counted = feedback.count_votes(session, person.id or 0)
    space = training.stored_space(app)
    if space is None:
        return _told(counted, 0, person)
    readers = training.ready(app, space, [person], keep=False)
    ranker = readers.rankers[0]
    row = weights(readers.rankers, readers.profile_rows, readers.known).terms.toarray()[0]
    with app.db.read() as session:
        papers = _weightiest(session, ranker)
    return _told(
        counted,
        ranker.likes,
        person,
        toward=_strongest(space, row),
        away=_strongest(space, -row),
        papers=papers,
    )


def _told(counted: dict[str, int], likes: int, person: Subscriber, **found: Any) -> Learned:
    asked = bool(person.topics or person.categories)
    waiting = max(counted["up"] - likes, 0)
    told = stage(likes, asked=asked, waiting=waiting)
    return Learned(counted["up"], counted["down"], told, waiting, **found)


def stage(likes: int, *, asked: bool, waiting: int = 0) -> str:
    """What so many likes make of the ranking; `asked`: topics or categories were named; `waiting`
    likes more are of papers whose text is not here yet."""
    from digest.ranking.ranker import Strength  # noqa: PLC0415 (slow import)

    if not likes:
        return _before_likes(asked, waiting)
    so_far = f"{likes} like{'s' * (likes > 1)} in"
    if not asked:
        return f"{so_far}: it goes by what you liked."
    told = Strength.after(likes).profile
    if told >= 0.5:
        return f"{so_far}: still mostly your topics."
    if told >= 0.1:
        return f"{so_far}: what you liked counts as much as your topics."
    return f"{so_far}: it goes mostly by what you liked; your topics tip the scales."


def _before_likes(asked: bool, waiting: int) -> str:
    if waiting:
        now = "it goes by your topics and categories alone" if asked else "it knows nothing yet"
        return f"Until the text of what you liked is here, {now}."
    if asked:
        return "No likes yet: it goes by your topics and categories alone."
    return "Nothing yet: name a topic or a category, or like a paper."


def _strongest(space: "FeatureSpace", row: Any) -> tuple[str, ...]:
    """The terms of the largest weights, the largest first; one that is part of another is told by
    the longer one."""
    import numpy as np  # noqa: PLC0415 (slow import)

    row = np.where(space.having >= len(space.neighbourhood) / _RAREST, row, 0)
    best = np.argsort(-row, kind="stable")[:_POOL]
    strong = [at for at in best if row[at] > _LEAST * row[best[0]]]
    terms = (space.terms[at] for at in strong)
    return tuple(_apart([term for term in terms if not _OF_LINKS & set(term.split())])[:TERMS])


def _apart(terms: Sequence[str]) -> list[str]:
    """Without the terms whose words another term has, or that are another's plural; in order."""
    kept: list[str] = []
    for term in terms:
        inside = [at for at, other in enumerate(kept) if _holds(term, other)]
        if inside:
            kept[inside[0]] = term
            kept = [other for at, other in enumerate(kept) if at not in inside[1:]]
        elif not any(_holds(other, term) for other in kept):
            kept.append(term)
    return list(dict.fromkeys(kept))


def _holds(longer: str, shorter: str) -> bool:
    return set(_singular(shorter)) <= set(_singular(longer))


def _singular(term: str) -> Iterable[str]:
    return (re.sub("(?<=..)(ies|y|s)$", "", word) for word in term.split())


def _weightiest(session: Session, ranker: "Ranker") -> tuple[Paper, ...]:
    """The liked papers that say most; a like says the more, the less the others foretold it."""
    likes = [
        (weight, int(paper))
        for paper, weight in zip(ranker.papers, ranker.coefficients, strict=True)
        if weight > 0
    ]
    likes.sort(key=lambda pair: (-pair[0], pair[1]))
    found = {paper.id: paper for paper in papers_by_id(session, [p for _, p in likes[:PAPERS]])}
    return tuple(found[paper] for _, paper in likes[:PAPERS] if paper in found)
