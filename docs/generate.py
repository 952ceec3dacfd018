"""Writes docs/reference/: every setting, every command, and the pages that live outside docs/."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from typer.main import get_command

from digest.cli.main import cli
from digest.settings import Settings

ROOT = Path(__file__).parent.parent
ELSEWHERE = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
MADE = "<!-- Made by docs/generate.py: change what it reads instead. -->\n"

_SECTION = re.compile(r"\[(\w+)\]")
_KEY = re.compile(r"(?:# )?(\w+) = (.+)")


def pages() -> dict[str, str]:
    """Each page's name in docs/reference/, with its text."""
    made = {
        "settings.md": settings_page((ROOT / "config.example.toml").read_text("utf-8")),
        "commands.md": "\n".join(command_lines()),
    }
    for name in ELSEWHERE:
        made[name.lower()] = _moved((ROOT / name).read_text("utf-8"))
    return {name: MADE + text.rstrip() + "\n" for name, text in made.items()}


def settings_page(example: str) -> str:
    """A table for each section, from the commented example and the defaults of the code."""
    told = explained(example)
    lines = [
        "# Every setting",
        "",
        "`digest init` writes them all into `config.toml`. The environment goes before the file:",
        "`DIGEST_SMTP__PORT=2525` is `smtp.port`, and lists are JSON there.",
    ]
    for section, info in Settings.model_fields.items():
        model: Any = info.annotation
        lines += ["", f"## {section}", "", "| setting | default | what it is |", "|---|---|---|"]
        for key, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            meaning = told.get((section, key), "")
            lines.append(f"| `{section}.{key}` | {_shown(default)} | {_cell(meaning)} |")
    return "\n".join(lines)


def explained(example: str) -> dict[tuple[str, str], str]:
    """What the comment right above each key of the example says."""
    told: dict[tuple[str, str], str] = {}
    section, comment = "", list[str]()
    for line in example.splitlines():
        key = _KEY.fullmatch(line)
        if found := _SECTION.fullmatch(line):
            section, comment = found[1], []
        elif key and key[1] in _keys(section):
            told[section, key[1]] = re.sub(r"[;.] (not set|Or, instead):$", ".", " ".join(comment))
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []
    return told


def _keys(section: str) -> set[str]:
    field = Settings.model_fields.get(section)
    model: Any = field.annotation if field else BaseModel
    return set(model.model_fields)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value in ("", ()):
        return "not set" if value is None else "empty"
    return "`" + (", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) + "`"


def command_lines() -> Iterator[str]:
    """A heading for each command, with its usage, arguments and options."""
    yield "# Every command"
    yield ""
    yield "[On the command line](../commandline.md) says what they have in common."
    for name, command in commands():
        yield from ("", f"## {name}", "", _cell(command.help or ""))
        if hasattr(command, "commands"):
            continue
        yield from ("", "```text", _usage(name, command), "```")
        rows = [
            f"| {_spelled(parameter)} | {_cell(parameter.help)} |"
            for parameter in command.params
            if getattr(parameter, "help", None) and parameter.name != "help"
        ]
        if rows:
            yield from ("", "| option or argument | what it is |", "|---|---|", *rows)


def commands() -> Iterator[tuple[str, Any]]:
    """Each command by its whole name, groups included, in the order of `digest --help`."""
    waiting: list[tuple[str, Any]] = [("digest", get_command(cli))]
    while waiting:
        name, command = waiting.pop(0)
        if name != "digest":
            yield name, command
        below = [(f"{name} {key}", each) for key, each in getattr(command, "commands", {}).items()]
        waiting = below + waiting


def _usage(name: str, command: Any) -> str:
    words = [_argument(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join([name, "[OPTIONS]", *words])


def _argument(parameter: Any) -> str:
    shown = parameter.metavar or (parameter.name or "").upper()
    return shown if parameter.required or shown.startswith("[") else f"[{shown}]"


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_argument(parameter)}`"
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return f"`{', '.join(parameter.opts)}{value}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _moved(text: str) -> str:
    """Links of a page at the top of the repository, as seen from docs/reference/."""
    text = re.sub(r"\]\(docs/", "](../", text)
    return re.sub(r"\]\(([A-Z]+\.md)", lambda found: f"]({found[1].lower()}", text)


if __name__ == "__main__":
    folder = ROOT / "docs" / "reference"
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
