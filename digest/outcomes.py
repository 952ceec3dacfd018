"""What became of a reader's day: one of a closed list of outcomes, and why there was no mail."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from digest import schedule
from digest.db import insert_new
from digest.hold import RESTORED
from digest.models import (
    Digest,
    OutboxMessage,
    PassedOver,
    Pick,
    Standing,
    Subscriber,
    Suppression,
)
from digest.quiet import in_words, nothing_new
from digest.subscribers import find

if TYPE_CHECKING:
    from digest.app import App
    from digest.picking import Plan

Name = Literal[
    "sent", "nothing-announced", "source-late", "source-stale", "source-failing",
    "below-min-score", "muted", "paused", "suppressed", "bounced", "waiting", "failed",
    "not-subscribed",
]  # fmt: skip
OUTCOMES: tuple[str, ...] = get_args(Name)

SHOWN_DAYS = 7
KEPT_FOR = timedelta(days=90)
LATE_AFTER = timedelta(hours=2)
_BLOCK = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the reader's calendar day; `detail` says it in a sentence."""

    day: date
    outcome: Name
    detail: str


@dataclass(slots=True)
class Facts:
    """What the rows hold of a reader: `mails` are (digest, status, answer, sent at, papers)."""

    mails: list[tuple[Digest, str, str, datetime | None, int]] = field(default_factory=list)
    passed: dict[date, PassedOver] = field(default_factory=dict)
    standing: list[Standing] = field(default_factory=list)
    suppression: Suppression | None = None


# Asking


def why(app: "App", email: str, day: date | None = None) -> Outcome:
    """What became of the reader's calendar day (today without one). Raises NotFound."""
    with app.db.read() as session:
        person = find(session, email)
        day = day or today(person, app.now())
        facts = _facts(app, session, [person], day, day)[person.id or 0]
    return explain(person, facts, day, app.now())


def lately(app: "App", person: Subscriber) -> list[Outcome]:
    """The outcomes of the reader's last days, today's first."""
    now = app.now()
    last = today(person, now)
    days = [last - n * schedule.DAY for n in range(SHOWN_DAYS)]
    with app.db.read() as session:
        facts = _facts(app, session, [person], days[-1], days[0])[person.id or 0]
    told = [explain(person, facts, day, now) for day in days]
    return [outcome for outcome in told if outcome.outcome != "not-subscribed"]


def counts(app: "App", back: int = 0) -> dict[str, int]:
    """How many readers had which outcome today, or so many days back, in each one's own zone."""
    now = app.now()
    found: Counter[str] = Counter()
    first, last = now.date() - (back + 1) * schedule.DAY, now.date() + schedule.DAY
    for people in _blocks(app):
        with app.db.read() as session:
            facts = _facts(app, session, people, first, last)
        for person in people:
            day = today(person, now) - back * schedule.DAY
            found[explain(person, facts[person.id or 0], day, now).outcome] += 1
    return {name: found[name] for name in OUTCOMES if found[name]}


def today(person: Subscriber, now: datetime) -> date:
    return now.astimezone(schedule.parse_zone(person.timezone)).date()


def _blocks(app: "App") -> Iterator[list[Subscriber]]:
    last = 0
    while True:
        with app.db.read() as session:
            people = list(
                session.exec(
                    select(Subscriber)
                    .where(col(Subscriber.id) > last, Subscriber.status != "pending")
                    .order_by(col(Subscriber.id))
                    .limit(_BLOCK)
                )
            )
        if not people:
            return
        yield people
        last = people[-1].id or 0


# From rows to the answer


def explain(person: Subscriber, facts: Facts, day: date, now: datetime) -> Outcome:
    """The outcome of the day, from what is known at `now`."""
    zone = schedule.parse_zone(person.timezone)
    mails = [mail for mail in facts.mails if mail[0].created_at.astimezone(zone).date() == day]
    told = [_of_mail(mail, facts, zone) for mail in mails]
    if told:
        best = min(told, key=lambda outcome: ("sent", "waiting").index(outcome[0])
                   if outcome[0] in ("sent", "waiting") else 2)  # fmt: skip
        return Outcome(day, *best)
    if (kept := facts.passed.get(day)) is not None:
        return Outcome(day, kept.outcome, kept.detail)  # type: ignore[arg-type]
    return Outcome(day, *_without_trace(person, facts, day, now))


def _of_mail(
    mail: tuple[Digest, str, str, datetime | None, int], facts: Facts, zone: Any
) -> tuple[Name, str]:
    digest, status, answer, sent_at, papers = mail
    of_day = f"the digest of {in_words(digest.day)}, with {papers} paper{'s' * (papers != 1)}"
    if status == "sent":
        at = f" at {sent_at.astimezone(zone):%H:%M}" if sent_at else ""
        return "sent", f"Sent{at}: {of_day}."
    if status == "failed":
        return "failed", f"The mail could not be delivered: {answer.rstrip('.')}."
    if status == "cancelled":
        return _cancelled(answer, facts.suppression)
    if facts.suppression is not None:
        return _suppressed(facts.suppression)
    after = f" The server’s last answer: {answer.rstrip('.')}." if answer else ""
    return "waiting", f"In the outbox: {of_day}.{after}"


def _cancelled(why: str, suppression: Suppression | None) -> tuple[Name, str]:
    if suppression is not None:
        return _suppressed(suppression)
    if why == RESTORED:
        return "failed", "A backup was restored before the mail was known to be out."
    if "paused" in why:
        return "paused", "The pause began before the mail went out."
    return "not-subscribed", "The subscription ended before the mail went out."


def _suppressed(suppression: Suppression) -> tuple[Name, str]:
    if suppression.reason == "bounce":
        return "bounced", "Mail to this address came back, so no more is sent to it."
    return "suppressed", f"No mail goes to this address ({suppression.reason})."


def _without_trace(person: Subscriber, facts: Facts, day: date, now: datetime) -> tuple[Name, str]:
    """Of a day that left neither digest nor record."""
    zone = schedule.parse_zone(person.timezone)
    hour = schedule.parse_hour(person.send_at)
    due = datetime.combine(day, hour, zone)
    status = standing_at(person, facts.standing, min(due, now))
    if status == "paused":
        until = f" until {in_words(person.paused_until)}" if person.paused_until else ""
        return "paused", f"Paused{until if person.status == 'paused' else ''}."
    if status != "active":
        late = standing_at(person, facts.standing, now) == "active" and day == today(person, now)
        if not late:
            return "not-subscribed", "There was no running subscription at the hour of that day."
    kept = facts.suppression
    if kept is not None and kept.created_at.astimezone(zone).date() <= day:
        return _suppressed(kept)
    return _of_hour(person, day, due, now)


def _of_hour(person: Subscriber, day: date, due: datetime, now: datetime) -> tuple[Name, str]:
    zone = schedule.parse_zone(person.timezone)
    after = due - timedelta(seconds=1)
    regular = schedule.next_due(after, person.frequency, person.send_at, person.timezone)
    if regular.astimezone(zone).date() != day:
        rhythm = "on Mondays" if person.frequency == "weekly" else "from Monday to Friday"
        return "waiting", f"The digests come {rhythm}: the next one is due {_at(regular, zone)}."
    following = person.next_digest_at
    if day < today(person, now):
        return "failed", "The service did not run at the hour; what was missed came later."
    if following is None or day > today(person, now):
        return "waiting", f"Due {_at(regular, zone)}."
    if following > now:
        return "waiting", f"Waiting for the hour: the next digest is due {_at(following, zone)}."
    if now - following > LATE_AFTER:
        return "failed", f"Due since {_at(following, zone)}, and the service has not made it."
    return "waiting", f"Due since {_at(following, zone)}: it is being made."


def standing_at(person: Subscriber, changes: Sequence[Standing], moment: datetime) -> str:
    """The status that the subscription had at the moment; `changes` are in order of time."""
    before = [change.status for change in changes if change.since <= moment]
    if before:
        return before[-1]
    if person.confirmed_at is None or person.confirmed_at > moment:
        return "pending"
    return "active" if changes else person.status


def _at(moment: datetime, zone: Any) -> str:
    local = moment.astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B} at {local:%H:%M}"


def _facts(
    app: "App", session: Session, people: Sequence[Subscriber], first: date, last: date
) -> dict[int, Facts]:
    ids = [person.id or 0 for person in people]
    facts = {person: Facts() for person in ids}
    papers = select(func.count()).where(col(Pick.digest_id) == col(Digest.id)).scalar_subquery()
    message = OutboxMessage
    begin = datetime.combine(first - schedule.DAY, time(), schedule.parse_zone("UTC"))
    end = begin + (last - first + 3 * schedule.DAY)
    mails = sa.select(
        Digest, col(message.status), col(message.response), col(message.sent_at), papers
    ).join(message, col(message.digest_id) == col(Digest.id))
    mails = mails.where(
        col(Digest.subscriber_id).in_(ids), col(Digest.created_at).between(begin, end)
    )
    for digest, status, answer, sent_at, count in session.execute(mails):
        facts[digest.subscriber_id].mails.append((digest, status, answer, sent_at, count))
    passed = select(PassedOver).where(
        col(PassedOver.subscriber_id).in_(ids), col(PassedOver.day).between(first, last)
    )
    for kept in session.exec(passed):
        facts[kept.subscriber_id].passed[kept.day] = kept
    changes = select(Standing).where(col(Standing.subscriber_id).in_(ids))
    for change in session.exec(changes.order_by(col(Standing.since))):
        facts[change.subscriber_id].standing.append(change)
    hashes = {
        hashed: person.id or 0
        for person in people
        for hashed in app.tokens.address_hashes(person.email_key)
    }
    held = select(Suppression).where(col(Suppression.address_hash).in_(hashes))
    for suppression in session.exec(held):
        facts[hashes[suppression.address_hash]].suppression = suppression
    return facts


# Recording what no other row tells


def pass_over(
    session: Session, readers: Sequence[tuple[Subscriber, "Plan | None"]], now: datetime
) -> None:
    """Records why these readers, who were due, get no mail: within the transaction that moves
    their dates on."""
    if not readers:
        return
    quiet = nothing_new(session, now)
    rows = []
    for person, planned in readers:
        unwanted = planned is not None and planned.candidates and not planned.picks
        outcome, detail = _nothing(person, planned) if planned and unwanted else quiet
        due = person.next_digest_at or now
        if now - due > schedule.DAY:  # after days without a service, it is today's hour that came
            due = now
        rows.append(
            {
                "subscriber_id": person.id,
                "day": today(person, due),
                "outcome": outcome,
                "detail": detail,
            }
        )
    insert_new(session, PassedOver, rows)


def forget(app: "App") -> None:
    """Forgets what nobody asks for any more."""
    with app.db.write() as session:
        session.exec(delete(PassedOver).where(col(PassedOver.day) < app.now().date() - KEPT_FOR))


def _nothing(person: Subscriber, planned: "Plan") -> tuple[Name, str]:
    papers = "the new paper" if planned.candidates == 1 else f"{planned.candidates:,} new papers"
    if person.min_score is not None:
        bar = f"your bar, a chance of {person.min_score:.0%} that you want it"
        return "below-min-score", f"None of {papers} reached {bar}."
    return "muted", f"Each of {papers} has a word or an author that you muted."
