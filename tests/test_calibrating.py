"""Rating a few papers: what is asked, what the votes change, and the page of it."""

import re
from datetime import timedelta

import pytest
from conftest import GALAXIES, IMAGES, announce
from web_door import read, standing

from digest import calibrating, subscribers, training
from digest.errors import InputError
from digest.models import Subscriber

pytestmark = pytest.mark.sqlite  # about pages


@pytest.fixture
def papers(app, clock):
    """The last days' papers by title, with their ids."""
    days = [clock().date() - timedelta(days=2), clock().date()]
    more = [f"{title}, revisited" for title in IMAGES + GALAXIES]
    ids = announce(app, days[0], more) + announce(app, days[1])
    training.refit_if_due(app)
    return dict(zip([*more, *IMAGES, *GALAXIES], ids, strict=True))


@pytest.fixture
def page(app, ada):
    return "/calibrate/" + app.tokens.sign("preferences", ada.id, ada.link_epoch, app.now())


def again(app, person):
    with app.db.read() as session:
        return subscribers.get(session, person.id)


def asked(answer):
    return [int(number) for number in re.findall(r'name="paper-(\d+)" value="up"', answer.text)]


def test_the_questions_spread_over_the_last_days_and_leave_out_what_has_a_vote(app, ada, papers):
    asked = calibrating.questions(app, ada)
    assert len(asked) == 15
    assert any("alax" in paper.title for paper in asked)
    assert any("mage" in paper.title for paper in asked)
    voted = asked[0].id
    calibrating.answer(app, ada.id, {voted: "up"})
    assert voted not in [paper.id for paper in calibrating.questions(app, again(app, ada))]


def test_what_a_reader_has_muted_is_not_asked(app, ada, papers):
    asked = [paper.title for paper in calibrating.questions(app, ada)]
    assert any("lattice" in title for title in asked)
    with app.db.write() as session:
        session.get(Subscriber, ada.id).muted = ["hexagonal lattice"]
    asked = [paper.title for paper in calibrating.questions(app, again(app, ada))]
    assert asked and not any("lattice" in title for title in asked)


def test_the_votes_change_what_stands_on_top(app, ada, papers):
    said = {papers[title]: "up" for title in GALAXIES[:3]}
    said |= {papers[title]: "down" for title in IMAGES[:3]}
    shift = calibrating.answer(app, ada.id, said)
    assert shift.counted == 6
    assert all("mage" in paper.title for paper in shift.before[:3])
    assert all("alax" in paper.title for paper in shift.after[:3])
    assert not said.keys() & {paper.id for paper in (*shift.before, *shift.after)}
    assert standing(app, ada) == said


def test_the_same_votes_again_count_once(app, ada, papers):
    said = {papers[GALAXIES[0]]: "up"}
    calibrating.answer(app, ada.id, said)
    shift = calibrating.answer(app, ada.id, said)
    assert shift.counted == 0
    assert shift.before == shift.after


def test_too_many_at_once_are_refused(app, ada):
    with pytest.raises(InputError, match="at most 60"):
        calibrating.answer(app, ada.id, dict.fromkeys(range(61), "up"))


def test_before_any_paper_nothing_is_asked(app, ada, web, page):
    assert calibrating.questions(app, ada) == []
    assert "Nothing to rate yet" in read(web.get(page))


# The page


def test_looking_changes_nothing_and_each_paper_has_three_answers(app, ada, papers, web, page):
    answer = web.get(page)
    assert "15 papers, a thumb for each" in read(answer)
    assert len(asked(answer)) == 15
    assert answer.text.count('value="skip" checked') == 15
    assert answer.text.count("<legend>") == 15
    assert standing(app, ada) == {}


def test_one_button_saves_all_and_shows_what_changed(app, ada, papers, web, page):
    form = {f"paper-{number}": "skip" for number in asked(web.get(page))}
    galaxies = [papers[title] for title in GALAXIES if f"paper-{papers[title]}" in form]
    form |= {f"paper-{number}": "up" for number in galaxies}
    answer = web.post(page, data=form)
    assert answer.status_code == 200
    assert standing(app, ada) == dict.fromkeys(galaxies, "up")
    assert "How your top five changed" in read(answer)
    assert "new here" in read(answer)


def test_no_vote_is_told_and_the_page_stays(app, ada, papers, web, page):
    answer = web.post(page, data={"paper-1": "skip"})
    assert answer.status_code == 400
    assert "No paper has a vote yet" in read(answer)
    assert len(asked(answer)) == 15


@pytest.mark.parametrize("name", ["paper-", "paper-x", "paper-²", "paper-" + "9" * 30])
def test_what_is_no_paper_is_refused(app, ada, papers, web, page, name):
    assert web.post(page, data={name: "up"}).status_code == 400
    assert standing(app, ada) == {}


def test_a_paper_that_is_not_here_is_passed_over(app, ada, papers, web, page):
    answer = web.post(page, data={"paper-999999": "up"})
    assert "No votes count" in read(answer)
    assert standing(app, ada) == {}


def test_only_a_reader_may_rate(app, ada, papers, web, page):
    assert web.get("/calibrate/forged").status_code == 404
    subscribers.remove(app, ada.id)
    assert web.get(page).status_code == 410
    assert web.post(page, data={f"paper-{papers[IMAGES[0]]}": "up"}).status_code == 410
    assert standing(app, ada) == {}
