"""From due subscribers to digests in the outbox, and out: one digest a day, whatever is rerun."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import func
from sqlmodel import Session, col, select

from digest import editions, hold, news, training
from digest.candidates import latest_day
from digest.keeping import digest_values, is_new, keep
from digest.mail import outbox
from digest.mail.compose import Picked, compose, papers_of, trends
from digest.mail.contents import Card
from digest.mail.links import Bearer
from digest.mail.message import wire_address
from digest.mail.render import render_digest
from digest.mail.writer import Writer
from digest.models import Digest, Subscriber
from digest.picking import plan, plans
from digest.subscribers import find

if TYPE_CHECKING:
    from digest.app import App

BLOCK = 1000
Among = range | Sequence[int]  # subscriber ids
_PEOPLE = Subscriber.__table__.c  # type: ignore[attr-defined]
Progress = Callable[[int, int], None]
_COLLECTED = 8  # times that something is set aside, until all is looked through before
_times = count(1)
_IS_NEW = col(Subscriber.next_digest_at) == col(Subscriber.confirmed_at)


@dataclass(frozen=True)
class Delivered:
    """How many digests were sent, failed, are in doubt; `skipped` had nothing new to read."""

    sent: int
    failed: int
    in_doubt: int
    skipped: int


@dataclass(frozen=True, slots=True)
class _Made:
    """So many digests are made by now, so many readers served, of `all`."""

    made: int
    done: int
    all: int


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
    """Prepares what is due (with `day`: that day's digests, whatever the hour) and sends it, block
    by block, so that nobody waits for the last reader's digest; then what else is due.

    `only` is one subscriber's address; `progress` is told of (done, all).
    Raises NotFound where `only` is nobody, DatabaseError where delivery is held, MailError where
    the server refuses us as a whole: what is made stays in the outbox, and who is left stays due.
    """
    hold.refuse(app)
    with app.db.read() as session:
        reader = find(session, only).id if only is not None else None
    among = None if reader is None else [reader]
    if dry_run:
        made, skipped = prepare(app, day, among, dry_run=True, progress=progress)
        return Delivered(made, 0, 0, skipped)
    counts: Counter[str] = Counter()
    made = done = 0
    for block in _prepared(app, day, among):
        counts += _sent(app, reader, progress, block, done)
        made, done = block.made, block.done
    counts += Counter(asdict(outbox.send_due(app, None if done else progress, only=reader)))
    return Delivered(counts["sent"], counts["failed"], counts["in_doubt"], done - made)


def _sent(
    app: "App", reader: int | None, progress: Progress | None, block: "_Made", before: int
) -> Counter[str]:
    """Sends what there is after a block, `before` which so many readers were done."""

    def told(sent: int, _: int) -> None:
        if progress is not None:
            progress(min(before + sent, block.done), block.all)

    sent = outbox.send_due(app, told, only=reader)
    told(block.done, block.all)
    return Counter(asdict(sent))


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
    made = done = 0
    for block in _prepared(app, day, among, dry_run=dry_run, stop=stop):
        made, done = block.made, block.done
        if progress is not None:
            progress(done, block.all)
    return made, done - made


def _prepared(
    app: "App",
    day: date | None,
    among: Among | None,
    *,
    dry_run: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[_Made]:
    """What `prepare` does; says after each block how far it is."""
    now = app.now()
    with app.db.read() as session:
        waiting = 0 if hold.held(session) else _count(session, _who(now, day, among))
        covered = day or latest_day(session, now)
    if not waiting:
        return
    if covered is not None:
        training.refit_if_due(app)
    made = done = 0
    with _set_aside() as set_aside:
        for subscribers in _blocks(app, now, day, among):
            if stop():
                break
            planned = plans(app, subscribers, covered, again=day is None) if covered else []
            made += sum(1 for each in planned if each.picks)
            if not dry_run:
                keep(app, subscribers, planned, now, on_schedule=day is None)
            if not done and waiting > BLOCK:
                set_aside()
            done += len(subscribers)
            yield _Made(made, done, max(done, waiting))


@contextmanager
def _set_aside() -> Iterator[Callable[[], None]]:
    """Sets aside all there is, for a while, and gives what does so once more: what blocks of
    readers share is no garbage, and to look through it for each of them took an eighth of the time.
    """

    def all_there_is() -> None:
        gc.collect()
        gc.freeze()

    if not next(_times) % _COLLECTED:  # what shards leave behind does not pile up
        gc.collect()
    gc.freeze()
    try:
        yield all_there_is
    finally:
        gc.unfreeze()


def welcome(app: "App", stop: Callable[[], bool] = lambda: False) -> int:
    """Prepares the first digests of those who have just confirmed, before all others; counts them.
    Where there is nothing to read yet, the first digest comes at the reader's own hour."""
    new = select(Subscriber.id).where(*_who(app.now(), None, None), _IS_NEW).limit(BLOCK)
    with app.db.read() as session:
        ids = [person for person in session.exec(new) if person is not None]
    return prepare(app, among=ids, stop=stop)[0] if ids else 0


def welcomes(app: "App", person: Subscriber) -> bool:
    """Whether somebody is about to get a first digest: it is due, and there are papers for it."""
    if not is_new(person):
        return False
    with app.db.read() as session:
        day = latest_day(session, app.now())
        made = select(Digest.id).where(Digest.subscriber_id == person.id, Digest.day == day)
        return day is not None and session.exec(made).first() is None


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
        digest = Digest(**digest_values(planned, now, news.notes(told)[0]))
        shown = editions.cards(session, papers_of(planned.picks))
        trending = trends(editions.trending(session, planned.day))
    cards = {paper: Card.from_json(card) for paper, card in shown.items()}
    picks = [
        Picked(
            position,
            pick.paper_id,
            pick.reason,
            pick.sentence,
            pick.exploring,
            pick.topic,
            pick.similar,
        )
        for position, pick in enumerate(planned.picks, start=1)
    ]
    mail = compose(reader, digest, picks, cards, trending, app.settings, writer.links)
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
