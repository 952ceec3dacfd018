"""Which of the day's papers a subscriber gets: scores, picks and their reasons."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import exp, log
from typing import TYPE_CHECKING, NamedTuple

from digest import training
from digest.candidates import Window, closed_rows, latest_day, old_rows, open_window
from digest.editions import titles_by_id
from digest.errors import NotFound
from digest.models import Paper, Subscriber
from digest.subscribers import find

if TYPE_CHECKING:
    import numpy as np

    from digest.app import App
    from digest.ranking.features import FeatureSpace
    from digest.ranking.reasons import Insight, Reason
    from digest.ranking.selection import Choice
    from digest.settings import Ranking, Settings
    from digest.training import Readers

ALSO = 20

EXPLORING = "Unlike the others here, so that your vote on it teaches the most."


class Picked(NamedTuple):
    """A paper in a digest that is not kept yet; see `digest.models.Pick`."""

    paper_id: int
    score: float
    exploring: bool
    sentence: int | None
    similar: list[int] | None
    reason: str
    topic: str | None
    team: str | None


@dataclass(frozen=True)
class Plan:
    """A subscriber's digest before it is kept; without picks there is nothing to send. `also` are
    papers of followed authors that there was no room for."""

    subscriber: Subscriber
    day: date
    since: date
    candidates: int
    picks: tuple[Picked, ...]
    also: tuple[Paper, ...] = ()


@dataclass(frozen=True)
class Trial:
    """What a digest would hold: `picks` are papers with their reasons, out of `candidates`."""

    day: date
    candidates: int
    picks: tuple[tuple[Paper, str], ...]


@dataclass(frozen=True)
class RankedPaper:
    """One line of a ranking: `score` is the model's chance that the paper is wanted, 0 to 1."""

    id: str
    title: str
    score: float
    reasons: list[str]


@dataclass(frozen=True)
class _Table:
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


def rank(app: "App", email: str, day: date | None = None, limit: int = 20) -> list[RankedPaper]:
    """The order in which the subscriber would be offered the day's papers, with the reasons."""
    from digest.ranking.reasons import reasons  # noqa: PLC0415 (slow import)

    training.refit_if_due(app)
    subscriber, day = _reader(app, email, day)
    (table,) = _tables(app, [subscriber], day, again=False)
    scores = table.scores[0]
    rows = sorted((~table.closed[0]).nonzero()[0].tolist(), key=lambda row: (-scores[row], row))
    rows = rows[:limit]
    found = reasons(table.insight, 0, rows)
    titles = _titles(app, [found])
    return [
        RankedPaper(
            table.window.papers[row].key,
            table.window.papers[row].title,
            round(_chance(float(scores[row])), 4),
            [
                f"{reason.kind} “{titles.get(reason.label, reason.label)}” {reason.share:.0%}"
                for reason in each
            ],
        )
        for row, each in zip(rows, found, strict=True)
    ]


def plan(app: "App", email: str, day: date | None = None) -> Plan:
    """The digest that the subscriber would get for the day, kept nowhere."""
    training.refit_if_due(app)
    subscriber, day = _reader(app, email, day)
    return plans(app, [subscriber], day, again=False)[0]


def trial(app: "App", reader: Subscriber, without: Collection[int] = ()) -> Trial:
    """What a digest of the latest papers would hold for these wishes, stored or not, as if none had
    been sent before; nothing of it is kept. An `id` of 0 stands for somebody new; `without` are ids
    of papers to leave out.

    Raises NotFound where nothing was announced of late.
    """
    table = _latest(app, reader)
    row_of = table.window.rows.row_of
    table.closed[0, [row_of[name] for name in map(str, without) if name in row_of]] = True
    (planned,) = _planned(app, table)
    papers = {paper.id: paper for paper in table.window.papers}
    picks = tuple((papers[pick.paper_id], pick.reason) for pick in planned.picks)
    return Trial(table.window.day, planned.candidates, picks)


def telling(app: "App", reader: Subscriber) -> list[Paper]:
    """The papers, of those a `trial` draws on, on which votes would tell most, in that order.

    Raises NotFound where nothing was announced of late.
    """
    from digest.ranking.calibration import telling  # noqa: PLC0415 (slow import)
    from digest.ranking.selection import muted  # noqa: PLC0415 (slow import)

    table = _latest(app, reader)
    unwanted = muted(table.window.credit, table.readers.profiles[0])
    skip = unwanted | set(table.closed[0].nonzero()[0].tolist())
    rows = telling(table.scores[0], table.window.rows, skip=skip)
    return [table.window.papers[row] for row in rows]


def _latest(app: "App", reader: Subscriber) -> _Table:
    with app.db.read() as session:
        day = latest_day(session, app.now())
    if day is None:
        raise NotFound("no paper was announced in the last week")
    return _tables(app, [reader], day, again=False, trial=True)[0]


def plans(app: "App", subscribers: Sequence[Subscriber], day: date, *, again: bool) -> list[Plan]:
    """A block's digests of the day. With `again`, who has that day's digest gets no picks."""
    tables = _tables(app, subscribers, day, again=again)
    made = {each.subscriber.id: each for table in tables for each in _planned(app, table)}
    return [made[person.id] for person in subscribers]


def _reader(app: "App", email: str, day: date | None) -> tuple[Subscriber, date]:
    with app.db.read() as session:
        subscriber = find(session, email)
        day = day or latest_day(session, app.now())
    if day is None:
        raise NotFound("no paper was announced in the last week: run `digest ingest` first")
    return subscriber, day


def _planned(app: "App", table: _Table) -> list[Plan]:
    """The digests of the table's readers, in their order."""
    from digest.ranking.reasons import read_closely  # noqa: PLC0415 (slow import)

    drafted = [_drafted(table, at) for at in range(len(table.readers.subscribers))]
    table.window.sentences.make(choice.row for each in drafted for choice, _ in each)
    found = [_reasons(table, at, [choice for choice, _ in each]) for at, each in enumerate(drafted)]
    titles = _titles(app, found)
    closely = read_closely(
        table.insight,
        table.window.sentences,
        [[choice.row for choice, _ in each] for each in drafted],
        [_bare(each, reasons) for each, reasons in zip(drafted, found, strict=True)],
    )
    return [
        _plan(table, at, drafted[at], _picks(table, drafted[at], found[at], *read, titles))
        for at, read in enumerate(closely)
    ]


def _bare(
    drafted: "Sequence[tuple[Choice, str | None]]", found: "Sequence[tuple[Reason, ...]]"
) -> list[int]:
    """The rows for which nothing speaks but words."""
    return [
        choice.row
        for (choice, _), reasons in zip(drafted, found, strict=True)
        if not choice.exploring and all(reason.kind == "category" for reason in reasons)
    ]


def _titles(app: "App", found: "Iterable[Sequence[tuple[Reason, ...]]]") -> dict[str, str]:
    """The titles of the liked papers among the reasons, by id."""
    liked = {
        reason.label
        for of_reader in found
        for of_paper in of_reader
        for reason in of_paper
        if reason.kind == "liked"
    }
    with app.db.read() as session:
        return titles_by_id(session, map(int, liked))


def _plan(
    table: _Table,
    at: int,
    drafted: "list[tuple[Choice, str | None]]",
    picks: tuple[Picked, ...],
) -> Plan:
    from digest.ranking.selection import left_over  # noqa: PLC0415 (slow import)

    window, subscriber = table.window, table.readers.subscribers[at]
    further = left_over(
        table.scores[at],
        window.credit,
        table.readers.profiles[at],
        [choice for choice, _ in drafted],
        skip=table.closed[at],
    )
    fresh = window.days[~table.closed[at]]
    since = int(fresh.min()) if len(fresh) else window.day.toordinal()
    return Plan(
        subscriber,
        window.day,
        date.fromordinal(since),
        len(fresh),
        picks,
        tuple(window.papers[row] for row in further[:ALSO]),
    )


def _drafted(table: _Table, at: int) -> "list[tuple[Choice, str | None]]":
    """The choices with their teams: those of two rankings in turns, where two are compared."""
    from digest.ranking.interleave import team_draft  # noqa: PLC0415 (slow import)

    ours = _choices(table, at, table.ranking)
    if table.challenger is None:
        return [(choice, None) for choice in ours]
    drafted = team_draft(
        ours,
        _choices(table, at, table.challenger),
        table.readers.subscribers[at].per_digest,
        seed=_seed(table, at),
        key=lambda choice: choice.row,
    )
    shown = {choice.row for choice, _ in drafted}
    return [
        (choice._replace(similar=tuple(row for row in choice.similar if row not in shown)), team)
        for choice, team in drafted
    ]


def _choices(table: _Table, at: int, rules: "Ranking") -> "list[Choice]":
    from digest.ranking.selection import Rules, select  # noqa: PLC0415 (slow import)

    subscriber, profile = table.readers.subscribers[at], table.readers.profiles[at]
    return select(
        table.scores[at],
        table.window.rows,
        table.window.credit,
        profile,
        Rules(
            count=subscriber.per_digest,
            min_score=_logit(subscriber.min_score),
            fold=rules.fold,
            variety=rules.variety,
            explore=rules.explore,
            topics=rules.topics,
        ),
        seed=_seed(table, at),
        topics=table.insight.topics[at],
        skip=table.closed[at],
    )


def _seed(table: _Table, at: int) -> str:
    return f"{table.readers.subscribers[at].id} {table.window.day.isoformat()}"


def _picks(
    table: _Table,
    drafted: "Sequence[tuple[Choice, str | None]]",
    found: "Sequence[tuple[Reason, ...]]",
    marked: Sequence[int | None],
    words: "Sequence[Sequence[Reason]]",
    titles: Mapping[str, str],
) -> tuple[Picked, ...]:
    """`words` are of those that are `_bare`."""
    from digest.ranking.reasons import sentence  # noqa: PLC0415 (slow import)

    ids = table.window.ids
    told = dict(zip(_bare(drafted, found), words, strict=True)) if words else {}
    return tuple(
        Picked(
            paper_id=ids[choice.row],
            score=choice.score,
            exploring=choice.exploring,
            sentence=at_sentence,
            similar=[ids[row] for row in choice.similar] or None,
            reason=EXPLORING
            if choice.exploring
            else sentence((*reasons, *told.get(choice.row, ())), titles),
            topic=None if choice.exploring else _topic(reasons),
            team=team,
        )
        for (choice, team), reasons, at_sentence in zip(drafted, found, marked, strict=True)
    )


def _reasons(table: _Table, at: int, choices: "Sequence[Choice]") -> "list[tuple[Reason, ...]]":
    """The model's reasons, and before them the author that the reader follows."""
    from digest.ranking.reasons import Reason, spoken  # noqa: PLC0415 (slow import)

    found = spoken(table.insight, at, [choice.row for choice in choices])
    return [
        (Reason("author", choice.followed, 1.0), *each) if choice.followed else each
        for choice, each in zip(choices, found, strict=True)
    ]


def _topic(found: "Sequence[Reason]") -> str | None:
    """The topic that says most for the paper; reasons come most telling first."""
    return next((reason.label for reason in found if reason.kind == "topic"), None)


def _tables(
    app: "App",
    subscribers: Sequence[Subscriber],
    day: date,
    *,
    again: bool,
    trial: bool = False,
) -> list[_Table]:
    """The readers before the papers. Whoever reads daily has only the newest day's left, and is
    not scored for those of the week."""
    import numpy as np  # noqa: PLC0415 (slow import)

    space = training.feature_space(app)
    window = open_window(app, space, day)
    readers = training.ready(app, space, subscribers, keep=not trial)
    with app.db.read() as session:
        if trial:
            closed = old_rows(session, readers, window)
        else:
            closed = closed_rows(session, readers, window, again=again)
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
) -> _Table:
    from digest.ranking.reasons import insight  # noqa: PLC0415 (slow import)

    return _Table(
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
        challenger(app.settings),
    )


def challenger(settings: "Settings") -> "Ranking | None":
    """The rules to compare with those of the ranking, whose own stand for what is left out."""
    given = settings.challenger.model_dump(exclude_none=True)
    return settings.ranking.model_copy(update=given) if given else None


def _chance(score: float) -> float:
    return 1 / (1 + exp(-max(-50.0, min(50.0, score))))


def _logit(chance: float | None) -> float | None:
    if chance is None:
        return None
    chance = min(max(chance, 1e-9), 1 - 1e-9)
    return log(chance / (1 - chance))
