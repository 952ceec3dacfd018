"""Who the visitor is where a reverse proxy stands in between: only a trusted one may say so."""

from collections.abc import Sequence
from ipaddress import ip_address

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

log = structlog.get_logger("digest.web")


class BehindProxy:
    """Takes the visitor's address and scheme from the headers of the proxies in `trusted`; says so
    once in the log where another one seems to stand there, since all visitors share its limits."""

    def __init__(self, inner: ASGIApp, trusted: Sequence[str]) -> None:
        self.inner = inner
        self.proxied = ProxyHeadersMiddleware(self._inside, list(trusted))  # type: ignore[arg-type]
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["digest.peer"] = scope.get("client")
        await self.proxied(scope, receive, send)  # type: ignore[arg-type]

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._warned and scope["client"] is scope["digest.peer"]:
            self._warn(scope)
        await self.inner(scope, receive, send)

    def _warn(self, scope: Scope) -> None:
        peer = scope["client"][0] if scope["client"] else ""
        if "x-forwarded-for" in Headers(scope=scope) and _is_private(peer):
            self._warned = True
            log.warning("a proxy is not trusted: see web.trusted_proxies", proxy=peer)


def _is_private(peer: str) -> bool:
    try:
        return ip_address(peer).is_private
    except ValueError:
        return False
