"""A mail server for benchmarks: it takes every message and keeps none."""

import asyncio
import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Sink(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.rest, self.data = b"", False
        self.transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while True:
            if self.data:
                if self.rest.find(b"\r\n.\r\n", max(0, len(self.rest) - len(data) - 5)) < 0:
                    return
                self.rest = self.rest[self.rest.index(b"\r\n.\r\n") + 5 :]
                self.data = False
                self.transport.write(b"250 ok\r\n")
            line, ended, rest = self.rest.partition(b"\r\n")
            if not ended:
                return
            self.rest = rest
            self._answer(line[:4].upper())

    def _answer(self, verb: bytes) -> None:
        if verb == b"DATA":
            self.data = True
            self.transport.write(b"354 go on\r\n")
        elif verb == b"EHLO":
            self.transport.write(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
        else:
            self.transport.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


def sink(listening: socket.socket) -> None:
    """Serves the sink for ever."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, sock=listening)
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def mail_server() -> Iterator[int]:
    """The sink in a process of its own; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = multiprocessing.get_context("spawn").Process(
            target=sink, args=(listening,), daemon=True
        )
        server.start()
        yield listening.getsockname()[1]
        server.kill()
