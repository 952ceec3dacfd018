"""Whatever a source sends is read or refused with a reason, in little time and memory."""

import json
import random
import subprocess
import sys
from datetime import date
from pathlib import Path

import hostile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digest.app import App
from digest.errors import FeedError
from digest.feeds.parse import parse
from digest.feeds.store import store
from digest.papers import Listing

FEEDS = sorted((Path(__file__).parent / "feeds").iterdir())
WEDNESDAY = date(2026, 11, 18)
MEGABYTES = 400  # more than the program itself takes, for 10 MB of anything


def read(body: bytes, **more: str) -> Listing:
    listing = parse(body, url="the source", today=WEDNESDAY, **more)
    hostile.check(listing, WEDNESDAY)
    return listing


def rss(items: str, head: str = "") -> bytes:
    dublin = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
    return (
        f"{head}<rss version='2.0' {dublin}><channel><title>t</title>{items}</channel></rss>"
    ).encode()


def item(title: str = "A title", more: str = "", n: int = 1) -> str:
    return f"<item><title>{title}</title><link>https://e.test/{n}</link>{more}</item>"


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(FEEDS), st.integers(0, 2**32))
def test_a_mutated_feed_is_read_or_refused(path: Path, seed: int) -> None:
    """The mutations are those of the long hunt, `benchmarks/fuzz.py`."""
    others = [other.read_bytes() for other in FEEDS]
    body = hostile.mutated(path.read_bytes(), others, random.Random(seed))
    hostile.survives(body, WEDNESDAY)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(hostile.JSON_NAMES), inner, max_size=6)
        ),
        max_leaves=25,
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    for wrapped in (
        value,
        [{"paper": value}],
        {"collection": [value]},
        _works(value),
        _items(value),
    ):
        hostile.survives(json.dumps(wrapped).encode(), WEDNESDAY)


def _works(value: object) -> object:
    return {"message-type": "work-list", "message": {"items": [value]}}


def _items(value: object) -> object:
    return {"version": "https://jsonfeed.org/version/1.1", "items": [value]}


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=200), st.text(max_size=80))
def test_no_text_comes_through_that_could_deceive(title: str, text: str, names: str) -> None:
    plain = [value.translate(hostile.NOT_XML) for value in (title, text, names)]
    told = [f"<![CDATA[{value.replace(']]>', '')}]]>" for value in plain]
    body = rss(
        f"<item><title>x{told[0]}</title><link>https://e.test/1</link>"
        f"<description>{told[1]}</description><dc:creator>{told[2]}</dc:creator></item>"
    )
    read(body)


def test_overrides_and_invisible_signs_go() -> None:
    (entry,) = read(
        rss(item("safe \u202egnp.exe\u202c \u200bze\u200dro\ufeff \u2066x\u2069"))
    ).entries
    assert entry.title == "safe gnp.exe zero x"


def test_long_titles_and_many_authors_are_cut() -> None:
    authors = "".join(f"<dc:creator>Person {n}</dc:creator>" for n in range(6_000))
    (entry,) = read(rss(item("word " * 4_000, authors))).entries
    assert len(entry.title) <= 500
    assert len(entry.authors) == 5_000


@pytest.mark.parametrize(
    "when",
    [
        "9999-12-31T23:59:59-14:00", "Fri, 31 Dec 9999 23:59:59 -1200", "0001-01-01T00:00:00+14:00",
        "0000-00-00", "99999-01-01", "-2026-01-01", "Sun, 32 Foo 2026 25:61:61 +9999", "1" * 9_999,
    ],
)  # fmt: skip
def test_dates_beyond_the_calendar(app: App, when: str) -> None:
    listing = read(rss(item(more=f"<pubDate>{when}</pubDate>")))
    assert date(1600, 1, 1) <= listing.entries[0].day <= WEDNESDAY
    with app.db.write() as session:
        assert store(session, listing, None, app.now()).new == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (rss("<a>" * 300 + "</a>" * 300), "nested more than 200 deep"),
        (rss("<b/>" * 100_001 + "<b>" * 100_001), "more than 200,000 tags"),
        (rss(item() * 10_001), "10,001 entries, more than 10,000"),
        (rss("<b " + " ".join(f'a{n}="1"' for n in range(201)) + "/>"), "more than 200 attributes"),
        (rss(item(), '<?xml version="1.0" encoding="utf-7"?>'), "encoded as 'utf-7'"),
        (rss(item(), '<?xml version="1.0"?>').decode().encode("cp037"), "EBCDIC"),
        (b"\xff\xfe" + b"\x00\xd8" * 9, "not the UTF-16 it seems"),
        (b"[" * 200_001, "more than 200,000 objects"),
        (b"[" + b"0," * 1_500_001 + b"0]", "more than 1,500,000 values"),
        (b'{"collection": [' + b"0," * 10_000 + b"0]}", "10,001 entries"),
        (b"<!DOCTYPE html><html><body>Please wait</body></html>", "a web page"),
        (b"\x00" * 1_000, "neither RSS, Atom nor RDF"),
    ],
)
def test_what_is_too_much_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(FeedError, match=reason):
        read(body)


def test_markup_in_cdata_and_comments_does_not_count_as_depth() -> None:
    html = "<![CDATA[" + "<p>one<br>" * 400 + "]]><!--" + "<p>" * 400 + "-->"
    (entry,) = read(rss(item(more=f"<description>{html}</description>"))).entries
    assert entry.abstract.startswith("one one")


def test_each_entry_may_forget_to_close_a_few_tags() -> None:
    body = rss(
        "".join(item(f"Paper {n}", "<description><p>x<br></description>", n) for n in range(300))
    )
    assert len(read(body).entries) == 300


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_encodings_of_old(encoding: str) -> None:
    name = {"utf-8-sig": "utf-8", "cp1252": "windows-1252"}.get(encoding, encoding)
    text = rss(
        item("Émile’s café" if "utf" in encoding else "Émile's café"),
        f'<?xml version="1.0" encoding="{name}"?>',
    ).decode()
    (entry,) = read(text.encode(encoding)).entries
    assert entry.title.startswith("Émile") and entry.title.endswith("café")


def test_a_declaration_may_tell_of_a_former_life() -> None:
    """Programs write utf-16, which their text was in memory, over what they send as UTF-8."""
    (entry,) = read(rss(item("Émile"), '<?xml version="1.0" encoding="utf-16"?>')).entries
    assert entry.title == "Émile"


def test_entities_do_not_multiply() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "{"lol" * 9}">{laughs}]>'
    outside = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    for body in (
        rss(item(more="<description>&l9;</description>"), head),
        rss(item("&x;"), outside),
    ):
        listing = read(body)
        assert all(len(entry.abstract) <= 10_000 for entry in listing.entries)
        assert all(
            Path("/etc/hostname").read_text().strip() not in e.title for e in listing.entries
        )


def test_each_rejected_entry_is_told_of() -> None:
    bare = "<item><title>no address</title></item><item><link>https://e.test/9</link></item>"
    listing = read(rss(item() + bare))
    assert [(r.position, r.label, r.reason) for r in listing.rejected] == [
        (2, "no address", "it has no arXiv id, no DOI and no link"),
        (3, "https://e.test/9", "it has no title"),
    ]


def test_memory_has_a_bound() -> None:
    """10 MB of each of the worst, one after the other, in a process that may use no more."""
    script = Path(hostile.__file__)
    done = subprocess.run(
        [sys.executable, str(script), str(MEGABYTES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
