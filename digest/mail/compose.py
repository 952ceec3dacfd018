"""From the rows of a digest to what its mail shows; the mail, the preview and the page share it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from email.utils import parseaddr
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select
from sqlmodel import Session

from digest import editions
from digest.mail.contents import Card, DigestMail, Item, Note, Trend
from digest.mail.links import Bearer, Links
from digest.models import Digest, Edition, EditionPaper, Pick, Subscriber
from digest.settings import Settings

# Tables, not models: a sender needs no mapper, whose making takes it 1 MB.
_EDITIONS = Edition.__table__.c  # type: ignore[attr-defined]
_CARDS = EditionPaper.__table__.c  # type: ignore[attr-defined]
_PICKS = Pick.__table__.c  # type: ignore[attr-defined]


class Picked(NamedTuple):
    """What a mail shows of a kept pick."""

    position: int
    paper_id: int
    reason: str
    sentence: int | None
    exploring: bool
    topic: str | None
    similar: list[int] | None


def compose(
    subscriber: Subscriber,
    digest: Digest,
    picks: Sequence[Picked],
    cards: Mapping[int, Card],
    trending: tuple[Trend, ...],
    settings: Settings,
    links: Links,
) -> DigestMail:
    """The mail of a digest, saved or not; `picks` are in their order, `cards` by paper id."""
    bearer = Bearer(
        subscriber.id or 0,
        subscriber.link_epoch,
        digest.created_at,
        digest.id or 0,
        subscriber.view_epoch,
    )
    vote = links.votes(bearer)
    sender = service(settings)
    return DigestMail(
        service=sender,
        postal_address=settings.mail.postal_address,
        day=digest.day,
        since=digest.since,
        candidates=digest.candidates,
        items=tuple(
            [
                Item(
                    card=cards[pick.paper_id],
                    up_url=vote(pick.position, "up"),
                    down_url=vote(pick.position, "down"),
                    reason=pick.reason,
                    sentence=pick.sentence,
                    exploring=pick.exploring,
                    topic=pick.topic,
                    similar=_copies(pick.similar, cards) if pick.similar else (),
                )
                for pick in picks
            ]
        ),
        news=tuple(Note(**note) for note in digest.news),
        also=tuple(Note(**note) for note in digest.also),
        trending=trending,
        why=f"You get this because {subscriber.email} is subscribed to {sender}.",
        preferences_url=links.preferences(bearer),
        unsubscribe_url=links.unsubscribe(bearer),
        view_url=links.view(bearer),
        welcome=digest.welcome,
    )


def _copies(similar: Sequence[int], cards: Mapping[int, Card]) -> tuple[Card, ...]:
    return tuple(cards[copy] for copy in similar if copy in cards)


class Editions:
    """The frozen parts of the days that mails are made of; each is read once. A paper whose card is
    gone is shown as it is now."""

    def __init__(self) -> None:
        self._cards: dict[date, dict[int, Card]] = {}
        self._trending: dict[date, tuple[Trend, ...]] = {}

    def read(self, session: Session, day: date, papers: Iterable[int]) -> None:
        cards = self._cards.setdefault(day, {})
        if day not in self._trending:
            trending = select(_EDITIONS.trending).where(_EDITIONS.day == day)
            self._trending[day] = trends(session.connection().scalar(trending) or [])
        if missing := {paper for paper in papers if paper not in cards}:
            found = select(_CARDS.paper_id, _CARDS.card).where(
                _CARDS.day == day, _CARDS.paper_id.in_(missing)
            )
            for paper, card in session.connection().execute(found):
                cards[paper] = _known(Card.from_json(card))
            # After a restore, or where somebody cleared the table: as the papers are now.
            for paper, shown in editions.cards(session, missing - cards.keys()).items():
                cards[paper] = _known(Card.from_json(shown))

    def cards(self, day: date) -> Mapping[int, Card]:
        return self._cards[day]

    def trending(self, day: date) -> tuple[Trend, ...]:
        return self._trending[day]


@lru_cache(maxsize=2048)  # as many as are kept rendered
def _known(card: Card) -> Card:
    """The card as it was read first: what is rendered is looked up by it, ten for each mail, and to
    find that two are the same takes no time where they are one."""
    return card


def load(
    session: Session, subscriber: Subscriber, digest: Digest, settings: Settings, links: Links
) -> DigestMail:
    """The mail of a kept digest, made from its picks and the day's frozen parts."""
    number = digest.id or 0
    picks = picks_of(session, {number: digest.reasons}).get(number, [])
    frozen = Editions()
    frozen.read(session, digest.day, papers_of(picks))
    cards, trending = frozen.cards(digest.day), frozen.trending(digest.day)
    return compose(subscriber, digest, picks, cards, trending, settings, links)


def papers_of(picks: Iterable[Any]) -> set[int]:
    """The papers that a mail with these picks shows: theirs, and the near-copies behind them."""
    papers = set()
    for pick in picks:
        papers.add(pick.paper_id)
        if pick.similar:
            papers.update(pick.similar)
    return papers


def picks_of(session: Session, reasons: Mapping[int, Sequence[str]]) -> dict[int, list[Picked]]:
    """The picks of each digest, in their order; `reasons` are those of the digests."""
    picks: dict[int, list[Picked]] = {digest: [] for digest in reasons}
    found = session.connection().execute(_PICKED, {"digests": list(reasons)}).all()
    for digest, position, paper, *shown in found:
        reason = reason_of(reasons[digest], position)
        picks[digest].append(Picked._make((position, paper, reason, *shown)))
    return picks


def reason_of(reasons: Sequence[str], position: int) -> str:
    """Of a digest's reasons that of the pick at this position."""
    return reasons[position - 1] if position <= len(reasons) else ""


_PICKED = (
    select(
        _PICKS.digest_id,
        _PICKS.position,
        # After a merge, the card is still the one of the row that was picked.
        func.coalesce(_PICKS.shown_as, _PICKS.paper_id),
        _PICKS.sentence,
        _PICKS.exploring,
        _PICKS.topic,
        _PICKS.similar,
    )
    .where(_PICKS.digest_id.in_(bindparam("digests", expanding=True)))
    .order_by(_PICKS.digest_id, _PICKS.position)
)


def trends(cards: Iterable[Mapping[str, Any]]) -> tuple[Trend, ...]:
    """A day's trending list as its mails show it."""
    return tuple(_trend(card) for card in cards)


def service(settings: Settings) -> str:
    """The name under which the digests are sent."""
    return _name(settings.mail.sender) or "Paper Digest"


@lru_cache(maxsize=4)
def _name(sender: str) -> str:
    return parseaddr(sender)[0]


def _trend(card: Mapping[str, Any]) -> Trend:
    upvotes, votes = card.get("upvotes", 0), card.get("votes", 0)
    notes = []
    if upvotes:
        notes.append(f"{upvotes:,} upvote{'s' if upvotes != 1 else ''}")
    if votes:
        notes.append(f"liked by {votes:,} reader{'s' if votes != 1 else ''} here")
    return Trend(card["title"], card["url"], tuple(card["authors"]), ", ".join(notes))
