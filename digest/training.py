"""The feature space and the readers' rankers: fitted where stale, kept in the database."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import delete, func
from sqlalchemy.exc import NoResultFound
from sqlmodel import Session, col, select

from digest import fitting, paper_rows
from digest.db import Db, alone, upsert
from digest.feedback import training_set, vote_counts
from digest.models import Paper, StoredRanker, StoredSpace, Subscriber
from digest.ranking.profile import Profile, Topic

if TYPE_CHECKING:
    from digest.app import App
    from digest.ranking.features import FeatureSpace, PaperRows
    from digest.ranking.ranker import Ranker, Solver
    from digest.ranking.rows import Rows

NEWS, FLOOD = 0.01, 0.05  # of the papers that a space knows: so many are learned in a day, at once
LASTS = timedelta(days=7)
READABLE = col(StoredSpace.corpus).is_not(None)  # earlier releases stored another form


@dataclass(frozen=True)
class _Last:
    """The space that this process fitted last: of how many papers, the highest id that one had, and
    when. `base` is the version of the stored space, which may be the former one; `ahead` counts the
    papers that came since that was stored."""

    space: "FeatureSpace"
    base: str
    ahead: int
    documents: int
    newest: int
    fitted_at: datetime


_LAST: dict[Db, _Last] = {}


@dataclass(frozen=True)
class Readers:
    """A block of subscribers, ready to be scored: one ranker, profile and profile row each."""

    subscribers: tuple[Subscriber, ...]
    profiles: tuple[Profile, ...]
    rankers: "tuple[Ranker, ...]"
    profile_rows: "Rows"
    known: "PaperRows"

    def some(self, rows: Any) -> "Readers":
        """Some of them, by their places."""
        if len(rows) == len(self.subscribers):
            return self
        return Readers(
            tuple(self.subscribers[at] for at in rows),
            tuple(self.profiles[at] for at in rows),
            tuple(self.rankers[at] for at in rows),
            self.profile_rows[rows],
            self.known,
        )


def feature_space(app: "App") -> "FeatureSpace":
    """The newest feature space; a first one is fitted where there is none."""
    return stored_space(app) or refit(app)


def stored_space(app: "App") -> "FeatureSpace | None":
    """The newest feature space; None before the first was fitted, and after an upgrade until it is
    fitted anew."""
    while version := _newest(app):
        with suppress(NoResultFound):  # another process has just replaced it
            try:
                return load_space(app.db, version)
            except ValueError:  # of another form
                return None
    return None


def _newest(app: "App") -> str | None:
    """The version of the stored space, or of one that this process has fitted beyond it."""
    newest = select(StoredSpace.version).where(READABLE)
    with app.db.read() as session:
        stored = session.exec(newest.order_by(col(StoredSpace.fitted_at).desc())).first()
    last = _last(app, stored)
    return last.space.version if last else stored


def _last(app: "App", stored: str | None) -> _Last | None:
    """What this process fitted last, where it goes on from what is stored."""
    last = _LAST.get(app.db)
    return last if last and last.base == stored else None


def refit_if_due(app: "App") -> bool:
    """Fits a new feature space where papers were listed since: once a day where they are a
    hundredth of those that it knows, else once a week, so that the fits cost as much as papers
    come, however many are there; and at once where they are a twentieth, as when an archive is
    read in. While another process is at it, the former space serves."""
    with app.db.turn("features") as ours:
        return ours and _refit_if_due(app)


def _refit_if_due(app: "App") -> bool:
    newest_first = col(StoredSpace.fitted_at).desc()
    known = select(
        StoredSpace.documents, StoredSpace.newest, StoredSpace.fitted_at, StoredSpace.version
    )
    with app.db.read() as session:
        stored = session.exec(known.where(READABLE).order_by(newest_first)).first()
        if stored and (last := _last(app, stored[3])):
            documents, newest, fitted_at = last.documents, last.newest, last.fitted_at
        elif stored:
            documents, newest, fitted_at, _ = stored
        news = col(Paper.id) > (newest if stored else 0)
        if stored:  # what a reader had named before is news on the day on which it is listed
            lately = col(Paper.announced_day) >= (fitted_at - LASTS).date()
            news = sa.or_(news, lately & (col(Paper.announced_at) > fitted_at))
        came = session.exec(select(func.count()).where(fitting.LISTED, news)).one()
    if not came or (stored and not _is_stale(documents, came, fitted_at.date(), app.now().date())):
        return False
    _refit(app, came)
    return True


def _is_stale(documents: int, came: int, fitted_on: date, today: date) -> bool:
    # The day's own papers matter: what they share with one liked paper alone is no term before.
    of_a_day = today > fitted_on and came >= documents * NEWS
    return of_a_day or came > documents * FLOOD or today >= fitted_on + LASTS


def refit(app: "App") -> "FeatureSpace":
    """Fits the feature space to the newest papers and stores it. No ranker is lost by it: rankers
    name papers, and a paper's row is made anew in any space."""
    return _refit(app, None)


def _refit(app: "App", came: int | None) -> "FeatureSpace":
    """Fits the space, which then is in this process's memory, and stores it where it has to be:
    with `came`, the papers since the former fit, a process that has fitted the former space too,
    and shares its database with no other machine, stores the next when a twentieth is new. For to
    store a space takes as long as to fit it."""
    read_at, former, last = app.now(), stored_space(app), _LAST.get(app.db)
    if last and (former is None or last.space.version != former.version):
        last = None
    fitted = fitting.fit(app, former)
    load_space.cache_clear()  # the former one goes now, and its memory
    new = _Last(
        fitted.space,
        last.base if last else former.version if former else "",
        (last.ahead if last else 0) + (came or 0),
        fitted.papers.shape[1],
        int(fitted.papers[0].max(initial=0)),
        read_at,
    )
    ours = last is not None and came is not None and app.db.file is not None
    _LAST.clear()
    _LAST[app.db] = new
    del former, last
    if not ours or new.ahead > FLOOD * new.documents or not fitted.space.latent.moved:
        _store(app, new, fitted)
        _LAST[app.db] = replace(new, base=new.space.version, ahead=0)
    return load_space(app.db, new.space.version)


def _store(app: "App", last: _Last, fitted: fitting.Fitted) -> None:
    row = StoredSpace(
        version=last.space.version,
        documents=last.documents,
        newest=last.newest,
        fitted_at=last.fitted_at,
        papers=fitted.papers.astype("<i8").tobytes(),
        data=last.space.dumps(),
        corpus=fitted.corpus.dumps(),
    )
    with app.db.write() as session:
        alone(session, "features")
        session.exec(delete(StoredSpace))
        session.add(row)


@lru_cache(maxsize=1)
def load_space(db: Db, version: str) -> "FeatureSpace":
    """The feature space of this version, kept in memory once fitted or read."""
    from digest.ranking.features import FeatureSpace  # noqa: PLC0415 (slow import)

    if (last := _LAST.get(db)) and last.space.version == version:
        return last.space
    with db.read() as session:
        space = FeatureSpace.loads(
            session.exec(select(StoredSpace.data).where(StoredSpace.version == version)).one()
        )
    vars(space)["version"] = version  # to hash it again would take seconds
    return space


def profile(subscriber: Subscriber) -> Profile:
    """What the reader asked for, as the ranker takes it. A muted entry may be a word or a name."""
    return Profile(
        topics=tuple(Topic(text, weight) for text, weight in subscriber.topics),
        categories=tuple((code, weight) for code, weight in subscriber.categories),
        authors=tuple(subscriber.authors),
        muted_words=tuple(subscriber.muted),
        muted_authors=tuple(subscriber.muted),
    )


def ready(
    app: "App", space: "FeatureSpace", subscribers: Sequence[Subscriber], *, keep: bool = True
) -> Readers:
    """The block's rankers: read where they are good, trained where they are stale, and kept then
    but for a look that changes nothing."""
    ids = [_id(subscriber) for subscriber in subscribers]
    profiles = tuple(profile(subscriber) for subscriber in subscribers)
    with app.db.read() as session:
        rankers = _stored(session, subscribers, app.settings.ranking.solver)
        doubtful = _doubtful(session, ids, rankers)
        votes = training_set(session, doubtful)
        named = {paper for pairs in votes.values() for paper, vote in pairs if vote}
        named |= {int(paper) for ranker in rankers.values() for paper in ranker.papers}
        known = paper_rows.known(app.db, space, session, named)
    rows = space.profile_rows(profiles)
    stale = [
        at
        for at, subscriber in enumerate(ids)
        if subscriber not in rankers
        or (
            subscriber in doubtful
            and set(rankers[subscriber].papers) != set(_cast(votes.get(subscriber, []), known))
        )
    ]
    for at in stale:
        pairs = votes.get(ids[at], [])
        rankers[ids[at]] = _train(space, pairs, rows[[at]], known, app.settings.ranking.solver)
    if keep:
        _keep(app, [subscribers[at] for at in stale], rankers)
    return Readers(
        tuple(subscribers),
        profiles,
        tuple(rankers[subscriber] for subscriber in ids),
        rows,
        known,
    )


def _doubtful(session: Session, ids: Sequence[int], rankers: "dict[int, Ranker]") -> set[int]:
    """Whose votes must be read: who has no ranker, or one that learned from another number of
    votes, some having been on papers whose text was not there."""
    counts = vote_counts(session, ids)
    return {
        subscriber
        for subscriber in ids
        if subscriber not in rankers or len(rankers[subscriber].papers) != counts.get(subscriber, 0)
    }


def _id(subscriber: Subscriber) -> int:
    assert subscriber.id is not None
    return subscriber.id


def _stored(
    session: Session, subscribers: Sequence[Subscriber], method: str
) -> "dict[int, Ranker]":
    from digest.ranking.ranker import Ranker  # noqa: PLC0415 (slow import)

    revision = {_id(subscriber): subscriber.revision for subscriber in subscribers}
    kept = StoredRanker.__table__.c  # type: ignore[attr-defined]
    found = session.execute(
        sa.select(kept.subscriber_id, kept.revision, kept.data).where(
            kept.subscriber_id.in_(revision), kept.method == method
        )
    )
    return {reader: Ranker.loads(data) for reader, at, data in found if at == revision[reader]}


def _train(
    space: "FeatureSpace",
    pairs: Sequence[tuple[int, int]],
    profile_row: "Rows",
    known: "PaperRows",
    solver: "Solver",
) -> "Ranker":
    import numpy as np  # noqa: PLC0415 (slow import)

    from digest.ranking.ranker import Votes, fit  # noqa: PLC0415 (slow import)

    cast = _cast(pairs, known)
    names = tuple(cast)
    rows = known.rows[[known.row_of[paper] for paper in names]]
    liked = np.array(list(cast.values()), bool)
    return fit(space, Votes(names, rows, liked), profile_row, solver=solver)


def _cast(pairs: Sequence[tuple[int, int]], known: "PaperRows") -> dict[str, bool]:
    """The votes that can be learned from: the paper's name, and whether it was a like."""
    named = ((str(paper), vote) for paper, vote in pairs if vote)
    return {paper: vote > 0 for paper, vote in named if paper in known.row_of}


def _keep(app: "App", subscribers: Sequence[Subscriber], rankers: "dict[int, Ranker]") -> None:
    rows = [
        {
            "subscriber_id": _id(subscriber),
            "revision": subscriber.revision,
            "method": app.settings.ranking.solver,
            "trained_at": app.now(),
            "data": rankers[_id(subscriber)].dumps(),
        }
        for subscriber in subscribers
    ]
    if rows:
        with app.db.write() as session:
            upsert(session, StoredRanker, rows)
