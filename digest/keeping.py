"""A block of planned digests into the database, in one transaction: each whole, and once."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from digest import editions, news, outcomes, schedule
from digest.db import insert_new
from digest.mail.compose import papers_of
from digest.mail.outbox import enqueue_digests
from digest.models import Digest, Paper, Pick, Subscriber
from digest.prepared import Prepared

if TYPE_CHECKING:
    from digest.app import App
    from digest.picking import Plan

_BUNDLE = 500
_NEW_PICK = {
    "sqlite": Prepared(sqlite.insert(Pick).on_conflict_do_nothing()),
    "postgresql": Prepared(postgresql.insert(Pick).on_conflict_do_nothing()),
}
_PEOPLE = Subscriber.__table__.c  # type: ignore[attr-defined]
_PAPERS = Paper.__table__.c  # type: ignore[attr-defined]


def keep(
    app: "App",
    subscribers: Sequence[Subscriber],
    planned: Sequence["Plan"],
    now: datetime,
    *,
    on_schedule: bool,
) -> None:
    """The dates move on, and each digest is there with its picks and message.

    Who has nothing to read is due again at the next date; what comes until then goes into that
    digest, and why there was none today is kept.
    """
    whole = {each.subscriber.id: each for each in planned}
    with app.db.write() as session:
        ours = _advance(session, subscribers, now) if on_schedule else {p.id for p in subscribers}
        full = [e for e in _unmerged(session, planned) if e.picks and e.subscriber.id in ours]
        if full:
            papers = {paper for each in full for paper in papers_of(each.picks)}
            editions.freeze(session, full[0].day, papers, now)
            _insert(session, full, now, on_schedule=on_schedule)
        empty = ours - {each.subscriber.id for each in full} if on_schedule else set()
        passed = [(person, whole.get(person.id)) for person in subscribers if person.id in empty]
        outcomes.pass_over(session, passed, now)


def is_new(person: Subscriber) -> bool:
    """Confirming makes a digest due at once; the first one moves the date on."""
    return person.next_digest_at is not None and person.next_digest_at == person.confirmed_at


def digest_values(planned: "Plan", now: datetime, notes: list[dict[str, str]]) -> dict[str, Any]:
    """The plan as a row of `digest`; `notes` are its news."""
    return {
        "subscriber_id": planned.subscriber.id,
        "day": planned.day,
        "since": planned.since,
        "candidates": planned.candidates,
        "news": notes,
        "also": [{"title": paper.title, "url": paper.url, "line": ""} for paper in planned.also],
        "welcome": is_new(planned.subscriber),
        "reasons": [pick.reason for pick in planned.picks],
        "created_at": now,
    }


def _advance(session: Session, subscribers: Sequence[Subscriber], now: datetime) -> set[int | None]:
    """Moves the dates on that still are what was read, and gives whose; the others were served by
    another process. The rows are locked in the order of their ids, so that two processes wait for
    each other and never meet a deadlock."""
    stored = sa.select(_PEOPLE.id, _PEOPLE.next_digest_at).order_by(_PEOPLE.id).with_for_update()
    still: dict[int | None, datetime | None] = {}
    for some in _bundles([person.id for person in subscribers]):
        which = (_PEOPLE.id.in_(some), _PEOPLE.status == "active")
        still.update(session.execute(stored.where(*which)).all())
    ours = [p for p in subscribers if p.id in still and still[p.id] == p.next_digest_at]
    following: dict[datetime, list[int | None]] = {}
    for person in ours:
        due = schedule.next_due(now, person.frequency, person.send_at, person.timezone)
        following.setdefault(due, []).append(person.id)
    for due, ids in following.items():
        for some in _bundles(ids):
            moved = sa.update(Subscriber).where(_PEOPLE.id.in_(some)).values(next_digest_at=due)
            session.connection().execute(moved)
    return {person.id for person in ours}


def _unmerged(session: Session, planned: Sequence["Plan"]) -> Sequence["Plan"]:
    """The plans without papers that were merged since they were made, and were sent under the
    other name or come with the next digest under it."""
    pairs: list[tuple[int, int]] = []
    merged = sa.select(_PAPERS.id, _PAPERS.merged_into).where(_PAPERS.merged_into.is_not(None))
    for some in _bundles(sorted({pick.paper_id for each in planned for pick in each.picks})):
        other = sa.or_(_PAPERS.id.in_(some), _PAPERS.merged_into.in_(some))
        pairs += session.execute(merged.where(other)).all()
    if not pairs:
        return planned
    gone, stays = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    readers = [each.subscriber.id for each in planned]
    sent = sa.select(col(Pick.subscriber_id), col(Pick.paper_id)).where(
        col(Pick.subscriber_id).in_(readers), col(Pick.paper_id).in_(stays)
    )
    had = set(session.execute(sent).all())
    left = [
        [
            pick
            for pick in each.picks
            if pick.paper_id not in gone and (each.subscriber.id, pick.paper_id) not in had
        ]
        for each in planned
    ]
    return [replace(each, picks=tuple(picks)) for each, picks in zip(planned, left, strict=True)]


def _insert(
    session: Session, planned: Sequence["Plan"], now: datetime, *, on_schedule: bool
) -> None:
    """The digests whose day's digest was not made meanwhile, their picks, news and messages."""
    untold = news.untold(session, [each.subscriber.id or 0 for each in planned], now)
    told = {reader: news.notes(pieces) for reader, pieces in untold.items()}
    rows = [
        digest_values(each, now, told.get(each.subscriber.id or 0, ([], []))[0]) for each in planned
    ]
    made = insert_new(session, Digest, rows, returning=col(Digest.id))
    numbers = sa.select(col(Digest.subscriber_id), col(Digest.id)).where(col(Digest.id).in_(made))
    number_of = dict(session.execute(numbers).all())
    kept = [each for each in planned if each.subscriber.id in number_of]
    connection = session.connection()
    _NEW_PICK[connection.dialect.name].many(
        connection,
        [
            {
                "digest_id": number_of[each.subscriber.id or 0],
                "position": position,
                "subscriber_id": each.subscriber.id,
                "paper_id": pick.paper_id,
                "shown_as": None,
                "score": pick.score,
                "exploring": pick.exploring,
                "sentence": pick.sentence,
                "similar": pick.similar,
                "topic": pick.topic,
                "team": pick.team,
            }
            for each in kept
            for position, pick in enumerate(each.picks, start=1)
        ],
    )
    for reader in told.keys() & number_of.keys():
        news.keep_told(session, reader, told[reader][1], number_of[reader])
    enqueue_digests(
        session,
        [
            (
                each.subscriber.id or 0,
                number_of[each.subscriber.id or 0],
                (each.subscriber.next_digest_at if on_schedule else None) or now,
                is_new(each.subscriber),
            )
            for each in kept
        ],
        now,
    )


def _bundles(ids: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (ids[start : start + _BUNDLE] for start in range(0, len(ids), _BUNDLE))
