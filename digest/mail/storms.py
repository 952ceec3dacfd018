"""When nearly everything comes back at once it is our own relay or name that is refused, and says
nothing of the readers' addresses."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlmodel import Session, col, func, select, update

from digest import suppressions
from digest.models import Alert, Bounce, OutboxMessage

if TYPE_CHECKING:
    from digest.app import App

log = structlog.get_logger()

NAME = "bounces"
WITHIN = timedelta(hours=1)
FEWEST = 20  # below so many, a few dead addresses on a small list would look like it


def raging(session: Session, now: datetime) -> bool:
    """Whether, of the mails of the last hour, more came back than stayed away."""
    since = now - WITHIN
    back = (
        select(Bounce.message_id)
        .where(col(Bounce.at) > since, col(Bounce.kind).in_(("hard", "soft")))
        .distinct()
    )
    count = session.exec(select(func.count()).select_from(back.subquery())).one()
    if count < FEWEST:
        return False
    # The newest have the highest ids; no more need be looked for than came back.
    stayed = (
        select(OutboxMessage.id)
        .where(
            OutboxMessage.status == "sent",
            col(OutboxMessage.sent_at) > since,
            col(OutboxMessage.id).not_in(back),
        )
        .order_by(col(OutboxMessage.id).desc())
        .limit(count)
    )
    return len(session.exec(stayed).all()) < count


def hold(app: "App", session: Session, bounce: Bounce) -> bool:
    """Whether the bounce belongs to a storm. Then it counts for nothing; with the first of it the
    operator is told, and what was suppressed within the hour gets mail again."""
    if session.get(Alert, NAME) is None:
        if not raging(session, app.now()):
            return False
        session.add(Alert(name=NAME, sentence=SENTENCE, since=app.now()))
        _undo(session, app.now())
    bounce.settled = True
    return True


def _undo(session: Session, now: datetime) -> None:
    lifted = suppressions.lift(session, now - WITHIN, now)
    session.exec(
        update(Bounce)
        .where(col(Bounce.at) > now - WITHIN, col(Bounce.kind).in_(("hard", "soft")))
        .values(settled=True)
    )
    log.warning("trouble", trouble=NAME, sentence=SENTENCE, lifted=lifted)


SENTENCE = (
    "Most mails of the last hour came back, so it is rather our mail server or name that is refused"
    " than the readers' addresses: nobody is suppressed for it. `digest doctor` looks at DNS; the"
    " bounces say why."
)
