"""The service in the simulated year: a process that does the product's own jobs when it is told to,
and the blows that it is dealt meanwhile."""

import logging
import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import structlog
from soak_world import DEFERS, DROPS, REFUSES, WELL, Source
from sqlalchemy import event

from digest import backup, jobs
from digest.app import open_app
from digest.db import Db
from digest.errors import DigestError
from digest.settings import Settings

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(  # what a service would import anew after each death
    [
        *("__main__", "digest.jobs", "digest.picking", "digest.fitting", "digest.ranking.ranker"),
        *("digest.ranking.features", "digest.ranking.reasons", "digest.ranking.selection"),
        *("digest.feeds.generic", "digest.feeds.jsonfeed", "digest.mail.bounces", "feedparser"),
    ]
)
EACH_TICK, ONCE_A_DAY = ("fetch", "prepare", "send"), ("tidy", "watch")
PATIENCE = 700  # ms that the service waits for a lock: the product's 30 s would fill the evening
SMALL = 96_000  # bytes beyond which no file may be written while the disk is full
HANGS = 600  # seconds of a tick after which it is given up
SEVERAL_DAYS, DAY_LONG = 3, 26 * 3600


@dataclass
class Told:
    """What the service says of a tick: CPU seconds by job, what went wrong, and its MB."""

    cpu: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    rss: float = 0.0
    peak: float = 0.0


def service(settings: Settings, orders: Connection) -> None:
    """Does the named jobs at the named moment, again and again, until it is told None. Its clock
    goes on from the moment at the pace of ours."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    start, begun = datetime.now().astimezone(), time.monotonic()
    with open_app(settings, lambda: start + timedelta(seconds=time.monotonic() - begun)) as app:
        app.db.close()
        event.listen(
            app.db.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA busy_timeout={PATIENCE}")
        )
        by_name = {job.name: job for job in jobs.JOBS}
        while (order := _next(orders)) is not None:
            (start, names, cramped), begun, told = order, time.monotonic(), Told()
            with Path("/proc/self/clear_refs").open("w") as refs:
                refs.write("5")  # the peak is counted from here
            if cramped:
                resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, resource.RLIM_INFINITY))
            for name in names:
                spent = time.process_time()
                try:
                    by_name[name].run(app, lambda: False)
                except DigestError as error:
                    told.errors.append(f"{name}: {error}")
                told.cpu[name] += time.process_time() - spent
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            status = Path("/proc/self/status").read_text(encoding="ascii")
            told.rss, told.peak = (_megabytes(status, name) for name in ("VmRSS:", "VmHWM:"))
            orders.send(told)


def _next(orders: Connection) -> Any:
    with suppress(EOFError):  # who gives them is dead
        return orders.recv()


def _megabytes(status: str, name: str) -> float:
    return int(status.partition(name)[2].split()[0]) / 1024


@dataclass
class Life:
    """The service from one death to the next, and what its day's orders came to."""

    settings: Settings
    mood: Any
    taken: Any
    source: Source
    asking: Connection
    chance: random.Random
    well_at: datetime
    day: Told = field(default_factory=Told)
    told: list[str] = field(default_factory=list)
    lasted: float = 1.0  # seconds of a day's great tick

    EACH = EACH_TICK

    def seen(self) -> dict[str, int]:
        """What the mail server has, by Message-ID."""
        self.asking.send("seen")
        return dict(self.asking.recv())

    def begin(self) -> None:
        self.orders, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=service, args=(self.settings, theirs))
        self.process.start()
        theirs.close()

    def end(self) -> None:
        self.orders.send(None)
        self.process.join()

    def order(
        self, at: datetime, names: tuple[str, ...] = EACH_TICK, *, cramped: bool = False
    ) -> None:
        self.orders.send((at, names, cramped))

    def answer(self) -> Told:
        """Raises EOFError where the service died of itself, TimeoutError where it hangs."""
        if not self.orders.poll(HANGS):
            raise TimeoutError(f"the service has said nothing for {HANGS} s")
        told: Told = self.orders.recv()
        self.lasted = max(told.cpu.total(), self.lasted * 0.9)
        self.day.cpu += told.cpu
        self.day.rss, self.day.peak = told.rss, max(told.peak, self.day.peak)
        self.day.errors += told.errors
        return told

    def tick(self, at: datetime, names: tuple[str, ...] = EACH_TICK, **how: bool) -> Told:
        self.order(at, names, **how)
        return self.answer()

    def until_taken(self, more: int) -> int:
        """Waits until the mail server has taken so many more, or the tick is over; gives them."""
        before = self.taken.value
        while self.taken.value - before < more and not self.orders.poll(0.002):
            pass
        return int(self.taken.value - before)

    def kill(self) -> None:
        """SIGKILL, and another service in its place."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.told.append(f"killed by signal {-(self.process.exitcode or 0)}")
        self.begin()


# The blows. Each gets the service and the moment, and sees to it that the tick is done.


def killed_sending(life: Life, at: datetime) -> None:
    life.order(at)
    count = life.until_taken(life.chance.randint(5, 60))
    life.told.append(f"{count} mails were out")
    life.kill()
    life.tick(at + timedelta(minutes=1))


def killed_making(life: Life, at: datetime) -> None:
    """At a moment of the fetching, the learning and the making, whichever it meets."""
    before, until = life.taken.value, life.chance.uniform(0.05, 0.6) * life.lasted
    life.order(at)
    time.sleep(until)
    life.told.append(f"after {until:.2f} s, {life.taken.value - before} mails were out")
    life.kill()
    life.tick(at + timedelta(minutes=1))


def mood(value: int, seconds: float = 6 * 3600) -> Callable[[Life, datetime], None]:
    def blow(life: Life, at: datetime) -> None:
        life.mood.value, life.well_at = value, at + timedelta(seconds=seconds)
        told = life.tick(at)
        life.told.append(f"{len(told.errors)} runs failed at once")

    return blow


def feed_away(life: Life, at: datetime) -> None:
    """It was away this morning already, and stays so for days."""
    life.tick(at)
    life.told.append(f"refused {life.source.refused} times in all")


def locked(seconds: float) -> Callable[[Life, datetime], None]:
    def blow(life: Life, at: datetime) -> None:
        file = Db(life.settings.database.url).file
        free = threading.Event()

        def hold() -> None:
            with closing(sqlite3.connect(str(file), isolation_level=None, timeout=30)) as other:
                other.execute("BEGIN IMMEDIATE")
                free.set()
                time.sleep(seconds)

        holder = threading.Thread(target=hold)
        holder.start()
        free.wait()
        told = life.tick(at)
        holder.join()
        life.told += told.errors or ["waited"]
        life.tick(at + timedelta(minutes=1))

    return blow


def clock_steps(by: timedelta) -> Callable[[Life, datetime], None]:
    def blow(life: Life, at: datetime) -> None:
        life.tick(at + by)
        life.tick(at + timedelta(minutes=1), (*ONCE_A_DAY, *EACH_TICK))

    return blow


def disk_full(life: Life, at: datetime) -> None:
    life.told += life.tick(at, cramped=True).errors or ["nothing failed"]
    life.tick(at + timedelta(minutes=1))


def restarted(life: Life, at: datetime) -> None:
    life.end()
    life.begin()
    life.tick(at)


def backed_up(life: Life, at: datetime) -> None:
    """A copy in mid-delivery, looked through and thrown away."""
    life.order(at)
    count, db = life.until_taken(life.chance.randint(5, 60)), Db(life.settings.database.url)
    copy = Path(f"{db.file}.copy")
    backup.backup(db, copy)
    life.answer()
    with closing(sqlite3.connect(copy)) as kept:
        (sound,) = kept.execute("PRAGMA quick_check").fetchone()
        states = dict(kept.execute("SELECT status, count(*) FROM outbox GROUP BY status"))
    copy.unlink()
    db.close()
    life.told.append(f"{count} mails were out, in the copy {states}: {sound}")
    if sound != "ok":
        raise RuntimeError("the backup is damaged")


FAULTS: dict[str, Callable[[Life, datetime], None]] = {
    "killed while sending": killed_sending,
    "mail server defers": mood(DEFERS),
    "feed away": feed_away,
    "locked for a moment": locked(0.3),
    "killed while making": killed_making,
    "mail server refuses": mood(REFUSES),
    "clock back": clock_steps(timedelta(hours=-3)),
    "disk full": disk_full,
    "mail server drops": mood(DROPS),
    "locked for long": locked(3),  # longer than all jobs of a tick wait
    "backup while sending": backed_up,
    "clock ahead": clock_steps(timedelta(days=2)),
    "mail server defers for a day": mood(DEFERS, DAY_LONG),
    "restart": restarted,
}
__all__ = ["FAULTS", "SEVERAL_DAYS", "WELL", "Life"]
