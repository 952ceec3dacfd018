"""Votes: recording them, taking them back, and reading them in bulk for training."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, func, select

from digest.errors import InputError, NotFound
from digest.models import Feedback, Paper, PaperAlias, Pick, Subscriber
from digest.papers import parse_paper_id, storable
from digest.prepared import Prepared

VOTES = {"up": 1, "down": -1, "none": 0}
WORDS = {value: word for word, value in VOTES.items()}

_BUNDLE = 500
_BALLOTS = Prepared(
    sql_select(
        col(Pick.position),
        col(Paper.key),
        col(Paper.title),
        col(Paper.authors),
        col(Paper.categories),
        func.coalesce(Feedback.vote, 0).label("said"),
    )
    .join(Paper, col(Paper.id) == col(Pick.paper_id))
    .outerjoin(
        Feedback,
        (col(Feedback.paper_id) == col(Pick.paper_id))
        & (col(Feedback.subscriber_id) == col(Pick.subscriber_id)),
    )
    .where(
        col(Pick.digest_id) == bindparam("digest"), col(Pick.subscriber_id) == bindparam("reader")
    )
    .order_by(col(Pick.position))
)


@dataclass(frozen=True, slots=True)
class Voted:
    """A paper a reader voted on; `vote` is up or down, `source` the door it came by."""

    paper: Paper
    vote: str
    voted_at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Named:
    """What a list of papers shows of one."""

    key: str
    title: str
    authors: list[str]
    categories: list[str]


@dataclass(frozen=True, slots=True)
class Ballot:
    """A pick of a digest, and the reader's last word on it."""

    position: int
    paper: Named
    vote: str


def record(
    session: Session,
    subscriber_id: int,
    paper_id: int,
    vote: str,
    *,
    source: str,
    now: datetime,
) -> bool:
    """Makes `vote` (up, down, none) the reader's last word on the paper, within the caller's
    transaction. Whether that changed anything: the same vote again does not.

    `source` is the door: mail, web, cli or seed. Raises NotFound where the reader is gone.
    """
    check(vote)
    return note(session, reader(session, subscriber_id), paper_id, vote, source=source, now=now)


def reader(session: Session, subscriber_id: int) -> Subscriber:
    """The reader, whose row is locked, so that two votes at once follow each other (SQLite has one
    writer anyhow). Raises NotFound."""
    person = session.get(Subscriber, subscriber_id, with_for_update=True)
    if person is None:
        raise NotFound("there is no such subscriber any more")
    return person


def note(
    session: Session, person: Subscriber, paper_id: int, vote: str, *, source: str, now: datetime
) -> bool:
    """What `record` does, for a reader whose row is locked already."""
    paper = session.get(Paper, paper_id)
    if paper is not None and paper.merged_into is not None:  # an old mail's link still names it
        paper_id = paper.merged_into
    held = session.get(Feedback, (person.id, paper_id))
    if held is not None and held.vote == VOTES[vote]:
        return False
    if held is None:
        held = Feedback(
            subscriber_id=person.id or 0, paper_id=paper_id, vote=0, source=source, voted_at=now
        )
    held.vote, held.source, held.voted_at = VOTES[vote], source, now
    person.revision += 1
    session.add(held)
    session.add(person)
    return True


def check(vote: str) -> None:
    """Raises InputError for what is no vote."""
    if vote not in VOTES:
        raise InputError(f"{vote!r} is not a vote; expected up, down or none")


def votes(
    session: Session,
    subscriber_id: int,
    *,
    seeds: bool = False,
    skip: int = 0,
    limit: int | None = None,
) -> list[Voted]:
    """The votes that stand, newest first; `seeds`: only the papers that the reader named."""
    named = [Feedback.source == "seed"] if seeds else []
    rows = session.exec(
        select(Paper, Feedback)
        .join(Feedback, col(Feedback.paper_id) == col(Paper.id))
        .where(Feedback.subscriber_id == subscriber_id, Feedback.vote != 0, *named)
        .order_by(col(Feedback.voted_at).desc(), col(Paper.id))
        .offset(skip)
        .limit(limit)
    )
    return [Voted(paper, WORDS[held.vote], held.voted_at, held.source) for paper, held in rows]


def count_votes(session: Session, subscriber_id: int) -> dict[str, int]:
    """How many votes stand, `up` and `down`."""
    rows = session.exec(
        select(Feedback.vote, func.count())
        .where(Feedback.subscriber_id == subscriber_id, Feedback.vote != 0)
        .group_by(col(Feedback.vote))
    )
    return {"up": 0, "down": 0} | {WORDS[vote]: count for vote, count in rows}


def ballots(connection: Connection, subscriber_id: int, digest_id: int) -> list[Ballot]:
    """The picks of a reader's digest, in their order. Raises NotFound where the digest is not
    the reader's, or is gone."""
    rows = _BALLOTS.rows(connection, {"digest": digest_id, "reader": subscriber_id})
    if not rows:
        raise NotFound("there is no such digest")
    return [Ballot(position, Named(*paper), WORDS[said]) for position, *paper, said in rows]


def training_set(
    session: Session, subscriber_ids: Iterable[int]
) -> dict[int, list[tuple[int, int]]]:
    """Of each subscriber who voted, (paper id, vote) pairs by paper; 1 is up, -1 down, 0 a vote
    that was taken back."""
    wanted = sorted(subscriber_ids)
    table = Feedback.__table__.c  # type: ignore[attr-defined]
    pairs: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for start in range(0, len(wanted), _BUNDLE):
        rows = session.connection().execute(
            select(table.subscriber_id, table.paper_id, table.vote)
            .where(table.subscriber_id.in_(wanted[start : start + _BUNDLE]))
            .order_by(table.subscriber_id, table.paper_id)
        )
        for subscriber_id, paper_id, vote in rows:
            pairs[subscriber_id].append((paper_id, vote))
    return dict(pairs)


def vote_counts(session: Session, subscriber_ids: Iterable[int]) -> dict[int, int]:
    """How many votes each subscriber who voted has standing: those taken back are not counted."""
    wanted = sorted(subscriber_ids)
    table = Feedback.__table__.c  # type: ignore[attr-defined]
    query = select(table.subscriber_id, func.count()).group_by(table.subscriber_id)
    found: dict[int, int] = {}
    for start in range(0, len(wanted), _BUNDLE):
        some = (table.subscriber_id.in_(wanted[start : start + _BUNDLE]), table.vote != 0)
        found.update(session.connection().execute(query.where(*some)).all())
    return found


def cast_on(
    session: Session, subscriber_ids: Iterable[int], papers: Collection[int]
) -> list[tuple[int, int]]:
    """Which of the subscribers voted on which of the papers: (subscriber id, paper id)."""
    if not papers:
        return []
    wanted, among = sorted(subscriber_ids), set(papers)
    table = Feedback.__table__.c  # type: ignore[attr-defined]
    near = (table.paper_id.between(min(among), max(among)), table.vote != 0)
    query = select(table.subscriber_id, table.paper_id).where(*near)
    return [
        (subscriber, paper)
        for start in range(0, len(wanted), _BUNDLE)
        for subscriber, paper in session.connection().execute(
            query.where(table.subscriber_id.in_(wanted[start : start + _BUNDLE]))
        )
        if paper in among
    ]


def find_paper(session: Session, text: str) -> Paper:
    """The paper of an id, or of another id of the same work; an address, or an arXiv id with its
    version, will do. Raises NotFound, or InputError for what is no id."""
    paper = _known_as(session, text.strip())
    if paper is None:
        key = parse_paper_id(text)
        paper = _known_as(session, key)
        if paper is None:
            raise NotFound(f"there is no paper {key} here")
    return paper


def _known_as(session: Session, key: str) -> Paper | None:
    if not storable(key):
        return None
    return (
        session.exec(select(Paper).where(Paper.key == key)).first()
        or session.exec(
            select(Paper)
            .join(PaperAlias, col(PaperAlias.paper_id) == col(Paper.id))
            .where(PaperAlias.alias == key)
        ).first()
    )
