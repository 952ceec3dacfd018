"""From due subscribers to digests in the outbox, and out: one digest a day, whatever is rerun."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import update
from sqlmodel import Session, col, or_, select

from digest import editions, news, outcomes, schedule, training
from digest.candidates import latest_day
from digest.db import insert_new
from digest.mail import outbox
from digest.mail.compose import compose, papers_of
from digest.mail.contents import Card
from digest.mail.links import Bearer
from digest.mail.message import wire_address
from digest.mail.render import render_digest
from digest.mail.writer import Writer
from digest.models import Digest, Paper, Pick, Subscriber
from digest.picking import Plan, plan, plans
from digest.subscribers import find

if TYPE_CHECKING:
    from digest.app import App

BLOCK = 500
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Delivered:
    """How many digests were sent, failed, are in doubt; `skipped` had nothing new to read."""

    sent: int
    failed: int
    in_doubt: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Preview:
    """A mail as its reader sees it, and `raw` as it would be sent."""

    subject: str
    html: str
    text: str
    raw: bytes


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
    stop: Callable[[], bool] = lambda: False,
) -> tuple[int, int]:
    """Puts due digests (`only`: this subscriber's) into the outbox; gives how many, and how many
    readers had nothing to read. Once `stop` says so, no further block of readers is begun."""
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
        if stop():
            break
        with app.db.read() as session:
            subscribers = _subscribers(session, block)
        planned = plans(app, subscribers, covered, again=day is None) if covered else []
        full = [each for each in planned if each.picks]
        made += len(full)
        done += len(block)
        if not dry_run:
            _keep(app, subscribers, planned, now, on_schedule=day is None)
        if progress is not None:
            progress(done, len(due))
    return made, done - made


def preview(app: "App", email: str, day: date | None = None) -> Preview:
    """The digest that the subscriber would get for the day, kept nowhere. Raises NotFound."""
    now, writer, planned = app.now(), Writer(app), plan(app, email, day)
    reader = planned.subscriber
    with app.db.read() as session:
        told = news.untold(session, [reader.id or 0], now).get(reader.id or 0, [])
        digest = Digest(**_digest(planned, now, news.notes(told)[0]))
        papers = editions.papers_by_id(session, papers_of(planned.picks))
        trending = editions.trending(session, planned.day)
    cards = {paper.id or 0: Card.from_json(editions.card(paper)) for paper in papers}
    mail = compose(reader, digest, planned.picks, cards, trending, app.settings, writer.links)
    rendered = render_digest(app.templates, mail)
    raw = writer.message(
        rendered,
        kind="digest",
        to=(reader.name, wire_address(reader.email) or writer.sender),
        at=now,
        number=0,
        one_click=writer.links.one_click(Bearer(reader.id or 0, reader.link_epoch, now)),
    )
    return Preview(rendered.subject, rendered.html, rendered.text, raw)


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
    digest, and why there was none today is kept.
    """
    whole = {each.subscriber.id: each for each in planned}
    with app.db.write() as session:
        planned = [each for each in _unmerged(session, planned) if each.picks]
        by_reader = {each.subscriber.id: each for each in planned}
        if planned:
            papers = {paper for each in planned for paper in papers_of(each.picks)}
            editions.freeze(session, planned[0].day, papers, now)
        told = news.untold(session, [each for each in by_reader if each], now)
        passed = []
        for subscriber in subscribers:
            if on_schedule and not _advance(session, subscriber, now):
                continue  # another process was faster
            if subscriber.id in by_reader:
                _insert(session, by_reader[subscriber.id], told.get(subscriber.id or 0, []), now)
            elif on_schedule:
                passed.append((subscriber, whole.get(subscriber.id)))
        outcomes.pass_over(session, passed, now)


def _unmerged(session: Session, planned: Sequence[Plan]) -> list[Plan]:
    """The plans without papers that were merged since they were made, and were sent under the
    other name or come with the next digest under it."""
    papers = {pick.paper_id for each in planned for pick in each.picks}
    pairs: list[tuple[int | None, int | None]] = []
    for some in _blocks(sorted(papers)):
        other = or_(col(Paper.id).in_(some), col(Paper.merged_into).in_(some))
        merged = select(Paper.id, Paper.merged_into)
        pairs += session.exec(merged.where(col(Paper.merged_into).is_not(None), other))
    if not pairs:
        return list(planned)
    gone, stays = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    readers = [each.subscriber.id for each in planned]
    sent = session.exec(
        select(Pick.subscriber_id, Pick.paper_id).where(
            col(Pick.subscriber_id).in_(readers), col(Pick.paper_id).in_(stays)
        )
    )
    had = set(sent)
    left = [
        [
            pick
            for pick in each.picks
            if pick.paper_id not in gone and (each.subscriber.id, pick.paper_id) not in had
        ]
        for each in planned
    ]
    return [replace(each, picks=tuple(picks)) for each, picks in zip(planned, left, strict=True)]


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


def _digest(planned: Plan, now: datetime, notes: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "subscriber_id": planned.subscriber.id,
        "day": planned.day,
        "since": planned.since,
        "candidates": planned.candidates,
        "news": notes,
        "also": [{"title": paper.title, "url": paper.url, "line": ""} for paper in planned.also],
        "created_at": now,
    }


def _insert(session: Session, planned: Plan, told: news.Untold, now: datetime) -> None:
    notes, settled = news.notes(told)
    row = _digest(planned, now, notes)
    kept = insert_new(session, Digest, [row], returning=col(Digest.id))
    if not kept:  # the day's digest was made meanwhile
        return
    insert_new(
        session, Pick, [pick.model_dump() | {"digest_id": kept[0]} for pick in planned.picks]
    )
    news.keep_told(session, planned.subscriber.id or 0, settled)
    outbox.enqueue(session, "digest", planned.subscriber.id or 0, now, digest_id=kept[0])


def _subscribers(session: Session, ids: Sequence[int]) -> list[Subscriber]:
    return list(
        session.exec(
            select(Subscriber).where(col(Subscriber.id).in_(ids)).order_by(col(Subscriber.id))
        )
    )


def _blocks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), BLOCK):
        yield ids[start : start + BLOCK]
