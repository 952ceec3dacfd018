"""Subscription lists as feed readers exchange them (OPML 2.0): read leniently, written strictly."""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

import listparser

from digest.errors import InputError
from digest.feeds.parse import KINDS
from digest.models import Feed
from digest.papers import normal_url

MOST_BYTES = 5_000_000

_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")

_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Outline:
    """A feed of the list; `kind` is known where our own export wrote it, as the folder's name."""

    url: str
    title: str
    kind: str | None


def read(body: bytes) -> list[Outline]:
    """The feeds of an OPML document, in its order, each address once.

    Missing titles, unescaped `&`, unquoted attributes, nested folders and old encodings are read
    as feed readers write them; no entity is expanded and nothing is fetched. Raises InputError for
    what holds no feed.
    """
    if len(body) > MOST_BYTES:
        raise InputError(f"this list is larger than {MOST_BYTES // 1_000_000} MB: is it OPML?")
    try:
        listed = listparser.parse(_text(body).encode())["feeds"]
    except IndexError as error:  # an outline is closed that was never opened
        raise InputError("this OPML closes an outline that it never opened") from error
    if not listed:
        raise InputError("this file names no feed: expected OPML with xmlUrl addresses")
    outlines: dict[str, Outline] = {}
    for feed in listed:
        key = normal_url(feed["url"]) or feed["url"]
        kind = next((tag for tag in feed["tags"] if tag in KINDS), None)
        outlines.setdefault(key, Outline(feed["url"], feed["title"], kind))
    return list(outlines.values())


def _text(body: bytes) -> str:
    declared = _DECLARED.match(body)
    encoding = declared[1].decode() if declared else "utf-8-sig"
    if body[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16"
    try:
        return body.decode(encoding)
    except (LookupError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")


def write(feeds: Iterable[Feed]) -> bytes:
    """OPML 2.0 in UTF-8, one folder for each kind of feed."""
    root = ElementTree.Element("opml", version="2.0")
    head = ElementTree.SubElement(root, "head")
    ElementTree.SubElement(head, "title").text = "Paper Digest"
    body = ElementTree.SubElement(root, "body")
    folders: dict[str, ElementTree.Element] = {}
    for feed in feeds:
        if feed.kind not in folders:
            folders[feed.kind] = ElementTree.SubElement(body, "outline", text=feed.kind)
        name = _NOT_IN_XML.sub("", feed.title) or feed.url
        ElementTree.SubElement(
            folders[feed.kind], "outline", text=name, title=name, type="rss", xmlUrl=feed.url
        )
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"
