"""bioRxiv's and medRxiv's JSON API, api.biorxiv.org/details. Pure.

There is no official description of every field; what clients of several languages agree on is
read, and nothing is taken for granted.
"""

import re
from datetime import date
from typing import Any
from urllib.parse import quote

from digest.errors import FeedError
from digest.feeds import bounds, fields
from digest.papers import Entry, Listing, Rejected, clean, normal_doi, split_authors

_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")


def is_api(answer: Any) -> bool:
    return isinstance(answer, dict) and ("collection" in answer or "messages" in answer)


def read(answer: Any, where: str, today: date) -> Listing:
    """One page of an interval; `next_page` is the cursor of the next, since the page's size is
    whatever the server likes and its total may count what is not there. Raises FeedError."""
    message = _message(answer)
    status = fields.text_in(message, "status") or "ok"
    items = answer.get("collection")
    if not isinstance(items, list) or (not items and status != "ok"):
        if "no posts" not in status.lower():
            raise FeedError(f"{where} answered with an error: {fields.label_of(status)}")
        items = []
    bounds.few_items(items, where)
    entries, rejected = [], []
    for position, item in enumerate(items, 1):
        try:
            entries.append(_entry(item, today))
        except fields.EntryError as error:
            told = item if isinstance(item, dict) else {}
            label = fields.label_of(told.get("doi"), told.get("title"))
            rejected.append(Rejected(position, label, str(error)))
    end = _number(message.get("cursor")) + len(items)
    total = _number(message.get("total"))
    more = str(end) if items and (not total or end < total) else ""
    day = max((entry.day for entry in entries), default=None)
    return Listing(_title(items), day, tuple(entries), tuple(rejected), more)


def _message(answer: Any) -> dict[str, Any]:
    messages = answer.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else {}
    return first if isinstance(first, dict) else {}


def _number(value: object) -> int:
    text = str(value).strip()
    return int(text[:9]) if text.isascii() and text.isdigit() else 0


def _title(items: list[Any]) -> str:
    servers = {_server(item) for item in items if isinstance(item, dict)}
    return "medRxiv" if servers == {"medrxiv"} else "bioRxiv"


def _server(item: dict[str, Any]) -> str:
    return "medrxiv" if "med" in fields.text_in(item, "server").lower() else "biorxiv"


def _entry(item: Any, today: date) -> Entry:
    if not isinstance(item, dict):
        raise fields.EntryError("it is no record")
    doi = normal_doi(fields.text_in(item, "doi"))
    if doi is None:
        raise fields.EntryError("it has no DOI")
    version = max(1, min(_number(item.get("version")), 999))
    published = normal_doi(fields.text_in(item, "published"))  # "NA" while it is not
    page = f"https://www.{_server(item)}.org/content/{quote(doi)}v{version}"
    return Entry(
        key=f"doi:{doi}",
        title=fields.title_of(fields.without_markup(fields.text_in(item, "title"))),
        abstract=fields.abstract_of(fields.without_markup(fields.text_in(item, "abstract"))),
        authors=fields.names_of(split_authors(fields.text_in(item, "authors")[: fields.RAW_NAMES])),
        categories=fields.codes_of([fields.text_in(item, "category").lower()]),
        url=page,
        day=min(_day(item), today),
        kind="new" if version == 1 else "replace",
        version=version,
        pdf_url=f"{page}.full.pdf",
        doi=published or doi,
        licence=clean(fields.text_in(item, "license"))[: fields.NAME] or None,
        aliases=(f"doi:{published}",) if published and published != doi else (),
    )


def _day(item: dict[str, Any]) -> date:
    found = _DATE.match(fields.text_in(item, "date"))
    try:
        return date(*map(int, found.groups()))  # type: ignore[union-attr]
    except (AttributeError, ValueError) as error:
        raise fields.EntryError("it has no date") from error
