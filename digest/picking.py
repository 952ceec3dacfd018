"""Which of the day's papers a subscriber gets: candidates, scores, picks and their reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from math import exp, log
from typing import TYPE_CHECKING, Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from digest import schedule, training
from digest.db import Db
from digest.editions import titles_by_id
from digest.errors import NotFound
from digest.models import Digest, Paper, Pick, Subscriber
from digest.subscribers import find

if TYPE_CHECKING:
    import numpy as np

    from digest.app import App
    from digest.ranking.features import FeatureSpace, PaperRows
    from digest.ranking.reasons import Insight, Reason, SentenceRows
    from digest.ranking.selection import Choice, Credits
    from digest.settings import Ranking, Settings
    from digest.training import Readers

ALSO = 20

EXPLORING = "Unlike the others here, so that your vote on it teaches the most."


@dataclass(frozen=True)
class Window:
    """The papers that a digest of `day` may draw on: what all subscribers of the day share."""

    day: date
    papers: tuple[Paper, ...]
    rows: "PaperRows"
    credit: "Credits"
    sentences: "SentenceRows"
    days: "np.ndarray"
    recorded: "np.ndarray"


@dataclass(frozen=True)
class Plan:
    """A subscriber's digest before it is kept; without picks there is nothing to send. `also` are
    papers of followed authors that there was no room for."""

    subscriber: Subscriber
    day: date
    since: date
    candidates: int
    picks: tuple[Pick, ...]
    also: tuple[Paper, ...] = ()


@dataclass(frozen=True)
class RankedPaper:
    """One line of a ranking: `score` is the model's chance that the paper is wanted, 0 to 1."""

    id: str
    title: str
    score: float
    reasons: list[str]


@dataclass(frozen=True)
class _Table:
    """A block of readers before a window of papers. `scores` is readers × papers; `closed` says
    per reader which rows the digest may not hold. `challenger` is compared with `ranking`."""

    window: Window
    readers: "Readers"
    scores: "np.ndarray"
    closed: list[set[int]]
    insight: "Insight"
    titles: dict[str, str]
    ranking: "Ranking"
    challenger: "Ranking | None"


def latest_day(session: Session, now: datetime) -> date | None:
    """The newest listing day that a digest sent now may cover; None where all is too old."""
    today = now.date()
    newest: date | None = session.exec(
        select(func.max(Paper.announced_day)).where(col(Paper.announced_day) <= today)
    ).one()
    return None if newest is None or newest < schedule.window(today)[0] else newest


def rank(app: "App", email: str, day: date | None = None, limit: int = 20) -> list[RankedPaper]:
    """The order in which the subscriber would be offered the day's papers, with the reasons."""
    from digest.ranking.reasons import reasons  # noqa: PLC0415 (slow import)

    training.refit_if_due(app)
    subscriber, day = _reader(app, email, day)
    table = _table(app, [subscriber], day, again=False)
    scores = table.scores[0]
    rows = sorted(set(range(len(scores))) - table.closed[0], key=lambda row: (-scores[row], row))
    rows = rows[:limit]
    return [
        RankedPaper(
            table.window.papers[row].key,
            table.window.papers[row].title,
            round(_chance(float(scores[row])), 4),
            [
                f"{reason.kind} “{table.titles.get(reason.label, reason.label)}” {reason.share:.0%}"
                for reason in found
            ],
        )
        for row, found in zip(rows, reasons(table.insight, 0, rows), strict=True)
    ]


def plan(app: "App", email: str, day: date | None = None) -> Plan:
    """The digest that the subscriber would get for the day, kept nowhere."""
    training.refit_if_due(app)
    subscriber, day = _reader(app, email, day)
    return plans(app, [subscriber], day, again=False)[0]


def plans(app: "App", subscribers: Sequence[Subscriber], day: date, *, again: bool) -> list[Plan]:
    """A block's digests of the day. With `again`, who has that day's digest gets no picks."""
    table = _table(app, subscribers, day, again=again)
    return [_plan(table, at) for at in range(len(subscribers))]


def _reader(app: "App", email: str, day: date | None) -> tuple[Subscriber, date]:
    with app.db.read() as session:
        subscriber = find(session, email)
        day = day or latest_day(session, app.now())
    if day is None:
        raise NotFound("no paper was announced in the last week: run `digest ingest` first")
    return subscriber, day


def _plan(table: _Table, at: int) -> Plan:
    from digest.ranking.selection import left_over  # noqa: PLC0415 (slow import)

    window, subscriber = table.window, table.readers.subscribers[at]
    drafted = _drafted(table, at)
    further = left_over(
        table.scores[at],
        window.credit,
        table.readers.profiles[at],
        [choice for choice, _ in drafted],
        skip=table.closed[at],
    )
    fresh = _without(window.days, table.closed[at])
    since = int(fresh.min()) if len(fresh) else window.day.toordinal()
    return Plan(
        subscriber,
        window.day,
        date.fromordinal(since),
        len(fresh),
        _picks(table, at, drafted),
        tuple(window.papers[row] for row in further[:ALSO]),
    )


def _without(figures: "np.ndarray", rows: set[int]) -> "np.ndarray":
    import numpy as np  # noqa: PLC0415 (slow import)

    return np.delete(figures, list(rows)) if rows else figures


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
        (replace(choice, similar=tuple(row for row in choice.similar if row not in shown)), team)
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
    table: _Table, at: int, drafted: "Sequence[tuple[Choice, str | None]]"
) -> tuple[Pick, ...]:
    from digest.ranking.reasons import key_sentences, sentence  # noqa: PLC0415 (slow import)

    readers, papers = table.readers, table.window.papers
    found = _reasons(table, at, [choice for choice, _ in drafted])
    marked = key_sentences(
        table.insight, at, table.window.sentences, [choice.row for choice, _ in drafted]
    )
    return tuple(
        Pick(
            digest_id=0,
            position=position,
            subscriber_id=readers.subscribers[at].id or 0,
            paper_id=papers[choice.row].id or 0,
            score=choice.score,
            exploring=choice.exploring,
            sentence=marked[position - 1],
            similar=[papers[row].id or 0 for row in choice.similar] or None,
            reason=EXPLORING if choice.exploring else sentence(reasons, table.titles),
            topic=None if choice.exploring else _topic(reasons),
            team=team,
        )
        for position, ((choice, team), reasons) in enumerate(
            zip(drafted, found, strict=True), start=1
        )
    )


def _reasons(table: _Table, at: int, choices: "Sequence[Choice]") -> "list[tuple[Reason, ...]]":
    """The model's reasons, and before them the author that the reader follows."""
    from digest.ranking.reasons import Reason, reasons  # noqa: PLC0415 (slow import)

    found = reasons(table.insight, at, [choice.row for choice in choices])
    return [
        (Reason("author", choice.followed, 1.0), *each) if choice.followed else each
        for choice, each in zip(choices, found, strict=True)
    ]


def _topic(found: "Sequence[Reason]") -> str | None:
    """The topic that says most for the paper; reasons come most telling first."""
    return next((reason.label for reason in found if reason.kind == "topic"), None)


def _table(app: "App", subscribers: Sequence[Subscriber], day: date, *, again: bool) -> _Table:
    from digest.ranking.ranker import score  # noqa: PLC0415 (slow import)
    from digest.ranking.reasons import insight  # noqa: PLC0415 (slow import)

    space = training.feature_space(app)
    window = _window(app, space, day)
    readers = training.ready(app, space, subscribers)
    with app.db.read() as session:
        titles = titles_by_id(session, map(int, readers.known.ids))
        closed = _closed(session, readers, window, again=again)
    scores = score(space, readers.rankers, readers.profile_rows, readers.known, window.rows)
    ranking = app.settings.ranking
    return _Table(
        window,
        readers,
        scores,
        closed,
        insight(
            space,
            readers.rankers,
            readers.profiles,
            readers.profile_rows,
            readers.known,
            window.rows,
        ),
        titles,
        ranking,
        challenger(app.settings),
    )


def challenger(settings: "Settings") -> "Ranking | None":
    """The rules to compare with those of the ranking, whose own stand for what is left out."""
    given = settings.challenger.model_dump(exclude_none=True)
    return settings.ranking.model_copy(update=given) if given else None


# The day's papers


def _window(app: "App", space: "FeatureSpace", day: date) -> Window:
    with app.db.read() as session:
        stamp = session.exec(
            select(func.count(), func.max(Paper.updated_at)).where(_within(day))
        ).one()
    return _load_window(app.db, space.version, day, tuple(stamp))


def _within(day: date) -> Any:
    return col(Paper.announced_day).between(*schedule.window(day))


@lru_cache(maxsize=2)
def _load_window(
    db: Db,
    version: str,
    day: date,
    stamp: tuple[Any, ...],  # noqa: ARG001 (a paper that came or changed makes another entry)
) -> Window:
    import numpy as np  # noqa: PLC0415 (slow import)

    from digest.ranking.features import PaperRows  # noqa: PLC0415 (slow import)
    from digest.ranking.reasons import sentence_rows  # noqa: PLC0415 (slow import)
    from digest.ranking.selection import Credits  # noqa: PLC0415 (slow import)

    space = training.load_space(db, version)
    newest_first = (col(Paper.announced_day).desc(), col(Paper.id))
    with db.read() as session:
        papers = tuple(session.exec(select(Paper).where(_within(day)).order_by(*newest_first)))
    return Window(
        day,
        papers,
        PaperRows(tuple(str(paper.id) for paper in papers), space.transform(papers)),
        Credits(
            tuple(tuple(paper.authors) for paper in papers),
            tuple(f"{paper.title} {paper.abstract}" for paper in papers),
        ),
        sentence_rows(space, papers),
        np.array([paper.announced_day.toordinal() for paper in papers if paper.announced_day]),
        np.array([paper.announced_at.timestamp() for paper in papers if paper.announced_at]),
    )


# What a reader has had


def _closed(session: Session, readers: "Readers", window: Window, *, again: bool) -> list[set[int]]:
    """Per reader the rows that were covered by an earlier digest, sent before, or voted on; all
    rows where `again` and the day's digest is there already."""
    ids = [subscriber.id or 0 for subscriber in readers.subscribers]
    last = _last_digests(session, ids, window.day)
    had = _had(session, ids, window.day) if again else set()
    sent = _sent(session, ids, window.day)
    row_of = window.rows.row_of
    closed = []
    for subscriber in ids:
        if subscriber in had:
            closed.append(set(row_of.values()))
            continue
        voted = {paper for paper, vote in readers.votes[subscriber] if vote}
        names = map(str, voted | sent.get(subscriber, set()))
        rows = {row_of[name] for name in names if name in row_of}
        closed.append(rows | _covered(window, last.get(subscriber)))
    return closed


def _covered(window: Window, last: tuple[date, datetime] | None) -> set[int]:
    """The rows that the digest of `last` (its day, when it was made) could have held."""
    if last is None:
        return set()
    day, made_at = last
    old = (window.days <= day.toordinal()) & (window.recorded <= made_at.timestamp())
    return set(old.nonzero()[0].tolist())


def _last_digests(
    session: Session, ids: Sequence[int], before: date
) -> dict[int, tuple[date, datetime]]:
    found = session.exec(
        select(Digest)
        .where(col(Digest.subscriber_id).in_(ids))
        .where(col(Digest.day).between(schedule.window(before)[0], before - schedule.DAY))
        .order_by(col(Digest.day))
    )
    return {digest.subscriber_id: (digest.day, digest.created_at) for digest in found}


def _had(session: Session, ids: Sequence[int], day: date) -> set[int]:
    return set(
        session.exec(
            select(Digest.subscriber_id).where(
                col(Digest.subscriber_id).in_(ids), Digest.day == day
            )
        )
    )


def _sent(session: Session, ids: Sequence[int], day: date) -> dict[int, set[int]]:
    """The papers that could be offered again but were in a digest of another day."""
    found = session.exec(
        select(Pick)
        .join(Digest, col(Digest.id) == Pick.digest_id)
        .join(Paper, col(Paper.id) == Pick.paper_id)
        .where(col(Pick.subscriber_id).in_(ids), Digest.day != day, _within(day))
    )
    sent: dict[int, set[int]] = {}
    for pick in found:
        sent.setdefault(pick.subscriber_id, set()).add(pick.paper_id)
    return sent


def _chance(score: float) -> float:
    return 1 / (1 + exp(-max(-50.0, min(50.0, score))))


def _logit(chance: float | None) -> float | None:
    if chance is None:
        return None
    chance = min(max(chance, 1e-9), 1 - 1e-9)
    return log(chance / (1 - chance))
