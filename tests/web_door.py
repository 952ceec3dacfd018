"""A real web server on a free port, which shows the pages of whichever app a test opens."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from digest.web.server import configured


class Door:
    """The server's address, a client of it, and the pages behind it, to be set by each test."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.pages: ASGIApp | None = None
        self.client: httpx2.Client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.pages is not None
        await self.pages(scope, receive, send)


@contextmanager
def open_door() -> Iterator[Door]:
    door = Door()
    server = uvicorn.Server(configured(door, "127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[door.socket])))
    thread.start()
    try:
        with httpx2.Client(base_url=door.address, timeout=20) as door.client:
            yield door
    finally:
        server.should_exit = True
        thread.join()
        door.socket.close()
