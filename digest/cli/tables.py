"""Rows of text laid out as the lines of a table: fast, for a service may have 100,000 readers."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

LONG_WORD = 10
_LONG_CELL = 100  # where nothing is wrapped, a longer cell pushes aside the rest of its line alone
_GAP = 2


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int | None) -> Iterator[str]:
    """The header, a rule, and the rows, each in a line, or in several where `room` is smaller.

    Columns named with a leading `>` hold figures and stand at the right. `room` is the width of a
    terminal in cells; None, for a file or a program, wraps and cuts nothing.
    """
    names = [name.lstrip(">") for name in columns]
    figures = [name.startswith(">") for name in columns]
    lined = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [
        max(map(cell_len, (name, *(row[at] for row in lined)))) for at, name in enumerate(names)
    ]
    if room is None:
        widths = [min(width, _LONG_CELL) for width in widths]
    else:
        widths = _shrunk(widths, _least(names, lined, figures, widths, room), room)
    yield from _laid(names, widths, figures, wrapped=room is not None)
    yield "─" * (sum(widths) + _GAP * (len(widths) - 1))
    for row in lined:
        yield from _laid(row, widths, figures, wrapped=room is not None)


def _least(
    names: list[str],
    rows: list[list[str]],
    figures: list[bool],
    widths: list[int],
    room: int,
) -> list[int]:
    """Words are broken only where they are long, or the terminal is narrow; figures never."""
    words = [
        min(LONG_WORD, max(map(cell_len, _words(name, (row[at] for row in rows)))))
        for at, name in enumerate(names)
    ]
    roomy = sum(words) + _GAP * len(words) <= 0.8 * room
    return [
        width if figure else word if roomy else 1
        for width, word, figure in zip(widths, words, figures, strict=True)
    ]


def _words(name: str, cells: Iterator[str]) -> set[str]:
    return {word for cell in {name, *cells} for word in cell.split()} or {""}


def _shrunk(widths: list[int], least: list[int], room: int) -> list[int]:
    """Takes from the widest column, again and again, until all fit."""
    widths = [min(width, room) for width in widths]
    while sum(widths) + _GAP * (len(widths) - 1) > room:
        wide = [at for at, width in enumerate(widths) if width > least[at]]
        if not wide:
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _laid(
    cells: Sequence[str], widths: list[int], figures: list[bool], *, wrapped: bool
) -> Iterator[str]:
    if not wrapped or all(map(int.__ge__, widths, map(cell_len, cells))):
        yield _line(cells, widths, figures)
        return
    parts = [_parts(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for at in range(max(map(len, parts))):
        yield _line([part[at] if at < len(part) else "" for part in parts], widths, figures)


def _line(cells: Sequence[str], widths: list[int], figures: list[bool]) -> str:
    pieces = []
    for cell, width, figure in zip(cells, widths, figures, strict=True):
        blanks = " " * (width - cell_len(cell))
        pieces.append(blanks + cell if figure else cell + blanks)
    return (" " * _GAP).join(pieces).rstrip()


def _parts(cell: str, width: int) -> list[str]:
    if cell_len(cell) <= width:
        return [cell]
    return [part.plain.rstrip() for part in Text(cell).wrap(_WRAPPING, width, overflow="fold")]


_WRAPPING = Console()  # asked for the width of a tab alone
