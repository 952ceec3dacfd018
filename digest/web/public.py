"""What everyone may see: the front page, the papers of a day, one paper; and the two forms that
write to an address."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, String, cast, func
from sqlmodel import Session, col, or_, select
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from digest import editions, schedule, subscribers
from digest.changes import Changes, parse_categories, parse_names, parse_topics
from digest.errors import InputError
from digest.feedback import find_paper
from digest.models import Edition, Paper, Upvotes
from digest.web.pages import app_of, page, text_of, zones

ON_FRONT = 8
ON_PAGE = 40
SEARCHED = 20_000
CATEGORIES_SHOWN = 24


@dataclass(frozen=True, slots=True)
class Query:
    """What a listing was asked for; an empty search shows the day."""

    day: date | None
    search: str
    category: str
    number: int

    def link(self, day: date | None, number: int = 1, category: str | None = None) -> str:
        """The query part of the address of another day, page or category of the same search."""
        wanted = {
            "day": day.isoformat() if day else "",
            "q": self.search,
            "category": self.category if category is None else category,
            "page": str(number) if number > 1 else "",
        }
        return "?" + urlencode({name: value for name, value in wanted.items() if value})


def front(request: Request) -> Response:
    return _front(request, {})


def _front(request: Request, given: Mapping[str, str], error: str = "") -> Response:
    with app_of(request).db.read() as session:
        day = _latest_day(session)
        trending, shown = _front_papers(session, day)
    status = 400 if error else 200
    values = {"day": day, "trending": trending, "papers": shown, "given": given, "error": error}
    return page(request, "front", status, **values, zones=zones(), frequencies=schedule.FREQUENCIES)


def subscribe(request: Request, form: FormData) -> Response:
    """The same page for every address; a filled trap field means a robot, which gets it too."""
    given = {name: text_of(form, name) for name in form}
    try:
        if not given.get("website"):
            subscribers.subscribe(app_of(request), given.get("email", ""), wishes(given))
    except InputError as error:
        return _front(request, given, str(error))
    return page(request, "sent", email=given.get("email", ""), link=False)


def link(request: Request, form: FormData) -> Response:
    email = text_of(form, "email")
    subscribers.request_link(app_of(request), email)
    return page(request, "sent", email=email, link=True)


def wishes(given: Mapping[str, str]) -> Changes:
    """A form's fields as changes; an empty field leaves what was there. Raises InputError."""
    number = given.get("per_digest", "")
    if number and not (number.isascii() and number.isdigit() and len(number) < 5):
        raise InputError("papers per digest: expected a number")
    return Changes(
        name=given.get("name") or None,
        topics=parse_topics(given.get("topics", "")) or None,
        categories=parse_categories(given.get("categories", "")) or None,
        authors=parse_names(given.get("authors", "")) or None,
        muted=parse_names(given.get("muted", "")) or None,
        per_digest=int(number) if number else None,
        frequency=given.get("frequency") or None,
        send_at=given.get("send_at") or None,
        timezone=given.get("timezone") or None,
    )


def papers(request: Request) -> Response:
    query = _query(request)
    with app_of(request).db.read() as session:
        day = query.day or _latest_day(session)
        matches = _searched(session, query) if query.search else _of_day(day, query)
        start = (query.number - 1) * ON_PAGE
        found = session.exec(matches.offset(start).limit(ON_PAGE + 1)).all()
        before, after = _neighbours(session, day)
        categories = [] if query.search or day is None else _categories(session, day)
    return page(
        request,
        "papers",
        query=query,
        day=day,
        papers=found[:ON_PAGE],
        more=len(found) > ON_PAGE,
        before=before,
        after=after,
        categories=categories,
    )


def paper(request: Request) -> Response:
    with app_of(request).db.read() as session:
        try:
            found = find_paper(session, request.path_params["id"])
        except InputError as error:
            raise HTTPException(404) from error
        upvotes = session.exec(
            select(func.max(Upvotes.count)).where(Upvotes.paper_id == found.id)
        ).one()
    return page(request, "paper", paper=found, upvotes=upvotes or 0)


def static(request: Request) -> Response:
    held = request.app.state.site.files.get(request.path_params["file"])
    if held is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(held[0], media_type=held[1], headers=headers)


def _latest_day(session: Session) -> date | None:
    return session.exec(select(func.max(Paper.announced_day))).one()


def _front_papers(session: Session, day: date | None) -> tuple[bool, Sequence[Any]]:
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


def _query(request: Request) -> Query:
    given = request.query_params
    try:
        day = date.fromisoformat(given["day"]) if given.get("day") else None
    except ValueError as error:
        raise InputError("day: expected one like 2026-11-18") from error
    number = given.get("page", "1")
    number = number if number.isascii() and number.isdigit() else "1"
    return Query(
        day=day,
        search=" ".join(given.get("q", "").split())[:200],
        category=given.get("category", "").strip()[:60],
        number=min(max(int(number[:4]), 1), SEARCHED // ON_PAGE),
    )


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
