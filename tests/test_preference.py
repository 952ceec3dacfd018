"""Which of two rankings the readers prefer."""

from datetime import timedelta

import pytest
from conftest import announce
from sqlmodel import select

from digest import feedback
from digest.app import open_app
from digest.delivery import prepare
from digest.models import Pick
from digest.preference import of_balances, preference
from digest.settings import Challenger


@pytest.fixture
def shared(app, ada, clock):
    """A digest that two rankings put together; gives the papers of each."""
    announce(app, clock().date())
    settings = app.settings.model_copy(update={"challenger": Challenger(variety=1)})
    with open_app(settings, clock) as both:
        prepare(both)
    with app.db.read() as session:
        picks = session.exec(select(Pick).order_by(Pick.position)).all()
    return {
        team: [pick.paper_id for pick in picks if pick.team == team]
        for team in ("ranking", "challenger")
    }


def vote(app, reader, papers, word, **values):
    with app.db.write() as session:
        for paper in papers:
            told = {"source": "mail", "now": app.now()} | values
            feedback.record(session, reader.id, paper, word, **told)


def read(app):
    with app.db.read() as session:
        return preference(session, app.now())


def test_nothing_is_compared_without_a_challenger(app, ada, clock):
    announce(app, clock().date())
    prepare(app)
    assert read(app) is None


def test_no_votes_prefer_nobody(app, shared):
    assert read(app).share is None
    assert "no votes" in read(app).sentence


def test_more_votes_up_win_and_votes_down_lose(app, ada, shared):
    vote(app, ada, shared["challenger"][:1], "up")
    assert (read(app).ranking, read(app).challenger) == (0, 1)
    vote(app, ada, shared["challenger"][1:3], "down")
    assert (read(app).ranking, read(app).challenger) == (1, 0)
    vote(app, ada, shared["ranking"][:1], "down")
    assert (read(app).ranking, read(app).challenger, read(app).even) == (0, 0, 1)


def test_a_vote_from_before_the_digest_does_not_count(app, ada, shared):
    early = app.now() - timedelta(hours=1)
    vote(app, ada, shared["ranking"][:2], "up", now=early)
    assert read(app).ranking == 0


def test_a_comparison_of_long_ago_is_forgotten(app, ada, shared, clock):
    vote(app, ada, shared["ranking"][:2], "up")
    clock.forward(days=61)
    assert read(app) is None


@pytest.mark.parametrize(
    ("balances", "said"),
    [
        ([1] * 5, "too few to tell"),
        ([1] * 30 + [-1] * 10, "prefer the challenger"),
        ([-2] * 30 + [1] * 10, "as it is"),
        ([1] * 20 + [-1] * 20 + [0] * 9, "No difference"),
    ],
)
def test_the_sentence_says_no_more_than_the_figures(balances, said):
    assert said in of_balances(balances).sentence


def test_the_interval_is_wilsons():
    found = of_balances([1] * 8 + [-1] * 2)
    assert (found.low, found.high) == (
        pytest.approx(0.490, abs=0.001),
        pytest.approx(0.943, abs=0.001),
    )
