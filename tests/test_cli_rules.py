"""Rules that every command keeps: held over all there are, so that a new one cannot forget them."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import DAY, TOPIC, Digest, begun, digest, service
from conftest import Mailbox
from typer.main import get_command

from digest.__main__ import main
from digest.cli.main import cli

__all__ = ["begun", "digest", "service"]  # fixtures

# These stay until a signal ends them, or make the configuration that all others read.
STAYING = {"run", "web", "scheduler", "worker"}
WITHOUT_JSON = STAYING | {"init"}
SEND_OR_DELETE = {
    *("deliver", "send-test", "bounces process", "feeds remove", "subscribers remove"),
    *("subscribers erase", "subscribers import", "suppressions add", "suppressions remove"),
    *("feeds import", "db restore"),
}
CANNOT_BE_UNDONE = {"subscribers remove", "subscribers erase", "suppressions remove", "db restore"}


def commands() -> Iterator[tuple[str, Any]]:
    """Each command by its name, groups left out."""
    waiting: list[tuple[str, Any]] = [("", get_command(cli))]
    while waiting:
        name, command = waiting.pop(0)
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
        waiting += [(f"{name} {key}".strip(), each) for key, each in (below or {}).items()]


COMMANDS = dict(commands())
each = pytest.mark.parametrize("name", sorted(COMMANDS))


def options(name: str) -> set[str]:
    return {option for parameter in COMMANDS[name].params for option in parameter.opts}


@each
def test_every_command_that_ends_has_json(name: str) -> None:
    assert ("--json" in options(name)) == (name not in WITHOUT_JSON)


@each
def test_what_sends_or_deletes_can_be_tried_and_what_cannot_be_undone_asks(name: str) -> None:
    assert name not in SEND_OR_DELETE or "--dry-run" in options(name)
    assert ("--yes" in options(name)) == (name in CANNOT_BE_UNDONE)


def test_a_command_whose_name_says_so_is_among_those_that_send_or_delete() -> None:
    telling = re.compile(r"remove|erase|delete|purge|send|deliver|process|import|restore")
    assert {name for name in COMMANDS if telling.search(name)} == SEND_OR_DELETE - {
        "suppressions add"
    }


@each
def test_every_command_argument_and_option_says_what_it_is(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if parameter.name == "help":
            continue
        assert parameter.help, parameter.name
        # The terminal would take such a word for a mark of style, and leave it out.
        assert not re.search(r"\[/?[a-z#@]", parameter.help), parameter.help
    assert re.match(r"[A-Z]", command.help)


@each
def test_help_is_told_and_wrong_usage_is_2(digest: Digest, name: str) -> None:
    told = digest(*name.split(), "--help")
    assert told.code == 0
    assert "Usage: digest" in re.sub(r"\s+", " ", told.out)
    wrong = digest(*name.split(), "--frobnicate")
    assert (wrong.code, wrong.out) == (2, "")
    assert "frobnicate" in wrong.err


ADA, PAPER = "ada@reader.test", "arxiv:2511.10001"
# How each command is called to do its work, in an order in which all of them can.
CALLS: dict[str, list[str]] = {
    "doctor": [],
    "stats": [],
    "ingest": ["feed.xml"],
    "rank": [ADA, "--day", DAY],
    "preview": [ADA, "--day", DAY, "--html", "preview.html"],
    "send-test": [ADA],
    "deliver": ["--day", DAY],
    "why": [ADA],
    "vote": [ADA, PAPER, "up"],
    "evaluate": ["--recorded"],
    "feeds add": ["https://rss.arxiv.org/rss/cs.LG"],
    "feeds list": [],
    "feeds check": [],
    "feeds export": ["feeds.opml"],
    "feeds import": ["feeds.opml"],
    "feeds remove": ["1"],
    "subscribers add": ["bo@reader.test", "--topic", "galaxies"],
    "subscribers edit": ["bo@reader.test", "--per-digest", "5"],
    "subscribers list": [],
    "subscribers show": [ADA],
    "subscribers pause": ["bo@reader.test"],
    "subscribers resume": ["bo@reader.test"],
    "subscribers library": [ADA, "--export", "ada.bib"],
    "subscribers export": ["readers.csv"],
    "subscribers import": ["readers.csv"],
    "suppressions add": ["cy@reader.test"],
    "suppressions list": [],
    "suppressions remove": ["cy@reader.test"],
    "bounces process": ["maildir"],
    "bounces webhook": [],
    "db upgrade": [],
    "db backup": ["copy.db"],
    "db restore": ["copy.db", "--yes"],
    "db resume": [DAY],
    "subscribers remove": ["bo@reader.test", "--yes"],
    "subscribers erase": ["bo@reader.test", "--yes"],
}
ELSEWHERE = {"demo"}  # its own tests play it


def test_with_json_each_command_prints_one_document_and_nothing_else(service: Digest) -> None:
    assert set(CALLS) == set(COMMANDS) - WITHOUT_JSON - ELSEWHERE
    for folder in ("cur", "new", "tmp"):
        Path("maildir", folder).mkdir(parents=True)
    for name, words in CALLS.items():
        result = service(*name.split(), *words, "--json")
        json.loads(result.out)
        may_fail = name in {"doctor", "feeds check"}  # there is no network
        assert result.code == 0 or (may_fail and result.code == 1), (name, result.err)


def test_a_trial_run_changes_nothing(service: Digest, mailbox: Mailbox) -> None:
    service("feeds", "add", "https://rss.arxiv.org/rss/cs.LG")
    service("suppressions", "add", "dee@reader.test")
    for folder in ("cur", "new", "tmp"):
        Path("maildir", folder).mkdir(parents=True)
    Path("readers.csv").write_text("email\nnew@reader.test\ndee@reader.test\n")
    Path("feeds.opml").write_text(
        '<opml version="2.0"><body><outline xmlUrl="https://journal.test/rss"/></body></opml>'
    )

    def state() -> list[Any]:
        told = ("subscribers", "export"), ("feeds", "list"), ("suppressions", "list")
        return [service(*words, "--json").json for words in told]

    calls = CALLS | {"subscribers remove": [ADA], "subscribers erase": [ADA]}
    calls |= {"suppressions remove": ["dee@reader.test"]}
    service("db", "backup", "copy.db")
    service("subscribers", "add", "late@reader.test")
    before = state()
    for name in sorted(SEND_OR_DELETE):
        result = service(*name.split(), *calls[name], "--dry-run")
        assert result.code == 0, (name, result.err)
        assert result.out
        assert state() == before, name
    assert mailbox.messages == []


@pytest.mark.parametrize("name", sorted(CANNOT_BE_UNDONE - {"suppressions remove"}))
def test_what_cannot_be_undone_asks_and_without_a_terminal_wants_yes(
    service: Digest, name: str
) -> None:
    service("db", "backup", "copy.db")
    words = {"db restore": ["copy.db"]}.get(name, [ADA])
    result = service(*name.split(), *words)
    assert result.code == 1
    assert "--yes" in result.err
    assert service("subscribers", "show", ADA, "--json").json["status"] == "active"


def on_a_terminal(words: list[str], width: int, **environment: str) -> str:
    """What the command writes to a terminal of this width."""
    leader, follower = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
    process = subprocess.Popen(
        [sys.executable, "-m", "digest", *words],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=kept | {"TERM": "xterm-256color", "COLUMNS": str(width), **environment},
    )
    os.close(follower)
    pieces = []
    while select.select([leader], [], [], 60)[0]:
        try:
            pieces.append(os.read(leader, 10_000))
        except OSError:  # the other end is closed
            break
        if not pieces[-1]:
            break
    process.wait(60)
    os.close(leader)
    return b"".join(pieces).decode()


ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7]|38;[25])[0-9;]*m")


def test_a_table_fits_the_terminal_and_is_whole_elsewhere(service: Digest) -> None:
    told = ESCAPE.sub("", on_a_terminal(["subscribers", "list"], 60))
    assert max(map(len, told.splitlines())) <= 60
    assert "diffusion" in told
    assert TOPIC not in told
    assert TOPIC in service("subscribers", "list").out


def test_colours_are_for_terminals_and_not_where_they_are_unwanted(service: Digest) -> None:
    assert COLOUR.search(on_a_terminal(["doctor"], 80))
    assert not COLOUR.search(on_a_terminal(["doctor"], 80, NO_COLOR="1"))
    assert "\x1b" not in service("doctor").out


def test_progress_is_for_terminals(service: Digest) -> None:
    told = on_a_terminal(["subscribers", "import", "feed.xml"], 80)
    assert "Rows" in told
    again = service("ingest", "feed.xml")
    assert "Reading" not in again.out + again.err


def completed(monkeypatch: pytest.MonkeyPatch, capsys: Any, line: str) -> list[str]:
    """What the shell offers after this line."""
    monkeypatch.setenv("_DIGEST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    monkeypatch.setattr(sys, "argv", ["digest"])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main()
    monkeypatch.delenv("_DIGEST_COMPLETE")
    printed: str = capsys.readouterr().out
    return printed.split()


def test_the_shell_completes_addresses_and_feeds(
    service: Digest, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    service("subscribers", "add", "adam@reader.test")
    service("subscribers", "add", "bo@reader.test")
    service("feeds", "add", "https://rss.arxiv.org/rss/cs.LG")
    found = completed(monkeypatch, capsys, "digest why ad")
    assert found == ["ada@reader.test", "adam@reader.test"]
    assert completed(monkeypatch, capsys, "digest deliver --only b") == ["bo@reader.test"]
    assert completed(monkeypatch, capsys, "digest feeds remove ") == ["1"]
    assert completed(monkeypatch, capsys, "digest rank x%") == []


def test_completion_without_a_service_offers_nothing_and_makes_nothing(
    digest: Digest, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert completed(monkeypatch, capsys, "digest why a") == []
    assert list(Path().iterdir()) == []
    Path("config.toml").write_text("[smtp]\nport = 0\n")
    assert completed(monkeypatch, capsys, "digest why a") == []


def run_by_itself(words: list[str], out: Any, **environment: str) -> tuple[int, str]:
    """The exit code and stderr of a command in a process of its own, which prints into `out`."""
    process = subprocess.run(
        [sys.executable, "-m", "digest", *words],
        stdout=out,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
        check=False,
    )
    return process.returncode, process.stderr.decode()


def test_a_character_that_the_terminal_lacks_is_printed_by_its_number(service: Digest) -> None:
    service("subscribers", "edit", ADA, "--name", "Zoë")
    for words, as_printed in (
        (["subscribers", "show", ADA], b"Zo\\xeb"),
        (["subscribers", "show", ADA, "--json"], "Zoë".encode()),
        (["subscribers", "export"], "Zoë".encode()),
    ):
        with Path("out").open("wb") as out:
            assert run_by_itself(words, out, PYTHONIOENCODING="ascii") == (0, "")
        assert as_printed in Path("out").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_output_that_finds_no_room_is_one_line(service: Digest, more: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        code, told = run_by_itself(["subscribers", "show", ADA, *more], full)
    assert code == 1
    assert "No space left on device" in told and "Traceback" not in told
