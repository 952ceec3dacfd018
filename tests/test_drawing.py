"""The page of figures stands by itself, says nothing unescaped, and can be read without seeing."""

import re
from html.parser import HTMLParser

import pytest
from test_weeks import history

from digest.app import App
from digest.drawing import drawn, page
from digest.weeks import weeks

__all__ = ["history"]  # a fixture
pytestmark = pytest.mark.sqlite

VOID = {"meta", "path", "rect", "circle", "polyline", "br"}


class Balance(HTMLParser):
    """Which elements are open, and whether each closing tag closes the last."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_elsewhere(history: App) -> None:
    html = page(history)
    found = Balance(html)
    assert found.open == []
    assert not {"script", "link", "img", "iframe"} & set(found.names)
    assert not re.search(r"(?i)(src|href)=|url\(|@import|https?://", html)
    assert "default-src 'none'" in html


def test_what_readers_wrote_is_escaped(history: App) -> None:
    html = page(history)
    assert "diffusion &lt;b&gt;" in html
    assert "diffusion <b>" not in html


def test_behind_each_chart_stands_a_table_of_its_figures(history: App) -> None:
    html = page(history)
    figures = re.findall(r"(?s)<figure.*?</figure>", html)
    assert len(figures) == 5
    for figure in figures:
        assert 'role="img" aria-label="' in figure
        assert '<th scope="row">2026-11-17</th>' in figure
    votes, liked, ranks, mails, back = figures
    assert re.findall(r'class="n">([\d.]+)<', votes.split("2026-11-17")[1])[:2] == ["1.50", "0.50"]
    assert "50.0%" in liked
    assert re.findall(r'class="n">([\d.]+)<', ranks.split("2026-11-17")[1])[:2] == ["2.0", "2.2"]
    assert re.findall(r'class="n">(\d+)<', mails.split("2026-11-17</th>")[1])[:3] == ["2", "0", "0"]
    assert re.findall(r'class="n">(\d+)<', back.split("2026-11-17</th>")[1]) == ["1", "1", "0", "0"]


def test_a_point_stands_for_its_day_and_the_six_before(history: App) -> None:
    votes, *_ = drawn(weeks(history).days)
    up, down = votes.series
    # Today's digest has no vote: with yesterday's two it makes three digests and three votes up.
    assert up.values[-2:] == pytest.approx((1.5, 1.0))
    assert down.values[-2:] == pytest.approx((0.5, 1 / 3))
    assert up.values[:-2] == (None,) * 26


def test_an_empty_service_has_a_page_that_says_so(app: App) -> None:
    html = page(app)
    assert Balance(html).open == []
    assert html.count("Nothing yet.") == 7
    assert "<figcaption>" in html
    assert 'role="img"' not in html
