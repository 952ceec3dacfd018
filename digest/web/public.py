"""What everyone may see: the papers of a day, one paper; and the form for a fresh link."""

from datetime import date
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from digest import library, subscribers
from digest.errors import InputError
from digest.feedback import find_paper
from digest.library import Query
from digest.web.pages import app_of, page, text_of


def link_to(query: Query, day: date | None, number: int = 1, category: str | None = None) -> str:
    """The query part of the address of another day, page or category of the same search."""
    wanted = {
        "day": day.isoformat() if day else "",
        "q": query.search,
        "category": query.category if category is None else category,
        "page": str(number) if number > 1 else "",
    }
    return "?" + urlencode({name: value for name, value in wanted.items() if value})


def link(request: Request, form: FormData) -> Response:
    email = text_of(form, "email")
    subscribers.request_link(app_of(request), email)
    return page(request, "sent", email=email, link=True)


def papers(request: Request) -> Response:
    query = _query(request)
    with app_of(request).db.read() as session:
        found = library.browse(session, query)
    return page(request, "papers", query=query, found=found, link_to=link_to)


def paper(request: Request) -> Response:
    with app_of(request).db.read() as session:
        try:
            found = find_paper(session, request.path_params["id"])
        except InputError as error:
            raise HTTPException(404) from error
        if found.version < 1:  # what a reader pasted is not for all to see
            raise HTTPException(404)
        upvotes = library.upvotes_of(session, found)
    return page(request, "paper", paper=found, upvotes=upvotes)


def static(request: Request) -> Response:
    held = request.app.state.site.files.get(request.path_params["file"])
    if held is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(held[0], media_type=held[1], headers=headers)


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
        number=min(max(int(number[:4]), 1), library.LAST_PAGE),
    )
