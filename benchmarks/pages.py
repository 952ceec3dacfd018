"""What the public pages cost with many papers stored: CPU and wall time at the server, and bytes.

`python benchmarks/pages.py PAPERS.jsonl.xz [--size 100000] [--database URL] [--http]`: the papers
of the file, again under other ids until there are `--size` of them, are ingested into a throw-away
SQLite file, or into the database named where that is empty; each page is then asked for by ASGI in
this process, or over HTTP from a server of its own.
"""

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import uvicorn
from ingest import history
from sqlmodel import func, select

from digest.app import App, open_app
from digest.feeds.ingest import ingest_sources
from digest.models import Paper
from digest.settings import Settings
from digest.web import create

TIMES = 15
PORT = 8991
SEARCHES = [
    *("model", "model&sort=best", "language+model&sort=best", '"language+model"&sort=best'),
    *("the+of+a&sort=best", "con*&sort=best", "wei+zhang", "model&category=eess.IV"),
    *("prosthetic+vision", "zebra+lattice"),
]


def addresses(app: App) -> list[str]:
    """The pages that are asked for: among them papers from all over."""
    with app.db.read() as session:
        highest = session.exec(select(func.max(Paper.id))).one() or 0
        some = range(1, highest, max(1, highest // TIMES))
        keys = session.exec(select(Paper.key).where(Paper.id.in_(some))).all()  # type: ignore[union-attr]
    days = ["/", "/papers", "/papers?sort=trending", "/papers?page=3"]
    papers = "|".join(f"/papers/{key}" for key in keys)
    return [*days, *(f"/papers?q={search}" for search in SEARCHES), papers]


def asked(ask: Callable[[str], httpx2.Response], address: str) -> str:
    """A line of figures; where an address is several, they take turns."""
    turns = address.split("|")
    first = time.perf_counter()
    ask(turns[0])
    first = time.perf_counter() - first
    wall, cpu, sizes = [], [], []
    for n in range(TIMES):
        at, used = time.perf_counter(), time.process_time()
        answer = ask(turns[n % len(turns)])
        wall.append((time.perf_counter() - at) * 1000)
        cpu.append((time.process_time() - used) * 1000)
        sizes.append(len(answer.content))
        assert answer.status_code == 200, (address, answer.status_code)
    label = f"{len(turns)} papers' pages" if len(turns) > 1 else address
    middle, worst = statistics.median(wall), max(wall)
    return (
        f"{label:44} {first * 1000:6.0f} ms first, then {middle:6.1f} ms (worst {worst:6.1f}),"
        f" {statistics.median(cpu):6.1f} ms of CPU, {max(sizes) / 1000:5.1f} kB"
    )


def in_process(app: App) -> None:
    transport = httpx2.ASGITransport(create(app))

    async def ask(address: str) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(address)

    with asyncio.Runner() as runner:
        for address in addresses(app):
            print(asked(lambda at: runner.run(ask(at)), address), flush=True)


def over_http(app: App) -> None:
    config = uvicorn.Config(create(app), port=PORT, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    with httpx2.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as client:
        for address in addresses(app):
            print(asked(client.get, address), flush=True)
    server.should_exit = True
    thread.join()


def filled(app: App, source: Path, size: int, folder: str) -> None:
    with app.db.read() as session:
        if session.exec(select(func.count()).select_from(Paper)).one():
            return
    big = Path(folder, "history.jsonl")
    history(source, size, big)
    at, used = time.perf_counter(), time.process_time()
    ingest_sources(app, [str(big)])
    spent, cpu = time.perf_counter() - at, time.process_time() - used
    print(f"{size} papers stored and indexed: {spent:.1f} s ({cpu:.1f} s of CPU)")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("papers", type=Path)
    arguments.add_argument("--size", type=int, default=100_000)
    arguments.add_argument("--database", default="")
    arguments.add_argument("--http", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.database or f"sqlite:///{folder}/digest.db"
        # Nobody is kept from asking as often as this does.
        web = {"secret": "b" * 40, "base_url": f"http://127.0.0.1:{PORT}"}
        settings = Settings.model_validate({"database": {"url": url}, "web": web})
        with open_app(settings) as app:
            filled(app, chosen.papers, chosen.size, folder)
            (over_http if chosen.http else in_process)(app)


if __name__ == "__main__":
    main()
