"""Which of a day's papers each reader of a block gets: scores, and the choice by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import log
from typing import TYPE_CHECKING

from digest import training
from digest.candidates import Window, closed_rows, old_rows, open_window
from digest.models import Subscriber

if TYPE_CHECKING:
    import numpy as np

    from digest.app import App
    from digest.ranking.features import FeatureSpace
    from digest.ranking.insight import Insight
    from digest.ranking.selection import Choice
    from digest.settings import Ranking, Settings
    from digest.training import Readers


@dataclass(frozen=True)
class Table:
    """A block of readers before a window of papers. `closed` (readers × papers) says which papers a
    reader's digest may not hold. `challenger` is compared with `ranking`."""

    window: Window
    readers: "Readers"
    closed: "np.ndarray"
    insight: "Insight"
    ranking: "Ranking"
    challenger: "Ranking | None"

    @property
    def scores(self) -> "np.ndarray":
        """Readers × papers."""
        return self.insight.scored.total


def tables(
    app: "App",
    subscribers: Sequence[Subscriber],
    day: date,
    *,
    again: bool,
    trial: bool = False,
) -> list[Table]:
    """The readers before the papers of a digest of the day; with `again`, who has that day's digest
    may get none. Who has no paper left is in no table. A `trial` keeps no ranker, and is as if no
    digest had been sent before. Whoever reads daily has only the newest day's papers left, and is
    not scored for those of the week."""
    import numpy as np  # noqa: PLC0415 (slow import)

    space = training.feature_space(app)
    window = open_window(app, space, day)
    with app.db.read() as session:
        if trial:
            closed = old_rows(session, subscribers, window)
        else:
            closed = closed_rows(session, subscribers, window, again=again)
    left = np.flatnonzero(trial | ~closed.all(axis=1))
    if not len(left):
        return []
    closed = closed[left]
    readers = training.ready(app, space, [subscribers[at] for at in left.tolist()], keep=not trial)
    daily = np.asarray(closed[:, len(window.newest.papers) :].all(axis=1))
    return [
        _table(app, space, some, readers.some(which), closed[which, : len(some.papers)])
        for some, which in (
            (window.newest, np.flatnonzero(daily)),
            (window, np.flatnonzero(~daily)),
        )
        if len(which)
    ]


def _table(
    app: "App", space: "FeatureSpace", window: Window, readers: "Readers", closed: "np.ndarray"
) -> Table:
    from digest.ranking.insight import insight  # noqa: PLC0415 (slow import)

    return Table(
        window,
        readers,
        closed,
        insight(
            space,
            readers.rankers,
            readers.profiles,
            readers.profile_rows,
            readers.known,
            window.rows,
        ),
        app.settings.ranking,
        _challenger(app.settings),
    )


def _challenger(settings: "Settings") -> "Ranking | None":
    """The rules to compare with those of the ranking, whose own stand for what is left out."""
    given = settings.challenger.model_dump(exclude_none=True)
    return settings.ranking.model_copy(update=given) if given else None


def chosen(table: Table) -> "list[list[tuple[Choice, str | None]]]":
    """Each reader's choices with their teams: those of two rankings in turns, where two are
    compared, else None."""
    ours = _choices(table, table.ranking)
    if table.challenger is None:
        return [[(choice, None) for choice in choices] for choices in ours]
    theirs = _choices(table, table.challenger)
    return [_drafted(table, at, *both) for at, both in enumerate(zip(ours, theirs, strict=True))]


def _drafted(
    table: Table, at: int, ours: "Sequence[Choice]", theirs: "Sequence[Choice]"
) -> "list[tuple[Choice, str | None]]":
    from digest.ranking.interleave import team_draft  # noqa: PLC0415 (slow import)

    both = team_draft(
        ours,
        theirs,
        table.readers.subscribers[at].per_digest,
        seed=_seed(table, at),
        key=lambda choice: choice.row,
    )
    shown = {choice.row for choice, _ in both}
    return [
        (choice._replace(similar=tuple(row for row in choice.similar if row not in shown)), team)
        for choice, team in both
    ]


def _choices(table: Table, rules: "Ranking") -> "list[list[Choice]]":
    from digest.ranking.selection import Rules, Wish, select  # noqa: PLC0415 (slow import)

    wishes = [
        Wish(
            profile,
            Rules(
                count=subscriber.per_digest,
                min_score=_logit(subscriber.min_score),
                fold=rules.fold,
                variety=rules.variety,
                explore=rules.explore,
                topics=rules.topics,
            ),
            _seed(table, at),
            topics,
        )
        for at, (subscriber, profile, topics) in enumerate(
            zip(
                table.readers.subscribers,
                table.readers.profiles,
                table.insight.topics,
                strict=True,
            )
        )
    ]
    return select(table.scores, table.window.rows, table.window.credit, wishes, table.closed)


def _seed(table: Table, at: int) -> str:
    return f"{table.readers.subscribers[at].id} {table.window.day.isoformat()}"


def _logit(chance: float | None) -> float | None:
    if chance is None:
        return None
    chance = min(max(chance, 1e-9), 1 - 1e-9)
    return log(chance / (1 - chance))
