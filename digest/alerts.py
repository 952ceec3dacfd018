"""What the operator is told, once, without asking: a day without mail, a source that is silent."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog
from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from digest.app import App
from digest.db import insert_new
from digest.errors import MailError
from digest.feeds import calendar
from digest.mail import outbox
from digest.models import Alert, Feed, OutboxMessage, PassedOver, Subscriber
from digest.quiet import in_words, late_feeds, named
from digest.schedule import DAY

GRACE = timedelta(hours=6)  # a listing that is late by less is no trouble yet
FAILING_AFTER = 3
SILENT_AFTER = timedelta(days=5)  # a long weekend with a holiday on either side is no silence yet

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that lasts: under its `name` it is told once, until it is over."""

    name: str
    sentence: str


def troubles(session: Session, now: datetime) -> list[Trouble]:
    """What is wrong now with sources and deliveries."""
    return [*_silence(session, now), *_late(session, now), *_feeds(session, now)]


def watch(app: App) -> list[Trouble]:
    """Notes the troubles that are new and those that are over, in the log and, where
    `mail.alert_to` is set, by one mail to it; gives the new ones."""
    with app.db.write() as session:
        present = troubles(session, app.now())
        names = [trouble.name for trouble in present]
        over = session.exec(select(Alert.name).where(col(Alert.name).not_in(names))).all()
        session.exec(delete(Alert).where(col(Alert.name).in_(over)))
        rows = [
            {"name": each.name, "sentence": each.sentence, "since": app.now(), "told": False}
            for each in present
        ]
        new = set(insert_new(session, Alert, rows, returning=col(Alert.name)) if rows else [])
    for name in over:
        log.info("trouble is over", trouble=name)
    for trouble in present:
        if trouble.name in new:
            log.warning("trouble", trouble=trouble.name, sentence=trouble.sentence)
    _tell(app)
    return [trouble for trouble in present if trouble.name in new]


def _tell(app: App) -> None:
    """One mail of all that has not been told. Marked before it is sent, so that a crash loses a
    mail rather than repeats it every ten minutes; a server that is away gets it later."""
    if not app.settings.mail.alert_to:
        return
    with app.db.write() as session:
        untold = session.exec(select(Alert).where(~col(Alert.told)).order_by(col(Alert.name))).all()
        names, sentences = [row.name for row in untold], [row.sentence for row in untold]
        _mark(session, names, told=True)
    if not sentences:
        return
    try:
        outbox.send_alert(app, sentences)
    except MailError as error:
        log.warning("the operator could not be told", reason=str(error))
        with app.db.write() as session:
            _mark(session, names, told=False)


def _mark(session: Session, names: list[str], *, told: bool) -> None:
    session.exec(update(Alert).where(col(Alert.name).in_(names)).values(told=told))


def _silence(session: Session, now: datetime) -> Iterator[Trouble]:
    """Nobody got a digest on the last working day that can be judged."""
    day = now.date()
    while calendar.is_quiet(day) or (day == now.date() and not _is_over(session, day)):
        day -= DAY
    if _mailed(session, day, now) or not _regulars(session, day):
        return
    found = session.exec(
        select(PassedOver.outcome, func.count())
        .where(PassedOver.day == day)
        .group_by(PassedOver.outcome)
        .order_by(func.count().desc())
    )
    why = ", ".join(f"{outcome} {count}" for outcome, count in found)
    yield Trouble("silence", f"Nobody got a digest on {in_words(day)}{f': {why}' if why else ''}.")


def _is_over(session: Session, day: date) -> bool:
    """Whether all who were due on the day have been served or passed over."""
    due = (
        select(func.count())
        .select_from(Subscriber)
        .where(Subscriber.status == "active", col(Subscriber.next_digest_at) < _start(day + DAY))
    )
    waiting = (
        select(func.count())
        .select_from(OutboxMessage)
        .where(
            OutboxMessage.kind == "digest",
            col(OutboxMessage.status).in_(("queued", "sending", "deferred")),
        )
    )
    return not session.exec(due).one() and not session.exec(waiting).one()


def _mailed(session: Session, day: date, now: datetime) -> bool:
    sent = select(OutboxMessage.id).where(
        OutboxMessage.kind == "digest", col(OutboxMessage.sent_at).between(_start(day), now)
    )
    return session.exec(sent.limit(1)).first() is not None


def _regulars(session: Session, day: date) -> bool:
    """Whether anybody expects a digest on every working day."""
    regular = select(Subscriber.id).where(
        Subscriber.status == "active",
        Subscriber.frequency != "weekly",
        col(Subscriber.confirmed_at) < _start(day),
        col(Subscriber.next_digest_at).is_not(None),
    )
    return session.exec(regular.limit(1)).first() is not None


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _late(session: Session, now: datetime) -> Iterator[Trouble]:
    day = calendar.listing_day(now)
    for feed in late_feeds(session, day, now - GRACE):
        if feed.failures < FAILING_AFTER:
            sentence = f"{named([feed])} (feed {feed.id}) has brought nothing of {in_words(day)}."
            yield Trouble(f"feed {feed.id} late", sentence)


def _feeds(session: Session, now: datetime) -> Iterator[Trouble]:
    for feed in session.exec(select(Feed).order_by(col(Feed.id))):
        last = feed.changed_at or feed.added_at
        name = f"{named([feed])} (feed {feed.id})"
        if feed.failures >= FAILING_AFTER:
            failed = f"{name} failed {feed.failures} times in a row"
            yield Trouble(f"feed {feed.id} fails", f"{failed}: {feed.outcome}")
        elif now - last > SILENT_AFTER:
            yield Trouble(
                f"feed {feed.id} silent", f"{name} has brought nothing new since {last:%Y-%m-%d}."
            )
