"""Papers that readers named: their texts are fetched once, and are no news."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from arxiv_server import Arxiv, Scripted
from feed_server import Answer, Source, serving
from sqlmodel import select

from digest import seeds
from digest.citations import parse_citations
from digest.feeds.named import fetch_named
from digest.feeds.routes import Routes
from digest.models import Announcement, Paper


@pytest.fixture
def settings(settings):
    feeds = settings.feeds.model_copy(update={"contact": "op@lab.test"})
    return settings.model_copy(update={"feeds": feeds})


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


# DOIs


WORKS = (Path(__file__).parent / "feeds" / "crossref.json").read_bytes()


def test_a_doi_gets_its_text_from_crossref(app, ada, source, clock):
    source.otherwise = lambda _path: Answer(body=WORKS)
    named(app, ada, "doi:10.1000/invented.1\n10.1000/Invented.2\n10.1000/nobody")
    routes = Routes(crossref=f"{source.url}/works")
    assert fetch_named(app, routes).updated == 2
    first, bare, unknown = papers(app)
    assert (first.title, first.abstract) == (
        "Growth of E. inventa at low CO₂ & light",
        "We grow it at p < 5 and wait. It grows.",
    )
    assert first.authors == ["Ann Able", "Bo Bee Jr.", "The Z Consortium"]
    assert (first.journal, first.version) == ("Annals of Invented Science", 1)
    assert (bare.title, bare.abstract, bare.journal) == ("Nothing but a title", "", None)
    assert (unknown.key, unknown.version) == ("doi:10.1000/nobody", seeds.ASKED_IN_VAIN)
    assert {paper.announced_day for paper in papers(app)} == {None}
    ((path, headers),) = source.asked
    dois = parse_qs(urlsplit(path).query)["filter"][0].split(",")
    assert dois == ["doi:10.1000/invented.1", "doi:10.1000/invented.2", "doi:10.1000/nobody"]
    assert "(+mailto:op@lab.test)" in headers["user-agent"]
    fetch_named(app, routes)
    assert len(source.asked) == 1


def test_a_pasted_abstract_stays_where_crossref_has_none(app, ada, source):
    source.otherwise = lambda _path: Answer(body=WORKS)
    named(app, ada, "@article{x, doi={10.1000/invented.2}, title={T}, abstract={As pasted.}}")
    fetch_named(app, Routes(crossref=f"{source.url}/works"))
    (paper,) = papers(app)
    assert (paper.title, paper.abstract) == ("Nothing but a title", "As pasted.")


def test_crossrefs_refusal_leaves_it_for_the_next_time(app, ada, source):
    source.otherwise = lambda _path: Answer(429, headers={"Retry-After": "5"})
    named(app, ada, "10.1000/invented.1")
    routes = Routes(crossref=f"{source.url}/works")
    fetch_named(app, routes)
    source.otherwise = lambda _path: Answer(body=WORKS)
    assert fetch_named(app, routes).updated == 1
