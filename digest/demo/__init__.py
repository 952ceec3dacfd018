"""`digest demo`: the whole product with sample papers and mailboxes, on this machine alone."""

import signal
import socket
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from aiosmtpd.controller import Controller

from digest.app import open_app
from digest.demo.stage import Batch, Clock, Mailbox, Stage
from digest.errors import InputError
from digest.feeds.fetch import Fetcher, read_file
from digest.feeds.parse import parse
from digest.settings import Database, Mail, Settings, Smtp, Web

SAMPLE_BEGINS, SAMPLE_DAYS = date(2026, 11, 16), 3
DEFAULT_PORT = 8000
HOST = "127.0.0.1"


@contextmanager
def staged(feeds: Sequence[str], port: int) -> Iterator[Stage]:
    """A service in a folder of its own, which is gone at the end, before its first day.

    `feeds` (files or addresses) stand in for the sample papers; the links in the mails lead to
    `port`. Raises FeedError for what is no feed.
    """
    mailbox = Mailbox()
    with TemporaryDirectory(prefix="paper-digest-demo-") as name, _post_office(mailbox) as smtp:
        folder = Path(name)
        batches = batches_of(feeds, folder) if feeds else sample()
        clock = Clock(datetime.combine(batches[0].day, time(), UTC))
        with open_app(_settings(folder, port, smtp), clock) as app:
            yield Stage(app, clock, mailbox, batches)


def sample() -> list[Batch]:
    """The bundled papers, a batch for each of their listing days."""
    folder = Path(str(resources.files("digest") / "sample"))
    return [
        Batch(
            SAMPLE_BEGINS + timedelta(days=number - 1),
            (str(folder / f"arxiv-day{number}.rss.xml"), str(folder / f"hf-day{number}.json")),
        )
        for number in range(1, SAMPLE_DAYS + 1)
    ]


def batches_of(feeds: Sequence[str], folder: Path) -> list[Batch]:
    """The feeds by the listing day that each is of, in the order of the days; what comes from an
    address is fetched once and kept in `folder`."""
    today, fetcher, of_day = datetime.now(UTC).date(), Fetcher(), defaultdict(list)
    for number, feed in enumerate(feeds):
        from_web = feed.startswith(("http://", "https://"))
        got = fetcher.fetch(feed) if from_web else read_file(feed, fetcher.most_bytes)
        listing = parse(got.body, url=feed, content_type=got.content_type, today=today)
        day = listing.day or max((entry.day for entry in listing.entries), default=today)
        file = folder / f"feed-{number}" if from_web else Path(feed)
        if from_web:
            file.write_bytes(got.body)
        of_day[day].append(str(file))
    return [Batch(day, tuple(files)) for day, files in sorted(of_day.items())]


def _settings(folder: Path, port: int, smtp_port: int) -> Settings:
    """Built part by part, so that no setting of the environment gets in: the mails stay here."""
    return Settings.model_construct(
        database=Database(url=f"sqlite:///{folder}/digest.db"),
        web=Web(host=HOST, port=port, base_url=f"http://localhost:{port}"),
        smtp=Smtp(host=HOST, port=smtp_port, timeout=30),
        mail=Mail(
            sender="Paper Digest <digest@papers.example>",
            postal_address="1 Library Lane, Bookham (a demonstration)",
        ),
    )


@contextmanager
def _post_office(mailbox: Mailbox) -> Iterator[int]:
    """A real SMTP server on loopback before the mailbox; gives its port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    controller = Controller(mailbox, hostname=HOST, port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@contextmanager
def door(port: int | None) -> Iterator[socket.socket]:
    """The listening socket of the pages: `port`, or without one the usual, else any free one."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, DEFAULT_PORT if port is None else port))
        except OSError as error:
            if port is not None:
                raise InputError(
                    f"port {port} is taken by another program: choose one by --port, or 0 for any"
                ) from error
            listener.bind((HOST, 0))
        listener.listen(128)
        yield listener


@contextmanager
def until_ended() -> Iterator[None]:
    """Ctrl-C and a polite kill end the demo cleanly, so that nothing of it is left."""

    def end(*_: object) -> None:
        sys.exit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
