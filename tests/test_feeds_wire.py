"""No feed leads into the operator's own network but one that the operator put there."""

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from conftest import Clock
from feed_server import Answer, Source, serving

from digest.app import App
from digest.errors import FeedError
from digest.feeds.fetch import Fetcher, Limiter
from digest.feeds.ingest import add_feed, ingest_due, list_feeds
from digest.feeds.turns import fetcher
from digest.feeds.wire import is_own, is_public

PUBLIC = "93.184.215.14"  # stands for the open Internet: connections to it end at the test's server


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as plan:
        yield plan


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names resolve to, one answer after the other; the last one stays."""
    answers: dict[str, list[str]] = {}
    lookup, connect = socket.getaddrinfo, socket.create_connection

    def resolve(host: Any, *args: Any, **more: Any) -> Any:
        told = answers.get(host, [host])
        return lookup(told.pop(0) if len(told) > 1 else told[0], *args, **more)

    def connected(address: tuple[str, int], *args: Any, **more: Any) -> socket.socket:
        host, port = address
        return connect(("127.0.0.1" if host == PUBLIC else host, port), *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connected)
    return answers


def asking(timeout: float = 5, **values: Any) -> Fetcher:
    return Fetcher(timeout=timeout, most_bytes=10_000, limiter=Limiter(), **values)


def at(source: Source, host: str) -> str:
    return source.url.replace("127.0.0.1", host)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "::1", "::",
        "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
        "224.0.0.1", "239.1.2.3", "255.255.255.255", "240.0.0.1", "198.18.0.1", "fe80::1%eth0",
        "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_what_is_no_public_address(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", PUBLIC, "2606:4700::1111", "64:ff9b::101:101"])
def test_what_is_one(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True), ("rsshub", True), ("127.0.0.1", True), ("::1", True),
        ("10.0.0.7", True), ("nas.local", True), ("feeds.internal.", True), ("a.home.arpa", True),
        ("rss.arxiv.org", False), ("feeds.example.edu", False), ("localhost.example.edu", False),
    ],
)  # fmt: skip
def test_which_names_are_of_ones_own_network(host: str, own: bool) -> None:
    assert is_own(host) is own


def test_a_name_that_leads_home_is_not_followed(source: Source, names: Any) -> None:
    names["feeds.example"] = ["127.0.0.1"]
    url = at(source, "feeds.example") + "/rss"
    source.answers["/rss"] = Answer()
    with pytest.raises(FeedError, match=r"host feeds\.example is 127\.0\.0\.1, which is no public"):
        asking().fetch(url)
    assert source.asked == []
    assert asking(private_hosts=frozenset({"feeds.example"})).fetch(url).body == b"<rss/>"
    names["feeds.example"] = [PUBLIC]
    assert asking().fetch(url).body == b"<rss/>"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "home.example"],
)
def test_no_redirect_leads_from_the_internet_home(source: Source, names: Any, host: str) -> None:
    names |= {"feeds.example": [PUBLIC], "home.example": ["127.0.0.1"]}
    source.answers["/rss"] = Answer(302, headers={"Location": at(source, host) + "/secret"})
    source.answers["/secret"] = Answer(body=b"<rss>secret</rss>")
    with pytest.raises(FeedError, match="no public address"):
        asking(private_hosts=frozenset({"home.example"})).fetch(
            at(source, "feeds.example") + "/rss"
        )
    assert [path for path, _ in source.asked] == ["/rss"]


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://10.0.0.1/"],
)
def test_nor_to_the_metadata_of_a_cloud(source: Source, names: Any, target: str) -> None:
    names["feeds.example"] = [PUBLIC]
    source.answers["/rss"] = Answer(301, headers={"Location": target})
    with pytest.raises(FeedError, match="no public address"):
        asking().fetch(at(source, "feeds.example") + "/rss")


def test_nor_by_a_detour_that_began_at_home(source: Source, names: Any) -> None:
    names["feeds.example"] = [PUBLIC]
    source.answers |= {
        "/here": Answer(302, headers={"Location": "/rss"}),
        "/rss": Answer(302, headers={"Location": at(source, "feeds.example") + "/away"}),
        "/away": Answer(302, headers={"Location": f"{source.url}/secret"}),
        "/secret": Answer(),
    }
    with pytest.raises(FeedError, match="no public address"):
        asking().fetch(f"{source.url}/here")
    assert [path for path, _ in source.asked] == ["/here", "/rss", "/away"]


def test_nor_from_one_house_into_the_next(source: Source, names: Any) -> None:
    names |= {"rsshub": ["127.0.0.1"], "printer": ["127.0.0.1"]}
    source.answers["/rss"] = Answer(302, headers={"Location": at(source, "printer") + "/off"})
    with pytest.raises(FeedError, match="no public address"):
        asking().fetch(at(source, "rsshub") + "/rss")


def test_a_name_that_changes_its_address_is_looked_at_each_time(source: Source, names: Any) -> None:
    names["feeds.example"] = [PUBLIC, "127.0.0.1"]
    source.answers["/rss"] = Answer(302, headers={"Location": "/secret"})
    source.answers["/secret"] = Answer()
    with pytest.raises(FeedError, match="no public address"):
        asking().fetch(at(source, "feeds.example") + "/rss")
    assert [path for path, _ in source.asked] == ["/rss"]


def test_the_host_is_still_named_to_the_server(source: Source, names: Any) -> None:
    names["feeds.example"] = [PUBLIC]
    source.answers["/rss"] = Answer()
    asking().fetch(at(source, "feeds.example") + "/rss")
    assert source.asked[0][1]["host"].startswith("feeds.example:")


def test_a_name_that_nobody_knows(names: Any) -> None:
    with pytest.raises(FeedError, match=r"host nowhere\.invalid cannot be found") as told:
        asking().fetch("http://nowhere.invalid/rss")
    assert told.value.kind == "no host"


def test_why_a_feed_failed_is_kept_until_it_is_read(
    app: App, source: Source, names: Any, clock: Clock
) -> None:
    source.answers["/rss"] = Answer(body=b"<rss version='2.0'><channel/></rss>")
    names["feeds.example"] = ["feeds.invalid"]
    add_feed(app, at(source, "feeds.example") + "/rss")
    ingest_due(app)
    assert [feed.trouble for feed in list_feeds(app)] == ["no host"]
    names["feeds.example"] = [PUBLIC]
    clock.forward(days=1)
    ingest_due(app)
    assert [feed.trouble for feed in list_feeds(app)] == [""]


def test_a_proxy_of_the_environment_is_asked_but_not_for_home(
    source: Source, names: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names |= {"feeds.example": [PUBLIC], "home.example": ["192.168.0.1"]}
    for name in ("no_proxy", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", source.url)
    source.otherwise = lambda path: Answer(body=path.encode())
    for url in ("http://feeds.example/rss", "http://known-to-the-proxy.invalid/rss"):
        assert asking().fetch(url).body == url.encode()
    with pytest.raises(FeedError, match="no public address"):
        asking().fetch("http://home.example/rss")


def test_a_feed_of_ones_own_network_stays_possible(app: App, source: Source) -> None:
    source.answers["/rss"] = Answer(302, headers={"Location": "/there"})
    source.answers["/there"] = Answer(body=b"<rss version='2.0'><channel/></rss>")
    add_feed(app, at(source, "localhost") + "/rss")
    (report,) = ingest_due(app)
    assert not report.failed, report.outcome
    assert fetcher(app).private_hosts == frozenset()


def test_a_feed_that_moves_home_stays_where_it_was(app: App, source: Source, names: Any) -> None:
    names["feeds.example"] = [PUBLIC]
    url = at(source, "feeds.example") + "/rss"
    source.answers["/rss"] = Answer(301, headers={"Location": f"{source.url}/secret"})
    add_feed(app, url)
    (report,) = ingest_due(app)
    assert report.failed
    assert [feed.url for feed in list_feeds(app)] == [url]


# Bodies


@contextmanager
def raw(send: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that sends as a test says, and no HTTP of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(10_000)
                    send(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/rss"
        thread.join()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_drips_is_left(head: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"a")
            time.sleep(0.02)

    with raw(drip) as url, pytest.raises(FeedError, match=r"took longer than 0\.3 s|within 0\.3 s"):
        asking(timeout=0.3).fetch(url)


@pytest.mark.parametrize("line", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"X: y\r\n", b"x" * 1000])
def test_endless_heads_end(line: bytes) -> None:
    def flood(connection: socket.socket) -> None:
        if line.startswith(b"X"):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(line)

    with raw(flood) as url, pytest.raises(FeedError):
        asking(timeout=1).fetch(url)


def test_an_endless_body_ends(source: Source) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"<rss>" * 200)

    with raw(flood) as url, pytest.raises(FeedError, match=r"larger than 0\.01 MB"):
        asking().fetch(url)


def packed(body: bytes) -> bytes:
    """The same each time, as the names of tests must be."""
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "message"),
    [
        ("gzip", packed(packed(b"x" * 5_000_000)), None),
        ("gzip, gzip", packed(packed(b"x" * 9_000)), "not asked for"),
        ("br", b"\x0b\x02\x80", "not asked for"),
        ("gzip", packed(b"<rss/>" * 500)[:-9], "cut off in the middle"),
        ("gzip", b"no gzip at all", "compressed and damaged"),
        ("gzip", zlib.compress(b"x"), "compressed and damaged"),
        ("gzip", packed(b"x" * 20_000), r"larger than 0\.01 MB"),
        ("X-GZIP", packed(b"x" * 9_000), None),
        ("gzip", b"", None),
    ],
)
def test_what_is_compressed(
    source: Source, encoding: str, body: bytes, message: str | None
) -> None:
    source.answers["/rss"] = Answer(body=body, headers={"Content-Encoding": encoding})
    if message is None:
        asking().fetch(f"{source.url}/rss")
    else:
        with pytest.raises(FeedError, match=message):
            asking().fetch(f"{source.url}/rss")
    assert source.asked[0][1]["accept-encoding"] == "gzip"
