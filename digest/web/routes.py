"""The table of all pages, and the server that answers for them."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp

from digest.app import App
from digest.errors import InputError, NotFound, TooMany
from digest.tokens import ExpiredToken, InvalidToken
from digest.web import (
    calibrate,
    health,
    history,
    joining,
    leaving,
    mydata,
    preferences,
    public,
    reading,
    reports,
    votes,
)
from digest.web.guard import Counts, Guard
from digest.web.pages import Site, form_page, page
from digest.web.proxy import BehindProxy

ROUTES = [
    # First, since they are tried in this order and most requests of a morning are votes.
    Route("/vote/{token}", votes.vote_page),
    Route("/vote/{token}", form_page(votes.vote), methods=["POST"]),
    Route("/", joining.front),
    Route("/preview", form_page(joining.preview), methods=["POST"]),
    Route("/papers", public.papers),
    Route("/papers/{id:path}", public.paper),
    Route("/subscribe", form_page(joining.subscribe), methods=["POST"]),
    Route("/link", form_page(public.link), methods=["POST"]),
    Route("/confirm/{token}", joining.confirm_page),
    Route("/confirm/{token}", form_page(joining.confirm), methods=["POST"]),
    Route("/calibrate/{token}", calibrate.calibrate_page),
    Route("/calibrate/{token}", form_page(calibrate.calibrate), methods=["POST"]),
    Route("/preferences/{token}", preferences.preferences_page),
    Route("/preferences/{token}", form_page(preferences.preferences), methods=["POST"]),
    Route("/preferences/{token}/votes", history.votes_page),
    Route("/preferences/{token}/votes", form_page(history.votes), methods=["POST"]),
    Route("/my-data/{token}", mydata.my_data_page),
    Route("/my-data/{token}", form_page(mydata.my_data), methods=["POST"]),
    Route("/address/{token}", mydata.address_page),
    Route("/address/{token}", form_page(mydata.address), methods=["POST"]),
    Route("/unsubscribe/{token}", leaving.unsubscribe_page),
    Route("/unsubscribe/{token}", form_page(leaving.unsubscribe), methods=["POST"]),
    Route("/one-click/{token}", leaving.one_click_page),
    Route("/one-click/{token}", leaving.one_click, methods=["POST"]),
    Route("/digests/{token}", reading.digest_page),
    Route("/feed/{token}.xml", reading.feed),
    Route("/bounces/{token}", reports.bounces, methods=["POST"]),
    Route("/healthz", health.healthz),
    Route("/metrics", health.metrics),
    Route("/status", health.status),
    Route("/static/{file}", public.static),
]


def create(app: App, routes: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The web pages as one ASGI application; `routes` are further ones, looked at first."""
    site = Starlette(routes=[*routes, *ROUTES], exception_handlers=_HANDLERS)
    site.state.digest, site.state.site, site.state.counts = app, Site(app), Counts()
    return BehindProxy(Guard(app, site, _http_error), app.settings.web.trusted_proxies)


def _wrong_link(request: Request, error: Exception) -> Response:
    status = 410 if isinstance(error, ExpiredToken) else 404
    return page(request, "link", status, expired=status == 410)


def _wrong_input(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NotFound) else 400
    return page(request, "message", status, title="That did not work", text=str(error))


def _too_many(request: Request, error: Exception) -> Response:
    assert isinstance(error, TooMany)
    answer = page(request, "message", 429, title=_SAID[429][0], text=str(error))
    answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title, text = _SAID.get(error.status_code, ("That did not work", error.detail))
    answer = page(request, "message", error.status_code, title=title, text=text)
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request) -> list[str]:
    """What the path takes. A route knows its own methods alone, and a path may have two."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    fitting = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in fitting for method in route.methods or ()})


def _failure(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return page(
        request,
        "message",
        500,
        title="Something broke on our side",
        text="It has been written down. Please try again in a minute.",
    )


_SAID = {
    401: ("This page is the operator’s", "It opens with the token of the configuration."),
    403: (
        "Not from there",
        "This form was sent from another site’s page, so nothing was done."
        " Please open our own page and send it there.",
    ),
    404: ("There is no such page", "The address may be mistyped, or the page has gone."),
    405: ("Not this way", "This page does not take such a request."),
    408: ("That took too long", "The form did not arrive whole: please send it again."),
    413: ("Too much at once", "The form is larger than expected: please shorten it."),
    429: (
        "One moment, please",
        "So many requests came from your network that we take a breath."
        " Please try again in a few minutes.",
    ),
}
_HANDLERS = {
    InvalidToken: _wrong_link,
    InputError: _wrong_input,
    TooMany: _too_many,
    HTTPException: _http_error,
    Exception: _failure,
}
