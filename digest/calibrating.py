"""A few papers to rate, so that the first digests fit; and how the ranking changes by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from digest import feedback, picking, subscribers, training
from digest.editions import papers_by_id
from digest.errors import InputError, NotFound
from digest.models import Paper, Subscriber

if TYPE_CHECKING:
    from digest.app import App

TOP = 5
MOST = 60


@dataclass(frozen=True, slots=True)
class Shift:
    """The best papers of the week before and after the votes, those just rated left out; `counted`
    is how many votes changed something."""

    counted: int
    before: tuple[Paper, ...]
    after: tuple[Paper, ...]


def questions(app: "App", reader: Subscriber) -> list[Paper]:
    """The papers of the last week that tell most of the reader's taste; none before papers came."""
    if training.stored_space(app) is None:
        return []
    try:
        return picking.telling(app, _of_the_week(reader))
    except NotFound:
        return []


def answer(app: "App", subscriber_id: int, said: Mapping[int, str]) -> Shift:
    """Records the votes (up, down, none) by paper id. Raises InputError, NotFound."""
    if len(said) > MOST:
        raise InputError(f"expected at most {MOST} papers at once")
    before = _best(app, subscriber_id, said)
    with app.db.write() as session:
        known = {paper.id for paper in papers_by_id(session, said)}
        counted = sum(
            feedback.record(session, subscriber_id, paper, vote, source="web", now=app.now())
            for paper, vote in said.items()
            if paper in known
        )
    return Shift(counted, before, _best(app, subscriber_id, said))


def _best(app: "App", subscriber_id: int, without: Mapping[int, str]) -> tuple[Paper, ...]:
    with app.db.read() as session:
        reader = subscribers.get(session, subscriber_id)
    try:
        found = picking.trial(app, _of_the_week(reader, per_digest=2 * TOP), without)
    except NotFound:
        return ()
    return tuple(paper for paper, _ in found.picks)[:TOP]


def _of_the_week(reader: Subscriber, **values: Any) -> Subscriber:
    """The reader, as one who gets the whole week's papers."""
    return Subscriber(**reader.model_dump() | {"frequency": "weekly"} | values)
