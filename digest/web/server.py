"""The HTTP server in front of the pages: bounded headers, no endless waiting for them."""

import asyncio
import logging
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from digest.errors import SettingsError

MOST_CONNECTIONS = 800  # below the 1,024 files that a process may commonly open
LARGEST_HEAD = 16 * 1024
KEEP_ALIVE = 15  # seconds
SLOWEST_HEAD = 20.0  # seconds from the connection, or the first byte of another request


def configured(pages: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """How uvicorn serves the pages. They read the proxy's headers themselves and keep their own
    log, which leaves tokens out."""
    return uvicorn.Config(
        pages,
        host=host,
        port=port,
        http=ImpatientProtocol,
        loop="uvloop",
        proxy_headers=False,
        access_log=False,
        log_level=logging.WARNING,
        server_header=False,
        lifespan="off",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
    )


def listening(host: str, port: int) -> list[socket.socket]:
    """A socket at each address of the host. Raises SettingsError where one is taken or not ours."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return [
            socket.create_server(where[:2], family=family)
            for family, _, _, _, where in found
            if len(found) == 1 or _is_ours(family, where[:2])
        ]
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise SettingsError(
            f"web.port: cannot listen on {host}:{port} ({why}): end what does, perhaps another"
            " `digest run`, or set web.port to another, and web.base_url with it"
        ) from error


def _is_ours(family: int, where: tuple[Any, ...]) -> bool:
    """Whether this machine has the address: a name may have one of IPv6, and the machine none."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((where[0], 0))
    except OSError:
        return False
    return True


class ImpatientProtocol(HttpToolsProtocol):
    """Hangs up on a client whose request's head does not come, or does not end: the server itself
    limits only the time between two requests."""

    _alarm: asyncio.TimerHandle | None = None
    _head = 0  # bytes of a head that has not ended

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_alarm()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_alarm()
            self._head = 0
            return
        if self._alarm is None:
            self._set_alarm()
        self._head += len(data)
        if self._head > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of this request is too large.")

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > LARGEST_HEAD:
            raise ValueError("the head is too large")  # the parser's caller answers 400
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_alarm()
        super().connection_lost(exc)

    def _set_alarm(self) -> None:
        self._alarm = self.loop.call_later(SLOWEST_HEAD, self.transport.close)

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
