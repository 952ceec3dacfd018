"""Charts as SVG, drawn by hand: small, without a script, coloured by the page's style.

Colours are classes (`s0` to `s3`, `axis`, `grid`), so that light and dark are the style's matter.
Lines also differ in their dashes, and what is drawn stands in words beside each chart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import floor, log10

from markupsafe import Markup, escape

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 10, 26  # of the frame around the plot


@dataclass(frozen=True, slots=True)
class Series:
    """A named row of values, one for each day; None where there is none."""

    name: str
    values: tuple[float | None, ...]


def lines(
    title: str,
    days: Sequence[date],
    series: Sequence[Series],
    *,
    percent: bool = False,
    ranks: bool = False,
) -> Markup:
    """A line for each series; a day without a value has no point. `ranks`: 1 is at the top."""
    top = _ceiling(_known(series))
    bottom = 1.0 if ranks else 0.0
    top = max(top, bottom + 1) if ranks else top
    low, high = (top, bottom) if ranks else (bottom, top)
    ticks = [low, (low + high) / 2, high]
    parts = [_frame(days, ticks, low, high, percent=percent)]
    for number, each in enumerate(series):
        dots = [
            (_middle(at, days), _height(value, low, high))
            for at, value in enumerate(each.values)
            if value is not None
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        parts.append(f'<polyline class="line s{number}" points="{points}"/>')
        parts += [
            f'<circle class="dot s{number}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in dots
        ]
    return _svg(title, parts)


def stacks(title: str, days: Sequence[date], series: Sequence[Series]) -> Markup:
    """A column for each day, the series piled on each other in their order."""
    totals = [sum(each.values[at] or 0 for each in series) for at in range(len(days))]
    top = _ceiling(totals)
    halves = [top / 2] if top % 2 == 0 else []  # there is no half a mail
    parts = [_frame(days, [0, *halves, top], 0, top)]
    wide = (WIDTH - LEFT - RIGHT) / max(1, len(days)) * 0.75
    for at, day in enumerate(days):
        below = 0.0
        told = ", ".join(f"{each.values[at] or 0:g} {each.name}" for each in series)
        parts.append(f"<g><title>{escape(f'{day}: {told}')}</title>")
        for number, each in enumerate(series):
            value = each.values[at] or 0
            y, foot = _height(below + value, 0, top), _height(below, 0, top)
            if value:
                x = _middle(at, days) - wide / 2
                parts.append(
                    f'<rect class="area s{number}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}"'
                    f' height="{foot - y:.1f}"/>'
                )
            below += value
        parts.append("</g>")
    return _svg(title, parts)


def bar(share: float) -> Markup:
    """A bar in a table's cell, from 0 to 1; the figure stands beside it, so it is decoration."""
    full = max(0.0, min(1.0, share)) * 100
    return Markup(  # noqa: S704 (figures alone)
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="ground" width="100" height="10"/><rect class="area s0" width="{full:.1f}"'
        ' height="10"/></svg>'
    )


def _svg(title: str, parts: Sequence[str]) -> Markup:
    return Markup(  # noqa: S704 (escaped where it is text)
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )


def _frame(
    days: Sequence[date], ticks: Sequence[float], low: float, high: float, *, percent: bool = False
) -> str:
    """Level lines with their figures, and the first, the middle and the last day."""
    parts = []
    for tick in ticks:
        y = _height(tick, low, high)
        label = (
            f"{tick:.0%}"
            if percent and ticks[-1] >= 0.1
            else f"{tick:.1%}"
            if percent
            else _short(tick)
        )
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="axis" x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for at, anchor in ((0, "start"), (len(days) // 2, "middle"), (len(days) - 1, "end")):
        x = {"start": float(LEFT), "middle": _middle(at, days), "end": float(WIDTH - RIGHT)}[anchor]
        parts.append(
            f'<text class="axis" x="{x:.1f}" y="{HEIGHT - 7}" text-anchor="{anchor}">'
            f"{days[at].day} {days[at]:%b}</text>"
        )
    return "".join(parts)


def _middle(at: int, days: Sequence[date]) -> float:
    """Where the middle of the day's column is."""
    return LEFT + (at + 0.5) * (WIDTH - LEFT - RIGHT) / len(days)


def _height(value: float, low: float, high: float) -> float:
    """`low` at the foot of the plot, `high` at its head."""
    share = (value - low) / (high - low)
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _known(series: Sequence[Series]) -> list[float]:
    return [value for each in series for value in each.values if value is not None]


def _ceiling(values: Sequence[float]) -> float:
    """The next round number above all values."""
    highest = max(values, default=0)
    if highest <= 0:
        return 1.0
    power: float = 10.0 ** floor(log10(highest))
    return next(step * power for step in (1, 2, 3, 4, 6, 8, 10) if step * power >= highest * 0.9999)


def _short(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
