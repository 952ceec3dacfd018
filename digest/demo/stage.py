"""A throw-away service with its own clock: sample readers, a mailbox, one day after another."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory

from aiosmtpd.smtp import SMTP, Envelope, Session

from digest import delivery, feedback, picking, subscribers
from digest.app import App, open_app
from digest.changes import Changes
from digest.feeds import ingest
from digest.models import Subscriber
from digest.settings import Database

# arXiv's feed of a day is there from midnight in New York on.
FEEDS_ARE_READ = time_of_day(5, 20, tzinfo=UTC)
VISIT = time_of_day(18, 0, tzinfo=UTC)


class Clock:
    """Shows the moment it was set to, and goes on from there as fast as real time does."""

    def __init__(self, moment: datetime) -> None:
        self.set(moment)

    def set(self, moment: datetime) -> None:
        self._moment, self._since = moment, time.monotonic()

    def __call__(self) -> datetime:
        return self._moment + timedelta(seconds=time.monotonic() - self._since)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it arrived."""

    number: int
    to: str
    raw: bytes
    message: EmailMessage


@dataclass
class Mailbox:
    """What a real SMTP server on loopback has taken, for everybody."""

    mails: list[Mail] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        for to in envelope.rcpt_tos:
            self.mails.append(Mail(len(self.mails) + 1, to, envelope.content, message))
        return "250 2.0.0 it is in the mailbox"

    def of(self, email: str) -> list[Mail]:
        """A reader's mails, the newest first."""
        return [mail for mail in reversed(self.mails) if mail.to.casefold() == email.casefold()]


@dataclass(frozen=True, slots=True)
class Reader:
    name: str
    email: str
    topics: tuple[str, ...]
    categories: tuple[str, ...]
    send_at: str
    timezone: str


READERS = (
    Reader(
        "Ada",
        "ada@readers.example",
        ("diffusion models for image and video generation",),
        ("cs.CV",),
        "07:30",
        "Europe/Berlin",
    ),
    Reader(
        "Ben",
        "ben@readers.example",
        ("reasoning of large language models", "language models that use tools"),
        ("cs.CL",),
        "08:00",
        "America/New_York",
    ),
    Reader(
        "Chiara",
        "chiara@readers.example",
        ("atmospheres of exoplanets", "galaxy surveys"),
        ("astro-ph.EP", "astro-ph.GA"),
        "06:45",
        "Europe/London",
    ),
    Reader(
        "Dev",
        "dev@readers.example",
        ("protein structure", "recordings of many neurons"),
        ("q-bio.QM", "q-bio.NC"),
        "11:30",
        "Asia/Kolkata",
    ),
)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a reader's votes changed in the next digest of `picks` papers: `new` would not be in it
    without them, `reasons` more say so, and `moved`: the others would stand in another order."""

    votes: int
    picks: int
    new: int
    reasons: int
    moved: bool


@dataclass(frozen=True, slots=True)
class Morning:
    """A listing day that came: what was read, how many mails went out, what votes changed."""

    day: date
    papers: int
    sources: int
    mails: int
    effects: dict[str, Effect]


@dataclass(frozen=True, slots=True)
class Batch:
    """What the feeds bring on one listing day: files or addresses."""

    day: date
    sources: tuple[str, ...]


class Stage:
    """Lets one listing day after another come, each with all that the service does on it."""

    def __init__(self, app: App, clock: Clock, mailbox: Mailbox, batches: Sequence[Batch]) -> None:
        self.app, self.clock, self.mailbox = app, clock, mailbox
        self.batches = list(batches)
        self.mornings: list[Morning] = []
        self.turn = asyncio.Lock()  # one day at a time, however often the button is pressed
        for reader in READERS:
            subscribers.add(app, reader.email, _wishes(reader))

    def next_day(self, progress: Callable[[int, int], None] | None = None) -> Morning:
        """The feeds of the next day are read, and each reader is served at the chosen hour."""
        batch = self.batches.pop(0)
        before = len(self.mailbox.mails)
        self._pass_until(datetime.combine(batch.day, FEEDS_ARE_READ), progress)
        reports = ingest.ingest_sources(self.app, batch.sources)
        effects = self._effects(batch.day)
        self._pass_until(datetime.combine(batch.day, VISIT), progress)
        morning = Morning(
            batch.day,
            sum(report.new for report in reports),
            len(reports),
            len(self.mailbox.mails) - before,
            effects,
        )
        self.mornings.append(morning)
        return morning

    def fresh_votes(self, reader: Subscriber) -> list[feedback.Voted]:
        """The reader's votes since the last digests went out."""
        if not self.mornings:
            return []
        since = datetime.combine(self.mornings[-1].day, VISIT)
        with self.app.db.read() as session:
            votes = feedback.votes(session, reader.id or 0)
        return [vote for vote in votes if vote.voted_at >= since]

    def readers(self) -> list[Subscriber]:
        with self.app.db.read() as session:
            return subscribers.listing(session)

    def _pass_until(
        self, moment: datetime, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Time goes by, with a stop at every reader's hour."""
        last = None
        while True:
            hours = [r.next_digest_at for r in self.readers() if r.next_digest_at is not None]
            due = min(hours, default=moment)
            if due >= moment or due == last:
                break
            self.clock.set(max(due, self.clock()))
            delivery.deliver(self.app, progress=progress)
            last = due
        self.clock.set(max(moment, self.clock()))

    def _effects(self, day: date) -> dict[str, Effect]:
        """Of each reader who voted since the last digest, what the votes change in this one: it is
        planned here, and once more in a copy of the database without those votes."""
        active = [reader for reader in self.readers() if reader.status == "active"]
        voted = {reader.email: v for reader in active if (v := self.fresh_votes(reader))}
        if not voted:
            return {}
        with _copy(self.app, self.clock) as other:
            for email, votes in voted.items():
                _take_back(other, email, votes)
            return {
                email: _effect(votes, _picked(self.app, email, day), _picked(other, email, day))
                for email, votes in voted.items()
            }


def _wishes(reader: Reader) -> Changes:
    return Changes(
        name=reader.name,
        topics=[(topic, 1.0) for topic in reader.topics],
        categories=[(category, 1.0) for category in reader.categories],
        per_digest=5,
        send_at=reader.send_at,
        timezone=reader.timezone,
    )


@contextmanager
def _copy(app: App, clock: Clock) -> Iterator[App]:
    """The application on a copy of its database, of which nothing is left afterwards."""
    assert app.db.file is not None
    with TemporaryDirectory(prefix="copy-", dir=app.db.file.parent) as folder:
        file = Path(folder) / "digest.db"
        with (
            closing(sqlite3.connect(app.db.file)) as source,
            closing(sqlite3.connect(file)) as target,
        ):
            source.backup(target)
        url = Database(url=f"sqlite:///{file}")
        with open_app(app.settings.model_copy(update={"database": url}), clock) as copied:
            yield copied


def _take_back(app: App, email: str, votes: Sequence[feedback.Voted]) -> None:
    with app.db.write() as session:
        reader = subscribers.find(session, email)
        for vote in votes:
            feedback.record(
                session, reader.id or 0, vote.paper.id or 0, "none", source="cli", now=app.now()
            )


def _picked(app: App, email: str, day: date) -> dict[int, str]:
    return {pick.paper_id: pick.reason for pick in picking.plan(app, email, day).picks}


def _effect(votes: Sequence[object], picks: dict[int, str], without: dict[int, str]) -> Effect:
    kept = [paper for paper in picks if paper in without]
    return Effect(
        votes=len(votes),
        picks=len(picks),
        new=len(picks) - len(kept),
        reasons=sum(picks[paper] != without[paper] for paper in kept),
        moved=kept != [paper for paper in without if paper in picks],
    )
