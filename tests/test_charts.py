"""Charts are well-formed, escaped, and put each value where its figure says."""

import re
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.charts import BOTTOM, HEIGHT, TOP, WIDTH, Series, bar, lines, stacks

DAYS = [date(2026, 10, 20) + timedelta(days=n) for n in range(28)]
FOOT = HEIGHT - BOTTOM


def series(*values: float | None, name: str = "up") -> Series:
    return Series(name, (*values, *[None] * (len(DAYS) - len(values))))


def dots(svg: str, number: int = 0) -> list[tuple[float, float]]:
    found = ET.fromstring(svg).iter("circle")
    return [
        (float(d.attrib["cx"]), float(d.attrib["cy"]))
        for d in found
        if d.attrib["class"].endswith(f"s{number}")
    ]


def test_a_line_has_a_point_for_each_day_with_a_value() -> None:
    svg = lines("Votes", DAYS, [series(1, 2, None, 4, 5, None, 3)])
    assert len(dots(svg)) == 5
    (points,) = re.findall(r'<polyline[^>]* points="([^"]*)"', svg)
    assert points.split() == [f"{x},{y}" for x, y in dots(svg)]
    ((_, low), *_, (_, last)) = dots(svg)
    assert low > last > TOP
    assert min(y for _, y in dots(svg)) > TOP  # 6 is the round number above


def test_ranks_have_the_first_place_at_the_top() -> None:
    svg = lines("Rank", DAYS, [series(1, 4)], ranks=True)
    assert [y for _, y in dots(svg)] == [TOP, FOOT]
    assert len(dots(lines("Rank", DAYS, [series(1)], ranks=True))) == 1


def test_shares_are_written_as_percentages() -> None:
    assert ">40%<" in lines("Liked", DAYS, [series(0.31)], percent=True)
    assert ">2.0%<" in lines("Liked", DAYS, [series(0.011)], percent=True)


def test_columns_pile_up_to_the_sum() -> None:
    up, down = Series("sent", (3.0, *[0.0] * 27)), Series("failed", (1.0, *[0.0] * 27))
    svg = stacks("Mails", DAYS, [up, down])
    lower, upper = [
        (float(r.attrib["y"]), float(r.attrib["height"])) for r in ET.fromstring(svg).iter("rect")
    ]
    assert lower[0] + lower[1] == pytest.approx(FOOT, abs=0.11)
    assert upper[0] + upper[1] == pytest.approx(lower[0], abs=0.11)
    assert upper[0] == TOP
    assert "<title>2026-10-20: 3 sent, 1 failed</title>" in svg


@given(
    st.lists(
        st.one_of(st.none(), st.floats(0, 1e9, allow_nan=False)), min_size=28, max_size=28
    ).map(tuple),
    st.sampled_from(["lines", "percent", "ranks", "stacks"]),
)
def test_whatever_the_values_nothing_leaves_the_frame(
    values: tuple[float | None, ...], kind: str
) -> None:
    one = [Series("<b>&\"'", values)]
    if kind == "stacks":
        svg = stacks("<&>", DAYS, one)
    else:
        svg = lines("<&>", DAYS, one, percent=kind == "percent", ranks=kind == "ranks")
    drawing = ET.fromstring(svg)
    assert drawing.attrib["aria-label"] == "<&>"
    for x, y in dots(svg):
        assert 0 <= x <= WIDTH
        # a rank below 1 is none, and is drawn above the frame
        assert (kind == "ranks" or y >= TOP - 0.06) and y <= FOOT + 0.06


def test_a_bar_never_leaves_its_cell() -> None:
    for share, wide in ((-1, "0.0"), (0.25, "25.0"), (7, "100.0")):
        assert f'width="{wide}"' in bar(share)
