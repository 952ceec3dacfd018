"""Several processes ask a host as if they were one."""

import socket
import time
from dataclasses import replace
from datetime import timedelta

from conftest import Clock
from feed_server import Answer, serving
from forked import forked

from digest.app import App, open_app
from digest.feeds.fetch import ARXIV_SECONDS, Limiter
from digest.feeds.turns import Turns, fetcher
from digest.settings import Settings

LONGEST = timedelta(minutes=2)


def test_a_turn_is_one_process_and_then_a_pause(app: App, clock: Clock) -> None:
    ours, theirs = Turns(app, LONGEST), Turns(app, LONGEST)
    assert ours.claim("arxiv.org") == 0
    assert theirs.claim("arxiv.org") == 0.25
    assert theirs.claim("other.test") == 0
    clock.forward(seconds=1)
    ours.release("arxiv.org", 3)
    assert theirs.claim("arxiv.org") == 3
    clock.forward(seconds=2)
    assert theirs.claim("arxiv.org") == 1
    clock.forward(seconds=1)
    assert theirs.claim("arxiv.org") == 0


def test_the_turn_of_a_dead_process_ends(app: App, clock: Clock) -> None:
    dead, ours = Turns(app, LONGEST), Turns(app, LONGEST)
    dead.claim("h.test")
    clock.forward(seconds=119)
    assert ours.claim("h.test") > 0
    clock.forward(seconds=1)
    assert ours.claim("h.test") == 0
    dead.release("h.test", 9)  # it was only slow: the turn is ours now, and stays so
    assert dead.claim("h.test") > 0


def test_a_clock_that_steps_back_makes_nobody_wait_for_its_former_time(
    app: App, clock: Clock
) -> None:
    ours, theirs = Turns(app, LONGEST), Turns(app, LONGEST)
    ours.claim("h.test")
    ours.release("h.test", 3)
    ours.claim("dead.test")
    clock.forward(hours=-3)
    assert theirs.claim("h.test") == 0
    assert theirs.claim("dead.test") == 0
    assert ours.claim("h.test") > 0


def test_two_processes_share_arxivs_three_seconds(app: App, clock: Clock) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.forward(seconds=seconds)

    def process() -> tuple[Limiter, Turns]:
        return Limiter(lambda: clock.moment.timestamp(), sleep), Turns(app, LONGEST)  # noqa: PLW0108

    begun = []
    first, second = process(), process()
    for (limiter, turns), host in (
        (first, "rss.arxiv.org"),
        (second, "export.arxiv.org"),
        (second, "arxiv.org"),
        (first, "oaipmh.arxiv.org"),
    ):
        with limiter.turn(host, turns):
            begun.append(clock.moment)
            clock.forward(seconds=0.5)
    pauses = [(later - sooner).total_seconds() for sooner, later in zip(begun, begun[1:])]  # noqa: B905, RUF007
    assert pauses == [ARXIV_SECONDS + 0.5] * 3


PAUSE = 0.15
HOSTS = ("rss.arxiv.org", "export.arxiv.org", "oaipmh.arxiv.org")


def read_arxiv(database: str, port: str) -> None:
    """Asks arXiv's hosts, which are the test's server, each once."""
    lookup = socket.getaddrinfo
    socket.getaddrinfo = lambda _host, *rest, **more: lookup("127.0.0.1", *rest, **more)
    settings = Settings.model_validate({"database": {"url": database}, "web": {"secret": "s" * 40}})
    with open_app(settings) as app:
        limiter = Limiter(arxiv_seconds=PAUSE)
        asking = replace(fetcher(app), limiter=limiter, private_hosts=frozenset(HOSTS))
        for host in HOSTS:
            asking.fetch(f"http://{host}:{port}/rss")


def test_two_real_processes_are_one_to_arxiv(database: str) -> None:
    """One request at a time, and the pause between any two, by the server's own watch."""
    began: list[float] = []
    ended: list[float] = []

    def answer(_path: str) -> Answer:
        began.append(time.monotonic())
        # told before the last bytes go out, so that no next request can be sooner
        return Answer(body=b"x" * 500, before=lambda: ended.append(time.monotonic()))

    with serving() as source:
        source.otherwise = answer
        port = source.url.rpartition(":")[2]
        pair = [forked(read_arxiv, database, port) for _ in range(2)]
        for process in pair:
            process.join(60)
        assert [process.exitcode for process in pair] == [0, 0]
    hosts = {headers["host"].split(":")[0] for _, headers in source.asked}
    assert hosts == set(HOSTS)
    assert len(began) == len(ended) == 2 * len(HOSTS)
    pauses = [later - sooner for sooner, later in zip(ended, began[1:], strict=False)]
    assert min(pauses) >= PAUSE - 0.01  # rows keep whole milliseconds


def test_an_installations_fetcher_takes_turns(app: App) -> None:
    assert isinstance(fetcher(app).turns, Turns)
    assert fetcher(app).most_bytes == 20_000_000
