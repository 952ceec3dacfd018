"""Fetching from a real server on loopback: polite, bounded, and clear about what went wrong."""

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from feed_server import Answer, Source, serving

from digest.errors import FeedError
from digest.feeds.fetch import Fetcher, Limiter, read_file, retry_after, shown

NOW = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as plan:
        yield plan


@dataclass
class Watch:
    """A clock in seconds that only sleeping moves."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def fetcher(watch: Watch | None = None, most_bytes: int = 10_000, timeout: float = 5) -> Fetcher:
    watch = watch or Watch()
    limiter = Limiter(watch, watch.sleep)
    return Fetcher("digest@lab.test", timeout, most_bytes, limiter, now=lambda: NOW)


def test_a_feed_comes_with_what_the_server_says_of_it(source: Source) -> None:
    headers = {
        "ETag": '"v1"',
        "Last-Modified": "Wed, 18 Nov 2026 05:00:00 GMT",
        "Content-Type": "application/rss+xml",
        "Cache-Control": "public, max-age=3600",
    }
    source.answers["/rss"] = Answer(headers=headers)
    fetched = fetcher().fetch(f"{source.url}/rss")
    assert (fetched.body, fetched.unchanged, fetched.max_age) == (b"<rss/>", False, 3600)
    assert (fetched.etag, fetched.content_type) == ('"v1"', "application/rss+xml")
    assert fetched.last_modified == "Wed, 18 Nov 2026 05:00:00 GMT"
    sent = source.asked[0][1]
    assert sent["user-agent"].startswith("paper-digest/")
    assert "mailto:digest@lab.test" in sent["user-agent"]
    assert "if-none-match" not in sent


def test_what_we_have_is_named_and_may_be_unchanged(source: Source) -> None:
    source.answers["/rss"] = Answer(304, b"")
    fetched = fetcher().fetch(f"{source.url}/rss", etag='W/"x"', last_modified="yesterday")
    assert (fetched.unchanged, fetched.body) == (True, b"")
    sent = source.asked[0][1]
    assert (sent["if-none-match"], sent["if-modified-since"]) == ('W/"x"', "yesterday")


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", 120),
        ("Wed, 18 Nov 2026 09:10:00 GMT", 600),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_a_refusal_says_how_long_to_wait(source: Source, header: str, wait: float | None) -> None:
    source.answers["/rss"] = Answer(429, headers={"Retry-After": header})
    with pytest.raises(FeedError, match="answered 429 Too Many Requests") as caught:
        fetcher().fetch(f"{source.url}/rss")
    assert caught.value.retry_after == wait


def test_a_date_that_has_passed_is_no_wait() -> None:
    assert retry_after("Wed, 18 Nov 2026 08:00:00 GMT", NOW) == 0


def test_arxiv_explains_a_bad_request_in_a_feed(source: Source) -> None:
    page = (Path(__file__).parent / "feeds" / "arxiv-error.xml").read_bytes()
    source.answers["/rss/cs.NOPE"] = Answer(400, page)
    with pytest.raises(
        FeedError, match=r"answered 400 Bad Request: Feed error for query: cs\.NOPE"
    ):
        fetcher().fetch(f"{source.url}/rss/cs.NOPE")


def test_redirects_are_followed_five_times(source: Source) -> None:
    for n in range(6):
        source.answers[f"/{n}"] = Answer(302, headers={"Location": f"/{n + 1}"})
    source.answers["/6"] = Answer()
    assert fetcher().fetch(f"{source.url}/1").url == f"{source.url}/6"
    with pytest.raises(FeedError, match="redirected more than 5 times"):
        fetcher().fetch(f"{source.url}/0")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://e.test/x", "gopher://e.test/"])
def test_a_redirect_leads_nowhere_but_to_the_web(source: Source, target: str) -> None:
    source.answers["/rss"] = Answer(301, headers={"Location": target})
    with pytest.raises(FeedError, match="not a web address"):
        fetcher().fetch(f"{source.url}/rss")


def test_a_feed_row_is_never_a_file(tmp_path: Path) -> None:
    for url in (f"file://{tmp_path}/x", str(tmp_path / "x"), "http://", "http://[x"):
        with pytest.raises(FeedError, match="is not a web address"):
            fetcher().fetch(url)


def test_size_is_bounded_also_where_compression_hides_it(source: Source) -> None:
    source.answers["/big"] = Answer(body=b"x" * 10_001)
    bomb = gzip.compress(b"x" * 1_000_000)
    source.answers["/bomb"] = Answer(body=bomb, headers={"Content-Encoding": "gzip"})
    source.answers["/fits"] = Answer(body=b"x" * 10_000)
    assert len(bomb) < 10_000
    for path in ("/big", "/bomb"):
        with pytest.raises(FeedError, match=r"larger than 0\.01 MB"):
            fetcher().fetch(source.url + path)
    assert len(fetcher().fetch(f"{source.url}/fits").body) == 10_000


def test_a_body_cut_off_is_an_error(source: Source) -> None:
    source.answers["/rss"] = Answer(lie=500)
    with pytest.raises(FeedError, match="cannot be fetched"):
        fetcher().fetch(f"{source.url}/rss")


def test_time_is_bounded_as_a_whole(source: Source) -> None:
    watch = Watch()
    slow = Answer(body=b"x" * 5000, before=lambda: watch.sleep(6))
    source.answers["/slow"] = slow
    with pytest.raises(FeedError, match="took longer than 5 s"):
        fetcher(watch).fetch(f"{source.url}/slow")


def test_silence_ends_too(source: Source) -> None:
    release = threading.Event()
    source.answers["/rss"] = Answer(body=b"x" * 200, before=lambda: release.wait(10))
    with pytest.raises(FeedError, match=r"did not answer within 0\.2 s"):
        fetcher(timeout=0.2).fetch(f"{source.url}/rss")
    release.set()


def test_nobody_there() -> None:
    with pytest.raises(FeedError, match="cannot be fetched"):
        fetcher().fetch("http://127.0.0.1:9/rss")


def test_arxivs_hosts_share_one_request_in_three_seconds() -> None:
    watch = Watch()
    limiter = Limiter(watch, watch.sleep)
    for host in ("rss.arxiv.org", "export.arxiv.org", "other.test", "other.test", "arxiv.org"):
        with limiter.turn(host):
            watch.seconds += 1
    assert watch.slept == [3.0, 1.0]


def test_one_connection_at_a_time_and_host() -> None:
    limiter = Limiter()
    order: list[str] = []

    def later() -> None:
        with limiter.turn("a.test"):
            order.append("second")

    with limiter.turn("a.test"), limiter.turn("b.test"):
        thread = threading.Thread(target=later)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_file_is_read_where_a_person_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a feed.xml"
    path.write_bytes(b"<rss/>")
    assert read_file(str(path), 100).body == b"<rss/>"
    assert read_file(path.as_uri(), 100).body == b"<rss/>"
    with pytest.raises(FeedError, match="larger than"):
        read_file(str(path), 3)
    with pytest.raises(FeedError, match="cannot be read: No such file"):
        read_file(str(tmp_path / "none"), 100)
    with pytest.raises(FeedError, match="cannot be read"):
        read_file("bad\0name", 100)


def test_messages_show_no_login_and_no_query() -> None:
    assert shown("https://me:secret@e.test:8443/rss?token=abc#x") == "https://e.test:8443/rss"
    assert shown("feeds/day.xml") == "feeds/day.xml"
