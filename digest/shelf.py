"""What a reader was sent, to be read again in the browser or by a feed reader."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlmodel import Session, col

from digest.errors import NotFound
from digest.mail import compose
from digest.mail.contents import Card, DigestMail
from digest.mail.links import Links
from digest.models import Digest, Pick, Subscriber

if TYPE_CHECKING:
    from digest.app import App

NEWEST = 50


@dataclass(frozen=True, slots=True)
class Shelved:
    """A pick as its digest showed it; (`digest_id`, `position`) stay the same for good."""

    digest_id: int
    position: int
    day: date
    sent_at: datetime
    card: Card
    reason: str


def digest_mail(app: "App", person: Subscriber, digest_id: int) -> DigestMail:
    """What the mail of the reader's digest shows. Raises NotFound where it is not the reader's."""
    with app.db.read() as session:
        held = session.get(Digest, digest_id)
        if held is None or held.subscriber_id != person.id:
            raise NotFound("there is no such digest")
        links = Links(app.settings.web.base_url, app.tokens)
        return compose.load(session, person, held, app.settings, links)


def newest_digest(session: Session, subscriber_id: int) -> Digest | None:
    """The reader's digest of the latest day, of those that have papers: one whose mail was given
    up has none any more."""
    full = select(col(Pick.digest_id)).where(col(Pick.digest_id) == col(Digest.id)).exists()
    theirs = select(Digest).where(col(Digest.subscriber_id) == subscriber_id, full)
    return session.scalars(theirs.order_by(col(Digest.day).desc()).limit(1)).first()


def newest_picks(session: Session, subscriber_id: int) -> list[Shelved]:
    """The picks of the reader's newest digests, the newest digest first."""
    rows = session.execute(
        select(
            col(Digest.id),
            col(Pick.position),
            col(Digest.day),
            col(Digest.created_at),
            # After a merge, the card is still the one of the row that was picked.
            func.coalesce(Pick.shown_as, Pick.paper_id).label("paper_id"),
            col(Digest.reasons),
        )
        .join(Pick, col(Pick.digest_id) == col(Digest.id))
        .where(col(Digest.subscriber_id) == subscriber_id)
        .order_by(col(Digest.day).desc(), col(Pick.position))
        .limit(NEWEST)
    ).all()
    editions = compose.Editions()
    for day in {row.day for row in rows}:
        editions.read(session, day, {row.paper_id for row in rows if row.day == day})
    return [
        Shelved(
            digest_id,
            position,
            day,
            at,
            editions.cards(day)[paper],
            compose.reason_of(reasons, position),
        )
        for digest_id, position, day, at, paper, reasons in rows
        if paper in editions.cards(day)
    ]
