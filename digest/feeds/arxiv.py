"""arXiv's RSS 2.0 and Atom feeds, as rss.arxiv.org serves them. Pure.

The format: https://info.arxiv.org/help/rss_specifications.html and atom_specifications.html.
"""

import re
from datetime import date
from typing import Any, get_args

from digest.feeds import fields
from digest.papers import (
    Entry,
    Kind,
    Listing,
    Rejected,
    arxiv_id,
    clean,
    normal_doi,
    split_authors,
)

_HEAD = re.compile(
    r"\s*arXiv:(?P<id>\S+)\s+(?:Announce Type:\s*(?P<kind>[\w-]+)\s*)?(?:Abstract:\s*)?",
    re.IGNORECASE,
)


def read(feed: Any, today: date) -> Listing:
    """The listing in a feed that feedparser parsed; its day is arXiv's, in US Eastern time."""
    day = _channel_day(feed)
    entries, rejected = [], []
    for position, item in enumerate(feed.entries, 1):
        try:
            entries.append(_entry(item, min(day or today, today), today))
        except fields.EntryError as error:
            label = fields.label_of(item.get("id"), item.get("title"))
            rejected.append(Rejected(position, label, str(error)))
    if day is None and entries:
        day = max(entry.day for entry in entries)
    title = fields.feed_title(fields.text_in(feed.feed, "title"))
    return Listing(title, day and min(day, today), tuple(entries), tuple(rejected))


def _channel_day(feed: Any) -> date | None:
    """RSS states the day; Atom has only the time at which it was written, good for empty feeds."""
    day = fields.day_of(feed.feed.get("published_parsed"), fields.EASTERN)
    if day is None and not feed.entries:
        day = fields.day_of(feed.feed.get("updated_parsed"), fields.EASTERN)
    return day


def _entry(item: Any, feed_day: date, today: date) -> Entry:
    summary = fields.text_in(item, "summary")
    head = _HEAD.match(summary)
    named = _named(item, head["id"] if head else "")
    if named is None:
        raise fields.EntryError("it has no arXiv id")
    number, version = named[0], named[1] or 1
    day = fields.day_of(item.get("published_parsed"), fields.EASTERN) or feed_day
    doi = normal_doi(fields.text_in(item, "arxiv_doi"))
    return Entry(
        key=f"arxiv:{number}",
        title=fields.title_of(fields.text_in(item, "title")),
        abstract=fields.abstract_of(summary[head.end() :] if head else summary),
        authors=_authors(item),
        categories=fields.codes_of(tag.get("term") for tag in item.get("tags", ())),
        url=f"https://arxiv.org/abs/{number}",
        day=min(day, today),
        kind=_kind(item.get("arxiv_announce_type") or (head and head["kind"]), version),
        version=version,
        pdf_url=f"https://arxiv.org/pdf/{number}",
        doi=doi,
        journal=fields.abstract_of(fields.text_in(item, "arxiv_journal_reference"))[: fields.TITLE]
        or None,
        licence=clean(fields.text_in(item, "rights"))[: fields.NAME] or None,
        aliases=(f"doi:{doi}",) if doi else (),
    )


def _named(item: Any, in_summary: str) -> tuple[str, int | None] | None:
    """The paper's id; the link has no version, and the guid may be absent."""
    told = (fields.text_in(item, "id"), fields.text_in(item, "link"), in_summary)
    found = [named for text in told if (named := arxiv_id(text))]
    return next((named for named in found if named[1]), found[0] if found else None)


def _kind(announced: str | None, version: int) -> Kind:
    for kind in get_args(Kind):
        if announced == kind:
            return kind  # type: ignore[no-any-return]
    return "new" if version == 1 else "replace"


def _authors(item: Any) -> tuple[str, ...]:
    people = [fields.text_in(person, "name") for person in item.get("authors", ())]
    if len(people) == 1:
        people = split_authors(fields.without_markup(people[0], fields.RAW_NAMES))
    return fields.names_of(people)
