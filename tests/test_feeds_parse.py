"""Recorded formats, one file each, and what every reader makes of them."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digest.errors import FeedError
from digest.feeds.parse import detect_kind, parse
from digest.papers import Entry, Listing

FEEDS = Path(__file__).parent / "feeds"
WEDNESDAY = date(2026, 11, 18)


def read(name: str, kind: str | None = None, today: date = WEDNESDAY) -> Listing:
    return parse((FEEDS / name).read_bytes(), url=name, kind=kind, today=today)


def test_arxiv_rss() -> None:
    listing = read("arxiv.rss.xml")
    assert (listing.title, listing.day) == ("cs.LG updates on arXiv.org", WEDNESDAY)
    assert [entry.kind for entry in listing.entries] == ["new", "cross", "replace", "replace-cross"]
    assert listing.entries[0] == Entry(
        key="arxiv:2611.01234",
        title="Sparse k-local models of Möbius flows",
        abstract="We give an O(n log n) algorithm that is right in 96.7% of cases, and show"
        " that p < 10⁻³ if a<b and c>d.",
        authors=("Forename Surname", "Fornamé Surname Jr.", "The X Collaboration"),
        categories=("math.DS", "cs.LG"),
        url="https://arxiv.org/abs/2611.01234",
        day=WEDNESDAY,
        pdf_url="https://arxiv.org/pdf/2611.01234",
        licence="http://creativecommons.org/licenses/by/4.0/",
    )
    replaced, old = listing.entries[2:]
    assert (replaced.version, replaced.doi, replaced.aliases) == (
        3,
        "10.1000/patient.7",
        ("doi:10.1000/patient.7",),
    )
    assert replaced.journal == "Ann. Invented Sci. 12 (2026) 1–9"
    assert (old.key, old.version) == ("arxiv:math/9901001", 7)


def test_a_broken_entry_is_reported_and_the_others_go_in() -> None:
    listing = read("arxiv.rss.xml")
    assert len(listing.entries) == 4
    (rejected,) = listing.rejected
    assert (rejected.position, rejected.reason) == (5, "it has no arXiv id")
    assert rejected.label == "An entry that lost its id"


def test_arxiv_atom_holds_the_same_papers() -> None:
    assert read("arxiv.atom.xml").entries == read("arxiv.rss.xml").entries


def test_an_empty_feed_is_a_normal_day() -> None:
    listing = read("arxiv-empty.rss.xml", today=date(2026, 11, 23))
    assert listing == Listing(
        "cs.LG updates on arXiv.org", date(2026, 11, 22), (), skip_days=frozenset({5, 6})
    )


def test_a_day_in_the_future_is_today() -> None:
    listing = read("arxiv.rss.xml", today=date(2026, 11, 10))
    assert {listing.day, *(entry.day for entry in listing.entries)} == {date(2026, 11, 10)}


def test_without_announce_type_the_version_tells() -> None:
    body = (FEEDS / "arxiv.rss.xml").read_text()
    for kind in ("new", "cross", "replace", "replace-cross"):
        body = body.replace(f"<arxiv:announce_type>{kind}</arxiv:announce_type>", "")
        body = body.replace(f" Announce Type: {kind} \n", "\n")
    listing = parse(body.encode(), url="x", kind="arxiv", today=WEDNESDAY)
    assert [entry.kind for entry in listing.entries] == ["new", "new", "replace", "replace"]
    assert listing.entries[1].abstract == "A note on maps & their labels."


def test_hugging_face_daily_papers() -> None:
    listing = read("daily_papers.json")
    full, bare = listing.entries
    assert full == Entry(
        key="arxiv:2611.01234",
        title="Sparse k-local models of Möbius flows",
        abstract="We give an algorithm.",
        authors=("Forename Surname", "F. Other"),
        categories=(),
        url="https://arxiv.org/abs/2611.01234",
        day=WEDNESDAY,
        pdf_url="https://arxiv.org/pdf/2611.01234",
        upvotes=37,
    )
    assert (bare.key, bare.upvotes, bare.abstract) == ("arxiv:2611.05555", None, "")
    assert [r.label for r in listing.rejected] == ["no-id"]


def test_an_entry_without_date_belongs_to_its_list() -> None:
    listing = read("daily_papers.json", today=date(2026, 11, 20))
    assert {listing.day, *(entry.day for entry in listing.entries)} == {WEDNESDAY}


def test_a_journal_in_rdf() -> None:
    listing = read("journal.rdf.xml")
    first, second = listing.entries
    assert first == Entry(
        key="doi:10.1000/invented.1",
        title="Growth of E. inventa at low CO₂ & light",
        abstract="We grow it. It grows.",
        authors=("Ann Able", "Bo Bee"),
        categories=(),
        url="https://journal.example/a/1",
        day=date(2026, 11, 17),
        doi="10.1000/invented.1",
        journal="Annals of Invented Science",
        aliases=("url:https://journal.example/a/1",),
    )
    assert (second.key, second.day) == ("url:https://journal.example/a/2", WEDNESDAY)
    assert second.authors == ("F. Last", "G. H. Other")
    assert [(r.position, r.reason) for r in listing.rejected] == [(3, "it has no title")]


def test_any_feed_may_point_at_arxiv() -> None:
    listing = read("blog.rss.xml")
    paper = listing.entries[0]
    assert (paper.key, paper.version, paper.day) == ("arxiv:2611.01234", 2, WEDNESDAY)
    assert paper.pdf_url == "https://arxiv.org/pdf/2611.01234"


def test_one_address_for_many_entries_does_not_make_them_one_paper() -> None:
    listing = read("blog.rss.xml")
    assert len({entry.key for entry in listing.entries}) == 3
    assert {entry.url for entry in listing.entries[1:]} == {"https://group.example/"}
    assert listing.entries[1].day == WEDNESDAY
    assert [r.reason for r in listing.rejected] == ["it has no arXiv id, no DOI and no link"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b" \n", "is empty"),
        ((FEEDS / "challenge.html").read_bytes(), "a web page"),
        ((FEEDS / "arxiv-error.xml").read_bytes(), "Bad archive 'cs.NOPE'"),
        (b"<page><title>x</title></page>", "neither RSS, Atom nor RDF"),
        (b"just words", "neither RSS, Atom nor RDF"),
        (b'{"papers": []}', "not a list of daily papers"),
        (b'[{"name": "x"}]', "not a list of daily papers"),
        (b'[{"paper": {"id"', "cut off or broken"),
        (b'{"error": "Invalid date"}', "Invalid date"),
        (b"[" * 100_000, "cut off or broken"),
        ((FEEDS / "arxiv.rss.xml").read_bytes()[:2500], "cut off in the middle"),
        ((FEEDS / "arxiv.atom.xml").read_bytes()[:2500], "cut off in the middle"),
    ],
)
def test_what_is_no_feed_is_refused_in_a_sentence(body: bytes, message: str) -> None:
    with pytest.raises(FeedError, match=message):
        parse(body, url="the feed", today=WEDNESDAY)


def test_the_kind_follows_from_the_address() -> None:
    assert detect_kind("https://rss.arxiv.org/atom/cs.LG+stat.ML") == "arxiv"
    assert detect_kind("https://huggingface.co/api/daily_papers?date=2026-11-18") == "huggingface"
    assert detect_kind("https://connect.medrxiv.org/medrxiv_xml.php?subject=all") == "biorxiv"
    assert detect_kind("https://huggingface.co/blog/feed.xml") == "generic"
    assert detect_kind("https://arxiv.org.example/rss") == "generic"


def test_arxivs_own_format_is_known_wherever_it_is_served() -> None:
    assert read("arxiv.rss.xml", kind="generic") == read("arxiv.rss.xml", kind="arxiv")


def test_fields_are_bounded() -> None:
    body = (FEEDS / "arxiv.rss.xml").read_text()
    body = body.replace("A note on maps", "word " * 20_000)
    body = body.replace("Reading maps", "Reading " * 500)
    body = body.replace("Ida Example", ", ".join(f"Person {n}" for n in range(6_000)))
    paper = parse(body.encode(), url="x", today=WEDNESDAY).entries[1]
    assert len(paper.abstract) <= 10_000
    assert len(paper.title) <= 500
    assert len(paper.authors) == 5_000


def test_lone_angle_brackets_stay_and_tags_go() -> None:
    body = (FEEDS / "journal.rdf.xml").read_text()
    body = body.replace(
        "<p>We grow it.</p>", "if x < 3 & y > 4 <em class='a'>we</em> &lt;b&gt;grow"
    )
    paper = parse(body.encode(), url="x", today=WEDNESDAY).entries[0]
    assert paper.abstract == "if x < 3 & y > 4 we grow It grows."
    assert replace(paper, abstract="") == replace(read("journal.rdf.xml").entries[0], abstract="")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from([path.name for path in sorted(FEEDS.glob("*.*")) if path.suffix != ".html"]),
    st.integers(0, 10_000),
    st.binary(max_size=12),
)
def test_a_damaged_feed_is_read_or_refused(name: str, at: int, damage: bytes) -> None:
    body = (FEEDS / name).read_bytes()
    at %= len(body)
    try:
        listing = parse(body[:at] + damage + body[at + 6 :], url=name, today=WEDNESDAY)
    except FeedError:
        return
    assert all(entry.title and entry.key for entry in listing.entries)
