"""What is the reader's own in a digest: what fills the slots of the papers in this one mail."""

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import NamedTuple

import jinja2

from digest.mail import pieces
from digest.mail.contents import Card, Item
from digest.mail.pieces import shorten
from digest.mail.shared import FLAG, address, bit, squeeze

INDENT = " " * 4
SIMILAR = 3  # near-copies named
_NOTHING = {"flag": b"", "why": b"", "similar": b""}


class Own(NamedTuple):
    """What fills a paper's slots in one reader's mail, encoded, and which of its sentences is
    marked."""

    html: dict[str, bytes]
    text: dict[str, bytes]
    sentence: int | None


def own_of(env: jinja2.Environment, item: Item, number: int) -> Own:
    """What this reader's mail puts into the paper's slots, which stands there as the `number`th."""
    html, text = _NOTHING.copy(), _NOTHING.copy()
    html["number"], text["number"] = _number(number)
    html["up"], text["up"] = _link(item.up_url)
    html["down"], text["down"] = _link(item.down_url)
    if item.exploring:
        html["flag"], text["flag"] = _flag(env)
    if item.reason:
        html["why"], text["why"] = _why(env, item.reason)
    if item.similar:
        html["similar"] = pieces.encode(_similar(env, item.similar))
        text["similar"] = pieces.encode(_similar_text(item.similar))
    return Own(html, text, item.sentence)


def _link(url: str) -> tuple[bytes, bytes]:
    """The address as HTML and as text. All of a mail's vote links are the same up to the dot."""
    end = url.rfind(".") + 1
    (stem_html, stem_text), (end_html, end_text) = common(url[:end]), common(url[end:])
    return stem_html + end_html, stem_text + end_text


def both(text: str) -> tuple[bytes, bytes]:
    """The text as HTML and as text, encoded."""
    html = escape(text)
    shown = pieces.encode(html)
    wrapped = text if len(text) <= pieces.WIDTH else pieces.wrap(text)
    return shown, shown if html == wrapped else pieces.encode(wrapped)


@lru_cache(maxsize=256)
def common(text: str) -> tuple[bytes, bytes]:
    """The same for a text that comes again."""
    return both(text)


@lru_cache(maxsize=4)
def _flag(env: jinja2.Environment) -> tuple[bytes, bytes]:
    return pieces.encode("".join(bit(env, "flag"))), pieces.encode(f"{INDENT}{FLAG}\n")


@lru_cache(maxsize=512)
def _why(env: jinja2.Environment, reason: str) -> tuple[bytes, bytes]:
    """The reason as HTML and as text; many readers share a topic."""
    reason = shorten(reason, 300)
    if not reason:
        return b"", b""
    before, _, after = bit(env, "why")
    html = pieces.encode(f"{before}{escape(reason)}{after}")
    return html, pieces.encode(f"\n{pieces.wrap(reason, INDENT)}\n")


def _similar(env: jinja2.Environment, copies: Sequence[Card]) -> str:
    """The near-copies as a line of links."""
    before, _, between, _, after = bit(env, "copy")
    links = [
        f"{before}{escape(address(copy.url))}{between}{escape(squeeze(copy.title, 120))}{after}"
        for copy in copies[:SIMILAR]
    ]
    before, _, between, _, after = bit(env, "similar")
    return f"{before}{len(copies)}{between}{'; '.join(links)}{after}"


def _similar_text(copies: Sequence[Card]) -> str:
    lines = [f"\n{INDENT}And {len(copies)} similar:"]
    for copy in copies[:SIMILAR]:
        lines += [pieces.wrap(squeeze(copy.title, 120), INDENT), f"{INDENT}{address(copy.url)}"]
    return "\n".join(lines) + "\n\n"


@lru_cache(maxsize=128)
def _number(number: int) -> tuple[bytes, bytes]:
    return pieces.encode(str(number)), pieces.encode(f"{number}.".ljust(len(INDENT)))
