"""The feature space and the readers' rankers: fitted where stale, kept in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from digest.db import Db
from digest.editions import papers_by_id
from digest.feedback import training_set
from digest.models import Paper, StoredRanker, StoredSpace, Subscriber
from digest.ranking.profile import Profile, Topic

if TYPE_CHECKING:
    from digest.app import App
    from digest.ranking.features import FeatureSpace, PaperRows
    from digest.ranking.ranker import Ranker

REFIT_AFTER = timedelta(days=7)
REFIT_GROWTH = 1.05
CORPUS = 60_000
# What a reader said of a paper trains that reader's model alone.
LISTED = col(Paper.version) > 0


@dataclass(frozen=True)
class Readers:
    """A block of subscribers, ready to be scored: one ranker, profile and profile row each."""

    subscribers: tuple[Subscriber, ...]
    profiles: tuple[Profile, ...]
    rankers: "tuple[Ranker, ...]"
    profile_rows: Any
    known: "PaperRows"
    votes: dict[int, list[tuple[int, int]]]


def feature_space(app: "App") -> "FeatureSpace":
    """The newest feature space; a first one is fitted where there is none."""
    with app.db.read() as session:
        version = session.exec(
            select(StoredSpace.version).order_by(col(StoredSpace.fitted_at).desc())
        ).first()
    return load_space(app.db, version) if version else refit(app)


def refit_if_due(app: "App") -> bool:
    """Fits a new feature space where the corpus has grown or a week has gone by."""
    with app.db.read() as session:
        stored = session.exec(
            select(StoredSpace.documents, StoredSpace.fitted_at).order_by(
                col(StoredSpace.fitted_at).desc()
            )
        ).first()
        papers = session.exec(select(func.count()).where(LISTED)).one()
    if papers == 0 or (stored is not None and not _is_stale(*stored, papers, app.now())):
        return False
    refit(app)
    return True


def _is_stale(documents: int, fitted_at: datetime, papers: int, now: datetime) -> bool:
    papers = min(papers, CORPUS)
    if papers > documents * REFIT_GROWTH:
        return True
    return papers > documents and now - fitted_at > REFIT_AFTER


def refit(app: "App") -> "FeatureSpace":
    """Fits the feature space to the newest papers and keeps it. No ranker is lost by it: rankers
    name papers, and a paper's row is made anew in any space."""
    from digest.ranking.features import FeatureSpace  # noqa: PLC0415 (slow import)

    with app.db.read() as session:
        newest = select(Paper).where(LISTED).order_by(col(Paper.id).desc())
        papers = session.exec(newest.limit(CORPUS)).all()
    space = FeatureSpace.fit(papers)
    with app.db.write() as session:
        session.exec(delete(StoredSpace))
        session.add(
            StoredSpace(
                version=space.version,
                documents=len(papers),
                fitted_at=app.now(),
                data=space.dumps(),
            )
        )
    return space


@lru_cache(maxsize=2)
def load_space(db: Db, version: str) -> "FeatureSpace":
    """The stored feature space of this version, kept in memory once read."""
    from digest.ranking.features import FeatureSpace  # noqa: PLC0415 (slow import)

    with db.read() as session:
        return FeatureSpace.loads(
            session.exec(select(StoredSpace.data).where(StoredSpace.version == version)).one()
        )


def profile(subscriber: Subscriber) -> Profile:
    """What the reader asked for, as the ranker takes it. A muted entry may be a word or a name."""
    return Profile(
        topics=tuple(Topic(text, weight) for text, weight in subscriber.topics),
        categories=tuple((code, weight) for code, weight in subscriber.categories),
        authors=tuple(subscriber.authors),
        muted_words=tuple(subscriber.muted),
        muted_authors=tuple(subscriber.muted),
    )


def ready(app: "App", space: "FeatureSpace", subscribers: Sequence[Subscriber]) -> Readers:
    """The block's rankers: read where they are good, trained and kept where they are stale."""
    from digest.ranking.features import PaperRows  # noqa: PLC0415 (slow import)
    from digest.ranking.ranker import Ranker  # noqa: PLC0415 (slow import)

    ids = [_id(subscriber) for subscriber in subscribers]
    profiles = tuple(profile(subscriber) for subscriber in subscribers)
    with app.db.read() as session:
        stored = _stored(session, subscribers, app.settings.ranking.solver)
        votes = training_set(session, ids)
        named = {paper for pairs in votes.values() for paper, vote in pairs if vote}
        named |= {int(paper) for kept in stored.values() for paper in Ranker.loads(kept).papers}
        # A paper named by its id alone says nothing until its text is there.
        papers = [paper for paper in papers_by_id(session, named) if paper.title or paper.abstract]
    known = PaperRows(tuple(str(paper.id) for paper in papers), space.transform(papers))
    rows = space.profile_rows(profiles)
    rankers = {subscriber: Ranker.loads(kept) for subscriber, kept in stored.items()}
    stale = [
        at
        for at, subscriber in enumerate(ids)
        if subscriber not in rankers
        or set(rankers[subscriber].papers) != set(_cast(votes.get(subscriber, []), known))
    ]
    for at in stale:
        rankers[ids[at]] = _train(space, votes.get(ids[at], []), rows[[at]], known)
    _keep(app, [subscribers[at] for at in stale], rankers)
    return Readers(
        tuple(subscribers),
        profiles,
        tuple(rankers[subscriber] for subscriber in ids),
        rows,
        known,
        {subscriber: votes.get(subscriber, []) for subscriber in ids},
    )


def _id(subscriber: Subscriber) -> int:
    assert subscriber.id is not None
    return subscriber.id


def _stored(session: Session, subscribers: Sequence[Subscriber], method: str) -> dict[int, bytes]:
    revision = {_id(subscriber): subscriber.revision for subscriber in subscribers}
    found = session.exec(
        select(StoredRanker).where(
            col(StoredRanker.subscriber_id).in_(revision), StoredRanker.method == method
        )
    )
    return {
        ranker.subscriber_id: ranker.data
        for ranker in found
        if ranker.revision == revision[ranker.subscriber_id]
    }


def _train(
    space: "FeatureSpace",
    pairs: Sequence[tuple[int, int]],
    profile_row: Any,
    known: "PaperRows",
) -> "Ranker":
    import numpy as np  # noqa: PLC0415 (slow import)

    from digest.ranking.ranker import Votes, fit  # noqa: PLC0415 (slow import)

    cast = _cast(pairs, known)
    names = tuple(cast)
    rows = known.matrix[[known.row_of[paper] for paper in names]]
    liked = np.array(list(cast.values()), bool)
    return fit(space, Votes(names, rows, liked), profile_row)


def _cast(pairs: Sequence[tuple[int, int]], known: "PaperRows") -> dict[str, bool]:
    """The votes that can be learned from: the paper's name, and whether it was a like."""
    named = ((str(paper), vote) for paper, vote in pairs if vote)
    return {paper: vote > 0 for paper, vote in named if paper in known.row_of}


def _keep(app: "App", subscribers: Sequence[Subscriber], rankers: "dict[int, Ranker]") -> None:
    if not subscribers:
        return
    with app.db.write() as session:
        for subscriber in subscribers:
            session.merge(
                StoredRanker(
                    subscriber_id=_id(subscriber),
                    revision=subscriber.revision,
                    method=app.settings.ranking.solver,
                    trained_at=app.now(),
                    data=rankers[_id(subscriber)].dumps(),
                )
            )
