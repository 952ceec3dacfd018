"""arXiv's API, an Atom feed of records with the dates of their versions. Pure.

The format: https://info.arxiv.org/help/api/user-manual.html
"""

import re
from calendar import timegm
from datetime import UTC, date, datetime
from typing import Any

from digest.errors import FeedError
from digest.feeds import fields
from digest.feeds.calendar import HELD_BACK, announced_on
from digest.papers import Entry, Kind, Listing, Rejected, arxiv_id, clean, normal_doi, shortened

# Tags also hold classes of other schemes, such as I.2.6 or 68T05.
_CODE = re.compile(r"[a-z]{2,}(?:-[a-z]{2,})*(?:\.[A-Za-z-]+)?")


def is_api(feed: Any) -> bool:
    """Whether what feedparser parsed is an answer of arXiv's API."""
    return "opensearch_totalresults" in feed.feed and (
        "http://arxiv.org/schemas/atom" in feed.get("namespaces", {}).values()
        or fields.text_in(feed.feed, "id").startswith("http://arxiv.org/api/")
    )


def read(feed: Any, where: str, today: date) -> Listing:
    """The records in an answer; day and kind follow from when the version was submitted.

    Raises FeedError for an error message, and for an answer that counts papers and shows none,
    as the API at times gives.
    """
    start, total = _number(feed, "startindex"), _number(feed, "totalresults")
    if not feed.entries and total > start:
        raise FeedError(f"{where} counts {total} papers and shows none")
    entries, rejected = [], []
    for position, item in enumerate(feed.entries, 1):
        if "/api/errors" in fields.text_in(item, "id"):
            message = clean(fields.text_in(item, "summary"))
            raise FeedError(f"{where} answered with an error: {shortened(message, 300)}")
        try:
            entries.append(_entry(item, today))
        except fields.EntryError as error:
            label = fields.label_of(item.get("id"), item.get("title"))
            rejected.append(Rejected(position, label, str(error)))
    end = start + len(feed.entries)
    more = str(end) if feed.entries and end < total else ""
    day = max((entry.day for entry in entries), default=None)
    return Listing("arXiv", day, tuple(entries), tuple(rejected), more)


def _number(feed: Any, name: str) -> int:
    digits = fields.text_in(feed.feed, f"opensearch_{name}")
    return int(digits[:9]) if digits.isascii() and digits.isdigit() else 0


def _entry(item: Any, today: date) -> Entry:
    named = arxiv_id(fields.text_in(item, "id"))
    if named is None:
        raise fields.EntryError("it has no arXiv id")
    number, version = named[0], named[1] or 1
    first = _moment(item.get("published_parsed")) or _moment(item.get("updated_parsed"))
    if first is None:
        raise fields.EntryError("it has no date")
    last = _moment(item.get("updated_parsed")) or first
    # one that was replaced within days is still news
    kind: Kind = "replace" if version > 1 and last - first > HELD_BACK else "new"
    doi = normal_doi(fields.text_in(item, "arxiv_doi"))
    journal = fields.abstract_of(fields.text_in(item, "arxiv_journal_ref"))[: fields.TITLE]
    return Entry(
        key=f"arxiv:{number}",
        title=fields.title_of(fields.text_in(item, "title")),
        abstract=fields.abstract_of(fields.text_in(item, "summary")),
        authors=fields.names_of(fields.text_in(a, "name") for a in item.get("authors", ())),
        categories=fields.codes_of(_codes(item)),
        url=f"https://arxiv.org/abs/{number}",
        day=min(announced_on(last if kind == "replace" else first), today),
        kind=kind,
        version=version,
        pdf_url=f"https://arxiv.org/pdf/{number}",
        doi=doi,
        journal=journal or None,
        aliases=(f"doi:{doi}",) if doi else (),
        derived=True,
    )


def _codes(item: Any) -> list[str]:
    """The categories, the primary one first; those of other schemes left out."""
    primary = item.get("arxiv_primary_category")
    codes = [fields.text_in(primary, "term")] if isinstance(primary, dict) else []
    codes += [fields.text_in(tag, "term") for tag in item.get("tags", ())]
    return [code for code in codes if _CODE.fullmatch(code)]


def _moment(parsed: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(timegm(parsed), UTC) if parsed else None
    except (ValueError, TypeError, OverflowError, OSError):
        return None
