"""How often we write because somebody typed an address: who asks need not be whose it is."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, or_
from sqlmodel import Session, col, func, select

from digest.errors import TooMany
from digest.models import OutboxMessage, Subscriber

LETTERS_APART = timedelta(minutes=10)
LETTERS_A_DAY = 3
ASKED = ("confirm", "link", "address")  # the letters that go to whatever address is typed
DATA_LINKS_AN_HOUR, DATA_LINKS_A_DAY = 3, 6
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def refuse_flood(session: Session, per_hour: int, now: datetime) -> None:
    """Raises TooMany, for known and unknown addresses alike, where as many letters as may go out
    in an hour have gone."""
    lately = session.exec(select(func.count()).where(*_letters(now - HOUR))).one()
    if lately >= per_hour:
        raise TooMany(
            "Very many mails were asked for within the last hour, so none is sent now:"
            " please try again in an hour.",
            retry_after=int(HOUR.total_seconds()),
        )


def may_write_to(session: Session, email_key: str, now: datetime) -> bool:
    """Whether another letter may go to the mailbox: few a day, and none shortly after another, but
    that one's link was used to confirm: who leaves by a slip may come back at once. Addresses that
    differ in what follows a + are one mailbox."""
    confirmed, sent = col(Subscriber.confirmed_at), col(OutboxMessage.created_at)
    unanswered = case((or_(confirmed.is_(None), confirmed < sent), sent))
    count, last = session.exec(
        select(func.count(), func.max(unanswered))
        .select_from(OutboxMessage)
        .join(Subscriber, col(Subscriber.id) == col(OutboxMessage.subscriber_id))
        .where(*_letters(now - DAY), col(OutboxMessage.kind).in_(ASKED), _same_mailbox(email_key))
    ).one()
    return count < LETTERS_A_DAY and (last is None or last <= now - LETTERS_APART)


def refuse_data_link(session: Session, subscriber_id: int, now: datetime) -> None:
    """Raises TooMany where the reader was sent enough links to the data: whoever was forwarded a
    digest can ask for them."""
    for most, time, name in ((DATA_LINKS_AN_HOUR, HOUR, "hour"), (DATA_LINKS_A_DAY, DAY, "day")):
        if _sent(session, subscriber_id, "sensitive", now - time) >= most:
            raise TooMany(
                f"{most} such links were mailed within the last {name}: the newest is in your"
                " inbox, or among the spam.",
                retry_after=int(HOUR.total_seconds()),
            )


def may_ask_address(session: Session, subscriber_id: int, email_key: str, now: datetime) -> bool:
    """Whether an address may be asked if the reader's digests are to come there."""
    asked = _sent(session, subscriber_id, "address", now - DAY)
    return asked < LETTERS_A_DAY and may_write_to(session, email_key, now)


def _sent(session: Session, subscriber_id: int, kind: str, since: datetime) -> int:
    theirs = col(OutboxMessage.subscriber_id) == subscriber_id
    of_kind = col(OutboxMessage.kind) == kind
    return session.exec(select(func.count()).where(*_letters(since), theirs, of_kind)).one()


def _letters(since: datetime) -> list[ColumnElement[bool]]:
    """All mails but digests; as the index on them has it."""
    return [col(OutboxMessage.digest_id).is_(None), col(OutboxMessage.created_at) > since]


def _same_mailbox(email_key: str) -> ColumnElement[bool]:
    local, _, domain = email_key.rpartition("@")
    box = local.partition("+")[0] or local
    tagged = func.coalesce(func.lower(OutboxMessage.recipient), Subscriber.email_key)
    return or_(
        tagged == f"{box}@{domain}",
        tagged == email_key,
        tagged.startswith(f"{box}+", autoescape=True)
        & tagged.endswith(f"@{domain}", autoescape=True),
    )
