"""What everyone may see: the papers of a day, one paper; and the form for a fresh link."""

from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from digest import library, searching, signup, similar
from digest.errors import InputError
from digest.feedback import find_paper
from digest.library import NEWEST, Query
from digest.web.pages import app_of, page, text_of


def link_to(query: Query, **changes: Any) -> str:
    """The query part of the address of the same listing but for `changes`, on its first page."""
    asked = replace(query, **{"number": 1} | changes)
    wanted = {
        "day": asked.day.isoformat() if asked.day else "",
        "q": asked.search,
        "category": asked.category,
        "sort": asked.sort if asked.sort != NEWEST else "",
        "page": str(asked.number) if asked.number > 1 else "",
    }
    return "?" + urlencode({name: value for name, value in wanted.items() if value})


def link(request: Request, form: FormData) -> Response:
    email = text_of(form, "email")
    signup.request_link(app_of(request), email)
    return page(request, "sent", email=email, link=True)


def papers(request: Request) -> Response:
    """A day's papers or those that a search finds; the id of a paper leads to its page."""
    query = _query(request)
    with app_of(request).db.read() as session:
        if query.search and (named := library.named(session, query.search)):
            site = request.app.state.site
            return RedirectResponse(site.url(site.paper(named.key)), 302)
        found = library.browse(session, query)
    shown = replace(query, day=query.day if query.search else found.day)
    return page(
        request,
        "papers",
        query=query,
        found=found,
        sorts=library.SORTS["search" if query.search else "day"],
        link_to=partial(link_to, shown),
    )


def paper(request: Request) -> Response:
    app = app_of(request)
    with app.db.read() as session:
        try:
            found = find_paper(session, request.path_params["id"])
        except InputError as error:
            raise HTTPException(404) from error
        if not library.is_public(found):
            raise HTTPException(404)
        upvotes = library.upvotes_of(session, found)
        likes = library.likes_of(session, found)
    alike = similar.like(app.db, found)
    return page(request, "paper", paper=found, upvotes=upvotes, likes=likes, alike=alike)


def static(request: Request) -> Response:
    held = request.app.state.site.files.get(request.path_params["file"])
    if held is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(held[0], media_type=held[1], headers=headers)


def _query(request: Request) -> Query:
    """What is asked for. Raises InputError for what is no day or number."""
    given = request.query_params
    try:
        day = date.fromisoformat(given["day"]) if given.get("day") else None
    except ValueError as error:
        raise InputError("day: expected one like 2026-11-18") from error
    number = given.get("page") or "1"
    if not (number.isascii() and number.isdigit() and int(number[:9]) > 0):
        raise InputError("page: expected a number from 1 on")
    return Query(
        day=day,
        search=" ".join(given.get("q", "").split())[: searching.LONGEST],
        category=given.get("category", "").strip()[:60],
        sort=given.get("sort") or NEWEST,
        number=int(number[:9]),
    )
