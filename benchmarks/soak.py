"""A simulated year: readers with tastes of their own, their votes, and everything that goes wrong.

    python benchmarks/soak.py LISTINGS.jsonl.xz --profiles PROFILES.jsonl [--subscribers 500]
        [--days 365] [--chart soak.svg]

The listing days follow each other as days of the year; where they end they begin anew, under other
ids. Each reader signs up with a profile's topics and categories, and votes each day on a few of his
picks by a hidden taste: the likeness (TF-IDF) to the papers that the profile's owner liked. Each
day is a process of its own, as after a restart, with the clock moved on. On some days the feed is
away, the mail server refuses everybody, the process is killed in mid-delivery, the clock goes back
by an hour, or another process holds the database. The sink is a process of its own and counts each
Message-ID. Ends with 1 where a digest was missed, or came twice without a report.
"""

import argparse
import asyncio
import json
import lzma
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sqlmodel import col, select

from digest import delivery, feedback, jobs, subscribers
from digest.app import App, open_app
from digest.changes import Changes
from digest.errors import DatabaseError, MailError
from digest.feeds.ingest import ingest_sources
from digest.mail import outbox
from digest.models import Digest, OutboxMessage, Paper, Pick, Subscriber
from digest.settings import Settings

FIRST = date(2026, 1, 1)
CONTEXT = multiprocessing.get_context("spawn")
# A prime number of days each, so that in a year every two of them meet.
FEED_AWAY, MAIL_AWAY, KILLED, CLOCK_BACK, LOCKED = 37, 41, 13, 17, 29
VOTES = 3  # of a reader a day, at most


# The mail server


class Sink(asyncio.Protocol):
    """Takes every message and counts its Message-ID; answers 451 while the file `away` exists."""

    def __init__(self, seen: Counter[str], away: Path) -> None:
        self.seen, self.away = seen, away
        self.rest, self.data = b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while True:
            end = b"\r\n.\r\n" if self.data else b"\r\n"
            part, ended, rest = self.rest.partition(end)
            if not ended:
                return
            self.rest = rest
            self._take(part) if self.data else self._answer(part[:4].upper())

    def _take(self, mail: bytes) -> None:
        head = mail.partition(b"\r\n\r\n")[0].lower()
        self.seen[head.partition(b"message-id:")[2].split()[0].decode()] += 1
        self.data = False
        self.transport.write(b"250 ok\r\n")

    def _answer(self, verb: bytes) -> None:
        if verb == b"DATA":
            self.data = True
            self.transport.write(b"354 go on\r\n")
        elif verb == b"MAIL" and self.away.exists():
            self.transport.write(b"451 4.3.0 not today\r\n")
        elif verb == b"EHLO":
            self.transport.write(b"250-sink\r\n250 8BITMIME\r\n")
        else:
            self.transport.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


def sink(listening: socket.socket, folder: Path, asked: Any) -> None:
    """Serves for ever; to each question through the pipe, gives the counts by Message-ID."""
    seen: Counter[str] = Counter()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(asked.fileno(), lambda: (asked.recv(), asked.send(dict(seen))))
        server = await loop.create_server(lambda: Sink(seen, folder / "away"), sock=listening)
        await server.serve_forever()

    asyncio.run(serve())


# Papers and tastes


@dataclass
class Tastes:
    """Each day's papers in order, and how much each reader likes each paper, by the file's ids."""

    days: list[list[dict[str, Any]]]
    row_of: dict[str, int]
    matrix: Any
    people: list[dict[str, Any]] = field(default_factory=list)
    centroids: Any = None

    def likes(self, reader: int, ids: list[str]) -> np.ndarray:
        rows = [self.row_of[name] for name in ids]
        return np.asarray(self.matrix[rows] @ self.centroids[reader]).ravel()


def read(listings: Path, profiles: Path, readers: int) -> Tastes:
    opened = lzma.open if listings.suffix == ".xz" else open
    by_day: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with opened(listings, "rt", encoding="utf-8") as lines:
        for line in lines:
            paper = json.loads(line)
            by_day[paper["day"]].append(paper)
    days = [by_day[day] for day in sorted(by_day)]
    papers = [paper for day in days for paper in day]
    texts = [f"{paper['title']} {paper['abstract']}" for paper in papers]
    vectors = TfidfVectorizer(stop_words="english", min_df=3, sublinear_tf=True, dtype=np.float32)
    matrix = vectors.fit_transform(texts)
    tastes = Tastes(days, {paper["id"]: row for row, paper in enumerate(papers)}, matrix)
    known = []
    with profiles.open(encoding="utf-8") as lines:
        for line in lines:
            person = json.loads(line)
            ids = [name.removeprefix("arxiv:") for name in person["likes"]]
            person["likes"] = [name for name in ids if name in tastes.row_of]
            known += [person] if person["likes"] else []
    tastes.people = [known[n % len(known)] for n in range(readers)]
    rows = [[tastes.row_of[name] for name in person["likes"]] for person in tastes.people]
    tastes.centroids = [np.asarray(matrix[some].mean(axis=0)).ravel() for some in rows]
    return tastes


def relabelled(name: str, turn: int) -> str:
    """The id of the year's next turn: another month, past those of the file."""
    return f"{int(name[:4]) + 1200 * turn:04}{name[4:]}"


def original(key: str, turn: int) -> str:
    number = key.removeprefix("arxiv:")
    return f"{int(number[:4]) - 1200 * turn:04}{number[4:]}"


def listing(tastes: Tastes, at: int, folder: Path) -> Path:
    """The file of the year's day number `at`."""
    turn, nth = divmod(at, len(tastes.days))
    file, day = folder / f"{at}.jsonl", str(FIRST + timedelta(days=at))
    with file.open("w", encoding="utf-8") as out:
        for paper in tastes.days[nth]:
            own = {"id": relabelled(paper["id"], turn), "day": day}
            out.write(json.dumps(paper | own) + "\n")
    return file


# A day


def send_and_die(settings: Settings, moment: datetime, seconds: float) -> None:
    """Sends, and is killed by the system in the middle of it."""
    signal.setitimer(signal.ITIMER_REAL, seconds)  # whose signal ends the process at once
    with open_app(settings, lambda: moment) as app:
        outbox.send_due(app)


def a_day(settings: Settings, at: int, files: list[str], results: Any) -> None:
    """What the jobs do in a day, hour by hour where something goes wrong."""
    moment = datetime.combine(FIRST + timedelta(days=at), datetime.min.time(), UTC)
    moment += timedelta(hours=7)
    ours = {"at": moment}
    started, spent = time.perf_counter(), time.process_time()
    with open_app(settings, lambda: ours["at"]) as app:
        ingest_sources(app, files)
        if at % LOCKED == LOCKED - 1:
            locked_out(app)
        delivery.prepare(app)
        if at % CLOCK_BACK == CLOCK_BACK - 1:
            ours["at"] -= timedelta(hours=1)
            delivery.prepare(app)
        if at % KILLED == KILLED - 1:
            killed(settings, moment, random.Random(at))
        for hours in (0, 1, 2, 4, 8, 12, 16):
            ours["at"] = moment + timedelta(hours=hours)
            delivery.prepare(app)
            try:
                outbox.send_due(app)
            except MailError:
                continue
        jobs.tidy(app, lambda: False)
    status = Path("/proc/self/status").read_text(
        encoding="ascii"
    )  # getrusage tells of the parent's
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    cpu = time.process_time() - spent
    results.put((time.perf_counter() - started, cpu, peak))


def killed(settings: Settings, moment: datetime, chance: random.Random) -> None:
    process = CONTEXT.Process(
        target=send_and_die, args=(settings, moment, chance.uniform(0.9, 1.6))
    )
    process.start()
    process.join()


def locked_out(app: App) -> None:
    """Another process holds the database for longer than we wait."""
    app.db.close()
    with app.db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 100")
    other = sqlite3.connect(str(app.db.file), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        delivery.prepare(app)
    except DatabaseError:
        return
    finally:
        other.close()
        app.db.close()


# Readers


def sign_up(app: App, tastes: Tastes) -> None:
    for n, person in enumerate(tastes.people):
        wishes = Changes(
            topics=[(topic, 1.0) for topic in person["topics"]],
            categories=[(code, 1.0) for code in person["categories"]],
        )
        subscribers.add(app, f"reader{n}@crowd.test", wishes)


def vote(app: App, tastes: Tastes, at: int) -> list[float]:
    """Each reader's votes on the day's picks; gives of each pick whether it is among the tenth of
    the day's papers that he would like best."""
    listed = [paper["id"] for paper in tastes.days[at % len(tastes.days)]]
    day, chance, good = FIRST + timedelta(days=at), random.Random(at), []
    with app.db.write() as session:
        query = (
            select(Pick.subscriber_id, Pick.paper_id, Paper.key)
            .join(Paper, col(Paper.id) == Pick.paper_id)
            .join(Digest)
        )
        query = query.where(Digest.day == day, Paper.announced_day == day)
        picks: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for reader, paper, key in session.exec(query):
            picks[reader].append((paper, original(key, at // len(tastes.days))))
        for reader, own in picks.items():
            bar = np.quantile(tastes.likes(reader - 1, listed), 0.9)
            likes = tastes.likes(reader - 1, [name for _, name in own])
            good += [float(like >= bar) for like in likes]
            for n in chance.sample(range(len(own)), min(chance.randint(0, VOTES), len(own))):
                word = "up" if likes[n] >= bar else "down"
                feedback.record(session, reader, own[n][0], word, source="mail", now=app.now())
    return good


def wrong(app: App, seen: dict[str, int]) -> list[str]:
    """What must not be: a digest of which nothing came, or that came more often than is told."""
    with app.db.read() as session:
        messages = session.exec(select(OutboxMessage).where(OutboxMessage.kind == "digest")).all()
        picks = session.exec(select(Pick.subscriber_id, Pick.paper_id)).all()
        late = session.exec(select(Subscriber.id).where(col(Subscriber.next_digest_at) < app.now()))
        late = len(late.all())
    twice, doubtful = sum(seen.values()) - len(seen), sum(m.in_doubt for m in messages)
    states = Counter(message.status for message in messages)
    print(f"{len(messages)} digests: {dict(states)}; {len(seen)} arrived, {twice} of them twice,")
    print(f"{doubtful} reported as in doubt after {sum(states.values())} sendings")
    found = {
        "digests were made that did not arrive": states["sent"] - len(seen),
        "digests were not sent": len(messages) - states["sent"],
        "digests came twice, unreported": max(0, twice - doubtful),
        "papers were sent again": len(picks) - len(set(picks)),
        "readers were not served": late,
    }
    return [f"{count} {what}" for what, count in found.items() if count]


# The chart


def chart(months: list[tuple[str, float, float, float]], file: Path) -> None:
    """Share of good picks, seconds and MB, a month each, as an SVG."""
    lines = []
    names = ("picks in the day's best tenth", "seconds a day", "MB at the most")
    for nth, name in enumerate(names):
        values = [month[nth + 1] for month in months]
        top, left = max(values) or 1.0, 60
        step = 560 / max(1, len(values) - 1)
        points = " ".join(
            f"{left + step * n:.0f},{180 * nth + 150 - 110 * value / top:.0f}"
            for n, value in enumerate(values)
        )
        lines.append(
            f'<text x="{left}" y="{180 * nth + 25}">{name}: {values[0]:.2f} to {values[-1]:.2f},'
            f' at the most {top:.2f}</text><polyline fill="none" stroke="#246" stroke-width="2"'
            f' points="{points}"/><path stroke="#999" d="M{left} {180 * nth + 150}h560"/>'
        )
    body = "".join(lines)
    file.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="680" height="550"'
        f' font-family="sans-serif" font-size="14">{body}</svg>',
        encoding="utf-8",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("listings", type=Path)
    parser.add_argument("--profiles", type=Path, required=True)
    parser.add_argument("--subscribers", type=int, default=500)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--chart", type=Path, default=Path("soak.svg"))
    given = parser.parse_args()
    tastes = read(given.listings, given.profiles, given.subscribers)
    with tempfile.TemporaryDirectory() as place, socket.create_server(("127.0.0.1", 0)) as port:
        folder, (asking, asked) = Path(place), CONTEXT.Pipe()
        server = CONTEXT.Process(target=sink, args=(port, folder, asked), daemon=True)
        server.start()
        settings = Settings.model_validate(
            {
                "database": {"url": f"sqlite:///{folder}/digest.db"},
                "web": {"secret": "s" * 40, "base_url": "https://digest.test"},
                "smtp": {"host": "127.0.0.1", "port": port.getsockname()[1]},
                "mail": {"sender": "Paper Digest <digest@digest.test>"},
            }
        )
        months = year(settings, tastes, given.days, folder)
        asking.send("seen")
        end = datetime.combine(FIRST + timedelta(days=given.days - 1), datetime.max.time(), UTC)
        with open_app(settings, lambda: end - timedelta(hours=1)) as app:
            found = wrong(app, asking.recv())
        server.kill()
    chart(months, given.chart)
    print("; ".join(found) or "nothing missed, nothing repeated")
    return int(bool(found))


def year(
    settings: Settings, tastes: Tastes, days: int, folder: Path
) -> list[tuple[str, float, float, float]]:
    """Day after day; gives each month's share of good picks, seconds a day and highest MB."""
    by_month: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    good: dict[str, list[float]] = defaultdict(list)
    morning = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(hours=6)
    moment = {"at": morning}
    waiting: list[str] = []
    with open_app(settings, lambda: moment["at"]) as app:
        sign_up(app, tastes)
        results = CONTEXT.Queue()
        for at in range(days):
            moment["at"] = morning + timedelta(days=at, hours=15)
            waiting.append(str(listing(tastes, at, folder)))
            away = at % FEED_AWAY >= FEED_AWAY - 3  # three days, then all of them at once
            (folder / "away").touch() if at % MAIL_AWAY == MAIL_AWAY - 1 else (
                folder / "away"
            ).unlink(missing_ok=True)
            arguments = (settings, at, [] if away else waiting, results)
            process = CONTEXT.Process(target=a_day, args=arguments)
            process.start()
            seconds, cpu, peak = results.get(timeout=600)
            process.join()
            waiting = waiting if away else []
            month = f"{FIRST + timedelta(days=at):%Y-%m}"
            by_month[month].append((seconds, cpu, peak))
            good[month] += vote(app, tastes, at)
            if at == days - 1 or (FIRST + timedelta(days=at + 1)).day == 1:
                told(month, by_month[month], good[month])
    return [
        (
            m,
            float(np.mean(good[m] or [0])),
            float(np.mean([d[0] for d in of])),
            max(d[2] for d in of),
        )
        for m, of in by_month.items()
    ]


def told(month: str, days: list[tuple[float, ...]], good: list[float]) -> None:
    seconds, cpu, peak = (np.array(values) for values in zip(*days, strict=True))
    print(
        f"{month}: {np.mean(good or [0]):.3f} of {len(good)} picks in the best tenth;"
        f" {seconds.mean():.2f} s and {cpu.mean():.2f} s CPU a day, {peak.max():.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
