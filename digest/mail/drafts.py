"""What the next messages are made from, read for all of them in a few statements."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import Select, bindparam, select
from sqlmodel import Session

from digest.mail.compose import Editions, papers_of, picks_of
from digest.mail.message import mail_address
from digest.mail.queue import Seen, Waiting
from digest.models import Digest, Subscriber, Suppression
from digest.tokens import Tokens

# A subscriber of which status may get which mail.
_RUNNING = ("active", "paused")
WELCOME = {
    "digest": ("active",),
    "confirm": ("pending",),
    "link": _RUNNING,
    "sensitive": (*_RUNNING, "removed"),
    "address": _RUNNING,
    "moved": _RUNNING,
}
# The suppression that does not stop it: who was erased may sign up anew.
HARMLESS = {"confirm": "erased", "address": "erased"}


def _by_id(model: Any, names: Iterable[str]) -> Select[Any]:
    columns = model.__table__.c
    wanted = select(*(columns[name] for name in names))
    return wanted.where(columns.id.in_(bindparam("ids", expanding=True)))


# Made once, which takes as long as to ask them of fifty mails.
_READERS = _by_id(
    Subscriber, ("id", "email", "email_key", "name", "status", "link_epoch", "view_epoch")
)
_DIGESTS = _by_id(Digest, Digest.model_fields)
_SUPPRESSED = Suppression.__table__.c  # type: ignore[attr-defined]
_AGAINST = select(_SUPPRESSED.address_hash, _SUPPRESSED.reason).where(
    _SUPPRESSED.address_hash.in_(bindparam("hashes", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Draft:
    """The rows that a message is made from, and what must still hold when it goes."""

    message: Waiting
    reader: Any
    digest: Any
    picks: Sequence[Any]
    seen: Seen


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A message that is not sent after all, and why."""

    message: Waiting
    status: Literal["cancelled", "failed"]
    why: str


def read(
    session: Session, messages: Sequence[Waiting], editions: Editions, tokens: Tokens
) -> list[Draft | Unwanted]:
    """A draft for each message, in their order; `editions` takes up the days' frozen parts."""
    readers = _rows(session, _READERS, [m.subscriber_id for m in messages])
    digests = _rows(session, _DIGESTS, [m.digest_id for m in messages if m.digest_id])
    picks = picks_of(session, {key: digest.reasons for key, digest in digests.items()})
    papers: dict[date, set[int]] = {}
    for key, digest in digests.items():
        papers.setdefault(digest.day, set()).update(papers_of(picks.get(key, ())))
    for day, shown in papers.items():
        editions.read(session, day, shown)
    hashes = {
        message.id: tokens.address_hashes((message.recipient or reader.email).casefold())
        for message in messages
        if (reader := readers.get(message.subscriber_id)) is not None
    }
    reasons = _suppressions(session, [one for several in hashes.values() for one in several])
    drafts: list[Draft | Unwanted] = []
    for message in messages:
        reader = readers.get(message.subscriber_id)
        keys = hashes.get(message.id, [])
        unwanted = _unwanted(message, reader, [reasons[key] for key in keys if key in reasons])
        if unwanted is not None:
            drafts.append(unwanted)
            continue
        assert reader is not None
        harmless = HARMLESS.get(message.kind, "")
        seen = Seen(reader.status, reader.email, reader.link_epoch, keys, harmless)
        number = message.digest_id or 0
        drafts.append(Draft(message, reader, digests.get(number), picks.get(number, ()), seen))
    return drafts


def _unwanted(message: Waiting, reader: Any, suppressions: Sequence[str]) -> Unwanted | None:
    if reader is None or reader.status not in WELCOME[message.kind]:
        status = reader.status if reader is not None else "gone"
        return Unwanted(message, "cancelled", f"the subscriber is {status}")
    if against := [reason for reason in suppressions if reason != HARMLESS.get(message.kind)]:
        return Unwanted(message, "cancelled", f"the address is suppressed: {against[0]}")
    if mail_address(message.recipient or reader.email) is None:
        why = "the address has characters that mail servers do not take"
        return Unwanted(message, "failed", why)
    return None


def _rows(session: Session, wanted: Select[Any], ids: Sequence[int]) -> Mapping[int, Any]:
    return {row.id: row for row in session.connection().execute(wanted, {"ids": ids}).all()}


def _suppressions(session: Session, hashes: Sequence[str]) -> Mapping[str, str]:
    found = session.connection().execute(_AGAINST, {"hashes": hashes})
    return {row.address_hash: row.reason for row in found}
