"""Tables of the commands: as wide as the terminal, whole elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from digest.cli.tables import table

NAMES = ["name", ">papers", "topics"]
ROWS = [
    ["ada@reader.test", "7", "diffusion models for image generation"],
    ["bo@reader.test", "12", "量子誤り訂正"],
]
CELL = st.text(st.sampled_from("ab w量é\t-"), max_size=30)


def test_a_table_stands_in_columns_with_figures_at_the_right() -> None:
    assert list(table(NAMES, ROWS, None)) == [
        "name             papers  topics",
        "─" * 62,
        "ada@reader.test       7  diffusion models for image generation",
        "bo@reader.test       12  量子誤り訂正",
    ]


def test_a_narrow_terminal_wraps_at_words_and_loses_none() -> None:
    told = list(table(NAMES, ROWS, 46))
    assert max(map(cell_len, told)) <= 46
    assert told[2].split() == ["ada@reader.test", "7", "diffusion", "models", "for"]
    assert told[3].split() == ["image", "generation"]


@pytest.mark.parametrize("room", [None, 40])
def test_what_spans_lines_in_a_cell_spans_none_in_a_row(room: int | None) -> None:
    assert list(table(["word"], [["a\nb\tc"]], room))[2:] == ["a b c"]


def test_a_very_long_cell_makes_no_other_line_long() -> None:
    long = ["cy@reader.test", "3", ", ".join(["weak lensing"] * 50)]
    told = list(table([*NAMES, "when"], [[*row, "daily"] for row in [*ROWS, long]], None))
    assert long[2] in told[-1]
    assert max(map(len, told[:-1])) < 150


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=5), st.integers(30, 200))
def test_nothing_is_cut_and_no_line_is_too_long(
    rows: list[tuple[str, str, str]], room: int
) -> None:
    told = list(table(["a", "b", "c"], rows, room))
    assert max(map(cell_len, told)) <= room
    cells = "".join(cell for row in rows for cell in row)
    assert sorted("".join("".join(told[2:]).split())) == sorted("".join(cells.split()))
