"""What every command shares: the application opened, and how results reach a person or a script."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from digest.errors import DigestError, InputError

if TYPE_CHECKING:
    from rich.console import Console

    from digest.app import App

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and nothing else, on stdout.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Day = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="The listing day; otherwise the latest.")
]

_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "�")
LONG_WORD = 10
_PIPE_WIDTH = 10_000  # a table that goes to a file or a program is never cut or wrapped


@contextmanager
def opened(context: typer.Context, *, verbose: bool = False) -> "Iterator[App]":
    """The application of `--config`; the log goes to stderr, `verbose` from the level info on."""
    from digest import logs
    from digest.app import open_app
    from digest.settings import load

    settings = load(context.obj)
    logs.configure(verbose=verbose, form=settings.logs.format)
    with open_app(settings) as app:
        yield app


@cache
def _console(stderr: bool = False) -> "Console":
    from rich.console import Console

    there = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if there else _PIPE_WIDTH, highlight=False)


def plain(value: object) -> str:
    """A value as a cell or line shows it, without what could steer the terminal."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).translate(_CONTROLS)


def say(text: str, *, style: str = "") -> None:
    """A line for the person at the terminal."""
    from rich.text import Text

    _console().print(Text(plain(text), style=style))


def say_hanging(text: str, *, indent: str, style: str = "") -> None:
    """A sentence whose further lines, where the terminal needs any, stand in by `indent`; the first
    does not."""
    from textwrap import wrap

    for line in wrap(
        plain(text),
        _console().width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        say(line, style=style)


def print_json(value: object) -> None:
    print(document(value), file=data_out())


def data_out() -> TextIO:
    """Standard output for a program: JSON is UTF-8, whatever the terminal's encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def document(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=_as_json)


def _as_json(value: Any) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return str(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns named with a leading `>` hold figures and stand at the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    cells = [[plain(cell) for cell in row] for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    words = [
        max(
            len(word)
            for text in (name.lstrip(">"), *(row[at] for row in cells))
            for word in text.split() or [""]
        )
        for at, name in enumerate(columns)
    ]
    # Words are broken only where they are long, or the terminal is narrow.
    least = [min(LONG_WORD, longest) for longest in words]
    roomy = sum(least) + len(least) <= 0.8 * _console().width
    for name, width in zip(columns, least, strict=True):
        figures = name.startswith(">")
        table.add_column(
            name.lstrip(">"),
            justify="right" if figures else "left",
            no_wrap=figures,
            overflow="fold",
            min_width=width if roomy else None,
        )
    for row in cells:
        table.add_row(*map(Text, row))
    _console().print(table)


def print_fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for name, value in pairs:
        grid.add_row(Text(name, style="dim"), Text(plain(value)))
    _console().print(grid)


@contextmanager
def progress(label: str) -> Iterator[Callable[..., None]]:
    """Gives a function to call with (done, all; None where nobody knows) and, at will, what is
    under way; a bar on stderr, on a terminal only."""
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = _console(True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(label, total=None)

        def advance(done: int, total: int | None = None, now: str = "") -> None:
            bar.update(task, completed=done, total=total, description=f"{label} {escape(now)}")

        yield advance


@contextmanager
def busy(label: str) -> Iterator[None]:
    """Shows on a terminal that something goes on that cannot be counted."""
    console = _console(True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{label} …"):
        yield


def sure(question: str, yes: bool) -> None:
    """Asks before what cannot be undone; without a terminal to ask at, wants `--yes`."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"{question} This cannot be undone: repeat the command with --yes.")
    typer.confirm(f"{question} This cannot be undone. Go on?", abort=True, err=True)


@contextmanager
def as_usage() -> Iterator[None]:
    """A word of the command line that can never be right is wrong usage."""
    try:
        yield
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def parse_day(text: str | None) -> date | None:
    """Raises a usage error for what is no day, or none that papers and readers have."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a day; expected YYYY-MM-DD, such as 2026-11-18"
        ) from error
    if not 1900 <= day.year <= 2999:
        raise typer.BadParameter(f"{text}: expected a day from 1900-01-01 to 2999-12-31")
    return day


def config_path(context: typer.Context) -> Path | None:
    path: Path | None = context.obj
    return path


def written_to(file: Path, content: bytes) -> bool:
    """Writes the file; True, for the list of what was written."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise DigestError(f"cannot write {file}: {error.strerror}") from error
    return True


@contextmanager
def text_file(path: Path, mode: Literal["r", "w"]) -> Iterator[TextIO]:
    """The file, as UTF-8 text. Raises DigestError, InputError where it is no such text."""
    encoding = "utf-8-sig" if mode == "r" else "utf-8"
    try:
        file = path.open(mode, encoding=encoding, newline="")
    except OSError as error:
        raise DigestError(f"cannot open {path}: {error.strerror}") from error
    with file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text ({error}): save it as UTF-8") from error
