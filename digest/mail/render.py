"""A digest as HTML and text, made from values alone.

A paper is rendered, and its styles put in, once for all readers; a reader's mail is joined from
such pieces and the few bytes that are the reader's own.
"""

from binascii import a2b_qp
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache, partial
from html import escape
from typing import Any, Literal

import jinja2

from digest import categories
from digest.mail import headline, pieces
from digest.mail.contents import Card, DigestMail, Item, Note, Trend
from digest.mail.headline import in_words
from digest.mail.pieces import shorten
from digest.ranking.text import sentences

Level = Literal["title", "sentence", "full"]
LEVELS: tuple[Level, ...] = ("title", "sentence", "full")

# Gmail cuts a mail off at some 100 kB; what is left free is for headers and signature.
HTML_BYTES = 78_000
MESSAGE_BYTES = 92_000
FRAME_TEXT = 1_500  # the text part without papers, and the values in both frames
ABSTRACT = 3_000  # characters; the longest of arXiv are within 2,000
INDENT = " " * 4
FLAG = "A step outside your topics"
SIMILAR = 3  # near-copies named
LINKS = ("preferences_url", "unsubscribe_url", "view_url")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail without its headers; lines end in \\n."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A mail without its headers, both parts as they are sent: see `pieces.encode`."""

    subject: str
    html: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the mail, in both forms. `html_bytes` is its HTML when decoded."""

    html: pieces.Piece
    text: pieces.Piece
    html_bytes: int
    whole: bool = True  # whether it has places for all of the reader's own, or for its links alone


_NOTHING = _Part(pieces.Piece(("",)), pieces.Piece(("",)), 0)


@dataclass(frozen=True, slots=True)
class _Below:
    """What follows the papers, encoded; `html_bytes` is its HTML when decoded."""

    html: bytes
    text: bytes
    html_bytes: int


@dataclass(frozen=True, slots=True)
class _Own:
    """What fills a paper's slots in one reader's mail, encoded, and which of its sentences is
    marked."""

    html: dict[str, bytes]
    text: dict[str, bytes]
    sentence: int | None


def render_digest(env: jinja2.Environment, mail: DigestMail) -> Rendered:
    """The digest as its reader sees it: what is sent, decoded."""
    sent = encode_digest(env, mail)
    return Rendered(sent.subject, pieces.decode(sent.html), pieces.decode(sent.text))


def encode_digest(env: jinja2.Environment, mail: DigestMail) -> Encoded:
    """The digest; with many papers the last ones are shortened, so that no client cuts it off."""
    own = [_own(env, item, number) for number, item in enumerate(mail.items, start=1)]
    html, text = _papers(env, mail, own)
    if mail.welcome:
        above = _welcome(env)
        html, text = [above.html.fill({}), *html], [above.text.fill({}), *text]
    below = _below(env, mail.also, mail.news, mail.trending)
    titles = [item.card.title for item in mail.items]
    topics = [item.topic for item in mail.items]
    count = _count(len(mail.items), mail.candidates, mail.since, mail.day)
    subject = headline.subject(titles, topics, in_words(mail.day))
    preheader = headline.preheader(titles, topics, count)
    shown = {
        "subject": pieces.encode(escape(subject)),
        "preheader": pieces.encode(escape(preheader)),
        "picks": b"\r\n".join(html),
        "below": below.html,
    }
    plain = {"picks": b"".join(text), "below": below.text}
    shown["day"], plain["day"] = _common(in_words(mail.day))
    shown["count"], plain["count"] = _common(count)
    shown["why"], plain["why"] = _both(pieces.clean(mail.why))
    for name in LINKS:
        shown[name], plain[name] = _both(getattr(mail, name))
    frame = _frame(env, mail.service, mail.postal_address, bool(mail.preferences_url))
    return Encoded(subject, frame.html.fill(shown), frame.text.fill(plain))


def public(mail: DigestMail) -> DigestMail:
    """The mail without what only its reader may do or know, for a page that may be passed on."""
    items = tuple(replace(item, up_url="", down_url="") for item in mail.items)
    return replace(
        mail,
        items=items,
        news=(),
        also=(),
        welcome=False,
        why="",
        preferences_url="",
        unsubscribe_url="",
        view_url="",
    )


def credit(authors: Sequence[str], shown: int) -> str:
    """The authors, of whom at most `shown` are named: one name fewer is never said as "1 more"."""
    names = [name for name in map(pieces.clean, authors) if name]
    if len(names) > shown + 1:
        return f"{', '.join(names[:shown])} and {len(names) - shown:,} more"
    return ", ".join(names)


@lru_cache(maxsize=256)
def _count(shown: int, candidates: int, since: date, day: date) -> str:
    papers = "new paper" if candidates == 1 else "new papers"
    span = f" since {since:%A}, {since.day} {since:%B}" if since < day else ""
    return f"{shown} of {candidates:,} {papers}{span}"


# How much of each paper there is room for


def _papers(
    env: jinja2.Environment, mail: DigestMail, own: Sequence[_Own]
) -> tuple[list[bytes], list[bytes]]:
    """Each paper's HTML and text, with as much of it as there is room for, the best ones first."""
    frame = _frame_bytes(env, mail)
    papers = [_piece(env, item, "full") for item in mail.items]
    html, text = _filled(env, papers, own)
    wire = sum(map(len, html)) + sum(map(len, text))
    # Decoded it is shorter than encoded, so that hardly any mail needs to be decoded for its size.
    if _fits(frame, [(sum(map(len, html)), wire)]) or _fits(frame, [(_decoded(html), wire)]):
        return html, text
    papers = [_piece(env, item, "title") for item in mail.items]
    sizes = list(map(partial(_bytes, env), papers, own))
    for level in LEVELS[1:]:
        for index, item in enumerate(mail.items):
            fuller = _piece(env, item, level)
            before, sizes[index] = sizes[index], _bytes(env, fuller, own[index])
            if not _fits(frame, sizes):
                sizes[index] = before
                break
            papers[index] = fuller
    return _filled(env, papers, own)


def _filled(
    env: jinja2.Environment, papers: Sequence[_Part], own: Sequence[_Own]
) -> tuple[list[bytes], list[bytes]]:
    before, _, after = _bit(env, "mark")
    marks = before, after
    pairs = list(zip(papers, own, strict=True))
    html = [paper.html.fill(its.html, its.sentence, marks) for paper, its in pairs]
    return html, [paper.text.fill(its.text) for paper, its in pairs]


def _fits(frame: tuple[int, int], sizes: Iterable[tuple[int, int]]) -> bool:
    """Sizes are bytes of HTML and bytes of the encoded message."""
    html, wire = frame
    for paper in sizes:
        html, wire = html + paper[0], wire + paper[1]
    return html <= HTML_BYTES and wire <= MESSAGE_BYTES


def _frame_bytes(env: jinja2.Environment, mail: DigestMail) -> tuple[int, int]:
    """The frame's are those of the mail with a reader's links, so that a page shows as much."""
    frame = _frame(env, mail.service, mail.postal_address, True)
    below = _below(env, mail.also, mail.news, mail.trending)
    html = frame.html_bytes + below.html_bytes
    wire = frame.html.size + FRAME_TEXT + len(below.html) + len(below.text)
    if mail.welcome:
        above = _welcome(env)
        html, wire = html + above.html_bytes, wire + above.html.size + above.text.size
    return html, wire


def _bytes(env: jinja2.Environment, paper: _Part, own: _Own) -> tuple[int, int]:
    """A paper's bytes of HTML and of the encoded message, the reader's own among them."""
    mark = 0 if own.sentence is None else sum(map(len, _bit(env, "mark")[::2]))
    wire = paper.html.room(own.html) + paper.text.room(own.text)
    if paper.whole:
        html = mark + _decoded(own.html.values())
    else:
        html = _decoded(own.html[name] for name in ("number", "up", "down"))
    return paper.html_bytes + html, wire + 2 * mark


def _decoded(parts: Iterable[bytes]) -> int:
    return sum(len(a2b_qp(part)) for part in parts)


# The pieces


def _piece(env: jinja2.Environment, item: Item, level: Level) -> _Part:
    sentence = item.sentence if level == "sentence" else None
    return _paper(env, item.card, level, sentence, bool(item.up_url))


@lru_cache(maxsize=2048)
def _paper(
    env: jinja2.Environment, card: Card, level: Level, sentence: int | None, voting: bool
) -> _Part:
    shown = _shown(card, level, sentence) | {"voting": voting}
    return replace(_made(env, "paper", shown, level, pieces.slot), whole=level != "title")


@lru_cache(maxsize=1)
def _welcome(env: jinja2.Environment) -> _Part:
    """What a first digest says before its papers."""
    return _made(env, "welcome")


@lru_cache(maxsize=256)
def _below(
    env: jinja2.Environment,
    also: tuple[Note, ...],
    news: tuple[Note, ...],
    trending: tuple[Trend, ...],
) -> _Below:
    parts = [_also(env, also), _news(env, news), _trending(env, trending)]
    html = b"".join(part.html.fill({}) for part in parts)
    text = b"".join(part.text.fill({}) for part in parts)
    return _Below(html, text, sum(part.html_bytes for part in parts))


def _also(env: jinja2.Environment, notes: tuple[Note, ...]) -> _Part:
    if not notes:
        return _NOTHING
    shown = [{"title": _squeeze(note.title, 160), "url": _http(note.url)} for note in notes]
    return _made(env, "also", shown)


def _news(env: jinja2.Environment, notes: tuple[Note, ...]) -> _Part:
    if not notes:
        return _NOTHING
    shown = [
        {
            "title": _squeeze(note.title, 300),
            "url": _http(note.url),
            "line": _squeeze(note.line, 160),
        }
        for note in notes
    ]
    return _made(env, "news", shown)


@lru_cache(maxsize=8)
def _trending(env: jinja2.Environment, trends: tuple[Trend, ...]) -> _Part:
    if not trends:
        return _NOTHING
    shown = [
        {
            "title": _squeeze(trend.title, 300),
            "url": _http(trend.url),
            "authors": _squeeze(credit(trend.authors, 3), 120),
            "note": pieces.clean(trend.note),
        }
        for trend in trends
    ]
    return _made(env, "trending", shown)


def _made(env: jinja2.Environment, macro: str, *values: Any) -> _Part:
    html_macro = getattr(env.get_template("email/pieces.html.j2").module, macro)
    text_macro = getattr(env.get_template("email/pieces.txt.j2").module, macro)
    html = pieces.inline(env, html_macro(*values))
    return _part(html, text_macro(*values, pieces.wrap, pieces.RULE))


def _part(html: str, text: str) -> _Part:
    parts = pieces.cut(html)
    fixed = sum(len(part.encode()) for part in parts[::2])
    return _Part(pieces.Piece(parts), pieces.Piece(pieces.cut(text)), fixed)


def _shown(card: Card, level: Level, sentence: int | None) -> dict[str, Any]:
    """The paper's text as the templates take it, each part cut to what a mail has room for."""
    full = level == "full"
    abstract = [pieces.clean(text) for text in sentences(card.abstract)]
    summary = "" if level == "title" else shorten(card.summary, 320)
    return {
        "title": shorten(card.title, 300) if full else _squeeze(card.title, 210),
        "url": _http(card.url),
        "pdf_url": _http(card.pdf_url or ""),
        "authors": credit(card.authors, 8) if full else _squeeze(credit(card.authors, 3), 90),
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


def _squeeze(text: str, room: int) -> str:
    """The text cut to at most `room` bytes as it is sent, where some characters take nine."""
    text = pieces.clean(text)
    while (size := pieces.wire_bytes(text)) > room:
        text = shorten(text, min(len(text) - 1, max(1, len(text) * room // size)))
    return text


def _http(url: str) -> str:
    """The address where it is one that a reader may safely open, else nothing."""
    return pieces.clean(url) if url.startswith(("http://", "https://")) else ""


# The reader's own


def _own(env: jinja2.Environment, item: Item, number: int) -> _Own:
    number_html, number_text = _number(number)
    up_html, up_text = _link(item.up_url)
    down_html, down_text = _link(item.down_url)
    html = {"number": number_html, "up": up_html, "down": down_html}
    text = {"number": number_text, "up": up_text, "down": down_text}
    if item.exploring:
        html["flag"], text["flag"] = _flag(env)
    if item.reason:
        html["why"], text["why"] = _why(env, item.reason)
    if item.similar:
        html["similar"] = pieces.encode(_similar(env, item.similar))
        text["similar"] = pieces.encode(_similar_text(item.similar))
    return _Own(html, text, item.sentence)


def _link(url: str) -> tuple[bytes, bytes]:
    """The address as HTML and as text. All of a mail's vote links are the same up to the dot."""
    stem, dot, end = url.rpartition(".")
    (stem_html, stem_text), (end_html, end_text) = _common(stem + dot), _common(end)
    return stem_html + end_html, stem_text + end_text


def _both(text: str) -> tuple[bytes, bytes]:
    """The text as HTML and as text, encoded."""
    html = escape(text)
    shown = pieces.encode(html)
    wrapped = text if len(text) <= pieces.WIDTH else pieces.wrap(text)
    return shown, shown if html == wrapped else pieces.encode(wrapped)


@lru_cache(maxsize=256)
def _common(text: str) -> tuple[bytes, bytes]:
    """The same for a text that comes again."""
    return _both(text)


@lru_cache(maxsize=4)
def _flag(env: jinja2.Environment) -> tuple[bytes, bytes]:
    return pieces.encode("".join(_bit(env, "flag"))), pieces.encode(f"{INDENT}{FLAG}\n")


@lru_cache(maxsize=512)
def _why(env: jinja2.Environment, reason: str) -> tuple[bytes, bytes]:
    """The reason as HTML and as text; many readers share a topic."""
    reason = shorten(reason, 300)
    if not reason:
        return b"", b""
    before, _, after = _bit(env, "why")
    html = pieces.encode(f"{before}{escape(reason)}{after}")
    return html, pieces.encode(f"\n{pieces.wrap(reason, INDENT)}\n")


def _similar(env: jinja2.Environment, copies: Sequence[Card]) -> str:
    """The near-copies as a line of links."""
    before, _, between, _, after = _bit(env, "copy")
    links = [
        f"{before}{escape(_http(copy.url))}{between}{escape(_squeeze(copy.title, 120))}{after}"
        for copy in copies[:SIMILAR]
    ]
    before, _, between, _, after = _bit(env, "similar")
    return f"{before}{len(copies)}{between}{'; '.join(links)}{after}"


def _similar_text(copies: Sequence[Card]) -> str:
    lines = [f"\n{INDENT}And {len(copies)} similar:"]
    for copy in copies[:SIMILAR]:
        lines += [pieces.wrap(_squeeze(copy.title, 120), INDENT), f"{INDENT}{_http(copy.url)}"]
    return "\n".join(lines) + "\n\n"


@lru_cache(maxsize=128)
def _number(number: int) -> tuple[bytes, bytes]:
    return pieces.encode(str(number)), pieces.encode(f"{number}.".ljust(len(INDENT)))


@lru_cache(maxsize=16)
def _bit(env: jinja2.Environment, macro: str) -> tuple[str, ...]:
    made = getattr(env.get_template("email/pieces.html.j2").module, macro)(pieces.slot, FLAG)
    return pieces.cut(pieces.inline(env, made))


# The frames


@lru_cache(maxsize=4)
def _frame(env: jinja2.Environment, service: str, postal_address: str, personal: bool) -> _Part:
    names = "subject preheader day count why picks below"
    links = "preferences_url unsubscribe_url view_url"
    values: dict[str, Any] = {name: pieces.slot(name) for name in f"{names} {links}".split()}
    values |= {
        "service": pieces.clean(service),
        "sender": pieces.clean(pieces.sender(service, postal_address)),
        "personal": personal,
    }
    html = pieces.page(env, "digest", values)
    return _part(html, pieces.text(env, "digest", values))
