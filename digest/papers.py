"""What a paper is: the values a reader makes of a feed, ids and versions, merging."""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Kind = Literal["new", "cross", "replace", "replace-cross"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One paper as one feed shows it, its text already cleaned (no TeX, no markup).

    `key` is the paper's id as users meet it (`arxiv:2512.01234`, `doi:10.…`, `url:…`);
    `aliases` are further ids of the same work; `categories` has the primary one first.
    """

    key: str
    title: str
    abstract: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    url: str
    day: date
    kind: Kind = "new"
    version: int = 1
    pdf_url: str | None = None
    doi: str | None = None
    journal: str | None = None
    licence: str | None = None
    upvotes: int | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that could not be read: where it stood in the feed (from 1) and why."""

    position: int
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a feed held: its title, its listing day where it names one, and its entries."""

    title: str
    day: date | None
    entries: tuple[Entry, ...]
    rejected: tuple[Rejected, ...] = field(default=())
