"""A day, whole: ingest a listing, rank, render, sign, hand over to a sink on loopback.

    python benchmarks/day.py PAPERS.jsonl.xz [--day 2025-05-27] [--subscribers 1000 10000]
        [--database postgresql+psycopg://…] [--workers 1 2 4]

PAPERS are JSON lines (`digest evaluate` reads the same). What is older than the day is there
beforehand, and so are the subscribers: a third of them have never voted, the others have up to a
hundred votes; they live in many time zones, have topics, categories, people they follow and words
they mute, and got a digest the day before. A fifth have voted since, so that their ranker is stale.
Measured is what comes then, until the last message is out. CPU seconds are those of the product's
own processes; the sink and the database server have theirs besides. `--database` names any database
of a server: the benchmark makes one of its own beside it, `digest_day_benchmark`.
"""

import argparse
import asyncio
import json
import lzma
import multiprocessing
import os
import random
import resource
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from queue import Empty
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from digest import delivery, training
from digest.app import App, open_app
from digest.db import insert_new
from digest.feeds.ingest import ingest_sources
from digest.mail import outbox
from digest.models import Digest, Feedback, Paper, Pick, Subscriber
from digest.settings import Settings

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Australia/Sydney",
    "America/Sao_Paulo",
)
VOTES = (0, 0, 0, 5, 10, 20, 30, 50, 100)
BLOCK = 1000
DIGEST_BEFORE = 10
CONTEXT = multiprocessing.get_context("spawn")


class Sink(asyncio.Protocol):
    """A mail server that takes every message and keeps none."""

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


# What is there beforehand


def split(papers: Path, day: date, folder: Path) -> tuple[Path, Path]:
    """Two files: the papers before the day, and those of the day."""
    before, on = folder / "before.jsonl", folder / "day.jsonl"
    opened = lzma.open if papers.suffix == ".xz" else open
    with opened(papers, "rt") as lines, before.open("w") as old, on.open("w") as new:
        for line in lines:
            listed = date.fromisoformat(json.loads(line)["day"])
            if listed <= day:
                (new if listed == day else old).write(line)
    return before, on


class Crowd:
    """Makes up readers from the papers there are; the same ones each time."""

    def __init__(self, app: App, day: date) -> None:
        self.chance, self.day = random.Random(0), day
        with app.db.read() as session:
            table = Paper.__table__.c  # type: ignore[attr-defined]
            columns = (table.id, table.title, table.categories, table.authors, table.announced_day)
            self.papers = session.execute(sa.select(*columns).order_by(table.id)).all()
        self.by_category: dict[str, list[int]] = {}
        for paper in self.papers:
            self.by_category.setdefault(paper.categories[0], []).append(paper.id)
        self.recent = [p.id for p in self.papers if p.announced_day >= day - timedelta(days=5)]

    def reader(self, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A subscriber's row and the votes."""
        chance = self.chance
        near = [chance.choice(self.papers) for _ in range(3)]
        home = near[0].categories[0]
        email = f"reader{number}@crowd.test"
        row = {
            "id": number,
            "email": email,
            "email_key": email,
            "name": f"Reader {number}",
            "status": "active",
            "topics": [[_piece(p.title, chance), 1.0] for p in near[: chance.randint(1, 3)]],
            "categories": [[home, 1.0]],
            "authors": near[1].authors[:1] if number % 5 == 0 else [],
            "muted": ["survey"] if number % 10 == 0 else [],
            "timezone": chance.choice(ZONES),
            "send_at": f"{chance.randint(5, 9):02}:00",
            "next_digest_at": _noon(self.day) - timedelta(hours=chance.randint(0, 20)),
            "created_at": _noon(self.day) - timedelta(days=100),
        }
        pool = self.by_category[home]
        chosen = chance.sample(pool, min(len(pool), chance.choice(VOTES)))
        votes = [
            {
                "subscriber_id": number,
                "paper_id": paper,
                "vote": 1 if at % 2 == 0 else -1,
                "source": "mail",
                "voted_at": _noon(self.day) - timedelta(days=2),
            }
            for at, paper in enumerate(chosen)
        ]
        return row, votes

    def yesterday(self, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The digest that the reader got the day before, and its picks."""
        before = self.day - timedelta(days=1)
        digest = {"id": number, "subscriber_id": number, "day": before, "since": before}
        digest |= {"candidates": 200, "created_at": _noon(before)}
        picks = [
            {
                "digest_id": number,
                "position": at,
                "subscriber_id": number,
                "paper_id": paper,
                "score": 1.0,
                "sentence": 1,
                "reason": "Because of your topic “lanterns”.",
            }
            for at, paper in enumerate(self.chance.sample(self.recent, DIGEST_BEFORE), 1)
        ]
        return digest, picks


def _piece(title: str, chance: random.Random) -> str:
    words = title.split()
    first = chance.randrange(max(1, len(words) - 2))
    return " ".join(words[first : first + 3])


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def beforehand(settings: Settings, day: date, readers: int, before: Path) -> None:
    """Papers, subscribers, votes, yesterday's digests, and rankers, most of them fresh."""
    yesterday = _noon(day) - timedelta(days=1)
    with open_app(settings, lambda: yesterday) as app:
        ingest_sources(app, [str(before)])
        space = training.feature_space(app)
        crowd = Crowd(app, day)
        for first in range(1, readers + 1, BLOCK):
            numbers = range(first, min(first + BLOCK, readers + 1))
            people = [crowd.reader(number) for number in numbers]
            old = [crowd.yesterday(number) for number in numbers]
            with app.db.write() as session:
                insert_new(session, Subscriber, [row for row, _ in people])
                insert_new(session, Digest, [row for row, _ in old])
                if votes := [vote for _, several in people for vote in several]:
                    insert_new(session, Feedback, votes)
                insert_new(session, Pick, [pick for _, picks in old for pick in picks])
            table = sa.update(Subscriber.__table__)  # type: ignore[attr-defined]
            with app.db.read() as session:
                some = sa.select(Subscriber).where(Subscriber.id.in_(numbers))  # type: ignore[union-attr]
                training.ready(app, space, list(session.scalars(some)))
            with app.db.write() as session:
                session.execute(table.where(sa.column("id").in_(numbers[::5])).values(revision=1))

        if app.db.engine.dialect.name == "postgresql":  # whose next ids know nothing of ours
            with app.db.connect() as connection:
                for table in ("subscriber", "digest"):
                    following = f"pg_get_serial_sequence('{table}', 'id'), {readers}"
                    connection.execute(sa.text(f"SELECT setval({following})"))


# The day


def used() -> float:
    return time.process_time()


def peak() -> float:
    """This process's peak memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def whole(settings: Settings, day: date, listing: Path, ready: Any, results: Any) -> None:
    """The whole day in one process."""
    with open_app(settings, lambda: _noon(day) + timedelta(hours=1)) as app:
        marks = [("", used(), time.perf_counter())]
        ready.wait()
        for name, step in (
            ("ingest", lambda: ingest_sources(app, [str(listing)])),
            ("fit", lambda: training.refit_if_due(app)),
            ("prepare", lambda: delivery.prepare(app)),
            ("send", lambda: outbox.send_due(app)),
        ):
            step()
            marks.append((name, used(), time.perf_counter()))
        results.put(_spent(marks))


def first_steps(settings: Settings, day: date, listing: Path, ready: Any, results: Any) -> None:
    """What the scheduler does before the workers begin."""
    with open_app(settings, lambda: _noon(day) + timedelta(hours=1)) as app:
        marks = [("", used(), time.perf_counter())]
        ready.wait()
        ingest_sources(app, [str(listing)])
        marks.append(("ingest", used(), time.perf_counter()))
        training.refit_if_due(app)
        marks.append(("fit", used(), time.perf_counter()))
        results.put(_spent(marks))


def worker(settings: Settings, day: date, share: tuple[int, int], ready: Any, results: Any) -> None:
    """A worker: prepares its share of the ranges, then sends what is due."""
    number, of = share
    with open_app(settings, lambda: _noon(day) + timedelta(hours=1)) as app:
        ranges = sorted(delivery.due_ranges(app), key=lambda some: some.start)[number::of]
        ready.wait()
        marks = [("", used(), time.perf_counter())]
        for some in ranges:
            delivery.prepare(app, among=some)
        marks.append(("prepare", used(), time.perf_counter()))
        outbox.send_due(app)
        marks.append(("send", used(), time.perf_counter()))
        results.put(_spent(marks))


def _spent(marks: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    steps = {
        name: (cpu - before[1], clock - before[2]) for before, (name, cpu, clock) in pairwise(marks)
    }
    return {"steps": steps, "peak": peak()}


def together(target: Any, arguments: Sequence[tuple[Any, ...]]) -> tuple[list[Any], float]:
    """Runs the processes at once; gives their results, and the seconds until the last is done."""
    ready, results = CONTEXT.Barrier(len(arguments) + 1), CONTEXT.Queue()
    running = [CONTEXT.Process(target=target, args=(*each, ready, results)) for each in arguments]
    for process in running:
        process.start()
    ready.wait()
    started = time.perf_counter()
    found = [_result(results, running) for _ in running]
    seconds = time.perf_counter() - started
    for process in running:
        process.join()
    return found, seconds


def _result(results: Any, running: Sequence[Any]) -> Any:
    while True:
        try:
            return results.get(timeout=5)
        except Empty:
            if any(process.exitcode for process in running):
                raise SystemExit("a process of the benchmark has failed") from None


def run(settings: Settings, day: date, listing: Path, workers: int) -> tuple[list[Any], float]:
    if not workers:
        return together(whole, [(settings, day, listing)])
    first, seconds = together(first_steps, [(settings, day, listing)])
    shares = [(settings, day, (number, workers)) for number in range(workers)]
    found, more = together(worker, shares)
    return [*first, *found], seconds + more


def report(readers: int, workers: int, found: Sequence[Any], seconds: float, sent: int) -> None:
    cpu: dict[str, float] = {}
    for each in found:
        for name, (spent, _) in each["steps"].items():
            cpu[name] = cpu.get(name, 0) + spent
    each_step = ", ".join(f"{name} {spent:.1f}" for name, spent in cpu.items())
    per_digest = cpu["prepare"] + cpu["send"]
    peaks = ", ".join(f"{process['peak']:.0f}" for process in found)
    print(
        f"{readers} subscribers, {f'{workers} workers' if workers else 'one process'}:"
        f" {sent} digests in {seconds:.0f} s ({sent / seconds:.0f}/s)\n"
        f"  CPU seconds: {sum(cpu.values()):.1f} ({each_step}); {1000 * per_digest / sent:.2f} ms"
        f" a digest after the fit\n  peak memory of each process: {peaks} MB",
        flush=True,
    )


@contextmanager
def mail_server() -> Iterator[int]:
    """The sink in a process of its own; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = CONTEXT.Process(target=sink, args=(listening,), daemon=True)
        server.start()
        yield listening.getsockname()[1]
        server.kill()


def configured(folder: Path, database: str, port: int) -> Settings:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(pem)
    return Settings.model_validate(
        {
            "database": {"url": database},
            "web": {"secret": "s" * 40, "base_url": "https://digest.test"},
            "smtp": {"host": "127.0.0.1", "port": port},
            "mail": {
                "sender": "Paper Digest <digest@digest.test>",
                "dkim_domain": "digest.test",
                "dkim_selector": "s1",
                "dkim_key_file": folder / "key.pem",
            },
        }
    )


def made_anew(server: str) -> str:
    """A database of this benchmark's own on the server, empty; gives its address."""
    url = sa.make_url(server)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS digest_day_benchmark WITH (FORCE)")
        connection.exec_driver_sql("CREATE DATABASE digest_day_benchmark")
    engine.dispose()
    return url.set(database="digest_day_benchmark").render_as_string(hide_password=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("papers", type=Path)
    parser.add_argument("--day", type=date.fromisoformat, default=date(2025, 5, 27))
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--database", help="without it, an SQLite file is made")
    parser.add_argument("--workers", type=int, nargs="+", default=[0], help="0: one process")
    asked = parser.parse_args()
    for readers in asked.subscribers:
        for workers in asked.workers:
            with tempfile.TemporaryDirectory() as place, mail_server() as port:
                folder = Path(place)
                before, listing = split(asked.papers, asked.day, folder)
                server = asked.database
                url = made_anew(server) if server else f"sqlite:///{folder}/digest.db"
                settings = configured(folder, url, port)
                arguments = (settings, asked.day, readers, before)
                making = CONTEXT.Process(target=beforehand, args=arguments)
                making.start()
                making.join()
                if making.exitcode:
                    raise SystemExit("the database could not be filled")
                found, seconds = run(settings, asked.day, listing, workers)
                with open_app(settings) as app, app.db.read() as session:
                    query = sa.text("SELECT count(*) FROM outbox WHERE status = 'sent'")
                    sent = session.execute(query).scalar_one()
                report(readers, workers, found, seconds, sent)


if __name__ == "__main__":
    main()
