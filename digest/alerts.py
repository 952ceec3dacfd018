"""What the operator is told, once, without asking: a day without mail, a source that is silent."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog
from pydantic import SecretStr
from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from digest.app import App
from digest.authorities import authorities
from digest.db import insert_new
from digest.errors import MailError
from digest.failing import failing
from digest.feeds import calendar
from digest.mail import outbox, storms
from digest.models import Alert, Digest, Feed, OutboxMessage, PassedOver, Subscriber
from digest.quiet import in_words, late_feeds, named
from digest.schedule import DAY

GRACE = timedelta(hours=6)  # a listing that is late by less is no trouble yet
HOUR = timedelta(hours=1)
FAILING_AFTER = 3
SILENT_AFTER = timedelta(days=5)  # a long weekend with a holiday on either side is no silence yet

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that lasts: under its `name` it is told once, until it is over."""

    name: str
    sentence: str


def troubles(session: Session, now: datetime, finished_by: str = "") -> list[Trouble]:
    """What is wrong now with sources, deliveries and jobs. `finished_by` is the setting's."""
    found = [*_silence(session, now), *_late(session, now), *_feeds(session, now)]
    if finished_by:
        found += _unfinished(session, now, finished_by)
    if storms.raging(session, now):
        found.append(Trouble(storms.NAME, storms.SENTENCE))
    found += [
        Trouble(f"job {job.job} {job.place}".rstrip(), job.sentence)
        for job in failing(session, now)
        if job.lasts
    ]
    return found


def watch(app: App) -> list[Trouble]:
    """Notes the troubles that are new and those that are over, in the log and, where they are
    set, by one mail to `mail.alert_to` and one call of `alerts.webhook_url`; gives the new ones.
    Where nothing is wrong, `alerts.heartbeat_url` hears of it."""
    with app.db.write() as session:
        present = troubles(session, app.now(), app.settings.alerts.finished_by)
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
    if not present and app.settings.alerts.heartbeat_url:
        _told(app, _beat, [])
    return [trouble for trouble in present if trouble.name in new]


def _tell(app: App) -> None:
    """All that has not been told, in one. Marked before it is sent, so that a crash loses it rather
    than repeats it every ten minutes; where nobody could be told, it is tried again."""
    ways = list(_ways(app))
    if not ways:
        return
    with app.db.write() as session:
        untold = session.exec(select(Alert).where(~col(Alert.told)).order_by(col(Alert.name))).all()
        names, sentences = [row.name for row in untold], [row.sentence for row in untold]
        _mark(session, names, told=True)
    if not sentences:
        return
    told = [_told(app, way, sentences) for way in ways]  # each of them, whatever the others do
    if not any(told):
        with app.db.write() as session:
            _mark(session, names, told=False)


def _ways(app: App) -> Iterator[Callable[[App, Sequence[str]], None]]:
    if app.settings.mail.alert_to:
        yield outbox.send_alert
    if app.settings.alerts.webhook_url:
        yield _call_webhook


def _told(app: App, way: Callable[[App, Sequence[str]], None], sentences: Sequence[str]) -> bool:
    try:
        way(app, sentences)
    except MailError as error:
        log.warning("the operator could not be told", reason=str(error))
        return False
    return True


def _call_webhook(app: App, sentences: Sequence[str]) -> None:
    said = {"text": "\n".join(sentences), "service": app.settings.web.base_url}
    _call("POST", "alerts.webhook_url", app.settings.alerts.webhook_url, said)


def _beat(app: App, _sentences: Sequence[str]) -> None:
    _call("GET", "alerts.heartbeat_url", app.settings.alerts.heartbeat_url, None)


def _call(method: str, name: str, url: SecretStr, said: dict[str, str] | None) -> None:
    """Raises MailError, in words that leave the address out: it is a secret."""
    import httpx2  # noqa: PLC0415  (slow, and rarely needed)

    try:
        answer = httpx2.request(
            method, url.get_secret_value(), json=said, timeout=10, verify=authorities()
        )
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise MailError(f"{name}: {type(error).__name__}") from error
    if not answer.is_success:
        raise MailError(f"{name}: it answers {answer.status_code}")


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


def _unfinished(session: Session, now: datetime, finished_by: str) -> Iterator[Trouble]:
    """Digests that were due an hour before the last such moment, and are not on their way yet.
    What another server puts off is not our delay."""
    moment = datetime.combine(now.date(), time.fromisoformat(finished_by), UTC)
    moment = moment if moment <= now else moment - DAY
    unmade = (
        select(func.count())
        .select_from(Subscriber)
        .where(Subscriber.status == "active", col(Subscriber.next_digest_at) <= moment - HOUR)
    )
    unsent = (
        select(func.count())
        .select_from(OutboxMessage)
        .where(
            OutboxMessage.kind == "digest",
            col(OutboxMessage.status).in_(("queued", "sending")),
            OutboxMessage.due_at <= moment - HOUR,
        )
    )
    late = session.exec(unmade).one() + session.exec(unsent).one()
    if late:
        yield Trouble(
            "unfinished",
            f"{late} digest{'s' * (late > 1)} due by {moment - HOUR:%H:%M} UTC on"
            f" {in_words(moment.date())} had not gone out an hour later.",
        )


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
    """Whether a digest went out; a newcomer's first one tells nothing of the others'."""
    sent = (
        select(OutboxMessage.id)
        .join(Digest, col(Digest.id) == col(OutboxMessage.digest_id))
        .where(col(OutboxMessage.sent_at).between(_start(day), now), col(Digest.welcome).is_(False))
    )
    newest_first = col(OutboxMessage.id).desc()  # so that not all that was ever sent is read
    return session.exec(sent.order_by(newest_first).limit(1)).first() is not None


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
