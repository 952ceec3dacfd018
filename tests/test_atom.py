"""The Atom document: what a feed reader makes of it, whatever the papers' texts hold."""

from datetime import UTC, datetime, timedelta, timezone
from xml.etree import ElementTree as ET

import feedparser
from hypothesis import given
from hypothesis import strategies as st

from digest import atom

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


def feed(*entries: atom.Entry) -> atom.Feed:
    return atom.Feed(
        id="tag:digest.test,2026-11-01:reader/1",
        title="Paper Digest: chosen for you",
        url="https://digest.test/feed/x.xml",
        home="https://digest.test/",
        maker="Paper Digest",
        updated=NOON,
        entries=entries,
    )


def entry(**values: object) -> atom.Entry:
    given = {"id": "tag:digest.test,2026-11-18:digest/1/1", "title": "Of maps", "at": NOON}
    return atom.Entry(**given | {"url": "https://papers.test/1"} | values)


def test_a_feed_reader_finds_everything():
    zone = timezone(timedelta(hours=9))
    read = feedparser.parse(
        atom.write(
            feed(
                entry(
                    at=NOON.astimezone(zone),
                    authors=("Ann <b>", "Zoë & Ö"),
                    categories=("cs.CV", "math.OC"),
                    summary="Because of “maps”.",
                    text="One & <two>.\n\nThree.",
                )
            )
        )
    )
    assert not read.bozo
    assert read.version == "atom10"
    assert read.feed.updated == "2026-11-18T12:00:00Z"
    links = {link.rel: link.href for link in read.feed.links}
    assert links == {"self": "https://digest.test/feed/x.xml", "alternate": "https://digest.test/"}
    (one,) = read.entries
    assert (one.id, one.title, one.link) == (entry().id, "Of maps", "https://papers.test/1")
    assert (one.updated, one.published) == ("2026-11-18T12:00:00Z", "2026-11-18T12:00:00Z")
    assert [author.name for author in one.authors] == ["Ann <b>", "Zoë & Ö"]
    assert [tag.term for tag in one.tags] == ["cs.CV", "math.OC"]
    assert one.summary == "Because of “maps”."
    assert one.content[0].value == "One & <two>.\n\nThree."
    assert one.content[0].type == "text/plain"


def test_without_papers_it_is_a_feed_all_the_same():
    read = feedparser.parse(atom.write(feed()))
    assert not read.bozo
    assert (read.feed.author, read.entries) == ("Paper Digest", [])


@given(st.text(max_size=60))
def test_any_text_makes_a_document_and_comes_back_as_it_was(text):
    root = ET.fromstring(atom.write(feed(entry(title=f"a{text}b", url=f"https://x.test/{text}"))))
    title = root.find(".//{*}entry/{*}title").text
    shown = "".join(
        sign for sign in text if sign in "\t\n\r" or (sign >= " " and sign not in "\ufffe\uffff")
    )
    assert title == f"a{shown}b".replace("\r\n", "\n").replace("\r", "\n")
