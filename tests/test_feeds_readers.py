"""The readers of services beside the feeds, each against a recorded form with its quirks."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from digest.errors import FeedError
from digest.feeds import arxiv_list, jsonlines, oai
from digest.feeds.parse import parse
from digest.papers import Entry, Listing

FEEDS = Path(__file__).parent / "feeds"
WEDNESDAY = date(2026, 11, 18)


def read(name: str) -> Listing:
    return parse((FEEDS / name).read_bytes(), url=name, today=WEDNESDAY)


def changed(name: str, old: str, new: str) -> Listing:
    body = (FEEDS / name).read_text()
    assert old in body
    return parse(body.replace(old, new).encode(), url="the source", today=WEDNESDAY)


PAPER = Entry(
    key="arxiv:2611.01234",
    title="Sparse k-local models of Möbius flows",
    abstract="We give an algorithm that is fast, and say why.",
    authors=("Forename Surname", "Fornamé Surname Jr."),
    categories=("math.DS", "cs.LG"),
    url="https://arxiv.org/abs/2611.01234",
    day=WEDNESDAY,
    pdf_url="https://arxiv.org/pdf/2611.01234",
    derived=True,
)


def test_arxivs_api_gives_records_with_a_derived_day() -> None:
    listing = read("arxiv-api.atom.xml")
    paper, replaced = listing.entries
    assert paper == PAPER
    assert (replaced.kind, replaced.version, replaced.doi) == ("replace", 3, "10.1000/patient.7")
    assert replaced.day == WEDNESDAY  # submitted a second after the deadline, but not later
    assert [(r.position, r.reason) for r in listing.rejected] == [(3, "it has no date")]
    assert listing.next_page == "3"


def test_the_api_may_count_papers_and_show_none() -> None:
    body = (FEEDS / "arxiv-api.atom.xml").read_text()
    head = body[: body.index("<entry>")] + "</feed>"
    with pytest.raises(FeedError, match="counts 5 papers and shows none"):
        parse(head.encode(), url="the API", today=WEDNESDAY)
    empty = parse(head.replace(">5<", ">0<").encode(), url="the API", today=WEDNESDAY)
    assert (empty.entries, empty.next_page) == ((), "")


def test_an_error_of_the_api_is_told() -> None:
    with pytest.raises(FeedError, match="answered with an error: Nothing dates it"):
        changed("arxiv-api.atom.xml", "abs/hep-th/9901001<", "api/errors#bad_id<")


def test_oai_records_page_by_page() -> None:
    listing = read("arxiv-oai.xml")
    paper, replaced = listing.entries
    assert paper == replace(
        PAPER,
        authors=(*PAPER.authors, "The X Collaboration"),
        licence="http://creativecommons.org/licenses/by/4.0/",
    )
    assert (replaced.kind, replaced.version, replaced.day) == ("replace", 2, date(2026, 11, 17))
    assert [r.label for r in listing.rejected] == ["oai:arXiv.org:2611.00002"]
    assert listing.next_page == "verb%3DListRecords&from=2026-11-16|1001"
    assert (
        changed("arxiv-oai.xml", "verb%3DListRecords&amp;from=2026-11-16|1001", "").next_page == ""
    )


@pytest.mark.parametrize(
    ("created", "updated", "stamped", "kind", "day"),
    [
        ("2026-11-16", None, "2026-11-17", "new", "2026-11-17"),
        ("2026-11-16", None, "2026-11-18", "new", "2026-11-18"),
        ("2026-11-13", None, "2026-11-16", "new", "2026-11-16"),
        ("2026-11-13", None, "2026-11-13", "new", "2026-11-16"),
        ("2026-11-13", "2026-11-17", "2026-11-18", "new", "2026-11-16"),
        ("2026-10-01", "2026-11-17", "2026-11-18", "replace", "2026-11-18"),
        ("2026-10-01", None, "2026-11-18", "new", "2026-10-02"),
        ("2026-09-01", "2026-10-01", "2026-11-18", "replace", "2026-10-02"),
    ],
)
def test_what_a_records_dates_say(
    created: str, updated: str | None, stamped: str, kind: str, day: str
) -> None:
    dates = [date.fromisoformat(text) if text else None for text in (created, updated, stamped)]
    assert oai.derived(*dates) == (kind, date.fromisoformat(day))  # type: ignore[arg-type]


def test_oai_without_records_is_empty_and_its_errors_are_told() -> None:
    body = (
        '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><error code="{}">x</error></OAI-PMH>'
    )
    none = parse(body.format("noRecordsMatch").encode(), url="OAI", today=WEDNESDAY)
    assert (none.entries, none.next_page) == ((), "")
    with pytest.raises(FeedError, match="badResumptionToken"):
        parse(body.format("badResumptionToken").encode(), url="OAI", today=WEDNESDAY)
    with pytest.raises(FeedError, match="cut off or broken"):
        parse((FEEDS / "arxiv-oai.xml").read_bytes()[:1500], url="OAI", today=WEDNESDAY)
    with pytest.raises(FeedError, match="declares entities"):
        parse(b'<!DOCTYPE x [<!ENTITY a "aa">]>' + body.encode(), url="OAI", today=WEDNESDAY)


def test_a_list_page_tells_day_totals_and_kinds() -> None:
    page = arxiv_list.read((FEEDS / "arxiv-list.html").read_bytes(), "the list")
    assert (page.day, page.total) == (WEDNESDAY, 5)
    assert page.kinds == {
        "arxiv:2611.01234": "new",
        "arxiv:2611.01235": "new",
        "arxiv:2611.01300": "cross",
        "arxiv:2610.00077": "replace",
        "arxiv:math/9901001": "replace-cross",
    }


def test_a_list_page_may_lack_its_date_or_not_show_all() -> None:
    body = (FEEDS / "arxiv-list.html").read_text()
    page = arxiv_list.read(body.replace("Showing new listings for", "Articles of").encode(), "x")
    assert (page.day, len(page.kinds)) == (None, 5)
    more = arxiv_list.read(body.replace("2 of 2", "2 of 2500", 1).encode(), "x")
    assert more.total == 2503
    with pytest.raises(FeedError, match="no list page as we know it"):
        arxiv_list.read(b"<html>Please wait</html>", "x")


def test_biorxivs_api() -> None:
    listing = read("biorxiv.json")
    first, second = listing.entries
    assert first == Entry(
        key="doi:10.1101/2026.11.16.700001",
        title="Growth of E. inventa at low CO₂",
        abstract="We grow it.",
        authors=("F. Surname", "F. M. Surname", "The Y Consortium"),
        categories=("plant biology",),
        url="https://www.biorxiv.org/content/10.1101/2026.11.16.700001v1",
        day=WEDNESDAY,
        pdf_url="https://www.biorxiv.org/content/10.1101/2026.11.16.700001v1.full.pdf",
        doi="10.1101/2026.11.16.700001",
        licence="cc_by",
    )
    assert (second.day, second.kind, second.version) == (date(2026, 11, 7), "replace", 2)
    assert (second.doi, second.aliases) == ("10.1000/journal.9", ("doi:10.1000/journal.9",))
    assert [(r.position, r.reason) for r in listing.rejected] == [
        (3, "it has no date"),
        (4, "it has no DOI"),
        (5, "it is no record"),
    ]
    assert listing.next_page == "5"


@pytest.mark.parametrize(("total", "more"), [('"7"', "5"), ("5", ""), ('""', "5"), ("null", "5")])
def test_biorxiv_is_read_on_by_what_came(total: str, more: str) -> None:
    assert changed("biorxiv.json", '"7"', total).next_page == more


def test_biorxiv_may_have_nothing_or_an_error() -> None:
    for status in ("ok", "no posts found"):
        body = json.dumps({"messages": [{"status": status, "total": 900}], "collection": []})
        listing = parse(body.encode(), url="x", today=WEDNESDAY)
        assert (listing.entries, listing.next_page) == ((), "")
    with pytest.raises(FeedError, match="error: bad interval"):
        parse(b'{"messages": [{"status": "bad interval"}]}', url="x", today=WEDNESDAY)


def test_biorxivs_rdf_names_the_same_papers() -> None:
    first, second = read("biorxiv.rdf.xml").entries
    assert (first.key, first.authors) == (
        "doi:10.1101/2026.11.16.700001",
        ("F. Surname", "F. M. Surname"),
    )
    assert first.url == "http://biorxiv.org/cgi/content/short/2026.11.16.700001v1"
    assert (second.kind, second.version, second.abstract) == ("replace", 2, "")


def test_a_journal_as_json_feed() -> None:
    listing = read("journal.json")
    first, second = listing.entries
    assert first == Entry(
        key="doi:10.1000/invented.1",
        title="Growth of E. inventa",
        abstract="We grow it. doi:10.1000/invented.1",
        authors=("Ann Able", "Bo Bee"),
        categories=("botany",),
        url="https://journal.example/a/1",
        day=date(2026, 11, 17),
        doi="10.1000/invented.1",
        aliases=("url:https://journal.example/a/1",),
    )
    assert (second.key, second.authors) == ("url:https://journal.example/a/2", ("Cy Dee",))
    assert [r.reason for r in listing.rejected] == ["it has no title"]


def test_quirks_of_arxivs_feed() -> None:
    names, bare = read("quirks.rss.xml").entries
    assert names.authors == ("Ann Able", "Hašek Øre")
    assert (bare.key, bare.version, bare.abstract) == ("arxiv:hep-th/0211002", 2, "")
    assert (bare.kind, bare.authors) == ("replace-cross", ())


def test_an_rss_feed_may_ask_for_days_of_rest() -> None:
    assert read("arxiv-empty.rss.xml").skip_days == {5, 6}
    names = ("Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun")
    week = "".join(f"<day>{name}day</day>" for name in names)
    rest = "<day>Sunday</day><day>Saturday</day>"
    assert changed("arxiv-empty.rss.xml", rest, week).skip_days == frozenset()


def test_json_lines_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "AT_ONCE", 2)
    paper = {"id": "2611.01234", "day": "2026-11-17", "title": "T", "abstract": "$x^2$"}
    lines = [
        json.dumps(paper | {"authors": ["Ann Able", 3], "categories": ["cs.LG"]}).encode(),
        b"\n",
        b"{broken",
        json.dumps(paper | {"id": "doi:10.1000/x"}).encode(),
        json.dumps(paper | {"id": "x7"}).encode(),
        json.dumps(paper | {"day": "soon"}).encode(),
        b"[]",
    ]
    pieces = list(jsonlines.listings(lines, "papers.jsonl", WEDNESDAY))
    assert [len(piece.entries) for piece in pieces] == [1, 1, 0, 0]
    first = pieces[0].entries[0]
    assert (first.key, first.abstract, first.authors) == ("arxiv:2611.01234", "x²", ("Ann Able",))
    assert pieces[1].entries[0].url == "https://doi.org/10.1000/x"
    assert [(r.position, r.reason) for piece in pieces for r in piece.rejected] == [
        (3, "it is no JSON"),
        (5, "its id is no arXiv id, DOI or address"),
        (6, "it has no day of the form 2026-11-18"),
        (7, "it is no JSON object"),
    ]
