"""The documentation holds: its commands run or exist, its settings are there, and the reference is
made of all that the code has."""

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from commands import FEED, ITEM
from conftest import Mailbox

from digest.__main__ import main
from digest.outcomes import OUTCOMES
from digest.settings import Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"(?ms)^(<!-- run -->\n)?```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$")
READER = ("reader@example.org", "--topic", "language models")
TITLES = ("Language Models that Plan", "Diffusion Models for Images", "Lensing by Galaxies")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `file` is its title, if any."""

    language: str
    file: str
    text: str
    runs: bool


def blocks(page: Path) -> list[Block]:
    found = BLOCK.findall(page.read_text("utf-8"))
    return [Block(language, file, text, bool(run)) for run, language, file, text in found]


def calls(text: str) -> Iterator[list[str]]:
    """The words after `digest` of each call of the program in a piece of shell."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for at, word in enumerate(words):
            program = word == "digest" or word.endswith("/bin/digest")
            if program and words[at + 1 : at + 2] not in (["digest"], [">"], ["-v"], ["sh"]):
                yield words[at + 1 :]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["digest", *words])
    try:
        main()
    except SystemExit as end:
        assert not end.code, f"digest {shlex.join(words)} ended with {end.code}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.runs for b in blocks(p))], ids=lambda page: page.stem
)
def test_what_is_said_to_run_runs(
    page: Path, tmp_path: Path, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGEST_SMTP__HOST", "127.0.0.1")
    monkeypatch.setenv("DIGEST_SMTP__PORT", str(mailbox.port))
    day = f"{datetime.now(UTC):%a, %d %b %Y} 00:00:00 -0500"
    items = "".join(ITEM.format(id=f"2511.2000{n}", title=t) for n, t in enumerate(TITLES))
    feed = re.sub(r"<pubDate>.*?</pubDate>", f"<pubDate>{day}</pubDate>", FEED.format(items=items))
    Path("before.xml").write_text(feed)
    run(["ingest", "before.xml"], monkeypatch)
    run(["subscribers", "add", *READER], monkeypatch)
    for block in blocks(page):
        if block.file:
            Path(block.file).write_text(block.text)
        for words in calls(block.text) if block.runs else ():
            run(words, monkeypatch)


def reference() -> ModuleType:
    """docs/generate.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def known() -> dict[str, set[str]]:
    """Each command's whole name, with its options."""
    return {
        name.removeprefix("digest "): {o for p in command.params for o in p.opts}
        for name, command in reference().commands()
    }


def wrong(words: list[str], commands: dict[str, set[str]]) -> str:
    """What a call names that there is not, or nothing."""
    if words[:1] == ["--config"]:
        words = words[2:]
    given = [word.split("=")[0] for word in words if re.match(r"--[a-z]|-[a-z]$", word)]
    names = [word for word in words if not word.startswith("-")]
    name = next((n for n in (" ".join(names[:2]), " ".join(names[:1])) if n in commands), None)
    common = {"--config", "--help", "-h", "--version", "--install-completion", "--show-completion"}
    if name is None:
        return "" if set(given) <= common and not names else f"no command {names[:2]}"
    lacking = set(given) - commands[name] - common
    return f"{name} has no {lacking}" if lacking else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_command_that_is_named_exists(page: Path) -> None:
    commands = known()
    text = page.read_text("utf-8")
    said = [
        words for block in blocks(page) if block.language == "sh" for words in calls(block.text)
    ]
    said += [shlex.split(inline) for inline in re.findall(r"`digest ([a-z-][^`\n]*)`", text)]
    problems = {shlex.join(words): wrong(words, commands) for words in said}
    assert {call: problem for call, problem in problems.items() if problem} == {}


def settings() -> set[str]:
    sections = Settings.model_fields.items()
    return {f"{s}.{key}" for s, info in sections for key in info.annotation.model_fields}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_setting_that_is_named_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    sections = "|".join(Settings.model_fields)
    named = set(re.findall(rf"`((?:{sections})\.[a-z_]+)`", text))
    upper = re.findall(r"DIGEST_([A-Z]+)__([A-Z_]+)", text)
    named |= {f"{s}.{key}".lower() for s, key in upper if s != "SECTION"}
    files = {name for name in named if name.split(".")[1] in ("py", "toml", "md")}
    assert named - files - settings() == set()


def test_the_reference_has_every_setting_and_command_with_its_meaning() -> None:
    pages = reference().pages()
    for name in settings():
        [row] = re.findall(rf"\| `{re.escape(name)}` \| (.+) \| (.*) \|", pages["settings.md"])
        assert all(row), name
    headings = set(re.findall(r"(?m)^## digest (.+)$", pages["commands.md"]))
    assert headings == set(known())
    assert {"run", "subscribers import", "db restore"} <= headings


def test_why_no_mail_explains_each_outcome() -> None:
    rows = re.findall(r"(?m)^\| (`.*?`) \|", (DOCS / "why.md").read_text("utf-8"))
    assert sorted(re.findall(r"`([a-z-]+)`", "".join(rows))) == sorted(OUTCOMES)


def test_each_page_is_in_the_menu() -> None:
    menu = set(re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE))
    here = {page.name for page in DOCS.glob("*.md")}
    assert menu == here | {f"reference/{name}" for name in reference().pages()}


def test_the_shell_completes_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_DIGEST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "digest subs")
    monkeypatch.setenv("COMP_CWORD", "1")
    run([], monkeypatch)
    assert capsys.readouterr().out.split() == ["subscribers"]
