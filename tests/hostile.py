"""What a source that means no good may send, and what must hold of whatever is made of it.

`python hostile.py MEGABYTES` reads 10 MB of each of WORST with no more memory than that.
"""

import random
import resource
import sys
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from digest.errors import FeedError
from digest.feeds import arxiv_list
from digest.feeds.parse import parse
from digest.papers import KINDS, Listing

TOKENS = [
    *(b"<", b">", b"&", b"]]>", b"<![CDATA[", b"<!--", b"-->", b"<!DOCTYPE x [", b"<?xml ?>"),
    *(b"&lt;", b"&amp;amp;", b"&#0;", b"&#x202e;", b"&nope;", b"<a:b xmlns:a='x'>", b"</item>"),
    *(b"<item>", b"<entry>", b"<record>", b"</channel>", b"<rss version='2.0'>", b"<feed>"),
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", "\u202e\u200b\ufeff".encode()),
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b"null", b"1e999", b"-1", b'"paper":', b"\\ud800"),
    *(b"$", b"\\frac{", b"{\\'e", b"^{", b"_{", b"v99999999", b"10.1000/", b"arXiv:2611.01234v0"),
    *(b"9999-12-31T23:59:59-14:00", b"0001-01-01", b"Fri, 31 Dec 9999 23:59:59 +1400", b"\n" * 99),
    *(b"xml:base='http://['", b"type='xhtml'", b"encoding='utf-7'", b"mode='base64'", b"x" * 9_999),
]
JSON_NAMES = [
    *("paper", "id", "title", "summary", "authors", "name", "upvotes", "submittedOnDailyAt"),
    *("messages", "collection", "doi", "date", "version", "status", "total", "cursor", "published"),
    *("items", "url", "content_html", "date_published", "tags", "message", "message-type", "DOI"),
    *("author", "given", "family", "abstract", "issued", "date-parts", "container-title", "error"),
]
NOT_XML = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], " "
)
_BAD = ("Cc", "Cf", "Cs")
# Signs of writing that stand among the format signs of Unicode, as in Arabic and Indic numbers.
_SPARED = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")


def mutated(body: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """`body` after a few changes: cut, doubled, swapped, mixed with others and with TOKENS."""
    for _ in range(chance.randint(1, 6)):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + int(chance.expovariate(1 / 60)))
        piece = body[start:end]
        other = chance.choice(others)
        at = chance.randrange(len(other) + 1)
        new = chance.choice(
            [
                b"",
                piece * chance.choice([2, 3, 200]),
                chance.choice(TOKENS) * chance.choice([1, 1, 2, 300]),
                chance.randbytes(len(piece)),
                piece.swapcase(),
                other[at : at + chance.choice([20, 200, 2_000])],
                b"",
            ]
        )
        body = (body[:start] + new + body[end:])[:2_000_000]
    return body


def survives(
    body: bytes, today: date, kinds: Sequence[str] = ("generic", "arxiv", "huggingface")
) -> Listing | None:
    """Reads the body in every way there is; gives the listing where it is one."""
    listing = None
    for kind in kinds:
        try:
            listing = parse(body, url="the source", kind=kind, today=today)
        except FeedError as error:
            assert 10 < len(str(error)) < 1_000
        else:
            check(listing, today)
    try:
        page = arxiv_list.read(body, "the page")
        assert page.total >= 0
    except FeedError as error:
        assert str(error)
    return listing


def check(listing: Listing, today: date) -> None:
    """What holds of every listing, wherever it came from."""
    assert listing.day is None or listing.day <= today
    for entry in listing.entries:
        assert entry.title and len(entry.title) <= 500 and len(entry.abstract) <= 10_000
        assert len(entry.authors) <= 5_000 and len(entry.categories) <= 30
        assert all(name and len(name) <= 200 for name in entry.authors)
        assert date(1600, 1, 1) <= entry.day <= today
        assert 1 <= entry.version <= 999
        for key in (entry.key, *entry.aliases):
            assert key.partition(":")[0] in KINDS and len(key) < 7_000
        assert entry.url.startswith(("http://", "https://")) and len(entry.url) < 7_000
        for text in (entry.title, entry.abstract, *entry.authors, *entry.categories):
            assert not [sign for sign in text if deceives(sign)], ascii(text)
    for rejected in listing.rejected:
        assert rejected.reason.startswith("it ") and rejected.label and rejected.position > 0


def deceives(sign: str) -> bool:
    """Whether a sign is seen by programs alone, or turns the reading of others round."""
    return unicodedata.category(sign) in _BAD and sign not in _SPARED and ord(sign) < 0xE0000


# Large ones

SIZE = 9_800_000
_DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'


def _feed(inner: bytes) -> bytes:
    return f"<rss version='2.0' {_DC}><channel><title>t</title>".encode() + inner


def _filled(before: bytes, piece: bytes, after: bytes = b"", most: int = SIZE) -> bytes:
    return _feed(before + piece * (most // len(piece)) + after)


_START = b"<item><title>A title</title><link>https://e.test/1</link>"
WORST: dict[str, Callable[[], bytes]] = {
    "text": lambda: _filled(_START + b"<description>", b"word "),
    "entities": lambda: _filled(
        _START + b"<description>", b"&amp;", b"</description></item>", 2_000_000
    ),
    "depth": lambda: _filled(_START, b"<a>"),
    "shallow": lambda: _filled(_START, b"<a/>", most=100_000),
    "items": lambda: _filled(
        b"", _START + b"<description>" + b"x" * 9_900 + b"</description></item>"
    ),
    "names": lambda: _filled(_START + b"<dc:creator>", b"A. B, ", b"</dc:creator></item>"),
    "authors": lambda: _filled(_START, b"<dc:creator>A B</dc:creator>", b"</item>", 300_000),
    "places": lambda: _filled(
        _START + b"<g:polygon xmlns:g='http://www.georss.org/georss'>", b"1 2 ", b"</g:polygon>"
    ),
    "links": lambda: _filled(
        b"<item><title>t</title><link>https://e.test/?", b"&a=)", b"</link></item>"
    ),
    "nothing": lambda: _filled(_START + b"<description>", b"\x00"),
    "wide": lambda: ("\ufeff" + _filled(_START, b"x", most=SIZE // 2).decode()).encode("utf-16-le"),
    "numbers": lambda: b"[" + b"1.5," * 740_000 + b"1]",
    "objects": lambda: b"[" + b"{}," * 199_000 + b"{}]",
    "strings": lambda: b'[{"paper":{"authors":[' + b'"ab",' * 740_000 + b'""]}}]',
    "list page": lambda: b"<h1" * (SIZE // 3),
}


def main(megabytes: int) -> None:
    """Raises MemoryError where it takes more."""
    survives(_feed(_START + b"</item></channel></rss>"), date(2026, 11, 18))  # loads all there is
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + megabytes * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name, make in WORST.items():
        body = make()
        started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        survives(body, date(2026, 11, 18), ["generic"])
        spent = resource.getrusage(resource.RUSAGE_SELF)
        print(
            f"{name:10} {len(body) / 1e6:5.1f} MB: {spent.ru_utime - started:5.2f} s,"
            f" peak {spent.ru_maxrss / 1024:.0f} MB",
            flush=True,
        )
        del body


if __name__ == "__main__":
    main(int(sys.argv[1]))
