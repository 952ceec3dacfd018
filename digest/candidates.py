"""What a digest may draw on: the papers of its days, less what the reader has had."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import func
from sqlmodel import Session, col, select

from digest import hold, paper_rows, schedule, training
from digest.db import Db
from digest.feedback import cast_on
from digest.models import Digest, Paper, Pick, Subscriber

if TYPE_CHECKING:
    import numpy as np

    from digest.app import App
    from digest.ranking.closely import SentenceRows
    from digest.ranking.credits import Credits
    from digest.ranking.features import FeatureSpace, PaperRows

_DIGESTS = Digest.__table__.c  # type: ignore[attr-defined]
_PICKS = Pick.__table__.c  # type: ignore[attr-defined]


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

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """The papers' ids."""
        return tuple(map(int, self.rows.ids))

    @cached_property
    def newest(self) -> "Window":
        """The papers of the newest day, which come first, without the others."""
        return self._first(int((self.days == self.days[:1]).sum()))

    def _first(self, count: int) -> "Window":
        from digest.ranking.features import PaperRows  # noqa: PLC0415 (slow import)

        if count == len(self.papers):
            return self
        return replace(
            self,
            papers=self.papers[:count],
            rows=PaperRows(self.rows.ids[:count], self.rows.rows[:count]),
            credit=self.credit.first(count),
            days=self.days[:count],
            recorded=self.recorded[:count],
        )


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

    from digest.ranking.closely import SentenceRows  # noqa: PLC0415 (slow import)
    from digest.ranking.credits import Credits  # noqa: PLC0415 (slow import)
    from digest.ranking.features import PaperRows  # noqa: PLC0415 (slow import)

    space = training.load_space(db, version)
    newest_first = (col(Paper.announced_day).desc(), col(Paper.id))
    with db.read() as session:
        papers = tuple(session.exec(select(Paper).where(_within(days)).order_by(*newest_first)))
    return Window(
        day,
        papers,
        PaperRows(tuple(str(paper.id) for paper in papers), paper_rows.rows_of(db, space, papers)),
        Credits(
            tuple(tuple(paper.authors) for paper in papers),
            tuple(f"{paper.title} {paper.abstract}" for paper in papers),
        ),
        SentenceRows(space, papers),
        np.array([paper.announced_day.toordinal() for paper in papers if paper.announced_day]),
        np.array([paper.announced_at.timestamp() for paper in papers if paper.announced_at]),
    )


# What a reader has had


def closed_rows(
    session: Session, readers: Sequence[Subscriber], window: Window, *, again: bool
) -> "np.ndarray":
    """Whether each reader's digest may not hold each paper (readers × papers), for it was covered
    by an earlier digest, sent before, or voted on; or where `again`, the day's digest is there."""
    ids = [subscriber.id or 0 for subscriber in readers]
    last = _last_digests(session, ids, window.day)
    closed = _voted(session, ids, window)
    for at, subscriber in enumerate(ids):
        if subscriber in last:
            closed[at] |= _covered(window, *last[subscriber])
    _close_sent(session, ids, window, closed)
    if again:
        had = _had(session, ids, window.day)
        closed[[at for at, subscriber in enumerate(ids) if subscriber in had]] = True
    return closed


def old_rows(session: Session, readers: Sequence[Subscriber], window: Window) -> "np.ndarray":
    """The same for a first digest, which leaves out what was voted on and, but for a weekly one,
    the days before."""
    closed = _voted(session, [person.id or 0 for person in readers], window)
    for at, person in enumerate(readers):
        if person.frequency != "weekly":
            closed[at] |= window.days < window.day.toordinal()
    return closed


def _voted(session: Session, ids: Sequence[int], window: Window) -> "np.ndarray":
    import numpy as np  # noqa: PLC0415 (slow import)

    row_of, closed = window.rows.row_of, np.zeros((len(ids), len(window.days)), bool)
    at = {subscriber: row for row, subscriber in enumerate(ids)}
    for subscriber, paper in cast_on(session, ids, window.ids):
        closed[at[subscriber], row_of[str(paper)]] = True
    return closed


def _covered(window: Window, day: date, made_at: datetime) -> Any:
    """The rows that the digest of `day`, made then, could have held."""
    return (window.days <= day.toordinal()) & (window.recorded <= made_at.timestamp())


def _last_digests(
    session: Session, ids: Sequence[int], before: date
) -> dict[int, tuple[date, datetime]]:
    """Of each reader the last digest before that day; what nobody saw has no picks any more."""
    columns = sa.select(_DIGESTS.subscriber_id, _DIGESTS.day, _DIGESTS.created_at)
    seen = sa.exists().where(_PICKS.digest_id == _DIGESTS.id)
    found = session.execute(
        columns.where(_DIGESTS.subscriber_id.in_(ids), seen)
        .where(_DIGESTS.day.between(schedule.window(before)[0], before - schedule.DAY))
        .order_by(_DIGESTS.day)
    )
    return {subscriber: (day, made_at) for subscriber, day, made_at in found}


def _had(session: Session, ids: Sequence[int], day: date) -> set[int]:
    which = (_DIGESTS.subscriber_id.in_(ids), _DIGESTS.day == day)
    return set(session.scalars(sa.select(_DIGESTS.subscriber_id).where(*which)))


def _close_sent(session: Session, ids: Sequence[int], window: Window, closed: "np.ndarray") -> None:
    """Closes what is open and was in a digest of another day. Of all that a reader ever got, only
    the picks among the open papers' ids are looked at."""
    import numpy as np  # noqa: PLC0415 (slow import)

    left = [int(window.rows.ids[row]) for row in np.flatnonzero(~closed.all(axis=0))]
    if not left:
        return
    found = session.execute(
        sa.select(_PICKS.subscriber_id, _PICKS.paper_id)
        .join(Digest, _DIGESTS.id == _PICKS.digest_id)
        .where(_PICKS.subscriber_id.in_(ids), _PICKS.paper_id.between(min(left), max(left)))
        .where(_DIGESTS.day != window.day)
    )
    at = {subscriber: row for row, subscriber in enumerate(ids)}
    for subscriber, paper in found:
        if str(paper) in window.rows.row_of:
            closed[at[subscriber], window.rows.row_of[str(paper)]] = True
