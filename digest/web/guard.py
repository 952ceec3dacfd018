"""What stands around every page: the path prefix, limits of size, time and number, where a form was
sent from, safety headers, the access log."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from digest.app import App
from digest.web.visitors import EXEMPT, LETTERS, Limits, visitor_of

LARGEST_BODY = 64 * 1024
SLOWEST_BODY = 20.0  # seconds in which a form must have come whole
# Seconds that the answer of a form with an address takes at least: what is done for a known one and
# an unknown one differs, and is over by then.
EVEN = 0.03

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    # To ourselves alone: without any, browsers hide from us, too, where a form was sent from.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}
STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}

log = structlog.get_logger("digest.web")


@dataclass(slots=True)
class Counts:
    """What this process counts itself, for Prometheus."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)

    def __post_init__(self) -> None:
        # Else each counter has a time beside it, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.requests = Counter(
            "digest_requests",
            "Requests to the pages since this process began.",
            ["method", "route", "status"],
            registry=self.registry,
        )


class Guard:
    """Sets the headers a page did not set itself, refuses what is too much, and tells the log of
    each request.

    The log has the route's pattern and never the path, for paths carry tokens. `refusal` makes the
    page of an error.
    """

    def __init__(
        self, app: App, site: Starlette, refusal: Callable[[Request, Exception], Response]
    ) -> None:
        base = urlsplit(app.settings.web.base_url)
        self.app, self.site, self.refusal = app, site, refusal
        self.prefix = base.path.rstrip("/")
        self.origin = f"{base.scheme}://{base.netloc}".lower()
        self.headers = HEADERS | (STRICT_TRANSPORT if base.scheme == "https" else {})
        self.counts: Counts = site.state.counts
        self.limits = Limits()
        self.tokens = _token_paths(site.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.site(scope, receive, send)
            return
        began, request_id, status = time.perf_counter(), secrets.token_hex(8), 500
        self._take_off_prefix(scope)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._set_headers(scope, message, request_id)
                await _even_out(scope, began)
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(id=request_id):
                await self._serve(scope, receive, answer)
        except Exception:  # the page that says so has been sent; the server would log it its way
            log.exception("a page failed", id=request_id)
        finally:
            self._note(scope, request_id, status, time.perf_counter() - began)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        wrong = self._foreign(scope) or self._too_often(scope)
        if wrong is not None:
            scope["app"] = self.site
            await self.refusal(Request(scope), wrong)(scope, receive, send)
            return
        await self.site(scope, _Limited(receive), send)

    def _take_off_prefix(self, scope: Scope) -> None:
        """A proxy may have taken it off already."""
        path = scope["path"]
        if self.prefix and (path == self.prefix or path.startswith(self.prefix + "/")):
            scope["path"] = path[len(self.prefix) :] or "/"
            scope.pop("raw_path", None)

    def _foreign(self, scope: Scope) -> HTTPException | None:
        """A form that another site's page sent; mail providers are no browsers, and bear tokens."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS") or scope["path"].startswith(EXEMPT):
            return None
        headers = Headers(scope=scope)
        said, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if said is not None:
            own = said in ("same-origin", "none")
        else:
            own = origin is None or origin.lower() in (self.origin, self._asked(scope, headers))
        return None if own else HTTPException(403)

    def _asked(self, scope: Scope, headers: Headers) -> str:
        return f"{scope['scheme']}://{headers.get('host', '')}".lower()

    def _too_often(self, scope: Scope) -> HTTPException | None:
        token = scope["path"].startswith((*self.tokens, "/status", "/metrics"))
        wait = self.limits.wait(
            visitor_of(scope), scope["method"], scope["path"], token=token, now=self.app.now()
        )
        return HTTPException(429, headers={"Retry-After": str(wait)}) if wait else None

    def _set_headers(self, scope: Scope, message: Message, request_id: str) -> None:
        headers = MutableHeaders(scope=message)
        headers["X-Request-ID"] = request_id
        private = "token" in scope.get("path_params", {}) or scope["method"] == "POST"
        for name, value in (self.headers | (PRIVATE if private else {})).items():
            headers.setdefault(name, value)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        """A guess is counted when it is known to be one."""
        route = getattr(scope.get("route"), "path", "-")
        forged = status == HTTPStatus.NOT_FOUND and scope["path"].startswith(self.tokens)
        refused = status == HTTPStatus.UNAUTHORIZED and "authorization" in Headers(scope=scope)
        if forged or refused:
            self.limits.guessed(visitor_of(scope), self.app.now())
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.counts.requests.labels(method, route, str(status)).inc()
        log.info(
            "request",
            id=request_id,
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
        )


_METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE")


def _token_paths(routes: Sequence[BaseRoute]) -> tuple[str, ...]:
    """What the paths begin with that a token opens."""
    patterns = {route.path for route in routes if isinstance(route, Route)}
    tokens = {pattern.partition("{")[0] for pattern in patterns if "{token}" in pattern}
    return tuple(sorted(tokens - set(EXEMPT)))


async def _even_out(scope: Scope, began: float) -> None:
    if scope["method"] == "POST" and scope["path"] in LETTERS:
        await asyncio.sleep(max(0.0, began + EVEN - time.perf_counter()))


class _Limited:
    """A body that is refused where it grows beyond the limit, or takes too long."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.seen = 0
        self.until: float | None = None
        self.whole = False

    async def __call__(self) -> Message:
        if self.whole:
            return await self.receive()
        clock = asyncio.get_running_loop().time
        self.until = self.until or clock() + SLOWEST_BODY
        try:
            async with asyncio.timeout_at(self.until):
                message = await self.receive()
        except TimeoutError as error:
            raise HTTPException(408, headers={"Connection": "close"}) from error
        self.whole = not message.get("more_body", False)
        self.seen += len(message.get("body", b""))
        if self.seen > LARGEST_BODY:
            raise HTTPException(413)
        return message
