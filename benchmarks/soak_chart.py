"""The simulated year as a chart, and whether its days grew dearer. Pure but for the file."""

from pathlib import Path
from statistics import fmean
from typing import Any

Row = dict[str, Any]
WIDTH, HEIGHT, LEFT, TOP = 720, 120, 60, 30
SMOOTH = 7  # days
CHANCE = 0.1
PANELS = (
    (
        ("good", "silent"),
        "Picks among the tenth of the day's papers that the reader likes best",
        "",
    ),
    (("cpu",), "CPU of the service", " s a day"),
    (("peak_mb",), "Memory of the service at most", " MB"),
)
LEGEND = (
    "Light: readers who never vote. Dashed: chance; where the data begin anew. Ticks: blows."
    " Means of seven days."
)
STYLE = (
    ".curve{fill:none;stroke:#246;stroke-width:1.5}.c1{stroke:#8ac}.axis{stroke:#999}"
    ".dashed{stroke:#999;stroke-dasharray:4}.blow{stroke:#b33}.small{font-size:11px;fill:#555}"
)


# What a figure may grow with: of the papers, those that the features are fitted to.
GROWS_WITH = {"rss_mb": "papers", "fetch": "papers", "prepare": "votes", "send": ""}
SLACK = 1.25
FEWEST = 150  # days: of fewer, nothing is said


def grown(rows: list[Row], corpus: int) -> list[str]:
    """The figures whose mean over the last fifth of the days is above that of the fifth after the
    second by more than the data are and `SLACK`. (Means of all days, for features are fitted on
    every other day or so, and the same blows come again in each fifth.)"""
    if len(rows) < FEWEST:
        print("too few days to tell of growth")
        return []
    days = [row | {"papers": min(row["papers"], corpus)} for row in rows]
    fifth = len(days) // 5
    early, late = days[2 * fifth : 3 * fifth], days[-fifth:]
    found = []
    for name, data in GROWS_WITH.items():
        ours, theirs = _growth(early, late, name), _growth(early, late, data) if data else 1.0
        print(f"{name}: {ours:.2f} times, where {data or 'nothing'} grew to {theirs:.2f} times")
        if ours > SLACK * max(1.0, theirs):
            found.append(f"{name} grew to {ours:.2f} times")
    return found


def _growth(early: list[Row], late: list[Row], name: str) -> float:
    first, last = (fmean(float(row[name]) for row in some) for some in (early, late))
    return last / first if first else 1.0


def chart(rows: list[Row], turn: int, file: Path) -> None:
    """Three curves over the days, with a tick for each blow, and a line where the data begin anew
    (after `turn` days)."""
    anew = rows[turn]["day"] if turn < len(rows) else None
    rows = [row for row in rows if row["good"] != "" and row["silent"] != ""]
    step, body, bottom = WIDTH / max(1, len(rows) - 1), list[str](), 0
    for nth, (names, title, unit) in enumerate(PANELS):
        bottom = TOP + (nth + 1) * (HEIGHT + 50) - 50
        curves = [_smooth([float(row[name]) for row in rows]) for name in names]
        most = max(max(curve, default=0.0) for curve in curves) * 1.1 or 1.0
        first, last = (curves[0][at] if rows else 0.0 for at in (0, -1))
        body += [
            f'<text x="{LEFT}" y="{bottom - HEIGHT - 8}">{title}: {first:.3g} to'
            f" {last:.3g}{unit}</text>",
            f'<text class="small" x="{LEFT - 8}" y="{bottom - HEIGHT / 1.1 + 4:.0f}"'
            f' text-anchor="end">{most / 1.1:.3g}</text>',
            f'<path class="axis" d="M{LEFT} {bottom}h{WIDTH}"/>',
        ]
        for other, curve in enumerate(curves):
            points = " ".join(
                f"{LEFT + step * at:.1f},{bottom - HEIGHT * value / most:.1f}"
                for at, value in enumerate(curve)
            )
            body.append(f'<polyline class="curve c{other}" points="{points}"/>')
        if "good" in names:
            chance = bottom - HEIGHT * CHANCE / most
            body.append(f'<path class="dashed" d="M{LEFT} {chance:.1f}h{WIDTH}"/>')
    for at, row in enumerate(rows):
        if row["day"] == anew:
            place = f"M{LEFT + step * at:.1f} {TOP}V{bottom}"
            body.append(f'<path class="dashed" d="{place}"/>')
        if row["day"].day == 1:
            place = f'x="{LEFT + step * at:.1f}" y="{bottom + 18}"'
            body.append(f'<text class="small" {place}>{row["day"]:%b}</text>')
        if row["fault"]:
            place = f"M{LEFT + step * at:.1f} {bottom}v6"
            body.append(f'<path class="blow" d="{place}"><title>{row["fault"]}</title></path>')
    body.append(f'<text class="small" x="{LEFT}" y="{bottom + 36}">{LEGEND}</text>')
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {bottom + 48}"'
        f' font-family="sans-serif" font-size="13"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(body)}</svg>',
        encoding="utf-8",
    )


def _smooth(values: list[float]) -> list[float]:
    """The means of the days up to each."""
    return [
        sum(some) / len(some)
        for at in range(len(values))
        if (some := values[max(0, at + 1 - SMOOTH) : at + 1])
    ]
