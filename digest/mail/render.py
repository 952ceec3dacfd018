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

import jinja2

from digest.mail import headline, pieces, shared
from digest.mail.contents import DigestMail, Item
from digest.mail.headline import in_words
from digest.mail.shared import Level, Part
from digest.mail.slots import Own, both, common, own_of

LEVELS: tuple[Level, ...] = ("title", "sentence", "full")

# Gmail cuts a mail off at some 100 kB; what is left free is for headers and signature.
HTML_BYTES = 78_000
MESSAGE_BYTES = 92_000
FRAME_TEXT = 1_500  # the text part without papers, and the values in both frames
LINKS = ("preferences_url", "unsubscribe_url", "view_url")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail without its headers; lines end in \\n."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A mail without its headers, both forms as they are sent (see `pieces.encode`), each in parts
    that are to be put together."""

    subject: str
    html: list[bytes]
    text: list[bytes]


def render_digest(env: jinja2.Environment, mail: DigestMail) -> Rendered:
    """The digest as its reader sees it: what is sent, decoded."""
    sent = encode_digest(env, mail)
    html, text = (pieces.decode(b"".join(parts)) for parts in (sent.html, sent.text))
    return Rendered(sent.subject, html, text)


def encode_digest(env: jinja2.Environment, mail: DigestMail) -> Encoded:
    """The digest; with many papers the last ones are shortened, so that no client cuts it off."""
    own = [own_of(env, item, number) for number, item in enumerate(mail.items, start=1)]
    html, text = _papers(env, mail, own)
    if mail.welcome:
        above = shared.welcome(env)
        html, text = [above.html.fill({}), *html], [above.text.fill({}), *text]
    below = shared.below(env, mail.also, mail.news, mail.trending)
    titles = [item.card.title for item in mail.items]
    topics = [item.topic for item in mail.items]
    count = _count(len(mail.items), mail.candidates, mail.since, mail.day)
    subject = headline.subject(titles, topics, in_words(mail.day))
    preheader = headline.preheader(titles, topics, count)
    shown = {
        "subject": pieces.encode(escape(subject)),
        "preheader": pieces.encode(escape(preheader)),
        "below": below.html,
    }
    plain = {"below": below.text}
    shown["day"], plain["day"] = common(in_words(mail.day))
    shown["count"], plain["count"] = common(count)
    shown["why"], plain["why"] = both(pieces.clean(mail.why))
    for name in LINKS:
        shown[name], plain[name] = both(getattr(mail, name))
    frame = shared.frame(env, mail.service, mail.postal_address, bool(mail.preferences_url))
    return Encoded(
        subject, _within(frame.html, shown, html, b"\r\n"), _within(frame.text, plain, text, b"")
    )


def _within(
    frame: tuple[pieces.Piece, pieces.Piece],
    values: dict[str, bytes],
    papers: Iterable[bytes],
    between: bytes,
) -> list[bytes]:
    """The frame with the papers in it."""
    above, below = frame
    picks = [part for paper in papers for part in (between, paper)]
    return [above.fill(values), *picks[1:], below.fill(values)]


def public(mail: DigestMail) -> DigestMail:
    """The mail without what only its reader may do or know, for a page that may be passed on."""
    items = tuple(item._replace(up_url="", down_url="") for item in mail.items)
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


@lru_cache(maxsize=256)
def _count(shown: int, candidates: int, since: date, day: date) -> str:
    papers = "new paper" if candidates == 1 else "new papers"
    span = f" since {since:%A}, {since.day} {since:%B}" if since < day else ""
    return f"{shown} of {candidates:,} {papers}{span}"


# How much of each paper there is room for


def _papers(
    env: jinja2.Environment, mail: DigestMail, own: Sequence[Own]
) -> tuple[list[bytes], list[bytes]]:
    """Each paper's HTML and text, with as much of it as there is room for, the best ones first."""
    frame = _frame_bytes(env, mail)
    papers = [_piece(env, item, "full") for item in mail.items]
    html, text = _filled(env, papers, own)
    size = sum(map(len, html))
    wire = size + sum(map(len, text))
    # Decoded it is shorter than encoded, so that hardly any mail needs to be decoded for its size.
    if _fits(frame, [(size, wire)]) or _fits(frame, [(_decoded(html), wire)]):
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
    env: jinja2.Environment, papers: Sequence[Part], own: Sequence[Own]
) -> tuple[list[bytes], list[bytes]]:
    before, _, after = shared.bit(env, "mark")
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
    frame = shared.frame(env, mail.service, mail.postal_address, True)
    below = shared.below(env, mail.also, mail.news, mail.trending)
    html = frame.html_bytes + below.html_bytes
    wire = sum(piece.size for piece in frame.html) + FRAME_TEXT + len(below.html) + len(below.text)
    if mail.welcome:
        above = shared.welcome(env)
        html, wire = html + above.html_bytes, wire + above.html.size + above.text.size
    return html, wire


def _bytes(env: jinja2.Environment, paper: Part, own: Own) -> tuple[int, int]:
    """A paper's bytes of HTML and of the encoded message, the reader's own among them."""
    mark = 0 if own.sentence is None else sum(map(len, shared.bit(env, "mark")[::2]))
    wire = paper.html.room(own.html) + paper.text.room(own.text)
    if paper.whole:
        html = mark + _decoded(own.html.values())
    else:
        html = _decoded(own.html[name] for name in ("number", "up", "down"))
    return paper.html_bytes + html, wire + 2 * mark


def _decoded(texts: Iterable[bytes]) -> int:
    return sum(len(a2b_qp(text)) for text in texts)


def _piece(env: jinja2.Environment, item: Item, level: Level) -> Part:
    sentence = item.sentence if level == "sentence" else None
    return shared.paper(env, item.card, level, sentence, bool(item.up_url))
