"""What stands around the service in the simulated year: its feed, its mail server, its readers."""

import asyncio
import json
import lzma
import random
import signal
import socket
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sqlmodel import col, select

from digest import feedback, subscribers
from digest.app import App
from digest.changes import Changes
from digest.models import Digest, Paper, Pick, Subscriber

FIRST = date(2026, 1, 1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
VOTES = 3  # of a reader a day, at the most
EAGER = (0.0, 0.05, 0.2, 0.5)  # on so many of their days the readers vote, each fourth alike
BEST = 0.9  # the papers of a day that a reader likes better than so many of the others
TURN = 1200  # a hundred years, in the months of arXiv's ids

# The mail server

WELL, DEFERS, REFUSES, DROPS = range(4)  # what it may do
DROPPED = 10  # of so many messages it drops the connection once


class Sink(asyncio.Protocol):
    """Takes every message and counts its Message-ID. In its moods it answers each recipient with
    451, or closes the connection: at once, or now and then in place of the last answer."""

    def __init__(self, seen: Counter[str], mood: Any, taken: Any) -> None:
        self.seen, self.mood, self.taken = seen, mood, taken
        self.rest, self.data = b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        if self.mood.value == REFUSES:
            self.transport.write(b"421 4.3.2 closed today\r\n")
            self.transport.close()
        else:
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
        """Of the messages whose connection it drops, it has kept every second."""
        self.taken.value += 1
        dropped = self.mood.value == DROPS and self.taken.value % DROPPED == 0
        if not dropped or self.taken.value % (2 * DROPPED) == 0:
            head = mail.partition(b"\r\n\r\n")[0].lower()
            self.seen[head.partition(b"message-id:")[2].split()[0].decode()] += 1
        self.data = False
        self.transport.close() if dropped else self.transport.write(b"250 ok\r\n")

    def _answer(self, verb: bytes) -> None:
        if verb == b"DATA":
            self.data = True
            self.transport.write(b"354 go on\r\n")
        elif verb == b"RCPT" and self.mood.value == DEFERS:
            self.transport.write(b"451 4.3.0 not now\r\n")
        elif verb == b"EHLO":
            self.transport.write(b"250-sink\r\n250 8BITMIME\r\n")
        else:
            self.transport.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


def sink(listening: socket.socket, mood: Any, taken: Any, asked: Any) -> None:
    """Serves as long as somebody may ask; answers each question with the counts by Message-ID."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    seen: Counter[str] = Counter()

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def answer() -> None:
            try:
                asked.recv()
                asked.send(dict(seen))
            except EOFError:  # nobody is there any more
                ended.set()
                loop.remove_reader(asked.fileno())

        loop.add_reader(asked.fileno(), answer)
        async with await loop.create_server(lambda: Sink(seen, mood, taken), sock=listening):
            await ended.wait()

    asyncio.run(serve())


# The feed


@dataclass
class Source:
    """A JSON Feed on loopback, of the listings of a week; 503 while it is `away`."""

    url: str = ""
    away: bool = False
    week: deque[bytes] = field(default_factory=lambda: deque(maxlen=7))
    shown: int = 0  # listings, of which the answer's ETag tells
    refused: int = 0

    def show(self, items: bytes) -> None:
        self.week.append(items)
        self.shown += 1

    def answer(self, known: str) -> tuple[int, bytes]:
        """The status and the body, for who asks with the ETag that he knows: what came since, and
        of what he knows the newest listing, so that no gap shows."""
        if self.away:
            self.refused += 1
            return 503, b""
        if known == str(self.shown):
            return 304, b""
        new = list(self.week)[-(self.shown - int(known or 0) + 1) :]
        version = b'"https://jsonfeed.org/version/1.1"'
        return 200, b'{"version":%s,"items":[%s]}' % (version, b",".join(new))


@contextmanager
def feed() -> Iterator[Source]:
    source = Source()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = source.answer(self.headers.get("If-None-Match", "").strip('"'))
            self.send_response(status)
            self.send_header("ETag", f'"{source.shown}"')
            self.send_header("Content-Type", "application/feed+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    source.url = f"http://127.0.0.1:{server.server_port}/feed.json"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield source
    server.shutdown()
    server.server_close()


def listing(papers: list[dict[str, Any]], turn: int, at: int) -> bytes:
    """The items of the year's day number `at`."""
    day = str(FIRST + timedelta(days=at))
    items = (
        {
            "id": f"arXiv:{relabelled(paper['id'], turn)}",
            "url": f"https://arxiv.org/abs/{relabelled(paper['id'], turn)}",
            "title": paper["title"],
            "content_text": paper["abstract"],
            "authors": [{"name": name} for name in paper["authors"]],
            "tags": paper["categories"],
            "date_published": f"{day}T00:00:00Z",
        }
        for paper in papers
    )
    return ",".join(map(json.dumps, items)).encode()


def relabelled(name: str, turn: int) -> str:
    """The id of the data's next turn."""
    return f"{(int(name[:4]) + TURN * turn) % 10_000:04}{name[4:]}"


# The readers


@dataclass
class Readers:
    """Each day's papers in order; `likes` says how much each reader (a column) likes each paper,
    whose rows `row_of` knows by the file's ids."""

    days: list[list[dict[str, Any]]]
    row_of: dict[str, int]
    people: list[dict[str, Any]]
    likes: np.ndarray

    def listed(self, at: int) -> tuple[list[dict[str, Any]], int]:
        """The papers of the year's day number `at`, and the turn of the data it belongs to."""
        turn, nth = divmod(at, len(self.days))
        return self.days[nth], turn


def read(listings: Path, profiles: Path, readers: int, most: int, turn: int) -> Readers:
    """A reader's taste is the likeness (TF-IDF) to the papers that a profile's owner liked. Of each
    day, the first `most` papers are listed; after `turn` days the data begin anew."""
    opened = lzma.open if listings.suffix == ".xz" else open
    by_day: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with opened(listings, "rt", encoding="utf-8") as lines:
        for line in lines:
            paper = json.loads(line)
            by_day[paper["day"]].append(paper)
    days = [by_day[day][:most] for day in sorted(by_day)][:turn]
    papers = [paper for day in days for paper in day]
    row_of = {paper["id"]: row for row, paper in enumerate(papers)}
    texts = (f"{paper['title']} {paper['abstract']}" for paper in papers)
    vectors = TfidfVectorizer(stop_words="english", min_df=3, sublinear_tf=True, dtype=np.float32)
    matrix = vectors.fit_transform(texts)
    known = []
    for line in profiles.read_text(encoding="utf-8").splitlines():
        person = json.loads(line)
        ids = [name.removeprefix("arxiv:") for name in person["likes"]]
        person["rows"] = [row_of[name] for name in ids if name in row_of]
        known += [person] if person["rows"] else []
    people = [known[n % len(known)] for n in range(readers)]
    tastes = sp.vstack([sp.csr_matrix(matrix[person["rows"]].mean(axis=0)) for person in people])
    return Readers(days, row_of, people, (matrix @ tastes.T).toarray().astype(np.float32))


def sign_up(app: App, readers: Readers) -> None:
    for n, person in enumerate(readers.people):
        wishes = Changes(
            topics=[(topic, 1.0) for topic in person["topics"]],
            categories=[(code, 1.0) for code in person["categories"]],
            timezone=ZONES[n % len(ZONES)],
        )
        subscribers.add(app, f"reader{n}@crowd.test", wishes)


def vote(app: App, readers: Readers, at: int) -> tuple[dict[bool, list[bool]], int]:
    """The readers' votes on a few picks of the day's papers, and how many there were. Gives of each
    such pick whether it is among the tenth of them that its reader likes best: under True of those
    who vote, under False of those who never do."""
    papers, turn = readers.listed(at)
    name_of = {f"arxiv:{relabelled(paper['id'], turn)}": paper["id"] for paper in papers}
    bars = np.quantile(readers.likes[[readers.row_of[p["id"]] for p in papers]], BEST, axis=0)
    chance, votes = random.Random(at), 0
    good: dict[bool, list[bool]] = {True: [], False: []}
    picked = select(Pick.subscriber_id, Pick.paper_id).join(Digest)
    day = FIRST + timedelta(days=at)
    # Found by when it was made, so that the other days' are not looked through.
    made = col(Digest.created_at) >= datetime.combine(day, time(), UTC)
    picks: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    with app.db.write() as session, session.no_autoflush:
        # In memory, so that a vote asks for neither again.
        people = {person.id: person for person in session.exec(select(Subscriber))}
        papers_of_day = session.exec(select(Paper).where(Paper.announced_day == day)).all()
        key_of = {paper.id: paper.key for paper in papers_of_day}
        for reader, paper in session.exec(picked.where(Digest.day == day, made)):
            if (key := key_of.get(paper)) in name_of:
                like = readers.likes[readers.row_of[name_of[key]], reader - 1]
                picks[reader].append((paper, bool(like >= bars[reader - 1])))
        for reader, own in picks.items():
            eager = EAGER[reader // len(ZONES) % len(EAGER)]
            good[eager > 0] += [liked for _, liked in own]
            if chance.random() >= eager:
                continue
            for paper, liked in chance.sample(own, min(chance.randint(0, VOTES), len(own))):
                word, person = "up" if liked else "down", people[reader]
                feedback.note(session, person, paper, word, source="mail", now=app.now())
                votes += 1
    del papers_of_day
    return good, votes
