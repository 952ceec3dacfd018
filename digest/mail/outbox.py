"""The mails on their way: put in, claimed one at a time, sent, and what became of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlmodel import Session

from digest.app import App
from digest.models import OutboxMessage

Kind = Literal["digest", "confirm", "link"]
Progress = Callable[[int, int], None]

PRIORITY: dict[Kind, int] = {"confirm": 0, "link": 0, "digest": 5}


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the messages of one run; one in doubt was handed over, unanswered."""

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
) -> None:
    """Puts a mail into the outbox, to be sent as soon as may be."""
    session.add(
        OutboxMessage(
            kind=kind,
            subscriber_id=subscriber_id,
            digest_id=digest_id,
            priority=PRIORITY[kind],
            due_at=now,
            created_at=now,
        )
    )


def send_due(app: App, progress: Progress | None = None, only: int | None = None) -> Sent:
    """Sends what is due (`only`: of this subscriber), telling `progress` of (done, all).

    Raises MailError where the mail server refuses us as a whole; no address is marked then.
    """
    raise NotImplementedError


def send_test(app: App, email: str) -> list[str]:
    """Sends one small mail now and gives the server's answers. Raises MailError."""
    raise NotImplementedError
