"""What was learned, in words."""

import pytest
from conftest import announce

from digest import feedback, learned, training


@pytest.mark.parametrize(
    ("likes", "asked", "said"),
    [
        (0, False, "Nothing yet"),
        (0, True, "your topics and categories alone"),
        (1, True, "1 like in: still mostly your topics"),
        (3, True, "3 likes in: still mostly your topics"),
        (8, True, "as much as your topics"),
        (40, True, "mostly by what you liked"),
        (2, False, "2 likes in: it goes by what you liked"),
    ],
)
def test_the_stage_is_a_sentence(likes, asked, said):
    assert said in learned.stage(likes, asked=asked)


@pytest.mark.parametrize(
    ("likes", "asked", "said"),
    [
        (0, True, "Until the text of what you liked is here, it goes by your topics"),
        (0, False, "Until the text of what you liked is here, it knows nothing yet"),
        (2, False, "2 likes in"),
    ],
)
def test_likes_without_a_text_are_no_likes_yet_and_none_is_denied(likes, asked, said):
    assert learned.stage(likes, asked=asked, waiting=1).startswith(said)


def test_before_anything_was_fitted_it_tells_of_the_votes(app, ada, clock):
    papers = announce(app, clock().date())
    with app.db.write() as session:
        feedback.record(session, ada.id, papers[0], "up", source="web", now=clock())
    told = learned.learned(app, ada)
    assert (told.likes, told.dislikes, told.toward, told.papers) == (1, 0, (), ())
    assert told.waiting == 1
    assert training.stored_space(app) is None


def test_terms_are_themes_told_once(app, ada, clock):
    papers = announce(app, clock().date())
    training.refit(app)
    with app.db.write() as session:
        for paper, vote in ((5, "up"), (6, "up"), (0, "down")):
            feedback.record(session, ada.id, papers[paper], vote, source="web", now=clock())
        person = session.merge(ada)
        session.refresh(person)
    told = learned.learned(app, person)
    assert {paper.id for paper in told.papers} == {papers[5], papers[6]}
    assert 0 < len(told.toward) <= learned.TERMS
    words = [set(term.split()) for term in told.toward]
    assert not any(one < other for one in words for other in words)
    assert not set(told.toward) & set(told.away)
