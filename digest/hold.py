"""Delivery held after a restore, until the operator says from which day on it goes on."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlmodel import Session

from digest.errors import DatabaseError, InputError
from digest.models import Hold

if TYPE_CHECKING:
    from digest.app import App

_FARTHEST = timedelta(days=7)

# Stands in the outbox beside a mail that a restore cancelled, for it may have gone out since.
RESTORED = "a backup was restored"


def held(session: Session) -> Hold | None:
    """The hold that is on, or None where delivery goes on."""
    kept = session.get(Hold, 1)
    return kept if kept is not None and kept.resumed_from is None else None


def refuse(app: "App") -> None:
    """Raises DatabaseError where delivery is held."""
    with app.db.read() as session:
        kept = held(session)
    if kept is not None:
        raise DatabaseError(
            f"delivery is held since {kept.since:%Y-%m-%d %H:%M} UTC ({kept.reason}):"
            " `digest db resume DAY` goes on with what was announced on that day and later"
        )


def resumed_from(session: Session) -> date | None:
    """The first day that digests may cover since the last hold ended."""
    kept = session.get(Hold, 1)
    return kept.resumed_from if kept is not None else None


def resume(app: "App", day: date) -> None:
    """Lets delivery go on with what was announced on `day` and later; nothing older is mailed.

    Raises InputError where nothing is held, and for a day that is more than a week ahead.
    """
    if day > app.now().date() + _FARTHEST:
        raise InputError(f"{day} is more than a week ahead: readers would get nothing until then")
    with app.db.write() as session:
        kept = held(session)
        if kept is None:
            raise InputError("delivery is not held, so there is nothing to resume")
        kept.resumed_from = day
        session.add(kept)
