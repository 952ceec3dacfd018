"""Votes: the last word counts, and only what changes makes a ranker stale."""

import pytest
from conftest import announce

from digest import feedback
from digest.errors import InputError, NotFound
from digest.models import PaperAlias, Subscriber


@pytest.fixture
def papers(app, clock):
    return announce(app, clock().date())


def cast(app, person, paper, vote, source="mail"):
    with app.db.write() as session:
        return feedback.record(session, person.id, paper, vote, source=source, now=app.now())


def test_the_last_word_counts(app, ada, papers, clock):
    assert cast(app, ada, papers[0], "up")
    clock.forward(minutes=1)
    assert cast(app, ada, papers[0], "down", source="web")
    with app.db.read() as session:
        (voted,) = feedback.votes(session, ada.id)
    assert (voted.paper.id, voted.vote, voted.voted_at) == (papers[0], "down", clock())


def test_a_vote_can_be_taken_back(app, ada, papers):
    cast(app, ada, papers[0], "up")
    assert cast(app, ada, papers[0], "none")
    with app.db.read() as session:
        assert feedback.votes(session, ada.id) == []
        assert feedback.training_set(session, [ada.id]) == {ada.id: [(papers[0], 0)]}


def test_the_same_vote_again_changes_nothing(app, ada, papers, clock):
    cast(app, ada, papers[0], "up")
    first = clock()
    clock.forward(hours=1)
    assert not cast(app, ada, papers[0], "up")
    with app.db.read() as session:
        assert feedback.votes(session, ada.id)[0].voted_at == first


def test_a_vote_raises_the_revision(app, ada, papers):
    cast(app, ada, papers[0], "up")
    with app.db.read() as session:
        assert session.get(Subscriber, ada.id).revision > ada.revision


def test_what_is_no_vote_is_refused(app, ada, papers):
    with pytest.raises(InputError, match="expected up, down or none"):
        cast(app, ada, papers[0], "sideways")


def test_a_vote_of_someone_erased_is_refused(app, papers):
    with app.db.write() as session, pytest.raises(NotFound):
        feedback.record(session, 99, papers[0], "up", source="mail", now=app.now())


def test_the_training_set_is_read_for_many_at_once(app, ada, pia, papers):
    cast(app, ada, papers[1], "down")
    cast(app, ada, papers[0], "up")
    cast(app, pia, papers[5], "up")
    with app.db.read() as session:
        assert feedback.training_set(session, range(1, 2000)) == {
            ada.id: [(papers[0], 1), (papers[1], -1)],
            pia.id: [(papers[5], 1)],
        }


def test_a_paper_is_found_by_what_people_type(app, papers):
    with app.db.write() as session:
        session.add(PaperAlias(alias="doi:10.1000/xyz", paper_id=papers[0]))
    with app.db.read() as session:
        for text in (
            "arxiv:2611.18001",
            " 2611.18001v3 ",
            "https://arxiv.org/abs/2611.18001v1",
            "doi:10.1000/xyz",
        ):
            assert feedback.find_paper(session, text).id == papers[0]
        with pytest.raises(NotFound):
            feedback.find_paper(session, "arxiv:2611.99999")
        with pytest.raises(InputError):
            feedback.find_paper(session, "that nice one")
