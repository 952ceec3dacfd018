"""What others ask of the mail: put one in, send what is due, try the server."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from typing import Literal

from sqlmodel import Session

from digest.app import App
from digest.db import insert_new
from digest.errors import InputError, MailError
from digest.mail import queue
from digest.mail.message import wire_address
from digest.mail.sending import Run
from digest.mail.smtp import Connection
from digest.mail.writer import Writer
from digest.models import OutboxMessage

# The fresh links: `link` to the preferences, `sensitive` to one's data. A change of address is
# confirmed by `address`, and told by `moved` to the one that was left.
Kind = Literal["digest", "confirm", "link", "sensitive", "address", "moved"]

URGENT, ROUTINE = 0, 5
POLL = 0.2  # seconds between looks at whether another process has finished


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the messages of one run. Those `in_doubt` were handed over before without an
    answer that we know of, and are sent once more."""

    sent: int = 0
    failed: int = 0
    deferred: int = 0
    in_doubt: int = 0
    cancelled: int = 0


def enqueue(
    session: Session,
    kind: Kind,
    subscriber_id: int,
    now: datetime,
    digest_id: int | None = None,
    recipient: str | None = None,
    *,
    urgent: bool = False,
) -> None:
    """Puts a mail into the outbox, to be sent as soon as may be; `recipient` where it does not go
    to the reader's own address. A letter, and what is urgent, goes before all other digests."""
    session.add(
        OutboxMessage(
            kind=kind,
            subscriber_id=subscriber_id,
            digest_id=digest_id,
            priority=ROUTINE if kind == "digest" and not urgent else URGENT,
            recipient=recipient,
            due_at=now,
            created_at=now,
        )
    )


def enqueue_digests(
    session: Session, digests: Sequence[tuple[int, int, datetime, bool]], now: datetime
) -> None:
    """Puts digests into the outbox: (subscriber, digest, when it fell due, whether it is urgent).
    What fell due first is sent first."""
    rows = [
        {
            "kind": "digest",
            "subscriber_id": subscriber,
            "digest_id": digest,
            "priority": URGENT if urgent else ROUTINE,
            "due_at": due_at,
            "created_at": now,
        }
        for subscriber, digest, due_at, urgent in digests
    ]
    if rows:
        insert_new(session, OutboxMessage, rows)


def send_due(
    app: App,
    progress: Callable[[int, int], None] | None = None,
    only: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Sent:
    """Sends what is due (`only`: to this subscriber), telling `progress` of (done, all). Once
    `stop` says so, each connection finishes the message that it holds and takes no other.

    From an SQLite file one process sends at a time: another one waits until nothing is left, or
    takes over when the first has died. Raises MailError where the mail server cannot be reached
    or refuses us as a whole: what is not sent stays due, and no address is marked. SettingsError
    where the sender or the signing key cannot be used.
    """
    while True:
        with app.db.exclusive("sender") as free:
            if free:
                run = Run(app, progress, only, stop)
                asyncio.run(run.all())
                return Sent(**run.counts)
        with app.db.read() as session:
            if stop() or not queue.due(session, app.now(), only):
                return Sent()
        time.sleep(POLL)


def send_test(app: App, email: str, *, dry_run: bool = False) -> list[str]:
    """Sends one small mail now and gives the server's answers; `dry_run` goes as far as the
    recipient and sends nothing. Raises InputError, MailError."""
    recipient = wire_address(email)
    if recipient is None:
        raise InputError(f"{email} is no address that mail can be sent to")
    writer = Writer(app)
    raw = writer.message(
        writer.letter("test"), kind="test", to=("", recipient), at=app.now(), number=0
    )
    return asyncio.run(_hand_over(writer, recipient, raw, keep_back=dry_run))


def send_alert(app: App, sentences: Sequence[str]) -> None:
    """Tells the operator, at `mail.alert_to`, what these sentences say. Raises MailError."""
    recipient = wire_address(parseaddr(app.settings.mail.alert_to)[1])
    if recipient is None:
        raise MailError(f"mail.alert_to: {app.settings.mail.alert_to} cannot be written to")
    writer = Writer(app)
    raw = writer.message(
        writer.letter("alert", sentences), kind="alert", to=("", recipient), at=app.now(), number=0
    )
    asyncio.run(_hand_over(writer, recipient, raw))


async def _hand_over(
    writer: Writer, recipient: str, raw: bytes, *, keep_back: bool = False
) -> list[str]:
    connection = Connection(writer.app.settings.smtp)
    try:
        greeting = await connection.open()
        outcome = await connection.send(writer.sender, recipient, raw, lambda: not keep_back)
    finally:
        await connection.close()
    if outcome.kind != ("withheld" if keep_back else "accepted"):
        raise MailError(f"the mail server did not take the mail: {outcome.reply}")
    return [*greeting, *outcome.answers]
