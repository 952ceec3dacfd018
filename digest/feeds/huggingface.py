"""Hugging Face's daily papers, the JSON of /api/daily_papers. Pure.

The shape is that which the client library huggingface_hub reads (`list_daily_papers`).
"""

from datetime import UTC, date, datetime
from typing import Any

from digest.errors import FeedError
from digest.feeds import bounds, fields
from digest.papers import Entry, Listing, Rejected, arxiv_id


def read(items: Any, where: str, today: date) -> Listing:
    """The listing of one or more days; an entry's day is that of its list, in UTC.

    Raises FeedError where the JSON is not a list of papers.
    """
    if isinstance(items, dict) and isinstance(items.get("error"), str):
        raise FeedError(f"{where} answered with an error: {fields.label_of(items['error'])}")
    if not isinstance(items, list) or (items and not any(map(_paper, items))):
        raise fields.not_a_feed(where, "its JSON is not a list of daily papers")
    bounds.few_items(items, where)
    dated = [day for item in items if (paper := _paper(item)) and (day := _listed(paper))]
    list_day = min(max(dated, default=today), today)
    entries, rejected = [], []
    for position, item in enumerate(items, 1):
        try:
            entries.append(_entry(item, list_day, today))
        except fields.EntryError as error:
            paper = _paper(item) or {}
            label = fields.label_of(fields.text_in(paper, "id"), fields.text_in(paper, "title"))
            rejected.append(Rejected(position, label, str(error)))
    day = list_day if items else None
    return Listing("Hugging Face Daily Papers", day, tuple(entries), tuple(rejected))


def _paper(item: Any) -> dict[str, Any] | None:
    paper = item.get("paper") if isinstance(item, dict) else None
    return paper if isinstance(paper, dict) else None


def _entry(item: Any, list_day: date, today: date) -> Entry:
    paper = _paper(item)
    if paper is None:
        raise fields.EntryError("it holds no paper")
    named = arxiv_id(fields.text_in(paper, "id"))
    if named is None:
        raise fields.EntryError("it has no arXiv id")
    number = named[0]
    authors = paper.get("authors")
    people = [a for a in authors if isinstance(a, dict)] if isinstance(authors, list) else []
    return Entry(
        key=f"arxiv:{number}",
        title=fields.title_of(fields.text_in(paper, "title") or fields.text_in(item, "title")),
        abstract=fields.abstract_of(
            fields.text_in(paper, "summary") or fields.text_in(item, "summary")
        ),
        authors=fields.names_of(fields.text_in(person, "name") for person in people),
        categories=(),
        url=f"https://arxiv.org/abs/{number}",
        day=min(_listed(paper) or list_day, today),
        pdf_url=f"https://arxiv.org/pdf/{number}",
        upvotes=_votes(paper),
    )


def _votes(paper: dict[str, Any]) -> int | None:
    votes = paper.get("upvotes")
    if not isinstance(votes, int) or isinstance(votes, bool) or votes < 0:
        return None
    return min(votes, 2**31 - 1)


def _listed(paper: dict[str, Any]) -> date | None:
    """The day of the list: midnight UTC, so no other zone may be applied to it."""
    try:
        moment = datetime.fromisoformat(fields.text_in(paper, "submittedOnDailyAt"))
    except ValueError:
        return None
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
