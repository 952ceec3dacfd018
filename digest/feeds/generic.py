"""Any RSS, Atom or RDF feed, with the Dublin Core and PRISM fields that journals add. Pure."""

import re
from collections import Counter
from datetime import date
from typing import Any
from urllib.parse import quote

from digest.feeds import fields
from digest.papers import (
    Entry,
    Listing,
    Rejected,
    arxiv_id,
    best_key,
    clean,
    forward,
    normal_doi,
    normal_url,
    paper_keys,
    split_authors,
)

_DOI_IN_TEXT = re.compile(r"(?:doi:\s?|doi\.org/)(10\.\d{4,9}/[^\s<>\"]+)", re.IGNORECASE)
_ARXIV_IN_TEXT = re.compile(r"\barXiv:\d{4}\.\d{4,5}(?:v\d+)?", re.IGNORECASE)
_PREPRINT = re.compile(r"https?://(?:[\w-]+\.)?(?:bio|med)rxiv\.org/\S*?v([1-9]\d?)(?:[./?#]\S*)?")
_AND = re.compile(r",?\s+(?:and|&)\s+")


def read(feed: Any, today: date) -> Listing:
    """The listing in a feed that feedparser parsed; an entry's day is its date, in UTC."""
    links = Counter(normal_url(fields.text_in(item, "link")) for item in feed.entries)
    entries, rejected = [], []
    for position, item in enumerate(feed.entries, 1):
        try:
            entries.append(_entry(item, links[normal_url(fields.text_in(item, "link"))] > 1, today))
        except fields.EntryError as error:
            label = fields.label_of(item.get("title"), item.get("id"), item.get("link"))
            rejected.append(Rejected(position, label, str(error)))
    day = max((entry.day for entry in entries), default=None)
    title = fields.feed_title(fields.text_in(feed.feed, "title"))
    return Listing(title, day, tuple(entries), tuple(rejected))


def _entry(item: Any, link_is_shared: bool, today: date) -> Entry:
    title = fields.title_of(fields.without_markup(fields.text_in(item, "title")))
    text = _summary(item)
    link = normal_url(fields.text_in(item, "link")) or normal_url(fields.text_in(item, "id")) or ""
    doi = _doi(item, text)
    keys = paper_keys(arxiv=_arxiv(item), doi=doi, url=_address(link, link_is_shared, title))
    if not keys:
        raise fields.EntryError("it has no arXiv id, no DOI and no link")
    key = best_key(keys)
    number = key.removeprefix("arxiv:") if key.startswith("arxiv:") else ""
    version = _version(item, link)
    return Entry(
        key=key,
        title=title,
        abstract=fields.abstract_of(text),
        authors=_authors(item),
        categories=fields.codes_of(tag.get("term") for tag in item.get("tags", ())),
        url=link or _resolved(key),
        day=_day(item, today),
        kind="replace" if version > 1 and _PREPRINT.fullmatch(link) else "new",
        version=version,
        pdf_url=f"https://arxiv.org/pdf/{number}" if number else None,
        doi=normal_doi(doi) if doi and not arxiv_id(doi) else None,
        journal=clean(fields.text_in(item, "prism_publicationname"))[: fields.TITLE] or None,
        licence=clean(fields.text_in(item, "rights"))[: fields.NAME] or None,
        aliases=tuple(other for other in keys if other != key),
    )


def _address(link: str, shared: bool, title: str) -> str:
    """The address that identifies the entry: one that many entries share needs the title too."""
    if not link or not shared:
        return link
    return f"{link}{'&' if '?' in link else '?'}title={quote(title[:80].casefold())}"


def _resolved(key: str) -> str:
    kind, _, rest = key.partition(":")
    return f"https://doi.org/{quote(rest)}" if kind == "doi" else f"https://arxiv.org/abs/{rest}"


def _summary(item: Any) -> str:
    contents = [fields.text_in(part, "value") for part in item.get("content", ())]
    return max(
        (fields.without_markup(text) for text in [fields.text_in(item, "summary"), *contents]),
        key=len,
    )


def _doi(item: Any, text: str) -> str:
    """The first DOI of those places in which feeds put it; in running text, only a marked one."""
    places = ("prism_doi", "dc_identifier", "id", "link")
    for place in places:
        if found := normal_doi(fields.text_in(item, place)):
            return found
    marked = _DOI_IN_TEXT.search(text[: fields.ABSTRACT])
    return marked[1] if marked else ""


def _arxiv(item: Any) -> str:
    for place in ("id", "link", "dc_identifier"):
        if arxiv_id(fields.text_in(item, place)):
            return str(item[place])
    marked = _ARXIV_IN_TEXT.match(fields.text_in(item, "summary"))
    return marked[0] if marked else ""


def _version(item: Any, link: str) -> int:
    named = arxiv_id(fields.text_in(item, "id")) or arxiv_id(link)
    preprint = _PREPRINT.fullmatch(link)
    return (named and named[1]) or (int(preprint[1]) if preprint else 1)


def _authors(item: Any) -> tuple[str, ...]:
    named = [fields.text_in(person, "name") for person in item.get("authors", ())]
    people = [fields.without_markup(name, fields.RAW_NAMES) for name in named]
    if len(people) == 1:
        people = split_authors(_AND.sub(", ", people[0]))
    return fields.names_of(map(forward, people))


def _day(item: Any, today: date) -> date:
    for place in ("published_parsed", "updated_parsed"):
        if day := fields.day_of(item.get(place)):
            return min(day, today)
    try:
        return min(date.fromisoformat(fields.text_in(item, "prism_publicationdate")[:10]), today)
    except ValueError:
        return today
