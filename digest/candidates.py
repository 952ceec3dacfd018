"""What a digest may draw on: the papers of its days, less what the reader has had."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from digest import hold, schedule, training
from digest.db import Db
from digest.models import Digest, Paper, Pick

if TYPE_CHECKING:
    import numpy as np

    from digest.app import App
    from digest.ranking.features import FeatureSpace, PaperRows
    from digest.ranking.reasons import SentenceRows
    from digest.ranking.selection import Credits
    from digest.training import Readers


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


def latest_day(session: Session, now: datetime) -> date | None:
    """The newest listing day that a digest sent now may cover; None where all is too old."""
    today = now.date()
    newest: date | None = session.exec(
        select(func.max(Paper.announced_day)).where(col(Paper.announced_day) <= today)
    ).one()
    return None if newest is None or newest < schedule.window(today)[0] else newest


def open_window(app: "App", space: "FeatureSpace", day: date) -> Window:
    """The papers that digests of the day may hold; made once and kept until one of them changes."""
    with app.db.read() as session:
        first, last = schedule.window(day)
        days = max(first, hold.resumed_from(session) or first), last
        stamp = session.exec(
            select(func.count(), func.max(Paper.updated_at)).where(_within(days))
        ).one()
    return _load_window(app.db, space.version, day, days, tuple(stamp))


def _within(days: tuple[date, date]) -> Any:
    return col(Paper.announced_day).between(*days)


@lru_cache(maxsize=2)
def _load_window(
    db: Db,
    version: str,
    day: date,
    days: tuple[date, date],
    stamp: tuple[Any, ...],  # noqa: ARG001 (a paper that came or changed makes another entry)
) -> Window:
    import numpy as np  # noqa: PLC0415 (slow import)

    from digest.ranking.features import PaperRows  # noqa: PLC0415 (slow import)
    from digest.ranking.reasons import sentence_rows  # noqa: PLC0415 (slow import)
    from digest.ranking.selection import Credits  # noqa: PLC0415 (slow import)

    space = training.load_space(db, version)
    newest_first = (col(Paper.announced_day).desc(), col(Paper.id))
    with db.read() as session:
        papers = tuple(session.exec(select(Paper).where(_within(days)).order_by(*newest_first)))
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


def closed_rows(
    session: Session, readers: "Readers", window: Window, *, again: bool
) -> list[set[int]]:
    """Per reader the rows that were covered by an earlier digest, sent before, or voted on; all
    rows where `again` and the day's digest is there already."""
    ids = [subscriber.id or 0 for subscriber in readers.subscribers]
    last = _last_digests(session, ids, window.day)
    had = _had(session, ids, window.day) if again else set()
    sent = _sent(session, ids, window.day)
    row_of = window.rows.row_of
    rows_of = []
    for subscriber in ids:
        if subscriber in had:
            rows_of.append(set(row_of.values()))
            continue
        voted = {paper for paper, vote in readers.votes[subscriber] if vote}
        names = map(str, voted | sent.get(subscriber, set()))
        rows = {row_of[name] for name in names if name in row_of}
        rows_of.append(rows | _covered(window, last.get(subscriber)))
    return rows_of


def old_rows(readers: "Readers", window: Window) -> list[set[int]]:
    """Per reader the rows that a first digest would leave out: those voted on and, but for a weekly
    one, those of the days before."""
    old = set((window.days < window.day.toordinal()).nonzero()[0].tolist())
    row_of, rows_of = window.rows.row_of, []
    for person in readers.subscribers:
        voted = (str(paper) for paper, vote in readers.votes[person.id or 0] if vote)
        rows = {row_of[name] for name in voted if name in row_of}
        rows_of.append(rows if person.frequency == "weekly" else rows | old)
    return rows_of


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
        .where(col(Pick.subscriber_id).in_(ids), Digest.day != day)
        .where(_within(schedule.window(day)))
    )
    sent: dict[int, set[int]] = {}
    for pick in found:
        sent.setdefault(pick.subscriber_id, set()).add(pick.paper_id)
    return sent
