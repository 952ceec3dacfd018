"""What is the same for all readers of a digest, made once: its papers, what stands below them, and
the frames around both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import jinja2

from digest import categories
from digest.mail import pieces
from digest.mail.contents import Card, Note, Trend
from digest.mail.pieces import shorten
from digest.ranking.text import sentences

Level = Literal["title", "sentence", "full"]

ABSTRACT = 3_000  # characters; the longest of arXiv are within 2,000
FLAG = "A step outside your topics"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the mail, in both forms. `html_bytes` is its HTML when decoded."""

    html: pieces.Piece
    text: pieces.Piece
    html_bytes: int
    whole: bool = True  # whether it has places for all of the reader's own, or for its links alone


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands above and below the papers, in both forms; `html_bytes` is its HTML when
    decoded."""

    html: tuple[pieces.Piece, pieces.Piece]
    text: tuple[pieces.Piece, pieces.Piece]
    html_bytes: int


NOTHING = Part(pieces.Piece(("",)), pieces.Piece(("",)), 0)


@dataclass(frozen=True, slots=True)
class Below:
    """What follows the papers, encoded; `html_bytes` is its HTML when decoded."""

    html: bytes
    text: bytes
    html_bytes: int


@lru_cache(maxsize=2048)
def paper(
    env: jinja2.Environment, card: Card, level: Level, sentence: int | None, voting: bool
) -> Part:
    """A paper at one of the levels of detail, with slots for the reader's own."""
    shown = card_values(card, level, sentence) | {"voting": voting}
    return replace(_made(env, "paper", shown, level, pieces.slot), whole=level != "title")


@lru_cache(maxsize=1)
def welcome(env: jinja2.Environment) -> Part:
    """What a first digest says before its papers."""
    return _made(env, "welcome")


@lru_cache(maxsize=256)
def below(
    env: jinja2.Environment,
    also: tuple[Note, ...],
    news: tuple[Note, ...],
    trending: tuple[Trend, ...],
) -> Below:
    """What stands below the papers: more by followed authors, news of liked ones, the trending."""
    parts = [_also(env, also), _news(env, news), _trending(env, trending)]
    html = b"".join(part.html.fill({}) for part in parts)
    text = b"".join(part.text.fill({}) for part in parts)
    return Below(html, text, sum(part.html_bytes for part in parts))


def _also(env: jinja2.Environment, notes: tuple[Note, ...]) -> Part:
    if not notes:
        return NOTHING
    shown = [{"title": squeeze(note.title, 160), "url": address(note.url)} for note in notes]
    return _made(env, "also", shown)


def _news(env: jinja2.Environment, notes: tuple[Note, ...]) -> Part:
    if not notes:
        return NOTHING
    shown = [
        {
            "title": squeeze(note.title, 300),
            "url": address(note.url),
            "line": squeeze(note.line, 160),
        }
        for note in notes
    ]
    return _made(env, "news", shown)


@lru_cache(maxsize=8)
def _trending(env: jinja2.Environment, trends: tuple[Trend, ...]) -> Part:
    if not trends:
        return NOTHING
    shown = [
        {
            "title": squeeze(trend.title, 300),
            "url": address(trend.url),
            "authors": squeeze(credit(trend.authors, 3), 120),
            "note": pieces.clean(trend.note),
        }
        for trend in trends
    ]
    return _made(env, "trending", shown)


def _made(env: jinja2.Environment, macro: str, *values: Any) -> Part:
    html_macro = getattr(env.get_template("email/pieces.html.j2").module, macro)
    text_macro = getattr(env.get_template("email/pieces.txt.j2").module, macro)
    html = pieces.inline(env, html_macro(*values))
    return _part(html, text_macro(*values, pieces.wrap, pieces.RULE))


def _part(html: str, text: str) -> Part:
    parts = pieces.cut(html)
    return Part(pieces.Piece(parts), pieces.Piece(pieces.cut(text)), _fixed(parts))


def _fixed(parts: tuple[str, ...]) -> int:
    return sum(len(part.encode()) for part in parts[::2])


def card_values(card: Card, level: Level, sentence: int | None) -> dict[str, Any]:
    """The paper's text as the templates take it, each part cut to what a mail has room for."""
    full = level == "full"
    abstract = [pieces.clean(text) for text in sentences(card.abstract)]
    summary = "" if level == "title" else shorten(card.summary, 320)
    return {
        "title": shorten(card.title, 300) if full else squeeze(card.title, 210),
        "url": address(card.url),
        "pdf_url": address(card.pdf_url or ""),
        "authors": credit(card.authors, 8) if full else squeeze(credit(card.authors, 3), 90),
        "categories": " · ".join(categories.names(map(pieces.clean, card.categories))),
        "journal": shorten(card.journal or "", 80),
        "summary": summary,
        "sentences": [] if summary and not full else _excerpt(abstract, level, sentence),
    }


def _excerpt(abstract: list[str], level: Level, sentence: int | None) -> list[str]:
    if level == "title" or not abstract:
        return []
    if level == "sentence":
        marked = sentence if sentence is not None and sentence < len(abstract) else 0
        return [shorten(abstract[marked], 320)]
    room = ABSTRACT
    kept = []
    for text in abstract:
        if room <= 0:
            break
        kept.append(shorten(text, max(room, 40)))
        room -= len(text)
    return kept


def squeeze(text: str, room: int) -> str:
    """The text cut to at most `room` bytes as it is sent, where some characters take nine."""
    text = pieces.clean(text)
    while (size := pieces.wire_bytes(text)) > room:
        text = shorten(text, min(len(text) - 1, max(1, len(text) * room // size)))
    return text


def address(url: str) -> str:
    """The address where it is one that a reader may safely open, else nothing."""
    return pieces.clean(url) if url.startswith(("http://", "https://")) else ""


def credit(authors: Sequence[str], shown: int) -> str:
    """The authors, of whom at most `shown` are named: one name fewer is never said as "1 more"."""
    names = [name for name in map(pieces.clean, authors) if name]
    if len(names) > shown + 1:
        return f"{', '.join(names[:shown])} and {len(names) - shown:,} more"
    return ", ".join(names)


@lru_cache(maxsize=16)
def bit(env: jinja2.Environment, macro: str) -> tuple[str, ...]:
    """The macro's HTML with its styles put in, cut at its slots: every second is a slot's name."""
    made = getattr(env.get_template("email/pieces.html.j2").module, macro)(pieces.slot, FLAG)
    return pieces.cut(pieces.inline(env, made))


@lru_cache(maxsize=4)
def frame(env: jinja2.Environment, service: str, postal_address: str, personal: bool) -> Frame:
    """What stands around the papers; `personal` with a reader's links."""
    names = "subject preheader day count why picks below"
    links = "preferences_url unsubscribe_url view_url"
    values: dict[str, Any] = {name: pieces.slot(name) for name in f"{names} {links}".split()}
    values |= {
        "service": pieces.clean(service),
        "sender": pieces.clean(pieces.sender(service, postal_address)),
        "personal": personal,
    }
    html = pieces.cut(pieces.page(env, "digest", values))
    text = pieces.cut(pieces.text(env, "digest", values))
    return Frame(_around(html), _around(text), _fixed(html))


def _around(parts: tuple[str, ...]) -> tuple[pieces.Piece, pieces.Piece]:
    """The frame in two, before and after the slot of the papers."""
    at = parts.index("picks")
    return pieces.Piece(parts[:at]), pieces.Piece(parts[at + 1 :])
