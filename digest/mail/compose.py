"""From the rows of a digest to what its mail shows; the mail, the preview and the page share it."""

from collections.abc import Mapping, Sequence
from email.utils import parseaddr
from typing import Any

from sqlmodel import Session, col, select

from digest.mail.links import Bearer, Links
from digest.mail.render import Card, DigestMail, Item, Note, Trend
from digest.models import Digest, Edition, EditionPaper, Pick, Subscriber
from digest.settings import Settings


def compose(
    subscriber: Subscriber,
    digest: Digest,
    picks: Sequence[Pick],
    cards: Mapping[int, Mapping[str, Any]],
    trending: Sequence[Mapping[str, Any]],
    settings: Settings,
    links: Links,
) -> DigestMail:
    """The mail of a digest, saved or not; `picks` are in their order, `cards` by paper id."""
    bearer = Bearer(subscriber.id or 0, subscriber.link_epoch, digest.created_at, digest.id or 0)
    vote = links.votes(bearer)
    return DigestMail(
        service=service(settings),
        postal_address=settings.mail.postal_address,
        day=digest.day,
        since=digest.since,
        candidates=digest.candidates,
        items=tuple(
            Item(
                card=Card.from_json(cards[pick.shown_as or pick.paper_id]),
                up_url=vote(pick.position, "up"),
                down_url=vote(pick.position, "down"),
                reason=pick.reason,
                sentence=pick.sentence,
                exploring=pick.exploring,
            )
            for pick in picks
        ),
        news=tuple(Note(**note) for note in digest.news),
        trending=tuple(_trend(card) for card in trending),
        why=f"You get this because {subscriber.email} is subscribed to {service(settings)}.",
        preferences_url=links.preferences(bearer),
        unsubscribe_url=links.unsubscribe(bearer),
        view_url=links.view(bearer),
    )


def load(
    session: Session, subscriber: Subscriber, digest: Digest, settings: Settings, links: Links
) -> DigestMail:
    """The mail of a kept digest, made from its picks and the day's frozen parts."""
    picks = session.exec(
        select(Pick).where(Pick.digest_id == digest.id).order_by(col(Pick.position))
    ).all()
    cards = session.exec(
        select(EditionPaper.paper_id, EditionPaper.card).where(
            EditionPaper.day == digest.day,
            col(EditionPaper.paper_id).in_([pick.shown_as or pick.paper_id for pick in picks]),
        )
    ).all()
    edition = session.get(Edition, digest.day)
    trending = edition.trending if edition is not None else []
    return compose(subscriber, digest, picks, dict(cards), trending, settings, links)


def service(settings: Settings) -> str:
    """The name under which the digests are sent."""
    return parseaddr(settings.mail.sender)[0] or "Paper Digest"


def _trend(card: Mapping[str, Any]) -> Trend:
    upvotes, votes = card.get("upvotes", 0), card.get("votes", 0)
    notes = []
    if upvotes:
        notes.append(f"{upvotes:,} upvote{'s' if upvotes != 1 else ''}")
    if votes:
        notes.append(f"liked by {votes:,} reader{'s' if votes != 1 else ''} here")
    return Trend(card["title"], card["url"], tuple(card["authors"]), ", ".join(notes))
