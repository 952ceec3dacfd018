"""Getting a feed's bytes, politely: conditional, identified, bounded, never too often."""

import gzip
import lzma
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urljoin, urlsplit

import httpcore2
import httpx2

from digest import __version__
from digest.authorities import authorities
from digest.errors import FeedError
from digest.feeds.wire import Overdue, Wire, is_own
from digest.papers import clean, shortened

MOST_REDIRECTS = 5
FOR_GOOD = (301, 308)
LONGEST_LINE = 2_000_000
CONNECT_SECONDS = 10.0
# arXiv's terms of use: all its services together, one request in three seconds, one connection.
ARXIV_SECONDS = 3.0
ACCEPT = (
    "application/rss+xml, application/atom+xml, application/rdf+xml, application/json;q=0.9,"
    " application/xml;q=0.9, text/xml;q=0.8, */*;q=0.5"
)

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_ERROR_TITLE = re.compile(r"Feed error for query:[^<]{0,300}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. `unchanged` is the server's word that `etag` or `last_modified` still hold;
    `url` is where the redirects ended, `moved_to` where those ended that are for good, empty
    without such; `max_age` is in seconds, where the server named one."""

    body: bytes
    url: str
    unchanged: bool = False
    etag: str = ""
    last_modified: str = ""
    content_type: str = ""
    max_age: int | None = None
    moved_to: str = ""


class Turns(Protocol):
    """Whose turn it is among several processes: `claim` gives 0 where it is ours now, else the
    seconds until asking again; `release` ends it and names a pause in seconds."""

    def claim(self, host: str) -> float: ...

    def release(self, host: str, pause: float) -> None: ...


@dataclass(eq=False)
class Limiter:
    """Gives each host one connection at a time, and arXiv's hosts together one in 3 seconds: in
    this process, and where `turns` are given, among all that share them.

    `clock` is in seconds and only ever grows; `sleep` takes seconds; `arxiv_seconds` are from one
    request's end to the next.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    arxiv_seconds: float = ARXIV_SECONDS
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _turns: dict[str, threading.Lock] = field(default_factory=dict)
    _ready_at: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def turn(self, host: str, turns: Turns | None = None) -> Iterator[float]:
        """Waits for the host's turn and holds it; gives the moment at which it began."""
        arxiv = host == "arxiv.org" or host.endswith(".arxiv.org")
        slot = "arxiv.org" if arxiv else host
        pause = self.arxiv_seconds if arxiv else 0.0
        with self._guard:
            turn = self._turns.setdefault(slot, threading.Lock())
        with turn:
            wait = self._ready_at.get(slot, 0.0) - self.clock()
            if wait > 0:
                self.sleep(wait)
            while turns is not None and (wait := turns.claim(slot)) > 0:
                self.sleep(wait)
            try:
                yield self.clock()
            finally:
                self._ready_at[slot] = self.clock() + pause
                if turns is not None:
                    turns.release(slot, pause)


LIMITER = Limiter()  # one for the process, whoever fetches


@dataclass(frozen=True, slots=True)
class Fetcher:
    """How to fetch: who we say we are, and the bounds. `timeout` is for the whole, in seconds;
    `private_hosts` are the names in one's own network that feeds may have."""

    contact: str = ""
    timeout: float = 60.0
    most_bytes: int = 20_000_000
    limiter: Limiter = LIMITER
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    turns: Turns | None = None
    private_hosts: frozenset[str] = frozenset()

    def fetch(self, url: str, *, etag: str = "", last_modified: str = "") -> Fetched:
        """Asks for `url`, naming what we have of it.

        Raises FeedError, with `retry_after` where the server says how long to wait.
        """
        headers = {"User-Agent": self._agent(), "Accept": ACCEPT, "Accept-Encoding": "gzip"}
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        limits = httpx2.Timeout(self.timeout, connect=min(CONNECT_SECONDS, self.timeout))
        wire = Wire(authorities(), self.limiter.clock)
        try:
            with httpx2.Client(
                headers=headers, timeout=limits, follow_redirects=False, transport=wire
            ) as client:
                return self._follow(client, wire, url)
        except (httpx2.InvalidURL, ValueError) as error:
            raise FeedError(f"{shown(url)} is not a web address: {error}") from error
        except Overdue as error:
            raise FeedError(f"{shown(url)} took longer than {self.timeout:g} s") from error
        except (httpx2.TimeoutException, httpcore2.TimeoutException) as error:
            raise FeedError(f"{shown(url)} did not answer within {self.timeout:g} s") from error
        except zlib.error as error:
            raise FeedError(f"{shown(url)} is compressed and damaged") from error
        except (httpx2.HTTPError, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            reason = clean(str(error)) or type(error).__name__
            raise FeedError(f"{shown(url)} cannot be fetched: {reason}") from error

    def _agent(self) -> str:
        contact = clean(self.contact)
        about = f" (+mailto:{contact})" if "@" in contact and "/" not in contact else ""
        if contact and not about:
            about = f" (+{contact})"
        agent = f"paper-digest/{__version__}{about}"
        return agent.encode("ascii", "ignore").decode()

    def _follow(self, client: httpx2.Client, wire: Wire, url: str) -> Fetched:
        start, moved_to, for_good = url, "", True
        own = self._own_hosts(url)
        for _ in range(MOST_REDIRECTS + 1):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise FeedError(f"{shown(url)} is not a web address (http or https)")
            if parts.hostname not in own:
                own = frozenset()  # from the open Internet no way leads back into one's own network
            with self.limiter.turn(parts.hostname, self.turns) as started, ExitStack() as stack:
                wire.allow(private=bool(own), until=started + self.timeout)
                response = stack.enter_context(client.stream("GET", url))
                if not response.has_redirect_location:
                    answer = self._answer(response, url, started + self.timeout)
                    return replace(answer, moved_to=moved_to)
                url = urljoin(url, response.headers["location"])
                for_good = for_good and response.status_code in FOR_GOOD
                moved_to = url if for_good else moved_to
        raise FeedError(f"{shown(start)} was redirected more than {MOST_REDIRECTS} times")

    def _own_hosts(self, url: str) -> frozenset[str]:
        """The hosts of one's own network that a feed of this address may be fetched from."""
        host = urlsplit(url).hostname or ""
        return self.private_hosts | ({host} if is_own(host) else set())

    def _answer(self, response: httpx2.Response, url: str, deadline: float) -> Fetched:
        headers = response.headers
        if response.status_code not in (200, 304):
            raise FeedError(
                self._refusal(response, url, deadline),
                retry_after=retry_after(headers.get("retry-after", ""), self.now()),
            )
        unchanged = response.status_code == 304
        age = _MAX_AGE.search(headers.get("cache-control", ""))
        return Fetched(
            body=b"" if unchanged else self._body(response, url, deadline),
            url=url,
            unchanged=unchanged,
            etag=headers.get("etag", ""),
            last_modified=headers.get("last-modified", ""),
            content_type=headers.get("content-type", ""),
            max_age=int(age[1]) if age else None,
        )

    def _refusal(self, response: httpx2.Response, url: str, deadline: float) -> str:
        code = response.status_code
        phrase = HTTPStatus(code).phrase if code in set(HTTPStatus) else ""
        sentence = f"{shown(url)} answered {code} {phrase}".rstrip()
        if code == 400:  # arXiv explains itself in a feed
            page = self._body(response, url, deadline).decode("utf-8", "replace")
            if told := _ERROR_TITLE.search(page):
                sentence += f": {shortened(clean(told[0]), 200)}"
        return sentence

    def _body(self, response: httpx2.Response, url: str, deadline: float) -> bytes:
        packed = _packed(response.headers.get("content-encoding", ""), shown(url))
        body = bytearray()
        for chunk in response.iter_raw():
            # a small answer may be a large feed, or too large to be held
            room = self.most_bytes + 1 - len(body)
            body += packed.decompress(chunk, room) if packed else chunk
            if len(body) > self.most_bytes:
                size = f"{self.most_bytes / 1e6:g} MB"
                raise FeedError(f"{shown(url)} is larger than {size} (feeds.max_megabytes)")
            if self.limiter.clock() > deadline:
                raise FeedError(f"{shown(url)} took longer than {self.timeout:g} s")
        if packed and body and not packed.eof:
            raise FeedError(f"{shown(url)} was cut off in the middle")
        return bytes(body)


def _packed(encoding: str, where: str) -> "zlib._Decompress | None":
    """What unpacks a body; None where it is not packed. We ask for gzip, and take no other."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip"):
        raise FeedError(f"{where} came compressed in a way not asked for: {encoding[:40]!r}")
    return zlib.decompressobj(wbits=31)


def read_file(path: str, most_bytes: int) -> Fetched:
    """A feed from a file, for sources that a person names; `path` may begin with file://."""
    place = Path(unquote(urlsplit(path).path) if path.startswith("file://") else path)
    try:
        if place.stat().st_size > most_bytes:
            raise FeedError(f"{place} is larger than {most_bytes / 1e6:g} MB")
        return Fetched(place.read_bytes(), str(place))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FeedError(f"{place} cannot be read: {reason}") from error


def lines_of(path: str) -> Iterator[bytes]:
    """The lines of a file, one at a time; `.xz` and `.gz` are read as they are."""
    openers: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open}
    place = Path(unquote(urlsplit(path).path) if path.startswith("file://") else path)
    try:
        with openers.get(place.suffix.lower(), open)(place, "rb") as lines:
            while line := lines.readline(LONGEST_LINE):
                yield line
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FeedError(f"{place} cannot be read: {reason}") from error


def retry_after(header: str, now: datetime) -> float | None:
    """The wait in seconds that a Retry-After header names, as a number or as a date."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def shown(url: str) -> str:
    """The address as messages and logs may show it: without login, query and fragment."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # such as a port that is none
        return shortened(clean(re.split("[?#]", re.sub("//[^/]*@", "//", url))[0]), 200)
    if not host:
        return shortened(clean(url), 200)
    place = f"{host}:{port}" if port else host
    return shortened(clean(f"{parts.scheme}://{place}{parts.path}"), 200)
