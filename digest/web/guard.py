"""What stands around every page: the path prefix, size limits, safety headers, the access log."""

import secrets
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 64 * 1024

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}
STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}

log = structlog.get_logger("digest.web")


class Guard:
    """Sets the headers a page did not set itself, and tells the log of each request.

    The log has the route's pattern and never the path, for paths carry tokens. `prefix` is the
    path of the public address, which a proxy may or may not have taken off.
    """

    def __init__(self, inner: ASGIApp, prefix: str, *, secure: bool) -> None:
        self.inner = inner
        self.prefix = prefix
        self.headers = HEADERS | (STRICT_TRANSPORT if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        began, request_id, status = time.perf_counter(), secrets.token_hex(8), 500
        self._take_off_prefix(scope)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._set_headers(scope, message, request_id)
            await send(message)

        try:
            await self.inner(scope, _Limited(receive), answer)
        finally:
            log.info(
                "request",
                id=request_id,
                method=scope["method"],
                route=getattr(scope.get("route"), "path", "-"),
                status=status,
                ms=round((time.perf_counter() - began) * 1000, 1),
            )

    def _take_off_prefix(self, scope: Scope) -> None:
        path = scope["path"]
        if self.prefix and (path == self.prefix or path.startswith(self.prefix + "/")):
            scope["path"] = path[len(self.prefix) :] or "/"
            scope.pop("raw_path", None)

    def _set_headers(self, scope: Scope, message: Message, request_id: str) -> None:
        headers = MutableHeaders(scope=message)
        headers["X-Request-ID"] = request_id
        private = "token" in scope.get("path_params", {}) or scope["method"] == "POST"
        for name, value in (self.headers | (PRIVATE if private else {})).items():
            headers.setdefault(name, value)


class _Limited:
    """A body that is refused where it grows beyond the limit."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.seen = 0

    async def __call__(self) -> Message:
        message = await self.receive()
        self.seen += len(message.get("body", b""))
        if self.seen > LARGEST_BODY:
            raise HTTPException(413)
        return message
