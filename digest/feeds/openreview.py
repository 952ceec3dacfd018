"""OpenReview's API, the submissions of a venue. Pure.

The format: https://docs.openreview.net/reference/api-v2/entities/note; the older API has a
field's value where the newer has an object that holds it, and both are read.
"""

from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

from digest.errors import FeedError
from digest.feeds import bounds, fields
from digest.papers import Entry, Listing, Rejected


def is_notes(answer: Any) -> bool:
    return isinstance(answer, dict) and ("notes" in answer or _refusal(answer) != "")


def read(answer: dict[str, Any], where: str, today: date) -> Listing:
    """The submissions in an answer; its next page is told by how many to go on from it.

    Raises FeedError where it is an error message, or holds no list.
    """
    if refusal := _refusal(answer):
        raise FeedError(f"{where} answered with an error: {fields.label_of(refusal)}")
    notes = answer.get("notes")
    if not isinstance(notes, list):
        raise fields.not_a_feed(where, "its notes are no list")
    bounds.few_items(notes, where)
    entries, rejected = [], []
    for position, item in enumerate(notes, 1):
        note = item if isinstance(item, dict) else {}
        try:
            entries.append(_entry(note, today))
        except fields.EntryError as error:
            label = fields.label_of(_text(note, "title"), note.get("id"))
            rejected.append(Rejected(position, label, str(error)))
    count = answer.get("count")
    more = isinstance(count, int) and 0 < len(notes) < count
    return Listing(
        entries[0].journal or "OpenReview" if entries else "OpenReview",
        max((entry.day for entry in entries), default=None),
        tuple(entries),
        tuple(rejected),
        next_page=str(len(notes)) if more else "",
    )


def _refusal(answer: dict[str, Any]) -> str:
    named = fields.text_in(answer, "name")
    return fields.text_in(answer, "message") or named if named.endswith("Error") else ""


def _entry(note: dict[str, Any], today: date) -> Entry:
    number = fields.text_in(note, "forum") or fields.text_in(note, "id")
    if not number or len(number) > fields.LABEL:
        raise fields.EntryError("it has no id")
    page = f"https://openreview.net/forum?id={quote(number, safe='')}"
    return Entry(
        key=f"url:{page}",
        title=fields.title_of(_text(note, "title")),
        abstract=fields.abstract_of(_text(note, "abstract")),
        authors=fields.names_of(name for name in _list(note, "authors") if isinstance(name, str)),
        categories=(),
        url=page,
        day=min(_day(note) or today, today),
        journal=fields.label_of(venue) if (venue := _text(note, "venue")) else None,
    )


def _value(note: dict[str, Any], name: str) -> Any:
    content = note.get("content")
    held = content.get(name) if isinstance(content, dict) else None
    return held.get("value") if isinstance(held, dict) else held


def _text(note: dict[str, Any], name: str) -> str:
    value = _value(note, name)
    return value if isinstance(value, str) else ""


def _list(note: dict[str, Any], name: str) -> list[Any]:
    value = _value(note, name)
    return value if isinstance(value, list) else []


def _day(note: dict[str, Any]) -> date | None:
    """When it was made public, else written; both are told in milliseconds."""
    for name in ("pdate", "cdate", "tcdate"):
        moment = note.get(name)
        if isinstance(moment, int | float) and 0 < moment < 4e12:
            return datetime.fromtimestamp(moment / 1000, UTC).date()
    return None
