"""From due subscribers to digests in the outbox, and out: one digest a day, whatever is rerun."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import func, update
from sqlmodel import Session, col, or_, select

from digest import editions, hold, news, outcomes, schedule, training
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
Among = range | Sequence[int]  # subscriber ids
_PEOPLE = Subscriber.__table__.c  # type: ignore[attr-defined]
Progress = Callable[[int, int], None]
_IS_NEW = col(Subscriber.next_digest_at) == col(Subscriber.confirmed_at)


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
    Raises NotFound where `only` is nobody, MailError where the server refuses us as a whole,
    DatabaseError where delivery is held.
    """
    hold.refuse(app)
    with app.db.read() as session:
        reader = find(session, only).id if only is not None else None
    among = None if reader is None else [reader]
    made, skipped = prepare(app, day, among, dry_run=dry_run, progress=progress)
    if dry_run:
        return Delivered(made, 0, 0, skipped)
    sent = outbox.send_due(app, progress, only=reader)
    return Delivered(sent.sent, sent.failed, sent.in_doubt, skipped)


def prepare(
    app: "App",
    day: date | None = None,
    among: Among | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[int, int]:
    """Puts due digests (`among`: of those of these subscriber ids who are due) into the outbox;
    gives how many, and how many readers had nothing to read. Once `stop` says so, no further block
    of readers is begun. Two of these at once do no harm, whatever they share; nothing is made while
    delivery is held."""
    now = app.now()
    with app.db.read() as session:
        waiting = 0 if hold.held(session) else _count(session, _who(now, day, among))
        covered = day or latest_day(session, now)
    if waiting and covered is not None:
        training.refit_if_due(app)
    made = done = 0
    for subscribers in _blocks(app, now, day, among) if waiting else ():
        if stop():
            break
        planned = plans(app, subscribers, covered, again=day is None) if covered else []
        full = [each for each in planned if each.picks]
        made += len(full)
        done += len(subscribers)
        if not dry_run:
            _keep(app, subscribers, planned, now, on_schedule=day is None)
        if progress is not None:
            progress(done, max(done, waiting))
    return made, done - made


def welcome(app: "App", stop: Callable[[], bool] = lambda: False) -> int:
    """Prepares the first digests of those who have just confirmed, before all others; counts them.
    Where there is nothing to read yet, the first digest comes at the reader's own hour."""
    new = select(Subscriber.id).where(*_who(app.now(), None, None), _IS_NEW).limit(BLOCK)
    with app.db.read() as session:
        ids = [person for person in session.exec(new) if person is not None]
    return prepare(app, among=ids, stop=stop)[0] if ids else 0


def welcomes(app: "App", person: Subscriber) -> bool:
    """Whether somebody is about to get a first digest: it is due, and there are papers for it."""
    if not _is_new(person):
        return False
    with app.db.read() as session:
        day = latest_day(session, app.now())
        made = select(Digest.id).where(Digest.subscriber_id == person.id, Digest.day == day)
        return day is not None and session.exec(made).first() is None


def _is_new(person: Subscriber) -> bool:
    """Confirming makes a digest due at once; the first one moves the date on."""
    return person.next_digest_at is not None and person.next_digest_at == person.confirmed_at


def due_ranges(app: "App", size: int = BLOCK) -> list[range]:
    """The ranges of `size` subscriber ids in which somebody is due, the longest waiting first: what
    several workers may share out, each range as the `among` of a `prepare`."""
    shard = col(Subscriber.id) // size
    query = sa.select(shard, func.min(col(Subscriber.next_digest_at)).label("since"))
    query = query.where(*_who(app.now(), None, None)).group_by(shard).order_by("since", shard)
    with app.db.read() as session:
        found = session.execute(query).all()
    return [range(number * size, (number + 1) * size) for number, _ in found]


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


def _who(now: datetime, day: date | None, among: Among | None) -> list[Any]:
    """What holds of those who are to get a digest."""
    person = col(Subscriber.id)
    which: list[Any] = [col(Subscriber.status) == "active"]
    if isinstance(among, range):
        which.append(person.between(among.start, among.stop - 1))
    elif among is not None:
        which.append(person.in_(among))
    if day is None:
        return [*which, col(Subscriber.next_digest_at) <= now]
    has = sa.select(col(Digest.subscriber_id)).where(col(Digest.day) == day)
    return [*which, person.not_in(has)]


def _count(session: Session, which: Sequence[Any]) -> int:
    return int(
        session.execute(sa.select(func.count(col(Subscriber.id))).where(*which)).scalar_one()
    )


def _blocks(
    app: "App", now: datetime, day: date | None, among: Among | None
) -> Iterator[list[Subscriber]]:
    """Those who are to get a digest, block by block; who has waited longest comes first."""
    order = [_PEOPLE[name] for name in (("id",) if day else ("next_digest_at", "id"))]
    which = _who(now, day, among)
    after: list[Any] = []
    while True:
        query = select(Subscriber).where(*which, *after).order_by(*order).limit(BLOCK)
        with app.db.read() as session:
            block = list(session.exec(query))
        if block:
            yield block
        if len(block) < BLOCK:
            return
        last = [sa.literal(getattr(block[-1], column.name), column.type) for column in order]
        after = [sa.tuple_(*order) > sa.tuple_(*last)]


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
    shown = sorted(papers)
    for start in range(0, len(shown), BLOCK):
        some = shown[start : start + BLOCK]
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
        "welcome": _is_new(planned.subscriber),
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
    outbox.enqueue(
        session,
        "digest",
        planned.subscriber.id or 0,
        now,
        digest_id=kept[0],
        urgent=row["welcome"],
    )
