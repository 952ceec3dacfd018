"""What follows from mail that comes back: who is suppressed, who unsubscribed, what is counted."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import structlog
from sqlmodel import Session, col, func, select

from digest.app import App
from digest.errors import SettingsError
from digest.mail import inbox, reports, storms
from digest.mail.reports import Report
from digest.models import Bounce, OutboxMessage, Subscriber
from digest.suppressions import suppress
from digest.tokens import InvalidToken

SOFT_DAYS = 5  # days with a soft bounce, and no delivery between them …
SOFT_WITHIN = timedelta(days=14)  # … in so long a time, are as good as a hard one

# known: reported before, or its reader is gone; foreign: no mail of ours; held: one of so many that
# it tells of our own server, and of no address.
Became = Literal["suppressed", "counted", "unsubscribed", "warned", "held", "known", "foreign"]

_OF_ADDRESS_OR_US = ("1", "2", "6", "7")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Processed:
    """How many mails were `seen` and what became of them; `ignored` are no reports of ours."""

    seen: int = 0
    suppressed: int = 0
    unsubscribed: int = 0
    counted: int = 0
    warned: int = 0
    held: int = 0
    known: int = 0
    ignored: int = 0


def process(
    app: App,
    place: Path | None = None,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Processed:
    """Reads the mails of an mbox or Maildir, which stays as it is; without `place` those of the
    configured mailbox that are not marked as seen, which are marked then. Once more does no harm.

    Raises SettingsError where none is configured, InputError or MailError where it cannot be read.
    """
    bounces = app.settings.bounces
    if place is None and bounces.maildir is None and not bounces.imap_host:
        raise SettingsError(
            "bounces.maildir, bounces.imap_host: expected one of them, or the name of a mailbox"
        )
    counts: Counter[str] = Counter()
    with inbox.opened(place, bounces, keep=dry_run) as mails:
        for raw in mails:
            counts["seen"] += 1
            if progress is not None:
                progress(counts["seen"])
            report = reports.parse(raw)
            became = record(app, report, dry_run=dry_run) if report is not None else "foreign"
            counts["ignored" if became == "foreign" else became] += 1
    return Processed(**counts)


def webhook(app: App) -> str:
    """The address for a provider's events; it is as secret as a password."""
    token = app.tokens.sign("bounces", 0, 0, app.now())
    return f"{app.settings.web.base_url}/bounces/{token}"


def take(app: App, events: Iterable[Report]) -> Processed:
    """Records what a webhook brought."""
    became = [record(app, report) for report in events]
    counts = Counter("ignored" if each == "foreign" else each for each in became)
    return Processed(seen=len(became), **counts)


def refused(app: App, subscriber_id: int, message_id: int, answer: str) -> None:
    """Records what the server said to the recipient. Without an enhanced status code, or with one
    that tells of the server's own trouble, the answer says nothing of the address."""
    found = reports.status_in(answer)
    if found is None or found[0].split(".")[1] not in _OF_ADDRESS_OR_US:
        return
    mark = app.tokens.mark(subscriber_id, message_id)
    record(app, Report(reports.kind_of(found[0]), (mark,), *found))


def record(app: App, report: Report, *, dry_run: bool = False) -> Became:
    """Draws the consequence of a report, once, and says which."""
    ids = _genuine(app, report.marks)
    if ids is None:
        return "foreign"
    subscriber_id, message_id = ids
    with app.db.write() as session:
        person = session.get(Subscriber, subscriber_id)
        if person is None or session.get(Bounce, (message_id, report.kind)) is not None:
            return "known"
        bounce = Bounce(
            message_id=message_id,
            kind=report.kind,
            subscriber_id=subscriber_id,
            status=report.status,
            detail=report.detail,
            at=_moment(report.at, app.now()),
        )
        session.add(bounce)
        session.flush()
        became = _consequence(app, session, person, bounce)
        if dry_run:
            session.rollback()
    if became == "warned" and not dry_run:
        log.warning("a server refuses our mail", status=report.status)
    return became


def warnings(session: Session, since: datetime) -> tuple[int, str]:
    """How many mails were refused for our sake since then, and one of the codes."""
    query = select(func.count(), func.max(Bounce.status)).where(
        Bounce.kind == "policy", col(Bounce.at) > since, ~col(Bounce.settled)
    )
    count, status = session.exec(query).one()
    return count, status or ""


def _genuine(app: App, marks: Iterable[str]) -> tuple[int, int] | None:
    for mark in marks:
        try:
            return app.tokens.read_mark(mark)
        except InvalidToken:
            continue
    return None


def _moment(said: datetime | None, now: datetime) -> datetime:
    """A report's own date decides on which day it counts, as far as it can be true."""
    return said if said is not None and now - SOFT_WITHIN < said <= now else now


def _consequence(app: App, session: Session, person: Subscriber, bounce: Bounce) -> Became:
    if bounce.kind in ("hard", "soft") and storms.hold(app, session, bounce):
        return "held"
    address = _went_to(session, bounce)
    if address is not None and address.casefold() != person.email_key:
        return _of_another_address(app, session, address, bounce)
    match bounce.kind:
        case "policy":
            return "warned"
        case "soft" if len(_soft_days(session, bounce, app.now())) < SOFT_DAYS:
            return "counted"
        case "complaint":
            detail = bounce.detail
            suppress(app, session, person.email_key, person.email, "complaint", detail)
            person.status, person.paused_until, person.next_digest_at = "removed", None, None
            session.add(person)
            return "unsubscribed"
    detail = f"{bounce.status} {bounce.detail}".strip()
    suppress(app, session, person.email_key, person.email, "bounce", detail)
    return "suppressed"


def _went_to(session: Session, bounce: Bounce) -> str | None:
    """The address that the mail went to, where it was not the reader's own."""
    mail = select(OutboxMessage.recipient).where(OutboxMessage.id == bounce.message_id)
    return session.exec(mail).first()


def _of_another_address(app: App, session: Session, address: str, bounce: Bounce) -> Became:
    """An address that the reader wants to move to, or has left, says nothing of the reader's own;
    and the mail that came back says nothing of later ones."""
    bounce.settled = True
    if bounce.kind in ("policy", "soft"):
        return "counted"
    reason: Literal["bounce", "complaint"] = "bounce" if bounce.kind == "hard" else "complaint"
    suppress(app, session, address.casefold(), address, reason, bounce.detail)
    return "suppressed"


def _soft_days(session: Session, bounce: Bounce, now: datetime) -> set[object]:
    """The days on which mail to the reader came back softly, since one last stayed away."""
    came_back = select(Bounce.message_id).where(Bounce.subscriber_id == bounce.subscriber_id)
    arrived = session.exec(
        select(func.max(OutboxMessage.id)).where(
            OutboxMessage.subscriber_id == bounce.subscriber_id,
            OutboxMessage.status == "sent",
            col(OutboxMessage.id) < bounce.message_id,
            col(OutboxMessage.id).not_in(came_back),
        )
    ).one()
    soft = session.exec(
        select(Bounce.at).where(
            Bounce.subscriber_id == bounce.subscriber_id,
            Bounce.kind == "soft",
            ~col(Bounce.settled),
            Bounce.at > now - SOFT_WITHIN,
            Bounce.message_id > (arrived or 0),
        )
    )
    return {at.date() for at in soft}
