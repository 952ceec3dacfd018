"""A delivery by real processes on one PostgreSQL, which are killed, hung and cut off at random."""

import asyncio
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from multiprocessing.process import BaseProcess
from pathlib import Path

from aiosmtpd.controller import Controller
from conftest import announce, free_port
from postgres import Server
from sqlmodel import func, select

from digest.app import App, open_app
from digest.models import Digest, OutboxMessage, Subscriber
from digest.settings import Settings

CONNECTIONS = 2  # of each worker to the mail server
LEASE = 8.0  # seconds
PATIENCE = 240.0  # seconds until a delivery counts as stuck
# Started from a process that has read the programs already, and no thread.
START = multiprocessing.get_context("forkserver")
READ = [
    "sklearn.feature_extraction.text",
    "digest.cli.service",
    "digest.engine.postgres",
    "digest.ranking.features",
    "digest.picking",
]
START.set_forkserver_preload(
    [*READ, "digest.ranking.ranker", "digest.mail.sending", "sklearn.linear_model"]
)


class Sink:
    """A mail server that takes its time and notes who got what."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: dict[str, list[str]] = defaultdict(list)

    async def handle_DATA(self, _server, _session, envelope) -> str:
        await asyncio.sleep(0.02)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.taken[envelope.rcpt_tos[0]].append(mail["Message-ID"])
        return "250 2.0.0 kept"

    @property
    def count(self) -> int:
        return sum(len(names) for names in self.taken.values())


def serve(settings: Settings, part: str, log: str) -> None:
    """What a process of the fleet runs: the service as it is, but in a hurry."""
    from digest.cli import service
    from digest.engine import postgres
    from digest.mail import queue, sending

    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    sys.stdout = sys.stderr
    queue.LEASE, queue.HELD = timedelta(seconds=LEASE), timedelta(seconds=LEASE / 2)
    sending.RENEW = LEASE / 8
    postgres.SHARD, postgres.OFTEN, postgres.BEAT, postgres.DEAD = 20, 1, 1, 4
    with open_app(settings) as app:
        {"scheduler": service.scheduler, "worker": service.worker}[part](app)


@dataclass
class Fleet:
    """The processes; whoever is killed is replaced at once."""

    settings: Settings
    log: Path
    running: dict[str, list[BaseProcess]] = field(default_factory=dict)
    in_doubt: int = 0  # messages that the blows so far may have left in doubt

    def start(self, part: str) -> None:
        process = START.Process(target=serve, args=(self.settings, part, str(self.log)))
        process.start()
        self.running.setdefault(part, []).append(process)

    def kill(self, rng: random.Random, part: str) -> None:
        victim = rng.choice(self.running[part])
        self.running[part].remove(victim)
        victim.kill()
        victim.join()
        self.in_doubt += CONNECTIONS
        self.start(part)

    def hang(self, rng: random.Random) -> None:
        """One worker hangs until others have taken over what it had."""
        victim = rng.choice(self.running["worker"])
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGSTOP)
        self.in_doubt += CONNECTIONS
        time.sleep(LEASE + 3)
        os.kill(victim.pid, signal.SIGCONT)

    def cut_off(self, server: Server, rng: random.Random) -> None:
        """The database goes in the middle of it all, and comes again."""
        self.in_doubt += CONNECTIONS * len(self.running["worker"])
        server.stop("immediate")
        time.sleep(rng.uniform(0, 2))
        server.start()

    def end(self) -> None:
        for process in [each for some in self.running.values() for each in some]:
            process.kill()
            process.join()


@dataclass(frozen=True)
class Outcome:
    """`lost` are readers without a mail, `twice` those with two; `wrong` tells what must not be."""

    readers: int
    lost: int
    twice: int
    allowed: int
    seconds: float
    wrong: tuple[str, ...]


def deliver(
    server: Server, folder: Path, seed: int, blows: list[str], readers: int = 100, workers: int = 2
) -> Outcome:
    """Delivers a day to `readers` while the `blows` (kill, kill scheduler, hang, cut off) fall at
    random moments of it."""
    rng = random.Random(seed)
    began = time.monotonic()
    with _sinking() as sink, _database(server) as url:
        settings = _settings(url, sink.port)
        with open_app(settings) as app:
            _fill(app, readers)
            fleet = Fleet(settings, folder / f"log-{seed}")
            try:
                for part in ["scheduler"] * 2 + ["worker"] * workers:
                    fleet.start(part)
                for blow, moment in zip(blows, _moments(rng, len(blows), readers), strict=True):
                    _until(lambda at=moment: sink.count >= at, fleet.log)
                    time.sleep(rng.uniform(0, 0.1))
                    _strike(fleet, server, rng, blow)
                _until(lambda: _is_over(app, readers), fleet.log, every=0.1)
            finally:
                fleet.end()
            return _judge(app, sink, fleet.in_doubt, readers, time.monotonic() - began)


def _strike(fleet: Fleet, server: Server, rng: random.Random, blow: str) -> None:
    match blow:
        case "kill":
            fleet.kill(rng, "worker")
        case "kill scheduler":
            fleet.kill(rng, "scheduler")
        case "hang":
            fleet.hang(rng)
        case "cut off":
            fleet.cut_off(server, rng)


def _moments(rng: random.Random, count: int, readers: int) -> list[int]:
    """After how many mails each blow falls; some before the first."""
    return sorted(max(0, rng.randrange(-readers // 5, readers * 4 // 5)) for _ in range(count))


def _judge(app: App, sink: Sink, allowed: int, readers: int, seconds: float) -> Outcome:
    with app.db.read() as session:
        digests = Counter(session.exec(select(Digest.subscriber_id)).all())
        marked = set(
            session.exec(
                select(Subscriber.email)
                .join(OutboxMessage, OutboxMessage.subscriber_id == Subscriber.id)
                .where(OutboxMessage.in_doubt)
            ).all()
        )
    twice = {email for email, names in sink.taken.items() if len(names) > 1}
    wrong = []
    if len(digests) != readers or max(digests.values()) > 1:
        wrong.append(f"{len(digests)} of {readers} readers have a digest")
    if len(twice) > allowed:
        wrong.append(f"{len(twice)} were sent twice, where {allowed} may be")
    if unmarked := twice - marked:
        wrong.append(f"{len(unmarked)} were sent twice and not reported")
    if any(len(names) > 2 for names in sink.taken.values()):
        wrong.append("a mail was sent three times")
    if any(len(set(names)) > 1 for names in sink.taken.values()):
        wrong.append("a mail was sent under two names")
    lost = readers - len(sink.taken)
    if lost:
        wrong.append(f"{lost} readers have no mail")
    return Outcome(readers, lost, len(twice), allowed, seconds, tuple(wrong))


def _is_over(app: App, readers: int) -> bool:
    ended = ("sent", "failed", "cancelled")
    with app.db.read() as session:
        done = select(func.count()).where(OutboxMessage.status.in_(ended))  # type: ignore[attr-defined]
        return bool(session.exec(done).one() >= readers)


def _until(true: Callable[[], bool], log: Path, every: float = 0.01) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"the delivery is stuck:\n{log.read_text()[-4000:]}")
        time.sleep(every)


@contextmanager
def _sinking() -> Iterator[Sink]:
    sink = Sink()
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port)
    controller.start()
    yield sink
    controller.stop()


@contextmanager
def _database(server: Server) -> Iterator[str]:
    """A fresh one, which keeps what it has confirmed when it is stopped."""
    url = server.new(durable=True)
    yield url
    server.drop(url)


def _settings(url: str, port: int) -> Settings:
    return Settings.model_validate(
        {
            "database": {"url": url},
            "engine": {"kind": "postgres"},
            "web": {"secret": "s" * 40},
            "smtp": {"host": "127.0.0.1", "port": port, "connections": CONNECTIONS},
            "mail": {"sender": "Paper Digest <digest@digest.test>"},
        }
    )


def _fill(app: App, readers: int) -> None:
    now = app.now()
    announce(app, now.date())
    with app.db.write() as session:
        session.add_all(
            Subscriber(
                email=f"reader{at}@reader.test",
                email_key=f"reader{at}@reader.test",
                status="active",
                topics=[["image generation", 1.0]],
                send_at=f"{now - timedelta(hours=1):%H:%M}",
                created_at=now,
                confirmed_at=now,
                next_digest_at=now - timedelta(hours=1),
            )
            for at in range(readers)
        )
