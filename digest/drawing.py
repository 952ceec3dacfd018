"""The page of `digest stats --html`: the figures of the last weeks, drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from email.utils import parseaddr
from functools import partial
from typing import TYPE_CHECKING

from digest import charts
from digest.weeks import Day, weeks

if TYPE_CHECKING:
    from digest.app import App

SMOOTHED = 7  # days that a point of a line stands for: the day and those before it
BOUNCES = ("hard", "soft", "policy", "complaint")


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, and what it shows as a table: `rows` are days with a figure for each series.
    `shown` is how a line's figures are written; columns are whole numbers."""

    title: str
    told: str
    svg: str
    series: tuple[charts.Series, ...]
    shown: str = ""

    @property
    def lines(self) -> bool:
        return bool(self.shown)

    def rows(self, days: Sequence[Day]) -> list[tuple[date, list[str]]]:
        """The days that have any figure, the newest first."""
        found = [
            (day.day, [_cell(each.values[at], self.shown) for each in self.series])
            for at, day in enumerate(days)
            if any(each.values[at] for each in self.series)
        ]
        return found[::-1]


def page(app: "App") -> str:
    """The figures as one page of HTML that needs nothing from elsewhere."""
    found = weeks(app)
    name = parseaddr(app.settings.mail.sender)[0] or "Paper Digest"
    template = app.templates.get_template("stats/weeks.html.j2")
    return template.render(
        name=name, found=found, drawn=drawn(found.days), bar=charts.bar, smoothed=SMOOTHED
    )


def drawn(days: Sequence[Day]) -> list[Chart]:
    """The charts of the page, in its order."""
    when = [day.day for day in days]
    votes = (
        _smooth("up", days, lambda day: day.up, lambda day: day.digests),
        _smooth("down", days, lambda day: day.down, lambda day: day.digests),
    )
    liked = (_smooth("liked", days, lambda day: day.up, lambda day: day.picks),)
    ranks = (
        _smooth("liked papers", days, lambda day: day.up_ranks, lambda day: day.up),
        _smooth("all picks", days, lambda day: day.ranks, lambda day: day.picks),
    )
    sent = (
        _each("sent", days, lambda day: day.sent),
        _each("failed", days, lambda day: day.failed),
        _each("on their way", days, lambda day: day.waiting),
    )
    back = tuple(_each(kind, days, partial(Day.came_back, kind=kind)) for kind in BOUNCES)
    names = (
        ("Votes per digest", "Thumbs up and down for each digest that was made."),
        ("Share of liked picks", "Of all papers that were sent, those with a thumb up."),
        ("Rank of liked papers", "Their mean place in the mail, 1 being the first. Above the line"
         " of all picks is good, though what stands first is also read most."),
        ("Digests by mail", "By the day on which the server took them."),
        ("What came back", "Bounces and complaints, by the day on which we heard of them."),
    )  # fmt: skip
    return [
        Chart(*names[0], charts.lines(names[0][0], when, votes), votes, "{:.2f}"),
        Chart(*names[1], charts.lines(names[1][0], when, liked, percent=True), liked, "{:.1%}"),
        Chart(*names[2], charts.lines(names[2][0], when, ranks, ranks=True), ranks, "{:.1f}"),
        Chart(*names[3], charts.stacks(names[3][0], when, sent), sent),
        Chart(*names[4], charts.stacks(names[4][0], when, back), back),
    ]


def _cell(value: float | None, shown: str) -> str:
    return "" if value is None else (shown or "{:g}").format(value)


def _each(name: str, days: Sequence[Day], of: Callable[[Day], int]) -> charts.Series:
    return charts.Series(name, tuple(float(of(day)) for day in days))


def _smooth(
    name: str, days: Sequence[Day], over: Callable[[Day], int], under: Callable[[Day], int]
) -> charts.Series:
    """The ratio of both over each day and the six before it; none where there is nothing below, and
    none for a day without digests, so that a line has a point where something happened."""
    values: list[float | None] = []
    for at, today in enumerate(days):
        window = days[max(0, at + 1 - SMOOTHED) : at + 1]
        below = sum(map(under, window)) if today.digests else 0
        values.append(sum(map(over, window)) / below if below else None)
    return charts.Series(name, tuple(values))
