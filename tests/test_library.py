"""What visitors browse: days in two orders, searches, and counts that tell of no single reader."""

from datetime import date, timedelta

import pytest
from conftest import announce
from sqlmodel import Session

from digest import library
from digest.app import App
from digest.errors import InputError
from digest.library import Page, Query
from digest.models import Feedback, Paper, Subscriber, Upvotes

DAY = date(2026, 11, 18)


def browse(app: App, **asked: object) -> Page:
    with app.db.read() as session:
        return library.browse(session, Query(**({"day": None} | asked)))  # type: ignore[arg-type]


def titles(page: Page) -> list[str]:
    return [paper.title for paper in page.papers]


def vote(app: App, paper_id: int, readers: int) -> None:
    """As many thumbs up as there are to be readers."""
    with app.db.write() as session:
        for n in range(readers):
            person = Subscriber(
                email=f"{n}@r.test", email_key=f"{paper_id}-{n}", created_at=app.now()
            )
            session.add(person)
            session.flush()
            session.add(
                Feedback(
                    subscriber_id=person.id or 0,
                    paper_id=paper_id,
                    vote=1,
                    source="mail",
                    voted_at=app.now(),
                )
            )


def upvote(session: Session, paper_id: int, *counts: int) -> None:
    for back, count in enumerate(counts):
        day = DAY - timedelta(days=back)
        session.add(Upvotes(paper_id=paper_id, source="hub", day=day, count=count))


def test_a_day_has_its_papers_in_the_order_wished_for(app: App) -> None:
    one, two, three = announce(app, DAY, ["One", "Two", "Three"])
    announce(app, DAY - timedelta(days=1), ["Before"])
    with app.db.write() as session:
        upvote(session, one, 3, 2)
        upvote(session, two, 7)
    page = browse(app)
    assert (titles(page), page.day, page.total) == (["Three", "Two", "One"], DAY, 3)
    assert (page.before, page.after, page.newest) == (DAY - timedelta(days=1), None, DAY)
    assert page.categories == [("cs.CV", 3)]
    assert page.upvotes == {one: 3, two: 7}
    assert titles(browse(app, sort="trending")) == ["Two", "One", "Three"]
    vote(app, three, 5)
    assert titles(browse(app, sort="trending")) == ["Two", "Three", "One"]


def test_a_list_ends_where_it_ends(app: App) -> None:
    announce(app, DAY, [f"Moon {n}" for n in range(85)])
    last = browse(app, number=9)
    assert (last.number, last.pages, len(last.papers)) == (3, 3, 5)
    last = browse(app, search="moon", number=10**9)
    assert (last.number, last.pages, len(last.papers), last.total) == (3, 3, 5, 85)
    assert last.categories == [("cs.CV", 85)]
    assert not last.reached


@pytest.mark.parametrize("asked", [{"sort": "best"}, {"sort": "x"}, {"search": "a", "sort": "hot"}])
@pytest.mark.sqlite
def test_an_order_that_there_is_not_is_said(app: App, asked: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"sort: expected newest or (trending|best)"):
        browse(app, **asked)


def test_likes_are_told_from_some_on_and_roundly(app: App) -> None:
    few, some = announce(app, DAY, ["Few", "Some"])
    vote(app, few, 4)
    vote(app, some, 13)
    with app.db.read() as session:
        papers = [session.get_one(Paper, paper) for paper in (few, some)]
        assert [library.likes_of(session, paper) for paper in papers] == [0, 10]


def test_an_id_names_its_paper_if_all_may_see_it(app: App) -> None:
    (paper,) = announce(app, DAY, ["One"])
    with app.db.read() as session:
        for asked in ("2611.18001", " arXiv:2611.18001v3 ", "https://arxiv.org/abs/2611.18001"):
            named = library.named(session, asked)
            assert named is not None
            assert named.id == paper
        for asked in ("2611.18002", "One", "doi:10.1/x", "https://x.test", '"', "a" * 200):
            assert library.named(session, asked) is None
    for hidden in ({"version": 0}, {"version": 1, "announced_day": None}):
        with app.db.write() as session:
            held = session.get_one(Paper, paper)
            for name, value in hidden.items():
                setattr(held, name, value)
            session.add(held)
        with app.db.read() as session:
            assert library.named(session, "2611.18001") is None
