"""The commands for feeds, and reading them."""

from pathlib import Path

from commands import Digest, begun, digest, service

__all__ = ["begun", "digest", "service"]  # fixtures


def test_feeds_come_and_go(digest: Digest) -> None:
    added = digest("feeds", "add", "https://journal.test/rss", "--json").json
    assert added == {"id": 1, "url": "https://journal.test/rss", "kind": "generic"}
    assert digest("feeds", "add", "https://journal.test/rss").code == 1
    assert digest("feeds", "add", "feed.xml").code == 1
    assert "https://journal.test/rss" in digest("feeds", "list").out
    assert digest("feeds", "remove", "1", "--dry-run").code == 0
    assert len(digest("feeds", "list", "--json").json) == 1
    assert digest("feeds", "remove", "1").code == 0
    assert digest("feeds", "list", "--json").json == []
    assert digest("feeds", "remove", "1").code == 1
    assert digest("feeds", "remove", "9" * 30).code == 2


def test_lists_of_feeds_come_from_other_readers_and_go_there(
    digest: Digest, tmp_path: Path
) -> None:
    digest("feeds", "add", "https://journal.test/rss")
    reader = tmp_path / "reader.opml"
    reader.write_text(
        "<opml version=2.0><body><outline text='Journals'>"
        "<outline text='Held & known' xmlUrl='https://journal.test/rss'/>"
        "<outline xmlUrl=https://other.test/atom.xml /><outline text=x xmlUrl='feed:other'/>"
        "</outline></body></opml>"
    )
    planned = digest("feeds", "import", str(reader), "--dry-run", "--json").json
    assert len(digest("feeds", "list", "--json").json) == 1
    done = digest("feeds", "import", str(reader), "--json").json
    assert [each["outcome"].split(":")[0] for each in done] == ["there already", "added", "refused"]
    assert [each["outcome"].split(":")[0] for each in planned] == [
        "there already",
        "new",
        "refused",
    ]
    copy = tmp_path / "copy.opml"
    assert digest("feeds", "export", str(copy), "--json").json == {"file": str(copy), "feeds": 2}
    assert digest("feeds", "export").out == copy.read_text()
    again = digest("feeds", "import", str(copy), "--json").json
    assert {each["outcome"] for each in again} == {"there already"}
    assert digest("feeds", "import", str(tmp_path / "absent")).code == 2
    assert digest("feeds", "export", str(tmp_path / "no" / "folder")).code == 1


def test_ingest_counts_what_came_in(service: Digest) -> None:
    (again,) = service("ingest", "feed.xml", "--json").json
    counts = {key: again[key] for key in ("source", "seen", "new", "updated", "rejected")}
    assert counts == {"source": "feed.xml", "seen": 6, "new": 0, "updated": 0, "rejected": 0}


def test_ingest_of_what_is_no_feed_reads_the_others_and_is_1(service: Digest) -> None:
    Path("diary.xml").write_text("Dear diary")
    result = service("ingest", "diary.xml", "absent.xml", "feed.xml", "--json")
    assert result.code == 1
    assert [report["seen"] for report in result.json] == [0, 0, 6]
    assert result.err == ""  # the table says it


def test_ingest_of_the_past_needs_days_and_takes_no_sources(service: Digest) -> None:
    for wrong in (("--to", "2026-11-18"), ("--replay",), ("feed.xml", "--from", "2026-11-18")):
        assert service("ingest", *wrong).code == 2
    assert service("ingest", "--from", "2026-11-18", "--to", "2026-11-17").code == 1
    days = ("--from", "2026-11-16", "--to", "2026-11-18", "--json")
    for options in (days, (*days, "--replay")):
        result = service("ingest", *options)
        assert (result.code, result.json) == (0, [])
