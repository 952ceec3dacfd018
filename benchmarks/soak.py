"""A simulated year: readers with tastes of their own, their votes, and everything that goes wrong.

    python benchmarks/soak.py LISTINGS.jsonl.xz --profiles PROFILES.jsonl [--days 365]
        [--subscribers 500] [--every 3] [--csv soak.csv] [--chart soak.svg]

The listing days follow each other as days of the year; where they end they begin anew, under other
ids. Each reader signs up with a profile's topics and categories, in one of four time zones, and
votes on some days, or never, on a few of his picks by a hidden taste. The service is a process that
does the product's own jobs every four hours of its clock, asking a feed and mailing to a sink on
loopback; every third day it is dealt a blow, of each kind in turn (`--every 1`: each day, `--every
0`: none). Each day is a line of the CSV as soon as it is over. A signal ends the year after its
day. Ends with 1 where a digest was missed, or came twice without a report, or memory or time grew.
"""

import argparse
import csv
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as hour_of
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sqlalchemy as sa
from soak_chart import chart, grown
from soak_service import CONTEXT, FAULTS, ONCE_A_DAY, SEVERAL_DAYS, Life, Told
from soak_world import FIRST, WELL, Readers, feed, listing, read, sign_up, sink, vote
from sqlmodel import col, func, select

from digest.app import App, open_app
from digest.feeds.ingest import add_feed
from digest.fitting import CORPUS
from digest.models import Digest, OutboxMessage, Paper, Subscriber
from digest.settings import Settings

HOURS = (0, 4, 8, 12, 16, 20)
LISTED, STRUCK = 4, 8  # when the day's listing is there, and when the blow falls
CLOSING = 2  # days after the last listing, until all is out
COLUMNS = (
    *("day", "seconds", "cpu", "fetch", "prepare", "send", "tidy", "rss_mb", "peak_mb", "file_mb"),
    *("papers", "votes", "mails", "good", "silent", "fault", "outcome"),
)
NEVER = datetime.max.replace(tzinfo=UTC)
Row = dict[str, Any]


@dataclass
class Year:
    """Its days so far, and since when each listing is known to the service."""

    app: App
    life: Life
    readers: Readers
    clock: dict[str, datetime]
    known_at: dict[date, datetime] = field(default_factory=dict)
    votes: int = 0
    away_until: int = -1

    def day(self, at: int, blow: str, *, listed: bool) -> Row:
        """One day's ticks, its blow and its votes; gives its line."""
        life, begun = self.life, time.perf_counter()
        life.day, life.told, before = Told(), [], life.taken.value
        if blow == "feed away":
            self.away_until = at + SEVERAL_DAYS
        life.source.away = at < self.away_until
        for hour in HOURS:
            moment = moment_of(at, hour)
            if moment >= life.well_at:
                life.mood.value = WELL
            if listed and hour == LISTED:
                life.source.show(listing(*self.readers.listed(at), at))
            if blow and hour == STRUCK:
                FAULTS[blow](life, moment)
            else:
                life.tick(moment, (*ONCE_A_DAY, *life.EACH) if hour == 0 else life.EACH)
        self.clock["at"] = moment_of(at, 22)
        good, votes = vote(self.app, self.readers, at) if listed else ({}, 0)
        self.votes += votes
        told, cpu = life.day, life.day.cpu
        return {
            "day": FIRST + timedelta(days=at),
            "seconds": round(time.perf_counter() - begun, 2),
            "cpu": round(cpu.total(), 2),
            **{name: round(cpu[name], 2) for name in ("fetch", "prepare", "send")},
            "tidy": round(cpu["tidy"] + cpu["watch"], 2),
            "rss_mb": round(told.rss),
            "peak_mb": round(told.peak),
            "file_mb": round((self.app.db.file or Path()).stat().st_size / 1e6),
            "papers": self.look(),
            "votes": self.votes,
            "mails": life.taken.value - before,
            "good": _mean(good.get(True)),
            "silent": _mean(good.get(False)),
            "fault": blow,
            "outcome": "; ".join(dict.fromkeys(life.told + told.errors)),
        }

    def look(self) -> int:
        """Notes which listings are there by now; gives the number of papers."""
        now = self.clock["at"]
        newest = select(Paper.announced_day, func.max(Paper.announced_at)).where(
            col(Paper.announced_day) > now.date() - timedelta(days=8)
        )
        with self.app.db.read() as session:
            for day, moment in session.exec(newest.group_by(col(Paper.announced_day))):
                # After a clock that ran ahead, papers are dated later than all that it dated.
                true = moment if moment <= now else now.replace(hour=LISTED)
                self.known_at.setdefault(day, true)
            return session.exec(select(func.count()).select_from(Paper)).one()


def _mean(good: list[bool] | None) -> float | str:
    return round(sum(good) / len(good), 4) if good else ""


def moment_of(at: int, hour: float) -> datetime:
    return datetime.combine(FIRST + timedelta(days=at), hour_of(), UTC) + timedelta(hours=hour)


@contextmanager
def stopping() -> Iterator[list[int]]:
    """The signals that came."""
    came: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda one, _: came.append(one))
    yield came


def year(life: Life, readers: Readers, given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Lives through the days; gives their lines, and what was wrong at the end."""
    clock, rows, names = {"at": moment_of(0, 0)}, list[Row](), list(FAULTS)
    end = given.days
    with (
        open_app(life.settings, lambda: clock["at"]) as app,
        given.csv.open("w", newline="", encoding="utf-8") as file,
        stopping() as came,
    ):
        sign_up(app, readers)
        add_feed(app, life.source.url)
        lines = csv.DictWriter(file, COLUMNS)
        lines.writeheader()
        ours = Year(app, life, readers, clock)
        life.begin()
        at = 0
        while at < end + CLOSING:
            struck = given.every and at % given.every == 0 and 0 < at < end
            blow = names[(at // given.every - 1) % len(names)] if struck else ""
            rows.append(ours.day(at, blow, listed=at < end))
            lines.writerow(rows[-1])
            file.flush()
            at += 1
            end = min(end, at) if came else end
            told(rows[-1])
        life.end()
        found = wrong(app, life.seen(), ours.known_at)
    return rows, found


def told(row: Row) -> None:
    print(
        f"{row['day']}: {row['seconds']:.1f} s, {row['cpu']:.1f} s CPU, {row['peak_mb']} MB,"
        f" {row['mails']} mails, {row['good']} good",
        *[f"\n    {row['fault'] or 'after it'}: {row['outcome'][:600]}"] * bool(row["outcome"]),
        flush=True,
    )


# What must not be


def wrong(app: App, seen: dict[str, int], known_at: dict[date, datetime]) -> list[str]:
    """What came twice and was not reported, and what never came: of each listing, each reader has
    a digest that covers it and was made when it was there, or one is reported as lost, for it was
    handed over twice without an answer."""
    numbers = Counter[int]()
    for name, count in seen.items():
        if name.rpartition("@")[0].endswith(".digest"):
            numbers[int(name.strip("<>").split(".")[1], 16)] += count
    message = OutboxMessage.__table__.c  # type: ignore[attr-defined]
    digest = Digest.__table__.c  # type: ignore[attr-defined]
    made = sa.select(message.id, message.status, message.in_doubt, message.subscriber_id)
    made = made.add_columns(digest.since, digest.day, digest.created_at)
    states, known, twice, lost = Counter[str](), set[int](), Counter[bool](), 0
    with app.db.read() as session:
        covered = {reader: set[date]() for reader in session.exec(select(Subscriber.id))}
        had = Counter[int]()
        for number, status, doubt, reader, since, day, created_at in session.execute(
            made.join_from(Digest, OutboxMessage, message.digest_id == digest.id)
        ):
            states[status] += 1
            known.add(number)
            came = numbers[number]
            lost += status == "sent" and not came
            twice[doubt] += came > 1
            if came or (doubt and status == "failed"):
                had[reader] += 1
                days = (since + timedelta(days=n) for n in range((day - since).days + 1))
                covered[reader] |= {one for one in days if known_at.get(one, NEVER) <= created_at}
    missed = Counter(day for own in covered.values() for day in known_at.keys() - own)
    found = {
        "digests are marked as sent and did not arrive": lost,
        "messages are left over": sum(states[one] for one in ("queued", "sending", "deferred")),
        "messages came twice, unreported": twice[False],
        "messages came more than twice": sum(count > 2 for count in numbers.values()),
        "messages came that nobody knows": len(set(numbers) - known),
        f"listings never reached a reader ({sorted(map(str, missed))[:9]})": missed.total(),
    }
    print(
        f"{len(known)} digests of {len(known_at)} listings to {len(covered)} readers:"
        f" {dict(states)}; {len(set(numbers))} arrived, {twice.total()} of them twice, of which"
        f" {twice[True]} are reported as in doubt; {min(had[one] for one in covered)} to"
        f" {max(had[one] for one in covered)} for each reader"
    )
    return [f"{count} {what}" for what, count in found.items() if count]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("listings", type=Path)
    parser.add_argument("--profiles", type=Path, required=True)
    parser.add_argument("--subscribers", type=int, default=500)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--every", type=int, default=3, help="a blow every so many days; 0: none")
    parser.add_argument("--papers", type=int, default=9999, help="of a day, at the most")
    parser.add_argument("--turn", type=int, default=9999, help="days until the data begin anew")
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"))
    parser.add_argument("--chart", type=Path, default=Path("soak.svg"))
    given = parser.parse_args()
    begun = time.monotonic()
    readers = read(given.listings, given.profiles, given.subscribers, given.papers, given.turn)
    with (
        tempfile.TemporaryDirectory() as place,
        socket.create_server(("127.0.0.1", 0)) as port,
        feed() as source,
    ):
        settings = Settings.model_validate(
            {
                "database": {"url": f"sqlite:///{place}/digest.db"},
                "web": {"secret": "s" * 40, "base_url": "https://digest.test"},
                "smtp": {"host": "127.0.0.1", "port": port.getsockname()[1]},
                "mail": {"sender": "Paper Digest <digest@digest.test>"},
            }
        )
        mood, taken = CONTEXT.Value("i", WELL), CONTEXT.Value("i", 0)
        asking, asked = CONTEXT.Pipe()
        server = CONTEXT.Process(target=sink, args=(port, mood, taken, asked), daemon=True)
        server.start()
        life = Life(settings, mood, taken, source, asking, random.Random(0), moment_of(0, 0))
        try:
            rows, found = year(life, readers, given)
        finally:
            life.process.kill()
            server.kill()
    chart(rows, len(readers.days), given.chart)
    found += grown(rows, CORPUS)
    print("; ".join(found) or "nothing missed, nothing repeated, nothing grew")
    print(
        f"{time.monotonic() - begun:.0f} s for {len(rows)} days, {time.process_time():.0f} s of CPU"
        f" to play the readers; {given.csv}, {given.chart}"
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
