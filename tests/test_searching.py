"""The search finds what all its terms occur in, in step with what is stored, and takes any text."""

from datetime import date, timedelta

import pytest
from conftest import Clock, announce
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st
from sqlmodel import select

from digest import merging, searching
from digest.app import App
from digest.db import Db, upgrade
from digest.models import Paper, metadata
from digest.searching import Term, parse

DAY = date(2026, 11, 18)


def found(app: App, asked: str, **how: object) -> list[str]:
    """The titles found, in their order."""
    with app.db.read() as session:
        ids = searching.search(session, parse(asked), **how)  # type: ignore[arg-type]
        papers = {paper.id: paper.title for paper in session.exec(select(Paper))}
    return [papers[paper] for paper in ids]


def change(app: App, title: str, **values: object) -> int:
    with app.db.write() as session:
        paper = session.exec(select(Paper).where(Paper.title == title)).one()
        for name, value in values.items():
            setattr(paper, name, value)
        session.add(paper)
        assert paper.id is not None
        return paper.id


def test_a_search_is_words_phrases_and_beginnings() -> None:
    assert parse("Tidal  FORCES") == [Term(("tidal",)), Term(("forces",))]
    assert parse('"tidal forces" moon*') == [Term(("tidal", "forces")), Term(("moon",), True)]
    assert parse("state-of-the-art x_1") == [Term(("state", "of", "the", "art")), Term(("x", "1"))]
    assert parse("Erdős Łukasz Weiß") == [Term(("erdos",)), Term(("lukasz",)), Term(("weiss",))]
    assert parse('"open end') == [Term(("open", "end"))]
    assert parse("a* moon moon") == [Term(("a",)), Term(("moon",))]
    assert parse('" - * %') == []


@given(st.text(max_size=400))
def test_any_text_becomes_words_alone(asked: str) -> None:
    for term in parse(asked):
        assert term.words
        assert all(word.isalnum() for word in term.words)


TITLES = [
    "Tides of the inner moons",
    "On the moons of Jupiter and their tidal forces",
    "Forces: tidal locking of the “hot-Jupiter” kind",
    "Étude of GPT-4 on crème brûlée",
]


def test_what_is_found(app: App) -> None:
    announce(app, DAY, TITLES)
    change(app, TITLES[0], authors=["Jørgen Müller", "Łucja Weiß"], categories=["astro-ph.EP"])
    inner, forces, locking, etude = TITLES
    assert found(app, "moons") == [forces, inner]  # the newest, which is the last listed, first
    assert found(app, "MOON tidal") == [forces]  # in any case and number, in title or abstract
    assert found(app, "tidal forces") == [locking, forces]
    assert found(app, '"tidal forces"') == [forces]
    assert found(app, "hot-jupiter") == [locking]
    assert found(app, "jup*") == [locking, forces]
    assert found(app, "gpt 4 creme brulee etude") == [etude]
    for name in ("Jorgen Muller", "jørgen MÜLLER", "muller lucja", "weiss", '"Jørgen Müller"'):
        assert found(app, name) == [inner]
    assert found(app, "moons comets") == []
    assert found(app, "moons", category="astro-ph.EP") == [inner]
    assert found(app, "moons", category="astro-ph") == []
    assert found(app, "moons", limit=1) == [forces]
    assert found(app, "") == []
    announce(app, DAY - timedelta(days=400), ["Moons, moons, moons: a survey of moons"])
    assert found(app, "moons")[-1].startswith("Moons")
    assert found(app, "moons", best=True)[0].startswith("Moons")
    assert found(app, "moons", day=DAY) == [forces, inner]
    with app.db.read() as session:
        some = searching.alike(session, ["jupiter", "etude", "nowhere"], 2)
    assert len(some) == 2


def test_the_index_keeps_step_with_the_papers(app: App) -> None:
    announce(app, DAY, TITLES)
    inner, forces, locking, etude = TITLES
    change(app, inner, version=0)
    change(app, forces, announced_day=None)
    assert found(app, "moons") == []
    change(app, inner, version=1)
    change(app, forces, announced_day=DAY, abstract="Nothing to see.")
    assert found(app, "moons") == [forces, inner]
    assert found(app, "study forces") == [locking]
    change(app, locking, announced_day=DAY + timedelta(days=1))
    assert found(app, "forces") == [locking, forces]
    with app.db.write() as session:
        ids = {paper.title: paper.id or 0 for paper in session.exec(select(Paper))}
        merging.absorb(session, ids[inner], ids[forces], app.now())
        session.delete(session.get(Paper, ids[etude]))
    assert found(app, "moons") == [inner]
    assert found(app, "brulee") == []


HOSTILE = st.lists(
    st.sampled_from(
        [
            *('"', "'", "*", "(", ")", "AND", "OR", "NOT", "NEAR(", "title:", "^", "+", "-", "\\"),
            *("\0", "&", "|", "!", "<->", ":*", ":", "%", "_", ";--", "{", "}", "🜁", "é", "한국"),
            *("٣", "²", "ǅ", "\u0301", "\ud7ff", "moon", "x" * 300, " "),
        ]
    ),
    max_size=12,
).map("".join)


@trials(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=HOSTILE | st.text(max_size=60), category=HOSTILE, best=st.booleans())
def test_no_text_is_an_error(app: App, asked: str, category: str, best: bool) -> None:
    with app.db.read() as session:
        assert searching.search(session, parse(asked), category=category, best=best) == []
        assert searching.alike(session, searching.words(asked)[:8], 5) == []


@pytest.mark.bare
def test_papers_from_before_the_index_are_found(database: str, clock: Clock) -> None:
    db = Db(database)
    upgrade(db, "0006")
    with db.connect() as connection:
        values = {"key": "arxiv:2611.00001", "title": "Moons", "url": "", "version": 1}
        values |= {"abstract": "", "authors": ["Zoë Weiß"], "categories": []}
        row = values | {"announced_day": DAY, "updated_at": clock()}
        connection.execute(metadata.tables["paper"].insert(), row)
    upgrade(db)
    with db.read() as session:
        assert len(searching.search(session, parse("weiss moon"))) == 1
    db.close()
