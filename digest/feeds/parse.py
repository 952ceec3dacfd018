"""From the bytes of a feed to its listing: chooses the reader. Pure."""

import json
import re
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import feedparser

from digest.errors import FeedError
from digest.feeds import (
    arxiv,
    arxiv_api,
    biorxiv,
    bounds,
    crossref,
    fields,
    generic,
    huggingface,
    jsonfeed,
    oai,
    openreview,
)
from digest.papers import Listing, clean, shortened

# No paper is older; dates near the year 1 would break what counts days back from them.
EARLIEST = date(1600, 1, 1)
KINDS = ("arxiv", "huggingface", "biorxiv", "openreview", "crossref", "generic")

_WEB_PAGE = re.compile(rb"\s*(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html)\b", re.I | re.S)
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SKIPPED = re.compile(rb"<skipDays>", re.I)
_WEEK = (b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday")
_ENDS = re.compile(rb"</(?:\w+:)?(?:rss|feed|rdf)\s*>", re.I)
# Damaged namespaces, dates and declarations each make feedparser raise something else.
_DAMAGED = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)


def detect_kind(url: str) -> str:
    """Which source an address belongs to, one of KINDS; the format is told by what comes."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("rss.arxiv.org", "export.arxiv.org", "arxiv.org"):
        return "arxiv"
    if host in ("api.biorxiv.org", "connect.biorxiv.org", "connect.medrxiv.org"):
        return "biorxiv"
    if host.endswith("huggingface.co") and parts.path.startswith("/api/daily_papers"):
        return "huggingface"
    if host in ("api.openreview.net", "api2.openreview.net"):
        return "openreview"
    if host == "api.crossref.org" and parts.path.startswith("/journals/"):
        return "crossref"
    return "generic"


def parse(
    body: bytes, *, url: str, content_type: str = "", kind: str | None = None, today: date
) -> Listing:
    """The listing that `body` holds; an entry that cannot be read is in its `rejected`.

    `url` (or a file's name) is what messages call the feed. Without `kind`, or with `generic`,
    the content decides. No day of the listing is later than `today`. Raises FeedError where the
    body is empty, cut off, a web page, an error message or anything else but a feed.
    """
    if not body.strip():
        raise FeedError(f"{url} is empty")
    listing = _read(body, url, content_type, kind, today)
    if all(entry.day >= EARLIEST for entry in listing.entries):
        return listing
    entries = tuple(replace(entry, day=max(entry.day, EARLIEST)) for entry in listing.entries)
    return replace(listing, entries=entries, day=listing.day and max(listing.day, EARLIEST))


def _read(body: bytes, url: str, content_type: str, kind: str | None, today: date) -> Listing:
    if kind == "huggingface" or _is_json(body, content_type):
        return _from_json(body, url, kind, today)
    if _WEB_PAGE.match(body.removeprefix(_BYTE_ORDER_MARKS[0])):
        raise fields.not_a_feed(url, "it answered with a web page")
    body = bounds.sound_xml(body, url)
    if oai.is_oai(body):
        return oai.read(body, url, today)
    return replace(_from_xml(_parsed(body, url), url, kind, today), skip_days=_skip_days(body))


def _from_xml(feed: Any, url: str, kind: str | None, today: date) -> Listing:
    if arxiv_api.is_api(feed):
        return arxiv_api.read(feed, url, today)
    if kind == "arxiv" or _is_arxiv(feed):
        return arxiv.read(feed, today)
    return generic.read(feed, today)


def _from_json(body: bytes, url: str, kind: str | None, today: date) -> Listing:
    bounds.sound_json(body, url)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise fields.not_a_feed(url, "its JSON is cut off or broken") from error
    if jsonfeed.is_feed(answer):
        return jsonfeed.read(answer, url, today)
    if biorxiv.is_api(answer):
        return biorxiv.read(answer, url, today)
    if crossref.is_works(answer):
        return crossref.read(answer, url, today, new=kind == "crossref")
    if openreview.is_notes(answer):
        return openreview.read(answer, url, today)
    return huggingface.read(answer, url, today)


def _skip_days(body: bytes) -> frozenset[int]:
    """The weekdays on which an RSS feed asks to be left alone; all seven would be a mistake."""
    found = _SKIPPED.search(body)
    named = body[found.end() :][:600].lower().partition(b"</skipdays>")[0] if found else b""
    days = frozenset(number for number, day in enumerate(_WEEK) if day in named)
    return days if len(days) < len(_WEEK) else frozenset()


def _is_json(body: bytes, content_type: str) -> bool:
    return "json" in content_type.lower() or body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{")


def _parsed(body: bytes, url: str) -> Any:
    try:
        # Left to itself, feedparser takes `a<b and c>d` for markup and drops it.
        feed = feedparser.parse(body, sanitize_html=False, resolve_relative_uris=False)
    except _DAMAGED as error:
        raise fields.not_a_feed(url, "its XML is damaged") from error
    if not feed.get("version"):
        raise fields.not_a_feed(url, "neither RSS, Atom nor RDF")
    title = fields.text_in(feed.feed, "title")
    if title.startswith("Feed error for query:"):
        message = clean(fields.text_in(feed.feed, "subtitle")) or clean(title)
        raise FeedError(f"{url} answered with an error: {shortened(message, 300)}")
    if feed.bozo and not body.startswith(_BYTE_ORDER_MARKS[1:]) and not _ENDS.search(body[-2000:]):
        raise FeedError(f"{url} was cut off in the middle")
    return feed


def _is_arxiv(feed: Any) -> bool:
    if "http://arxiv.org/schemas/atom" not in feed.get("namespaces", {}).values():
        return False
    return not feed.entries or any(
        "arxiv_announce_type" in item or fields.text_in(item, "id").startswith("oai:arXiv.org:")
        for item in feed.entries
    )
