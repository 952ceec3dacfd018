"""Papers that readers named: their texts are fetched once, and are no news."""

from collections.abc import Iterator

import pytest
from arxiv_server import Arxiv, Scripted
from feed_server import Source, serving
from sqlmodel import select

from digest import seeds
from digest.citations import parse_citations
from digest.feeds.named import fetch_named
from digest.models import Announcement, Paper


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as plan:
        yield plan


@pytest.fixture
def arxiv(source: Source, clock) -> Arxiv:
    paper = Scripted("2405.00001", ("astro-ph.GA",), clock().date())
    service = Arxiv([paper], clock, source.url)
    source.otherwise = service.answer
    return service


def named(app, ada, text: str) -> None:
    with app.db.write() as session:
        seeds.plant(session, ada.id, parse_citations(text), app.now())


def papers(app) -> list[Paper]:
    with app.db.read() as session:
        return list(session.exec(select(Paper).order_by(Paper.key)))


def test_the_text_comes_and_is_no_news(app, ada, arxiv):
    named(app, ada, "2405.00001")
    assert fetch_named(app, arxiv.routes).updated == 1
    (paper,) = papers(app)
    assert (paper.title, paper.version) == ("On the case of 2405.00001", 1)
    assert paper.announced_day is None


def test_what_the_source_does_not_know_is_not_asked_for_again(app, ada, arxiv, source):
    named(app, ada, "2405.99999")
    fetch_named(app, arxiv.routes)
    asked = len(source.asked)
    fetch_named(app, arxiv.routes)
    assert len(source.asked) == asked == 1
    assert [paper.version for paper in papers(app)] == [seeds.ASKED_IN_VAIN]


def test_an_error_leaves_it_for_the_next_time(app, ada, arxiv):
    named(app, ada, "2405.00001")
    arxiv.broken.add("api")
    fetch_named(app, arxiv.routes)
    arxiv.broken.clear()
    assert fetch_named(app, arxiv.routes).updated == 1
    with app.db.read() as session:
        announced = session.exec(select(Announcement)).all()
    assert {announcement.kind for announcement in announced} <= {"replace"}


def test_nobody_is_asked_where_nothing_is_wanted(app, arxiv, source):
    fetch_named(app, arxiv.routes)
    assert source.asked == []
