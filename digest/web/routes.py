"""The table of all pages, and the server that answers for them."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from digest.app import App
from digest.errors import InputError, NotFound
from digest.tokens import ExpiredToken, InvalidToken
from digest.web import health, joining, leaving, preferences, public, reading, reports, votes
from digest.web.guard import Guard
from digest.web.pages import Site, form_page, page

log = structlog.get_logger("digest.web")

ROUTES = [
    Route("/", public.front),
    Route("/papers", public.papers),
    Route("/papers/{id:path}", public.paper),
    Route("/subscribe", form_page(public.subscribe), methods=["POST"]),
    Route("/link", form_page(public.link), methods=["POST"]),
    Route("/confirm/{token}", joining.confirm_page),
    Route("/confirm/{token}", form_page(joining.confirm), methods=["POST"]),
    Route("/preferences/{token}", preferences.preferences_page),
    Route("/preferences/{token}", form_page(preferences.preferences), methods=["POST"]),
    Route("/vote/{token}", votes.vote_page),
    Route("/vote/{token}", form_page(votes.vote), methods=["POST"]),
    Route("/unsubscribe/{token}", leaving.unsubscribe_page),
    Route("/unsubscribe/{token}", leaving.unsubscribe, methods=["POST"]),
    Route("/one-click/{token}", leaving.one_click_page),
    Route("/one-click/{token}", leaving.one_click, methods=["POST"]),
    Route("/digests/{token}", reading.digest_page),
    Route("/feed/{token}.xml", reading.feed),
    Route("/bounces/{token}", reports.bounces, methods=["POST"]),
    Route("/healthz", health.healthz),
    Route("/static/{file}", public.static),
]


def create(app: App, routes: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The web pages as one ASGI application; `routes` are further ones, looked at first."""
    site = Starlette(routes=[*routes, *ROUTES], exception_handlers=_HANDLERS)
    site.state.digest, site.state.site = app, Site(app)
    base = urlsplit(app.settings.web.base_url)
    return Guard(site, base.path.rstrip("/"), secure=base.scheme == "https")


def _wrong_link(request: Request, error: Exception) -> Response:
    status = 410 if isinstance(error, ExpiredToken) else 404
    return page(request, "link", status, expired=status == 410)


def _wrong_input(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NotFound) else 400
    return page(request, "message", status, title="That did not work", text=str(error))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title, text = _SAID.get(error.status_code, ("That did not work", error.detail))
    answer = page(request, "message", error.status_code, title=title, text=text)
    answer.headers.update(error.headers or {})
    return answer


def _failure(request: Request, error: Exception) -> Response:
    log.error("a page failed", error=type(error).__name__)  # its text may hold an address
    return page(
        request,
        "message",
        500,
        title="Something broke on our side",
        text="It has been written down. Please try again in a minute.",
    )


_SAID = {
    404: ("There is no such page", "The address may be mistyped, or the page has gone."),
    405: ("Not this way", "This page does not take such a request."),
    413: ("Too much at once", "The form is larger than expected: please shorten it."),
}
_HANDLERS = {
    InvalidToken: _wrong_link,
    InputError: _wrong_input,
    HTTPException: _http_error,
    Exception: _failure,
}
