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
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from queue import Empty
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sqlalchemy as sa
from crowd import beforehand, noon, split
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sink import mail_server

from digest import delivery, training
from digest.app import open_app
from digest.feeds.ingest import ingest_sources
from digest.mail import outbox
from digest.settings import Settings

CONTEXT = multiprocessing.get_context("spawn")


def used() -> tuple[float, float]:
    """CPU seconds of this process, and the peak of its memory so far in MB."""
    return time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def whole(settings: Settings, day: date, listing: Path, ready: Any, results: Any) -> None:
    """The whole day in one process."""
    with open_app(settings, lambda: noon(day) + timedelta(hours=1)) as app:
        marks = [("", *used())]
        ready.wait()
        for name, step in (
            ("ingest", lambda: ingest_sources(app, [str(listing)])),
            ("fit", lambda: training.refit_if_due(app)),
            ("deliver", lambda: delivery.deliver(app)),
        ):
            step()
            marks.append((name, *used()))
        results.put(_spent(marks))


def first_steps(settings: Settings, day: date, listing: Path, ready: Any, results: Any) -> None:
    """What the scheduler does before the workers begin."""
    with open_app(settings, lambda: noon(day) + timedelta(hours=1)) as app:
        marks = [("", *used())]
        ready.wait()
        ingest_sources(app, [str(listing)])
        marks.append(("ingest", *used()))
        training.refit_if_due(app)
        marks.append(("fit", *used()))
        results.put(_spent(marks))


def worker(settings: Settings, day: date, share: tuple[int, int], ready: Any, results: Any) -> None:
    """A worker: prepares its share of the ranges, then sends what is due."""
    number, of = share
    with open_app(settings, lambda: noon(day) + timedelta(hours=1)) as app:
        ranges = sorted(delivery.due_ranges(app), key=lambda some: some.start)[number::of]
        ready.wait()
        marks = [("", *used())]
        for some in ranges:
            delivery.prepare(app, among=some)
        marks.append(("prepare", *used()))
        outbox.send_due(app)
        marks.append(("send", *used()))
        results.put(_spent(marks))


def _spent(marks: Sequence[tuple[str, float, float]]) -> dict[str, tuple[float, float]]:
    """CPU seconds of each step, and the peak until its end."""
    return {name: (cpu - before[1], peak) for before, (name, cpu, peak) in pairwise(marks)}


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
        for name, (spent, _) in each.items():
            cpu[name] = cpu.get(name, 0) + spent
    each_step = ", ".join(f"{name} {spent:.1f}" for name, spent in cpu.items())
    per_digest = sum(cpu.values()) - cpu["ingest"] - cpu["fit"]
    peaks = "; ".join(
        ", ".join(f"{name} {peak:.0f}" for name, (_, peak) in process.items()) for process in found
    )
    print(
        f"{readers} subscribers, {f'{workers} workers' if workers else 'one process'}:"
        f" {sent} digests in {seconds:.0f} s ({sent / seconds:.0f}/s)\n"
        f"  CPU seconds: {sum(cpu.values()):.1f} ({each_step}); {1000 * per_digest / sent:.2f} ms"
        f" a digest after the fit\n  peak memory of each process so far, MB: {peaks}",
        flush=True,
    )


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
