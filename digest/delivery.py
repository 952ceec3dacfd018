"""From due subscribers to digests in the outbox, and out: one digest a day, whatever is rerun."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import update
from sqlmodel import Session, col, select

from digest import editions, schedule, training
from digest.db import insert_new
from digest.mail import outbox
from digest.models import Digest, Pick, Subscriber
from digest.picking import Plan, latest_day, plans
from digest.subscribers import find

if TYPE_CHECKING:
    from digest.app import App

BLOCK = 200
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Delivered:
    """How many digests were sent, failed, are in doubt; `skipped` had nothing new to read."""

    sent: int
    failed: int
    in_doubt: int
    skipped: int


def deliver(
    app: "App",
    day: date | None = None,
    only: str | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Delivered:
    """Prepares what is due (with `day`: that day's digests, whatever the hour) and sends it.

    `only` is one subscriber's address; `progress` is told of (done, all), first of preparing, then
    of sending.
    Raises NotFound where `only` is nobody, MailError where the server refuses us as a whole.
    """
    with app.db.read() as session:
        reader = find(session, only).id if only is not None else None
    made, skipped = prepare(app, day, reader, dry_run=dry_run, progress=progress)
    if dry_run:
        return Delivered(made, 0, 0, skipped)
    sent = outbox.send_due(app, progress, only=reader)
    return Delivered(sent.sent, sent.failed, sent.in_doubt, skipped)


def prepare(
    app: "App",
    day: date | None = None,
    only: int | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Puts due digests (`only`: this subscriber's) into the outbox; gives how many, and how many
    readers had nothing to read."""
    now = app.now()
    with app.db.read() as session:
        due = _due(session, now, day, only)
        covered = day or latest_day(session, now)
    if not due:
        return 0, 0
    if covered is not None:
        training.refit_if_due(app)
    made = done = 0
    for block in _blocks(due):
        with app.db.read() as session:
            subscribers = _subscribers(session, block)
        planned = plans(app, subscribers, covered, again=day is None) if covered else []
        full = [plan for plan in planned if plan.picks]
        made += len(full)
        done += len(block)
        if not dry_run:
            _keep(app, subscribers, full, now, on_schedule=day is None)
        if progress is not None:
            progress(done, len(due))
    return made, len(due) - made


def _due(session: Session, now: datetime, day: date | None, only: int | None) -> list[int]:
    query = select(Subscriber.id).where(Subscriber.status == "active")
    if only is not None:
        query = query.where(Subscriber.id == only)
    if day is None:
        query = query.where(col(Subscriber.next_digest_at) <= now)
    else:
        has = select(Digest.subscriber_id).where(Digest.day == day)
        query = query.where(col(Subscriber.id).not_in(has))
    found = session.exec(query.order_by(col(Subscriber.next_digest_at), col(Subscriber.id)))
    return [key for key in found if key is not None]


def _keep(
    app: "App",
    subscribers: Sequence[Subscriber],
    planned: Sequence[Plan],
    now: datetime,
    *,
    on_schedule: bool,
) -> None:
    """One transaction: the dates move on, and each digest is there with its picks and message.

    Who has nothing to read is due again at the next date; what comes until then goes into that
    digest.
    """
    by_reader = {plan.subscriber.id: plan for plan in planned}
    with app.db.write() as session:
        if planned:
            papers = {pick.paper_id for plan in planned for pick in plan.picks}
            editions.freeze(session, planned[0].day, papers, now)
        for subscriber in subscribers:
            if on_schedule and not _advance(session, subscriber, now):
                continue  # another process was faster
            if subscriber.id in by_reader:
                _insert(session, by_reader[subscriber.id], now)


def _advance(session: Session, subscriber: Subscriber, now: datetime) -> bool:
    following = schedule.next_due(
        now, subscriber.frequency, subscriber.send_at, subscriber.timezone
    )
    changed = session.exec(
        update(Subscriber)
        .where(col(Subscriber.id) == subscriber.id, col(Subscriber.status) == "active")
        .where(col(Subscriber.next_digest_at) == subscriber.next_digest_at)
        .values(next_digest_at=following)
    )
    return changed.rowcount == 1


def _insert(session: Session, plan: Plan, now: datetime) -> None:
    digest = {
        "subscriber_id": plan.subscriber.id,
        "day": plan.day,
        "since": plan.since,
        "candidates": plan.candidates,
        "created_at": now,
    }
    kept = insert_new(session, Digest, [digest], returning=col(Digest.id))
    if not kept:  # the day's digest was made meanwhile
        return
    insert_new(session, Pick, [pick.model_dump() | {"digest_id": kept[0]} for pick in plan.picks])
    outbox.enqueue(session, "digest", plan.subscriber.id or 0, now, digest_id=kept[0])


def _subscribers(session: Session, ids: Sequence[int]) -> list[Subscriber]:
    return list(
        session.exec(
            select(Subscriber).where(col(Subscriber.id).in_(ids)).order_by(col(Subscriber.id))
        )
    )


def _blocks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), BLOCK):
        yield ids[start : start + BLOCK]
