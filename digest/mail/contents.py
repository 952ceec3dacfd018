"""What a digest's mail shows, as values: papers, picks, news, trends, and the links around them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Self


@dataclass(frozen=True, slots=True)
class Card:
    """A paper as the mails of a day show it; `EditionPaper.card` holds it as JSON. `summary` is a
    sentence that a machine wrote, where there is one."""

    key: str
    title: str
    abstract: str = ""
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    url: str = ""
    pdf_url: str | None = None
    journal: str | None = None
    summary: str = ""

    def __hash__(self) -> int:
        """Cards are looked up by themselves, ten for each mail; equal ones are of one paper."""
        return hash(self.key)

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> Self:
        lists = {"authors": tuple(card["authors"]), "categories": tuple(card["categories"])}
        return cls(**{name: card[name] for name in cls.__slots__ if name in card} | lists)


class Item(NamedTuple):
    """A pick: `sentence` is the index of the abstract's marked sentence, `reason` says why, `topic`
    is the reader's topic that spoke for it; `similar` are near-copies that stand behind it."""

    card: Card
    up_url: str
    down_url: str
    reason: str = ""
    sentence: int | None = None
    exploring: bool = False
    topic: str | None = None
    similar: tuple[Card, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """What became of a paper that the reader liked, in a `line`."""

    title: str
    url: str
    line: str


@dataclass(frozen=True, slots=True)
class Trend:
    """A paper that many look at; `note` says how many."""

    title: str
    url: str
    authors: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class DigestMail:
    """All that a digest shows. `items` are best first, out of `candidates` papers that were
    announced from `since` to `day`; `why` says why the reader gets it; `also` are papers of authors
    that the reader follows, for which there was no room; `welcome`: it is the reader's first."""

    service: str
    postal_address: str
    day: date
    since: date
    candidates: int
    items: tuple[Item, ...]
    trending: tuple[Trend, ...]
    why: str
    preferences_url: str
    unsubscribe_url: str
    view_url: str
    news: tuple[Note, ...] = ()
    also: tuple[Note, ...] = ()
    welcome: bool = False
