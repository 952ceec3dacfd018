"""Crossref's REST API, a list of works. Pure.

The format: https://github.com/CrossRef/rest-api-doc/blob/master/api_format.md
"""

from datetime import date
from typing import Any
from urllib.parse import quote

from digest.feeds import bounds, fields
from digest.papers import Entry, Listing, Rejected, arxiv_id, normal_doi


def is_works(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("message-type") == "work-list"


def read(answer: Any, where: str, today: date, *, new: bool = False) -> Listing:
    """The works of an answer; those of a journal's `new` ones are dated by when Crossref heard of
    them, as an issue's date may be months away. Raises FeedError where it is no list."""
    message = answer.get("message")
    items = message.get("items") if isinstance(message, dict) else None
    if not isinstance(items, list):
        raise fields.not_a_feed(where, "its works are no list")
    bounds.few_items(items, where)
    entries, rejected = [], []
    for position, item in enumerate(items, 1):
        work = item if isinstance(item, dict) else {}
        try:
            entries.append(_entry(work, today, "created" if new else "issued"))
        except fields.EntryError as error:
            label = fields.label_of(work.get("DOI"), _first(work, "title"))
            rejected.append(Rejected(position, label, str(error)))
    day = max((entry.day for entry in entries), default=None)
    title = (entries[0].journal if new and entries else None) or "Crossref"
    return Listing(title, day, tuple(entries), tuple(rejected))


def _entry(work: dict[str, Any], today: date, dated: str) -> Entry:
    doi = normal_doi(fields.text_in(work, "DOI"))
    if doi is None or arxiv_id(doi):
        raise fields.EntryError("it has no DOI")
    journal = fields.title_of(_first(work, "container-title") or "-")
    return Entry(
        key=f"doi:{doi}",
        title=fields.title_of(fields.without_markup(_first(work, "title"))),
        abstract=fields.abstract_of(_abstract(work)),
        authors=fields.names_of(filter(None, map(_name, _list(work, "author")))),
        categories=(),
        url=f"https://doi.org/{quote(doi)}",
        day=min(_day(work, dated) or today, today),
        doi=doi,
        journal=journal if journal != "-" else None,
    )


def _abstract(work: dict[str, Any]) -> str:
    """Its text; the heading with which most JATS abstracts begin says nothing."""
    text = fields.without_markup(fields.text_in(work, "abstract")).strip()
    return text.removeprefix("Abstract").lstrip(" .:\n") if text[:9] in _HEADINGS else text


_HEADINGS = {f"Abstract{sign}" for sign in " .:\n"}


def _name(author: Any) -> str:
    """A person, or a group that has a name alone."""
    if not isinstance(author, dict):
        return ""
    parts = (fields.text_in(author, part) for part in ("given", "family", "suffix"))
    return " ".join(filter(None, parts)) or fields.text_in(author, "name")


def _day(work: dict[str, Any], dated: str) -> date | None:
    """When it was published or registered: a day, a month or only a year."""
    issued = work.get(dated) or work.get("created")
    parts = issued.get("date-parts") if isinstance(issued, dict) else None
    try:
        year, month, day = [*parts[0], 1, 1][:3]  # type: ignore[index]
        return date(int(year), int(month), int(day))
    except (TypeError, ValueError, LookupError):
        return None


def _first(work: dict[str, Any], name: str) -> str:
    return next((value for value in _list(work, name) if isinstance(value, str)), "")


def _list(work: dict[str, Any], name: str) -> list[Any]:
    value = work.get(name)
    return value if isinstance(value, list) else []
