"""arXiv's list pages, /list/CATEGORY/new: what a day's batch should hold. Pure.

Only the date, the totals and the ids under each heading are read, from whatever markup is there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from digest.errors import FeedError
from digest.papers import Kind, arxiv_id

_DATE = re.compile(
    r"listings?\s+for\s+(?:\w{3,9},?\s+)?(\d{1,2})\s+([A-Z][a-z]{2})[a-z]*\s+(\d{4})"
)
_HEADING = re.compile(
    r"<h\d[^<>]{0,300}>\s{0,300}(?P<name>New|Cross|Replacement)[\w\s-]{0,40}"
    r"(?:\([^)]{0,60}?\bof\s+(?P<total>\d{1,6})\s+entries\))?",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"href\s*=\s*[\"'](?:https?://arxiv\.org)?/abs/([^\"'?#\s]{4,40})[\"'?#]", re.I)
_CROSS = re.compile(r"cross-list", re.IGNORECASE)
_SECTIONS: dict[str, Kind] = {"new": "new", "cross": "cross", "replacement": "replace"}


@dataclass(frozen=True, slots=True)
class ListPage:
    """The batch of a category as the page tells it. `day` is None where it names none; `kinds`
    is by paper key; `total` counts all entries, also those that the page does not show."""

    day: date | None
    kinds: Mapping[str, Kind]
    total: int


def read(body: bytes, where: str) -> ListPage:
    """Raises FeedError where the page has neither a date nor a heading that we know."""
    page = body.decode("utf-8", "replace")
    headings = list(_HEADING.finditer(page))
    day = _day(page)
    if day is None and not headings:
        raise FeedError(f"{where} is no list page as we know it")
    kinds: dict[str, Kind] = {}
    total = 0
    for heading, end in _with_ends(headings, len(page)):
        section = _SECTIONS[heading["name"].lower()]
        shown = _entries(page[heading.end() : end], section)
        total += max(int(heading["total"] or 0), len(shown))
        for key, kind in shown.items():
            kinds.setdefault(key, kind)
    return ListPage(day, kinds, total)


def _entries(text: str, section: Kind) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for link, end in _with_ends(list(_ENTRY.finditer(text)), len(text)):
        if named := arxiv_id(link[1]):
            crossed = section == "replace" and _CROSS.search(text[link.end() : end][:600])
            found.setdefault(f"arxiv:{named[0]}", "replace-cross" if crossed else section)
    return found


def _with_ends(found: list[re.Match[str]], end: int) -> Iterator[tuple[re.Match[str], int]]:
    """Each match with where the next one begins, the last with `end`."""
    return zip(found, [*(later.start() for later in found[1:]), end], strict=False)


def _day(page: str) -> date | None:
    found = _DATE.search(page)
    try:
        return datetime.strptime(" ".join(found.groups()), "%d %b %Y").date() if found else None  # noqa: DTZ007
    except ValueError:
        return None
