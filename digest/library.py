"""The stored papers as a visitor browses them: by day, by category, by search, and what trends."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func
from sqlmodel import Session, col, or_, select

from digest import editions, schedule
from digest.db import Db
from digest.models import Edition, Paper, Upvotes

ON_FRONT = 8
ON_PAGE = 40
SEARCHED = 20_000
LAST_PAGE = SEARCHED // ON_PAGE
CATEGORIES_SHOWN = 24


@dataclass(frozen=True, slots=True)
class Query:
    """What a listing is asked for: page `number` (from 1) of a day, or of a search."""

    day: date | None
    search: str = ""
    category: str = ""
    number: int = 1


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: `day` is the one shown, `before` and `after` have papers too;
    `categories` are the day's most frequent with their counts."""

    day: date | None
    papers: Sequence[Paper]
    more: bool
    before: date | None
    after: date | None
    categories: Sequence[tuple[str, int]]


def browse(session: Session, query: Query) -> Page:
    """The day's papers, the newest day's without one; with a search, what it finds."""
    day = query.day or newest_day(session)
    matches = _searched(session, query) if query.search else _of_day(day, query)
    start = (query.number - 1) * ON_PAGE
    found = session.exec(matches.offset(start).limit(ON_PAGE + 1)).all()
    before, after = _neighbours(session, day)
    categories = [] if query.search or day is None else _categories(session, day)
    return Page(day, found[:ON_PAGE], len(found) > ON_PAGE, before, after, categories)


def newest_day(session: Session) -> date | None:
    return session.exec(select(func.max(Paper.announced_day))).one()


@lru_cache(maxsize=4)
def in_use(db: Db, day: date) -> frozenset[str]:
    """The categories of the papers of the week up to `day`; looked for once."""
    with db.read() as session:
        within = col(Paper.announced_day).between(*schedule.window(day))
        rows = session.exec(select(Paper.categories).where(within))
        return frozenset(code for codes in rows for code in codes)


def upvotes_of(session: Session, paper: Paper) -> int:
    """The most upvotes that any source has counted for the paper."""
    counted = select(func.max(Upvotes.count)).where(Upvotes.paper_id == paper.id)
    return session.exec(counted).one() or 0


def front_papers(session: Session, day: date | None) -> tuple[bool, Sequence[Any]]:
    """Whether they are trending, and the papers: as the day's digests have them, else the week's
    most upvoted, else the newest."""
    if day is None:
        return False, []
    edition = session.get(Edition, day)
    if edition is not None and edition.trending:
        return True, edition.trending[:ON_FRONT]
    count = func.max(Upvotes.count)
    liked = session.exec(
        select(Paper, count)
        .join(Upvotes, col(Upvotes.paper_id) == col(Paper.id))
        .where(col(Paper.announced_day) > day - timedelta(days=schedule.DAYS_BACK))
        .group_by(col(Paper.id))
        .having(count > 0)
        .order_by(count.desc(), col(Paper.id))
        .limit(ON_FRONT)
    ).all()
    if liked:
        return True, [editions.card(paper) | {"upvotes": upvotes} for paper, upvotes in liked]
    newest = select(Paper).where(Paper.announced_day == day).order_by(col(Paper.id).desc())
    return False, session.exec(newest.limit(ON_FRONT)).all()


def _of_day(day: date | None, query: Query) -> Any:
    listed = select(Paper).where(Paper.announced_day == day)
    if query.category:
        listed = listed.where(_in_category(query.category))
    return listed.order_by(col(Paper.id))


def _searched(session: Session, query: Query) -> Any:
    """Papers in which each word of the search occurs, newest first, among the newest ones."""
    newest = session.exec(select(func.max(Paper.id))).one() or 0
    listed = select(Paper).where(
        col(Paper.id) > newest - SEARCHED, col(Paper.announced_day).is_not(None)
    )
    for word in query.search.split()[:8]:
        listed = listed.where(_mentions(word))
    if query.category:
        listed = listed.where(_in_category(query.category))
    if query.day is not None:
        listed = listed.where(Paper.announced_day == query.day)
    return listed.order_by(col(Paper.announced_day).desc(), col(Paper.id).desc())


def _mentions(word: str) -> ColumnElement[bool]:
    # SQLite folds the case of ASCII letters alone.
    spellings = {word} if word.isascii() else {word, word.lower(), word.capitalize()}
    authors = cast(col(Paper.authors), String)
    return or_(
        *(
            column.icontains(text, autoescape=True)
            for spelling in spellings
            for column, text in (
                (col(Paper.title), spelling),
                (col(Paper.abstract), spelling),
                (authors, _as_stored(spelling)),
            )
        )
    )


def _in_category(code: str) -> ColumnElement[bool]:
    quoted = f'"{_as_stored(code)}"'
    return cast(col(Paper.categories), String).contains(quoted, autoescape=True)


def _as_stored(text: str) -> str:
    """The text as it stands inside a JSON column."""
    return json.dumps(text)[1:-1]


def _neighbours(session: Session, day: date | None) -> tuple[date | None, date | None]:
    announced = col(Paper.announced_day)
    if day is None:
        return None, None
    before = session.exec(select(func.max(announced)).where(announced < day)).one()
    after = session.exec(select(func.min(announced)).where(announced > day)).one()
    return before, after


def _categories(session: Session, day: date) -> list[tuple[str, int]]:
    """The day's most frequent categories with the number of papers in each."""
    rows = session.exec(select(Paper.categories).where(Paper.announced_day == day))
    counts = Counter(code for codes in rows for code in set(codes))
    return counts.most_common(CATEGORIES_SHOWN)
