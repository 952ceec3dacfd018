"""The commands, as a person and as a script meet them: output, exit codes, and what they change."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from conftest import Mailbox
from test_reports import DSN

from digest.__main__ import main
from digest.app import open_app
from digest.settings import load
from digest.suppressions import suppress

DAY = "2025-11-18"
TOPIC = "diffusion models for image generation"
TITLES = {
    "2511.10001": "Image Generation by Diffusion Models with Fewer Steps",
    "2511.10002": "Guidance for Diffusion Models of Images",
    "2511.10003": "Weak Lensing in a Galaxy Survey",
    "2511.10004": "Galaxy Clusters and their Gas",
    "2511.10005": "Chains of Thought in Language Models",
    "2511.10006": "Proof Search with Language Models",
}
ITEM = """
<item><title>{title}</title><link>https://arxiv.org/abs/{id}</link>
<description>arXiv:{id}v1 Announce Type: new
Abstract: We study {title} at length, and report what we found.</description>
<guid isPermaLink="false">oai:arXiv.org:{id}v1</guid><category>cs.LG</category>
<pubDate>Tue, 18 Nov 2025 00:00:00 -0500</pubDate>
<arxiv:announce_type>new</arxiv:announce_type><dc:creator>Ann Author, Bo Writer</dc:creator></item>
"""
FEED = """<?xml version="1.0" encoding="UTF-8"?>
<rss xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns:dc="http://purl.org/dc/elements/1.1/"
 version="2.0"><channel><title>cs.LG updates on arXiv.org</title><link>x</link>
<description>x</description><pubDate>Tue, 18 Nov 2025 00:00:00 -0500</pubDate>{items}
</channel></rss>"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Digest = Callable[..., Result]


@pytest.fixture
def digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Digest:
    """Runs a command in a folder of its own and gives what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["digest", *arguments])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture
def service(digest: Digest, mailbox: Mailbox, tmp_path: Path) -> Digest:
    """A configured service with six papers of one day and one reader of some of them."""
    (tmp_path / "config.toml").write_text(f'[smtp]\nhost = "127.0.0.1"\nport = {mailbox.port}\n')
    items = "".join(ITEM.format(id=id_, title=title) for id_, title in TITLES.items())
    (tmp_path / "feed.xml").write_text(FEED.format(items=items))
    assert digest("ingest", "feed.xml").code == 0
    assert digest("subscribers", "add", "ada@reader.test", "--topic", TOPIC).code == 0
    return digest


def started(folder: Path, *arguments: str) -> tuple[str, set[str]]:
    """What a process of its own prints, and the modules that it loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "digest", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    return done.stdout, {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_the_program_starts_fast_and_knows_its_version(tmp_path: Path) -> None:
    out, loaded = started(tmp_path, "--version")
    assert re.fullmatch(r"digest \d+\.\d+\.\d+\S*\n", out)
    assert not loaded & {"sqlalchemy", "sklearn", "numpy", "starlette", "feedparser", "pydantic"}


def test_looking_things_up_loads_neither_models_nor_pages(tmp_path: Path) -> None:
    _, loaded = started(tmp_path, "subscribers", "list")
    assert not loaded & {"sklearn", "numpy", "scipy", "starlette", "uvicorn", "apscheduler"}


def test_wrong_usage_is_2_and_what_cannot_be_done_is_1_with_one_line(digest: Digest) -> None:
    assert digest("frobnicate").code == 2
    assert digest("rank").code == 2
    assert digest("rank", "ada@reader.test", "--day", "yesterday").code == 2
    nobody = digest("rank", "nobody@reader.test")
    assert (nobody.code, nobody.out) == (1, "")
    assert nobody.err == "digest: there is no subscriber nobody@reader.test\n"


def test_a_wrong_setting_stops_every_command_with_its_name(digest: Digest) -> None:
    Path("config.toml").write_text("[smtp]\nport = 0\n")
    for command in (["feeds", "list"], ["deliver"], ["run"]):
        result = digest(*command)
        assert result.code == 1
        assert "smtp.port" in result.err


def test_config_names_the_file_wherever_it_is(digest: Digest, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/elsewhere.db"\n')
    assert digest("--config", str(other), "db", "upgrade").code == 0
    assert (tmp_path / "elsewhere.db").exists()
    assert digest("--config", "absent.toml", "feeds", "list").code == 1


# init


def test_init_makes_a_service_ready_to_be_configured(digest: Digest) -> None:
    assert digest("init", "--category", "cs.LG", "--category", "cs.CV").code == 0
    config = Path("config.toml")
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert re.search(r'^secret = "[\w-]{40,}"$', config.read_text(), re.M)
    assert [feed["url"] for feed in digest("feeds", "list", "--json").json] == [
        "https://rss.arxiv.org/rss/cs.LG+cs.CV",
        "https://huggingface.co/api/daily_papers",
    ]


def test_init_never_writes_over_a_configuration(digest: Digest) -> None:
    Path("config.toml").write_text("# mine\n")
    result = digest("init")
    assert result.code == 1
    assert "config.toml is there already" in result.err
    assert Path("config.toml").read_text() == "# mine\n"


def test_init_without_a_category_adds_no_feed_and_says_so(digest: Digest) -> None:
    result = digest("init")
    assert result.code == 0
    assert "There is no feed yet" in result.out
    assert digest("feeds", "list", "--json").json == []


@pytest.mark.parametrize("wrong", ["machine learning", "cs.LG+cs.CV", "../x", "CS", ""])
def test_init_with_a_category_that_cannot_be_one_leaves_nothing(digest: Digest, wrong: str) -> None:
    result = digest("init", "--category", wrong)
    assert result.code == 1
    assert "cs.LG" in result.err
    assert not Path("config.toml").exists()


@pytest.mark.parametrize("right", ["cs.LG", "hep-th", "math", "astro-ph.GA", "cond-mat.mtrl-sci"])
def test_init_knows_the_shapes_of_categories(digest: Digest, right: str) -> None:
    assert digest("init", "--category", right).code == 0


# feeds and ingest


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


def test_ingest_of_the_past_needs_days_and_takes_no_sources(service: Digest) -> None:
    for wrong in (("--to", "2026-11-18"), ("--replay",), ("feed.xml", "--from", "2026-11-18")):
        assert service("ingest", *wrong).code == 2
    assert service("ingest", "--from", "2026-11-18", "--to", "2026-11-17").code == 1
    days = ("--from", "2026-11-16", "--to", "2026-11-18", "--json")
    for options in (days, (*days, "--replay")):
        result = service("ingest", *options)
        assert (result.code, result.json) == (0, [])


# subscribers


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
        (["ben@reader.test", "--at", "25:00"], 1),
        (["ben@reader.test", "--timezone", "Mars/Base"], 1),
        (["ben@reader.test", "--frequency", "hourly"], 1),
        (["ben@reader.test", "--like", "arxiv:9999.00000"], 1),
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


# the day


def test_the_ranking_follows_the_topic_and_gives_reasons(service: Digest) -> None:
    ranked = service("rank", "ada@reader.test", "--day", DAY, "--json").json
    assert len(ranked) == 6
    assert {paper["id"] for paper in ranked[:2]} == {"arxiv:2511.10001", "arxiv:2511.10002"}
    assert ranked[0].keys() == {"id", "title", "score", "reasons"}
    assert TOPIC in ranked[0]["reasons"][0]
    assert len(service("rank", "ada@reader.test", "--day", DAY, "--limit", "2", "--json").json) == 2


def test_a_vote_changes_the_ranking(service: Digest) -> None:
    def place(paper: str) -> int:
        ranked = service("rank", "ada@reader.test", "--day", DAY, "--json").json
        return [p["id"] for p in ranked].index(paper)

    before = place("arxiv:2511.10006")
    assert service("vote", "ada@reader.test", "2511.10005v1", "up").code == 0
    assert place("arxiv:2511.10006") < before
    assert service("vote", "ada@reader.test", "arxiv:2511.10005", "sideways").code == 1
    assert service("vote", "ada@reader.test", "arxiv:0000.00000", "up").code == 1


def test_a_preview_goes_to_files_and_to_nobody(service: Digest, mailbox: Mailbox) -> None:
    files = ("--html", "d.html", "--text", "d.txt", "--eml", "d.eml")
    told = service("preview", "ada@reader.test", "--day", DAY, *files, "--json").json
    assert told["written"] == {"html": "d.html", "text": "d.txt", "eml": "d.eml"}
    message = message_from_bytes(Path("d.eml").read_bytes(), policy=policy.default)
    assert message["Subject"] == told["subject"]
    assert TITLES["2511.10001"] in Path("d.txt").read_text()
    assert TITLES["2511.10001"] in Path("d.html").read_text()
    assert TITLES["2511.10001"] in service("preview", "ada@reader.test", "--day", DAY).out
    assert mailbox.messages == []
    assert service("preview", "ada@reader.test", "--day", DAY, "--html", "no/d.html").code == 1


def test_a_days_digest_is_delivered_once(service: Digest, mailbox: Mailbox) -> None:
    planned = service("deliver", "--day", DAY, "--dry-run", "--json").json
    assert planned == {"sent": 1, "failed": 0, "in_doubt": 0, "skipped": 0}
    assert mailbox.messages == []
    assert service("deliver", "--day", DAY, "--json").json["sent"] == 1
    assert service("deliver", "--day", DAY, "--json").json["sent"] == 0
    assert [message["To"] for message in mailbox.messages] == ["ada@reader.test"]
    assert service("deliver", "--only", "nobody@reader.test").code == 1


def test_without_a_mail_server_delivery_is_1_and_nothing_is_lost(
    service: Digest, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("DIGEST_SMTP__PORT", "1")
        failed = service("deliver", "--day", DAY)
        assert (failed.code, failed.out) == (1, "")
        assert "127.0.0.1:1" in failed.err
    assert service("deliver", "--json").json["sent"] == 1
    assert len(mailbox.messages) == 1


def test_why_tells_of_the_day(service: Digest) -> None:
    service("subscribers", "add", "ada@reader.test", "--topic", TOPIC)
    told = service("why", "ada@reader.test", "--json").json
    assert (set(told), told["outcome"]) == ({"day", "outcome", "detail"}, "waiting")
    service("deliver", "--day", DAY)
    assert service("why", "ada@reader.test", "--json").json["outcome"] == "sent"
    assert "sent: Sent at" in service("why", "ada@reader.test").out
    before = service("why", "ada@reader.test", "--day", "2020-01-01", "--json").json
    assert (before["day"], before["outcome"]) == ("2020-01-01", "not-subscribed")
    assert service("why", "nobody@reader.test").code == 1
    assert service("why", "ada@reader.test", "--day", "yesterday").code == 2


def test_stats_count_what_came_and_went(service: Digest) -> None:
    service("subscribers", "add", "ada@reader.test", "--topic", TOPIC)
    service("deliver", "--day", DAY)
    found = service("stats", "--json").json
    assert found["outcomes"]["today"] == {"sent": 1}
    assert (found["papers"], found["digests"]["sent"]) == (len(TITLES), 1)
    assert "1 sent" in service("stats").out


def test_the_last_weeks_are_drawn_as_a_page(service: Digest) -> None:
    assert service("stats", "--html", "figures.html", "--json").json == {"file": "figures.html"}
    assert "figures.html" in service("stats", "--html", "figures.html").out
    assert "Votes per digest" in Path("figures.html").read_text()
    assert service("stats", "--html", "no/folder.html").code == 1


def test_a_test_mail_shows_the_servers_answers(service: Digest, mailbox: Mailbox) -> None:
    told = service("send-test", "ada@reader.test")
    assert "250 2.0.0 kept" in told.out
    assert len(mailbox.messages) == 1


def test_what_a_feed_says_cannot_steer_the_terminal(service: Digest) -> None:
    nasty = "[bold]Nice[/bold] \x9b31m paper"
    Path("nasty.xml").write_text(FEED.format(items=ITEM.format(id="2511.10009", title=nasty)))
    service("ingest", "nasty.xml")
    shown = service("rank", "ada@reader.test", "--day", DAY).out
    assert "[bold]Nice[/bold]" in shown
    assert "\x9b" not in shown


def test_a_table_for_a_program_has_one_line_per_row(service: Digest) -> None:
    shown = service("rank", "ada@reader.test", "--day", DAY).out
    for title in TITLES.values():
        (line,) = [line for line in shown.splitlines() if title in line]
        assert "arxiv:" in line


def test_an_evaluation_ranks_and_measures(digest: Digest) -> None:
    papers = [
        {"id": id_, "day": day, "title": title, "abstract": title, "authors": [], "categories": []}
        for day in ("2025-11-17", DAY)
        for id_, title in ((f"{day} {key}", title) for key, title in TITLES.items())
    ]
    reader = {"user": "u1", "topics": [TOPIC], "categories": [], "authors": []}
    reader |= {"likes": [], "dislikes": []}
    relevant = [paper["id"] for paper in papers if "Diffusion" in paper["title"]][2:]
    for name, lines in (
        ("papers", papers),
        ("profiles", [reader]),
        ("qrels", [{"user": "u1", "day": DAY, "relevant": relevant}]),
    ):
        Path(f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    files = ("profiles.jsonl", "--papers", "papers.jsonl", "--qrels", "qrels.jsonl")
    told = digest("evaluate", *files, "--predictions", "out.jsonl", "--json").json
    assert (told["users"], told["user_days"]) == (1, 1)
    assert {estimate["mean"] for estimate in told["metrics"].values()} == {1.0}
    (ranking,) = Path("out.jsonl").read_text().splitlines()
    assert set(json.loads(ranking)["ranking"][:2]) == set(relevant)
    assert "ndcg@10" in digest("evaluate", *files).out.lower()
    assert digest("evaluate", "absent.jsonl", "--papers", "papers.jsonl").code == 1


def test_suppressions_are_listed_added_and_lifted(service: Digest, mailbox: Mailbox) -> None:
    would = service("suppressions", "add", "Ada@reader.test", "--dry-run", "--json")
    assert would.json == {"email": "Ada@reader.test", "suppressed": False}
    assert service("suppressions", "list", "--json").json == []
    assert service("suppressions", "add", "ada@reader.test", "--json").json["suppressed"]
    [row] = service("suppressions", "list", "--json").json
    assert (row["email"], row["reason"]) == ("ada@reader.test", "operator")
    assert "ada@reader.test" in service("suppressions", "list").out
    assert service("deliver", "--day", DAY, "--json").code == 0
    assert mailbox.messages == []
    assert service("suppressions", "add", "ada@reader.test").code == 1
    again = service("subscribers", "add", "new@reader.test")
    assert again.code == 0
    assert service("suppressions", "remove", "ada@reader.test", "--dry-run", "--json").json == {
        "email": "ada@reader.test",
        "reason": "operator",
        "removed": False,
    }
    assert service("suppressions", "remove", "ada@reader.test", "--yes", "--json").json["removed"]
    assert service("suppressions", "list", "--json").json == []
    gone = service("suppressions", "remove", "ada@reader.test")
    assert (gone.code, gone.out) == (1, "")
    assert "not suppressed" in gone.err


def test_bounces_are_read_from_a_file(service: Digest, mailbox: Mailbox, tmp_path: Path) -> None:
    assert service("deliver", "--day", DAY).code == 0
    [mail] = mailbox.messages
    notice = DSN.format(
        to="digest@localhost",
        action="failed",
        status="5.1.1",
        said="smtp; 550 5.1.1 no",
        original="text/rfc822-headers",
        mark="MARK",
    ).replace("<MARK.1790000000000.digest@digest.test>", mail["Message-ID"])
    (tmp_path / "box").write_text(f"From MAILER-DAEMON Wed Nov 18 09:00:00 2026\n{notice}\n")
    for dry in (["--dry-run"], []):
        done = service("bounces", "process", "box", "--json", *dry)
        assert (done.code, done.json["seen"], done.json["suppressed"]) == (0, 1, 1)
    again = service("bounces", "process", "box", "--json").json
    assert (again["suppressed"], again["known"]) == (0, 1)
    assert service("suppressions", "list", "--json").json[0]["reason"] == "bounce"
    unset = service("bounces", "process")
    assert unset.code == 1
    assert "bounces.maildir" in unset.err
    assert "/bounces/" in service("bounces", "webhook").out
    assert service("bounces", "webhook", "--json").json["url"].startswith("http")


def test_what_a_complainer_wants_is_asked_about_twice(service: Digest, tmp_path: Path) -> None:
    assert service("deliver", "--day", DAY).code == 0
    with open_app(load(tmp_path / "config.toml")) as app, app.db.write() as session:
        suppress(app, session, "ada@reader.test", "ada@reader.test", "complaint")
    asked = service("suppressions", "remove", "ada@reader.test")
    assert asked.code == 1
    assert "--yes" in asked.err
    assert service("suppressions", "remove", "ada@reader.test", "--yes").code == 0


def test_evaluate_on_what_is_recorded_says_what_is_missing(service: Digest) -> None:
    result = service("evaluate", "--recorded", "--json")
    assert (result.code, result.json["metrics"]) == (0, {})
    assert "nothing to measure" in result.json["note"]
    assert "nothing to measure" in service("evaluate", "--recorded").out


@pytest.mark.parametrize("wrong", [[], ["profiles.jsonl"], ["--recorded", "profiles.jsonl"]])
def test_evaluate_takes_files_or_the_records(service: Digest, wrong: list[str]) -> None:
    assert service("evaluate", *wrong).code == 2


def test_a_bibtex_file_to_start_from(service: Digest, tmp_path: Path) -> None:
    file = tmp_path / "papers.bib"
    file.write_text("@misc{x, title={Of maps}, eprint={2405.00001}}\n@book{y, year=1999}")
    result = service("subscribers", "add", "ben@reader.test", "--bibtex", str(file))
    assert result.code == 0
    assert "y" in result.err
    (vote,) = json.loads(service("subscribers", "export", "--email", "ben@reader.test").out)[
        "feedback"
    ]
    assert (vote["paper"], vote["source"]) == ("arxiv:2405.00001", "seed")


def test_a_library_becomes_likes_and_comes_back(service: Digest, tmp_path: Path) -> None:
    (tmp_path / "a.ris").write_text(
        "TY  - JOUR\nTI  - Of maps\nUR  - https://arxiv.org/abs/2405.00001\nER  - \n"
        "TY  - BOOK\nPY  - 1999\nER  - \n"
    )
    command = ("subscribers", "library", "ada@reader.test")
    tried = service(*command, "a.ris", "--dry-run", "--json").json
    assert (tried["liked"], tried["known"], len(tried["unread"])) == (1, 0, 1)
    result = service(*command, "a.ris")
    assert result.out.startswith("1 papers are likes now, 0 were before.")
    assert "BOOK" in result.err
    assert service(*command, "--export", "b.bib", "--json").json["papers"] == 1
    assert service(*command, "b.bib", "--json").json["known"] == 1
    assert service(*command).code == 2
    assert service(*command, "none.ris").code == 1
