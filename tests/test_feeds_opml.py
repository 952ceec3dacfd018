"""Subscription lists of other feed readers, as they are met."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.errors import InputError
from digest.feeds import opml
from digest.feeds.parse import KINDS
from digest.models import Feed


def test_folders_missing_titles_and_careless_markup_are_read() -> None:
    found = opml.read(
        b"""<?xml version="1.0"?><OPML version=2.0><head><title>mine</title></head><body>
        <outline text="Journals"><outline text="Letters">
          <outline title="A & B" xmlUrl=https://one.test/a.xml htmlUrl='https://one.test/'></outline>
        </outline></outline>
        <outline type="rss" xmlUrl="https://two.test/rss?a=1&amp;b=2"/>
        <outline text="again" xmlUrl="https://ONE.test/a.xml"/></body></OPML>"""
    )
    assert [(each.url, each.title) for each in found] == [
        ("https://one.test/a.xml", "A & B"),
        ("https://two.test/rss?a=1&b=2", ""),
    ]


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8", "utf-16", "windows-1251"])
def test_old_encodings_are_read_as_they_declare_themselves(encoding: str) -> None:
    title = "Бюллетень" if encoding == "windows-1251" else "Mémoires"
    body = f"""<?xml version="1.0" encoding="{encoding}"?>
    <opml><body><outline text="{title}" xmlUrl="https://one.test/rss"/></body></opml>"""
    assert opml.read(body.encode(encoding))[0].title == title


def test_entities_are_neither_expanded_nor_fetched() -> None:
    (found,) = opml.read(
        b"""<!DOCTYPE opml [<!ENTITY a SYSTEM "file:///etc/hostname">]>
        <opml><body><outline text="&a;" xmlUrl="https://one.test/rss"/></body></opml>"""
    )
    assert found.title == "&a;"


@pytest.mark.parametrize("body", [b"", b"<rss/>", b"<opml></outline></opml>", b"\xff\xfe\x00"])
def test_what_holds_no_feed_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        opml.read(body)


def test_a_list_of_many_megabytes_is_refused() -> None:
    with pytest.raises(InputError, match="larger"):
        opml.read(b" " * (opml.MOST_BYTES + 1))


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.text(max_size=30)), max_size=5))
def test_what_is_written_is_read_again(wanted: list[tuple[str, str]]) -> None:
    feeds = [
        Feed(url=f"https://site{n}.test/rss?a=1&b={n}", kind=kind, title=title)
        for n, (kind, title) in enumerate(wanted)
    ]
    written = opml.write(feeds)
    if not feeds:
        with pytest.raises(InputError):
            opml.read(written)
        return
    ElementTree.fromstring(written)
    assert {(each.url, each.kind) for each in opml.read(written)} == {
        (feed.url, feed.kind) for feed in feeds
    }
