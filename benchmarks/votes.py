"""How many votes are recorded a second while a delivery runs: `python benchmarks/votes.py`.

The pages are served by a real server, to which some connections post votes as readers press the
buttons, each from an address of its own; beside it a sender empties its outbox into a sink. All
four processes share the machine's cores and one SQLite file.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from mail import NOW, configured, digests, people, sink
from sqlmodel import func, select

from digest.app import open_app
from digest.logs import configure
from digest.mail import outbox
from digest.mail.links import Bearer, Links
from digest.models import Feedback
from digest.settings import Settings
from digest.tokens import Tokens
from digest.web import create
from digest.web.server import configured as served

CONNECTIONS = 8


def serve(settings: Settings, listening: socket.socket) -> None:
    configure(verbose=False)
    with open_app(settings, lambda: NOW) as app:
        uvicorn.Server(served(create(app), "127.0.0.1", 0)).run(sockets=[listening])


def deliver(settings: Settings, started: Any, results: Any) -> None:
    with open_app(settings, lambda: NOW) as app:
        started.wait()
        began = time.perf_counter()
        sent = outbox.send_due(app).sent
        results.put(("sent", sent, time.perf_counter() - began))


def links(settings: Settings, readers: range) -> list[str]:
    """Two votes of each reader, as paths."""
    tokens = Tokens([settings.web.secret.get_secret_value()])
    made = Links("", tokens)
    stems = [made.votes(Bearer(n, 0, NOW, n)) for n in readers]
    return [vote(position, "up") for position in (1, 2) for vote in stems]


async def press(port: int, paths: list[str]) -> Counter[int]:
    """Posts a vote to each path, over some connections at once; gives the answers' codes."""
    codes: Counter[int] = Counter()
    waiting = iter(enumerate(paths))

    async def person() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, path in waiting:
            address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            head = (
                f"POST {path} HTTP/1.1\r\nHost: digest.test\r\nX-Forwarded-For: {address}\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n"
            )
            writer.write(f"{head}vote=up".encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answer.partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
            codes[int(answer.split()[1])] += 1
        writer.close()

    await asyncio.gather(*(person() for _ in range(CONNECTIONS)))
    return codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--mails", type=int, default=3000)
    chosen = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    smtp, http = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "key.pem").write_bytes(pem)
        settings = configured(folder, "votes", smtp.getsockname()[1])
        with open_app(settings, lambda: NOW) as app:
            people(app, chosen.mails)
            digests(app, chosen.mails)
        started, results = context.Barrier(2), context.Queue()
        processes = [
            context.Process(target=sink, args=(smtp,), daemon=True),
            context.Process(target=serve, args=(settings, http), daemon=True),
            context.Process(target=deliver, args=(settings, started, results), daemon=True),
        ]
        for process in processes:
            process.start()
        port = http.getsockname()[1]
        paths = links(settings, range(1, chosen.readers + 1))
        asyncio.run(press(port, paths[:50]))  # warms the server up
        started.wait()
        began, spent = time.perf_counter(), _cpu(processes[1].pid)
        codes = asyncio.run(press(port, paths[50:]))
        seconds = time.perf_counter() - began
        spent = _cpu(processes[1].pid) - spent
        running = results.empty()
        _, sent, took = results.get()
        with open_app(settings, lambda: NOW) as app, app.db.read() as session:
            recorded = session.exec(select(func.count()).select_from(Feedback)).one()
        for process in processes[:2]:
            process.kill()
    votes = sum(codes.values())
    print(f"votes                 {votes / seconds:8.0f} a second, answers {dict(codes)}")
    print(f"a vote                {spent * 1000 / votes:8.2f} ms CPU of the server")
    print(f"recorded              {recorded:8} of {len(paths)}")
    print(f"delivery beside it    {sent / took:8.0f} digests/s{'' if running else ', over first'}")


def _cpu(pid: int | None) -> float:
    """The CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
