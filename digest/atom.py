"""An Atom feed as XML (RFC 4287). Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

_ATOM = "http://www.w3.org/2005/Atom"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

ET.register_namespace("", _ATOM)


@dataclass(frozen=True, slots=True)
class Entry:
    """`id` stays the same for good; `summary` and `text` are plain text."""

    id: str
    title: str
    url: str
    at: datetime
    authors: Sequence[str] = ()
    categories: Sequence[str] = ()
    summary: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Feed:
    """`url` is the feed's own address, `home` the page of who makes it, `maker` their name."""

    id: str
    title: str
    url: str
    home: str
    maker: str
    updated: datetime
    entries: Sequence[Entry] = ()


def write(feed: Feed) -> bytes:
    """The document, UTF-8; the same bytes for the same feed."""
    root = ET.Element(_name("feed"))
    _add(root, "id", feed.id)
    _add(root, "title", feed.title)
    _add(root, "updated", _moment(feed.updated))
    _person(root, feed.maker)
    _add(root, "link", rel="self", type="application/atom+xml", href=feed.url)
    _add(root, "link", rel="alternate", type="text/html", href=feed.home)
    for entry in feed.entries:
        _entry(ET.SubElement(root, _name("entry")), entry)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _entry(place: ET.Element, entry: Entry) -> None:
    _add(place, "id", entry.id)
    _add(place, "title", entry.title)
    _add(place, "updated", _moment(entry.at))
    _add(place, "published", _moment(entry.at))
    for name in entry.authors:
        _person(place, name)
    for code in entry.categories:
        _add(place, "category", term=code)
    _add(place, "link", rel="alternate", href=entry.url)
    if entry.summary:
        _add(place, "summary", entry.summary)
    if entry.text:
        _add(place, "content", entry.text, type="text")


def _person(place: ET.Element, name: str) -> None:
    _add(ET.SubElement(place, _name("author")), "name", name)


def _add(place: ET.Element, name: str, text: str = "", **attributes: str) -> None:
    kept = {key: _NO_XML.sub("", value) for key, value in attributes.items()}
    ET.SubElement(place, _name(name), kept).text = _NO_XML.sub("", text) or None


def _name(name: str) -> str:
    return f"{{{_ATOM}}}{name}"


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
