"""The digest that a subscriber gets: its picks with their reasons, and what else there was."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import exp
from typing import TYPE_CHECKING, NamedTuple

from digest import training
from digest.candidates import latest_day
from digest.choosing import Table, chosen, tables
from digest.editions import titles_by_id
from digest.errors import NotFound
from digest.models import Paper, Subscriber
from digest.subscribers import find

if TYPE_CHECKING:
    from digest.app import App
    from digest.ranking.insight import Reason
    from digest.ranking.selection import Choice

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


def rank(app: "App", email: str, day: date | None = None, limit: int = 20) -> list[RankedPaper]:
    """The order in which the subscriber would be offered the day's papers, with the reasons."""
    training.refit_if_due(app)
    subscriber, day = _reader(app, email, day)
    found = tables(app, [subscriber], day, again=False)
    return _ranked(app, found[0], limit) if found else []


def _ranked(app: "App", table: Table, limit: int) -> list[RankedPaper]:
    from digest.ranking.reasons import reasons  # noqa: PLC0415 (slow import)

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
    from digest.ranking.credits import muted  # noqa: PLC0415 (slow import)

    table = _latest(app, reader)
    unwanted = muted(table.window.credit, table.readers.profiles[0])
    skip = unwanted | set(table.closed[0].nonzero()[0].tolist())
    rows = telling(table.scores[0], table.window.rows, skip=skip)
    return [table.window.papers[row] for row in rows]


def _latest(app: "App", reader: Subscriber) -> Table:
    with app.db.read() as session:
        day = latest_day(session, app.now())
    if day is None:
        raise NotFound("no paper was announced in the last week")
    return tables(app, [reader], day, again=False, trial=True)[0]


def plans(app: "App", subscribers: Sequence[Subscriber], day: date, *, again: bool) -> list[Plan]:
    """A block's digests of the day. With `again`, who has that day's digest gets no picks."""
    found = tables(app, subscribers, day, again=again)
    made = {each.subscriber.id: each for table in found for each in _planned(app, table)}
    return [made.get(person.id) or Plan(person, day, day, 0, ()) for person in subscribers]


def _reader(app: "App", email: str, day: date | None) -> tuple[Subscriber, date]:
    with app.db.read() as session:
        subscriber = find(session, email)
        day = day or latest_day(session, app.now())
    if day is None:
        raise NotFound(
            "no paper was announced in the last week: `digest ingest` asks the feeds, and --day"
            " ranks an earlier day's"
        )
    return subscriber, day


def _planned(app: "App", table: Table) -> list[Plan]:
    """The digests of the table's readers, in their order."""
    from digest.ranking.closely import read_closely  # noqa: PLC0415 (slow import)

    drafted = chosen(table)
    table.window.sentences.make(choice.row for each in drafted for choice, _ in each)
    found = _reasons(table, drafted)
    bare = [_bare(each, reasons) for each, reasons in zip(drafted, found, strict=True)]
    rows = [[choice.row for choice, _ in each] for each in drafted]
    closely = read_closely(table.insight, table.window.sentences, rows, bare)
    titles = _titles(app, found)
    picks = [
        _picks(table, each, reasons, marked, dict(zip(wordless, words, strict=True)), titles)
        for each, reasons, wordless, (marked, words) in zip(
            drafted, found, bare, closely, strict=True
        )
    ]
    return _plans(table, drafted, picks)


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


def _plans(
    table: Table,
    drafted: "Sequence[Sequence[tuple[Choice, str | None]]]",
    picks: Sequence[tuple[Picked, ...]],
) -> list[Plan]:
    window, fresh = table.window, ~table.closed
    candidates = fresh.sum(axis=1).tolist()
    oldest = window.days[::-1][fresh[:, ::-1].argmax(axis=1)].tolist()  # the papers: newest first
    return [
        Plan(
            subscriber,
            window.day,
            date.fromordinal(oldest[at]) if candidates[at] else window.day,
            candidates[at],
            picks[at],
            _also(table, at, [choice for choice, _ in drafted[at]]),
        )
        for at, subscriber in enumerate(table.readers.subscribers)
    ]


def _also(table: Table, at: int, choices: "Sequence[Choice]") -> tuple[Paper, ...]:
    from digest.ranking.selection import left_over  # noqa: PLC0415 (slow import)

    profile = table.readers.profiles[at]
    if not profile.authors:
        return ()
    window = table.window
    further = left_over(table.scores[at], window.credit, profile, choices, table.closed[at])
    return tuple(window.papers[row] for row in further[:ALSO])


def _picks(
    table: Table,
    drafted: "Sequence[tuple[Choice, str | None]]",
    found: "Sequence[tuple[Reason, ...]]",
    marked: Sequence[int | None],
    words: "Mapping[int, Sequence[Reason]]",
    titles: Mapping[str, str],
) -> tuple[Picked, ...]:
    """`words` are of the papers, by their rows, for which nothing else speaks."""
    from digest.ranking.reasons import sentence  # noqa: PLC0415 (slow import)

    ids = table.window.ids
    return tuple(
        [
            Picked(
                paper_id=ids[choice.row],
                score=choice.score,
                exploring=choice.exploring,
                sentence=at_sentence,
                similar=[ids[row] for row in choice.similar] or None,
                reason=EXPLORING
                if choice.exploring
                else sentence((*reasons, *words.get(choice.row, ())), titles),
                topic=None if choice.exploring else _topic(reasons),
                team=team,
            )
            for (choice, team), reasons, at_sentence in zip(drafted, found, marked, strict=True)
        ]
    )


def _reasons(
    table: Table, drafted: "Sequence[Sequence[tuple[Choice, str | None]]]"
) -> "list[list[tuple[Reason, ...]]]":
    """The model's reasons, and before them the author that the reader follows."""
    from digest.ranking.insight import Reason  # noqa: PLC0415 (slow import)
    from digest.ranking.reasons import spoken  # noqa: PLC0415 (slow import)

    rows = [[choice.row for choice, _ in each] for each in drafted]
    found = spoken(table.insight, range(len(rows)), rows)
    for choices, reasons in zip(drafted, found, strict=True):
        for at, (choice, _) in enumerate(choices):
            if choice.followed:
                reasons[at] = (Reason("author", choice.followed, 1.0), *reasons[at])
    return found


def _topic(found: "Sequence[Reason]") -> str | None:
    """The topic that says most for the paper; reasons come most telling first."""
    return next((reason.label for reason in found if reason.kind == "topic"), None)


def _chance(score: float) -> float:
    return 1 / (1 + exp(-max(-50.0, min(50.0, score))))
