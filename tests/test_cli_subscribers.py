"""The commands for readers."""

import json
from pathlib import Path

import pytest
from commands import TOPIC, Digest, begun, digest, service

__all__ = ["begun", "digest", "service"]  # fixtures


def test_a_subscriber_is_added_with_all_wishes(service: Digest) -> None:
    result = service(
        *("subscribers", "add", "ben@reader.test", "--name", "Ben", "--json"),
        *("--topic", "proof search ^2", "--topic", "logic", "--category", "cs.LO"),
        *("--author", "Bo Writer", "--mute", "survey", "--like", "arxiv:2511.10006"),
        *("--min-score", "0.2", "--per-digest", "5", "--frequency", "weekdays"),
        *("--at", "18:30", "--timezone", "Asia/Tokyo"),
    )
    assert result.code == 0
    wishes = result.json
    assert wishes["topics"] == [["proof search", 2.0], ["logic", 1.0]]
    assert (wishes["send_at"], wishes["timezone"]) == ("18:30", "Asia/Tokyo")
    assert (wishes["min_score"], wishes["per_digest"]) == (0.2, 5)
    (vote,) = json.loads(service("subscribers", "export", "--email", "ben@reader.test").out)[
        "feedback"
    ]
    assert (vote["paper"], vote["vote"]) == ("arxiv:2511.10006", "up")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (["nobody"], 1),
        (["ben@reader.test", "--at", "25:00"], 2),
        (["ben@reader.test", "--timezone", "Mars/Base"], 2),
        (["ben@reader.test", "--frequency", "hourly"], 2),
        (["ben@reader.test", "--min-score", "2"], 2),
        (["ben@reader.test", "--topic", "galaxies ^1000"], 2),
        (["ben@reader.test", "--like", "foo"], 2),
        (["ben@reader.test", "--like", "arxiv:9999.00000"], 2),
        (["ben@reader.test", "--per-digest", "51"], 2),
        (["ada@reader.test"], 1),
    ],
)
def test_a_wrong_wish_adds_nobody(service: Digest, wrong: list[str], code: int) -> None:
    assert service("subscribers", "add", *wrong).code == code
    assert [p["email"] for p in service("subscribers", "list", "--json").json] == [
        "ada@reader.test"
    ]


def test_an_edit_changes_what_is_given_and_nothing_else(service: Digest) -> None:
    edited = service("subscribers", "edit", "ada@reader.test", "--per-digest", "3", "--json").json
    assert (edited["per_digest"], edited["topics"]) == (3, [[TOPIC, 1.0]])
    assert (
        service("subscribers", "edit", "ada@reader.test", "--topic", "", "--json").json["topics"]
        == []
    )


def test_doors_are_set_on_the_command_line_and_shown_cut(service: Digest) -> None:
    edit = ("subscribers", "edit", "ada@reader.test", "--also")
    edited = service(*edit, "https://hooks.test/S3CRET")
    assert "https://hooks.test/…" in edited.out and "S3CRET" not in edited.out
    shown = service("subscribers", "show", "ada@reader.test", "--json").json
    assert shown["also"] == ["https://hooks.test/…"]
    assert "also" not in service(*edit, "", "--json").json
    refused = service(*edit, "nosuch://S3CRET")
    assert refused.code == 1 and "--also" in refused.err and "S3CRET" not in refused.err


def test_a_pause_and_its_end(service: Digest) -> None:
    paused = service("subscribers", "pause", "ada@reader.test", "--until", "2999-01-02", "--json")
    assert (paused.json["status"], paused.json["paused_until"]) == ("paused", "2999-01-02")
    assert "paused until 2999-01-02" in service("subscribers", "list").out
    assert service("subscribers", "resume", "ada@reader.test", "--json").json["status"] == "active"


@pytest.mark.parametrize("verb", ["remove", "erase"])
def test_what_cannot_be_undone_wants_a_yes(service: Digest, verb: str) -> None:
    assert service("subscribers", verb, "ada@reader.test", "--dry-run").code == 0
    refused = service("subscribers", verb, "ada@reader.test")
    assert refused.code == 1
    assert "--yes" in refused.err
    assert service("subscribers", "show", "ada@reader.test", "--json").json["status"] == "active"
    assert service("subscribers", verb, "ada@reader.test", "--yes").code == 0
    left = [p["status"] for p in service("subscribers", "list", "--json").json]
    assert left == (["removed"] if verb == "remove" else [])
    assert service("subscribers", "add", "ada@reader.test").code == 1


@pytest.mark.parametrize("name", ["people.csv", "people.jsonl"])
def test_people_go_to_a_file_and_come_back(service: Digest, name: str) -> None:
    service("vote", "ada@reader.test", "arxiv:2511.10001", "up")
    before = service("subscribers", "export", "--json").json
    assert service("subscribers", "export", name).code == 0
    Path("data/digest.db").unlink()
    service("ingest", "feed.xml")
    assert service("subscribers", "import", name, "--json").json["added"] == 1
    assert service("subscribers", "export", "--json").json == before


def test_an_import_says_what_it_refused(service: Digest) -> None:
    Path("people.csv").write_text("email,topics\nben@reader.test,logic\nnobody,logic\n")
    result = service("subscribers", "import", "people.csv")
    assert result.code == 0
    assert "1 added, 0 known already, 1 refused." in result.out
    assert "not an email address" in result.out
    assert service("subscribers", "import", "absent.csv").code == 1
    Path("bytes.csv").write_bytes(b"email\n\xff\xfe\n")
    assert "not UTF-8" in service("subscribers", "import", "bytes.csv").err


def test_lists_without_an_entry_say_so(digest: Digest) -> None:
    assert "digest subscribers add EMAIL" in digest("subscribers", "list").out
    assert digest("subscribers", "list", "--status", "paused").out.strip() == "Nobody is paused."
    assert "none is suppressed" in digest("suppressions", "list").out
    assert "digest feeds add URL" in digest("feeds", "check").out


@pytest.mark.parametrize(
    "wrong",
    [
        ["subscribers", "list", "--status", "nonsense"],
        ["feeds", "add", "https://journal.test/rss", "--kind", "nonsense"],
        ["ingest", "--from", "yesterday"],
        ["vote", "ada@reader.test", "arxiv:2511.10005", "sideways"],
    ],
)
def test_a_word_that_can_never_be_right_is_wrong_usage(digest: Digest, wrong: list[str]) -> None:
    refused = digest(*wrong)
    assert (refused.code, refused.out) == (2, "")
    assert wrong[-1] in refused.err and "expected" in refused.err


def test_an_export_of_nobody_leaves_the_file_as_it_was(service: Digest) -> None:
    Path("kept.json").write_text("mine")
    assert service("subscribers", "export", "kept.json", "--email", "no@reader.test").code == 1
    assert Path("kept.json").read_text() == "mine"


def test_a_category_that_looks_mistyped_is_told_of_and_kept(service: Digest) -> None:
    words = ("--category", "cs.LGG", "--category", "neuroscience")
    result = service("subscribers", "edit", "ada@reader.test", *words, "--json")
    assert result.err == "arXiv has no category cs.LGG: did you mean cs.LG?\n"
    assert result.json["categories"] == [["cs.LGG", 1.0], ["neuroscience", 1.0]]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_that_no_calendar_reaches_is_wrong_usage(service: Digest, day: str) -> None:
    for words in (
        ("rank", "ada@reader.test"),
        ("why", "ada@reader.test"),
        ("deliver",),
        ("preview", "ada@reader.test"),
    ):
        assert service(*words, "--day", day).code == 2
    assert service("ingest", "--from", day).code == 2
    assert service("subscribers", "pause", "ada@reader.test", "--until", day).code == 2


def test_a_day_without_papers_is_said_instead_of_an_empty_table(service: Digest) -> None:
    told = service("rank", "ada@reader.test", "--day", "2020-01-01")
    assert told.code == 0 and "No paper was announced" in told.out


def test_a_reader_of_whom_nothing_is_known_is_added_with_a_hint(service: Digest) -> None:
    hint = "Nothing says yet what this reader likes"
    assert hint in service("subscribers", "add", "cy@reader.test").out
    assert hint not in service("subscribers", "add", "di@reader.test", "--topic", "galaxies").out
