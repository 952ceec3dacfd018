"""The commands, as a person and as a script meet them: output, exit codes, and what they change."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from commands import DAY, FEED, ITEM, TITLES, TOPIC, Digest, begun, digest, service
from conftest import Mailbox
from test_reports import DSN

from digest.app import open_app
from digest.cli import terminal
from digest.settings import load
from digest.suppressions import suppress

__all__ = ["begun", "digest", "service"]  # fixtures


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


@pytest.mark.parametrize("wrong", ["machine learning", "cs.LG+cs.CV", "../x", "zz", ""])
def test_init_with_a_category_that_cannot_be_one_leaves_nothing(digest: Digest, wrong: str) -> None:
    result = digest("init", "--category", wrong)
    assert result.code == 1
    assert "arXiv has no category" in result.err
    assert not Path("config.toml").exists()


@pytest.mark.parametrize(
    ("wrong", "near"), [("cs.LGG", "cs.LG"), ("hep.th", "hep-th"), ("math.NTT", "math.NT")]
)
def test_init_says_which_category_was_meant(digest: Digest, wrong: str, near: str) -> None:
    result = digest("init", "--category", "cs.CV", "--category", wrong)
    assert result.code == 1
    assert f"arXiv has no category '{wrong}': did you mean {near}?" in result.err
    assert not Path("config.toml").exists()


def test_init_spells_a_category_as_arxiv_does(digest: Digest) -> None:
    assert digest("init", "--category", "CS.lg").code == 0
    [feed, _] = digest("feeds", "list", "--json").json
    assert feed["url"] == "https://rss.arxiv.org/rss/cs.LG"


@pytest.mark.parametrize("right", ["cs.LG", "hep-th", "math", "astro-ph.GA", "cond-mat.mtrl-sci"])
def test_init_knows_the_shapes_of_categories(digest: Digest, right: str) -> None:
    assert digest("init", "--category", right).code == 0


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
    assert service("vote", "ada@reader.test", "arxiv:2511.10005", "sideways").code == 2
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


def test_what_the_doctor_says_stands_in_where_the_terminal_is_narrow(
    service: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("digest.cli.terminal._PIPE_WIDTH", 40)
    terminal._console.cache_clear()
    told = service("doctor").out
    terminal._console.cache_clear()
    assert max(map(len, told.splitlines())) <= 40
    assert any(re.match(r"  \S", line) for line in told.splitlines())


@pytest.mark.parametrize("part", ["run", "web"])
def test_a_port_that_is_taken_is_named_before_anything_is_begun(
    digest: Digest, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("DIGEST_WEB__PORT", str(port))
        refused = digest(part)
    assert (refused.code, refused.out) == (1, "")
    assert f"web.port: cannot listen on 127.0.0.1:{port}" in refused.err
    assert "started" not in refused.err
