"""The preferences page over real HTTP: what a digest would hold, what was learned, all votes."""

import re
from datetime import UTC, date, datetime

import pytest
from conftest import announce
from web_door import bearer, by_address, everything, read, standing

from digest import feedback, subscribers, training
from digest.delivery import deliver

pytestmark = pytest.mark.sqlite  # about pages; those of `postgres` on both


@pytest.fixture
def link(app, ada, links):
    return links.preferences(bearer(app, ada))


@pytest.fixture
def papers(app, clock):
    return announce(app, clock().date())


def vote(app, person, papers, word="up", source="web"):
    with app.db.write() as session:
        for paper in papers:
            feedback.record(session, person.id, paper, word, source=source, now=app.now())


def trial(page):
    """The titles that a digest would hold."""
    (part,) = re.findall(r'<ol class="brief">(.*?)</ol>', page.text, re.DOTALL)[:1]
    return re.findall(r'rel="noopener">([^<]+)</a>', part)


# The form


def profile_form(**changed):
    form = {
        "topics": "maps ^2\ntides",
        "categories": "cs.CV",
        "authors": "Emmy Noether",
        "muted": "",
        "per_digest": "7",
        "frequency": "weekly",
        "send_at": "18:00",
        "timezone": "Asia/Tokyo",
        "action": "save",
    }
    return form | changed


@pytest.mark.postgres
def test_preferences_are_saved_and_shown(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    assert "Saved" in read(web.post(link, data=profile_form()))
    person = by_address(app, ada.email)
    assert (person.topics, person.authors) == ([["maps", 2.0], ["tides", 1.0]], ["Emmy Noether"])
    assert (person.per_digest, person.frequency, person.timezone) == (7, "weekly", "Asia/Tokyo")
    assert person.next_digest_at == datetime(2026, 11, 23, 9, tzinfo=UTC)
    page = web.get(link).text
    assert "maps ^2\ntides</textarea>" in page
    assert '<option value="Asia/Tokyo" selected>' in page


@pytest.mark.postgres
def test_papers_are_liked_in_the_preferences(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    pasted = "2405.00001\n@article{x, title={Never announced here}, doi={10.1/x}}\nno paper"
    answer = read(web.post(link, data={"action": "like", "liked": pasted}))
    assert "2 papers liked" in answer and "Not understood: no paper" in answer
    assert "Never announced here" in answer and "arxiv:2405.00001" in answer
    assert list(standing(app, ada).values()) == ["up", "up"]
    for key in ("arxiv:2405.00001", "doi:10.1/x"):
        assert web.get(f"/papers/{key}").status_code == 404
    web.post(link, data={"action": "undo", "paper": "arxiv:2405.00001"})
    assert list(standing(app, ada).values()) == ["up"]


def test_too_many_papers_are_refused_and_kept_in_the_form(app, web, ada, links):
    many = " ".join(f"2405.{number:05}" for number in range(101))
    answer = web.post(links.preferences(bearer(app, ada)), data={"action": "like", "liked": many})
    assert answer.status_code == 400
    assert "at most 100 papers" in read(answer) and "2405.00100" in answer.text
    assert standing(app, ada) == {}


def test_an_empty_field_empties(app, web, ada, links):
    web.post(links.preferences(bearer(app, ada)), data=profile_form(topics="", categories=""))
    person = by_address(app, ada.email)
    assert (person.topics, person.categories) == ([], [])


def test_a_wrong_preference_changes_nothing_and_keeps_what_was_typed(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    before = everything(app)
    answer = web.post(link, data=profile_form(per_digest="500", topics="my long list"))
    assert answer.status_code == 400
    assert "1 to 50" in read(answer)
    assert "my long list" in answer.text
    assert everything(app) == before


def test_pause_and_back(app, web, ada, links):
    link = links.preferences(bearer(app, ada))
    web.post(link, data={"action": "pause", "until": "2026-12-01"})
    person = by_address(app, ada.email)
    assert (person.status, person.paused_until) == ("paused", date(2026, 12, 1))
    assert "from Tuesday, 1 December 2026" in read(web.get(link))
    web.post(link, data={"action": "resume"})
    assert by_address(app, ada.email).status == "active"


def test_a_pause_until_yesterday_is_refused(app, web, ada, links):
    form = {"action": "pause", "until": "2026-11-17"}
    assert web.post(links.preferences(bearer(app, ada)), data=form).status_code == 400
    assert by_address(app, ada.email).status == "active"


@pytest.mark.postgres
def test_a_vote_is_taken_back_in_the_preferences(app, web, ada, links, vote_link):
    web.post(vote_link(1, "up"), data={"vote": "up"})
    link = links.preferences(bearer(app, ada))
    page = web.get(link).text
    (paper,) = re.findall(r'name="paper" value="([^"]+)"', page)
    web.post(link, data={"action": "undo", "paper": paper})
    assert standing(app, ada) == {}


def test_after_the_end_the_preferences_offer_a_new_sign_up_only(app, web, ada, links):
    subscribers.remove(app, ada.id)
    link = links.preferences(bearer(app, ada))
    assert "has ended" in read(web.get(link))
    web.post(link, data={"action": "resume"})
    assert by_address(app, ada.email).status == "removed"


# What a digest would hold


def test_the_preview_follows_what_is_typed_and_changes_nothing(app, web, ada, link, papers):
    training.refit(app)
    before = everything(app)
    form = profile_form(action="preview", topics="galaxy surveys", categories="", per_digest="3")
    page = web.post(link, data=form)
    assert len(trial(page)) == 3
    assert "galax" in trial(page)[0].lower()
    assert "galaxy surveys</textarea>" in page.text
    images = web.post(link, data=form | {"topics": "diffusion models for image generation"})
    assert "iffusion" in trial(images)[0]
    assert everything(app) == before


def test_the_preview_goes_by_the_votes_too_and_not_by_what_was_sent(
    app, web, ada, link, papers, mailbox
):
    deliver(app)
    vote(app, ada, papers[:2], "down")
    vote(app, ada, papers[5:7])
    form = profile_form(action="preview", topics="", categories="", per_digest="4")
    titles = trial(web.post(link, data=form))
    assert len(titles) == 4
    assert "alax" in titles[0]


def test_the_preview_after_saving_holds_with_the_model_of_the_saved(app, web, ada, link, papers):
    """What a preview learned must not be taken for what was saved."""
    web.post(link, data=profile_form(action="preview", topics="galaxy surveys", per_digest="3"))
    saved = profile_form(topics="diffusion models for image generation", per_digest="3")
    web.post(link, data=saved)
    page = web.post(link, data=saved | {"action": "preview"})
    assert "iffusion" in trial(page)[0]


def test_the_script_is_given_the_preview_alone(app, web, ada, link, papers):
    form = profile_form(topics="galaxy surveys", fragment="1")
    answer = web.post(link, data=form)
    assert "<html" not in answer.text and "galax" in answer.text
    assert by_address(app, ada.email).topics == ada.topics
    wrong = web.post(link, data=form | {"per_digest": "500"})
    assert "1 to 50" in read(wrong) and "<html" not in wrong.text


def test_without_papers_the_preview_says_so(web, ada, link):
    page = web.post(link, data=profile_form(action="preview"))
    assert "no paper was announced in the last week" in read(page)
    assert "maps ^2" in page.text


# A bar, categories


def test_a_least_chance_is_kept_shown_and_taken_away(app, web, ada, link):
    web.post(link, data=profile_form(min_score="0.75"))
    assert by_address(app, ada.email).min_score == 0.75
    assert '<option value="0.75" selected>' in web.get(link).text
    web.post(link, data=profile_form())  # a form without the field leaves it
    assert by_address(app, ada.email).min_score == 0.75
    web.post(link, data=profile_form(min_score=""))
    assert by_address(app, ada.email).min_score is None
    for wrong in ("much", "1.5"):
        assert web.post(link, data=profile_form(min_score=wrong)).status_code == 400


def test_categories_are_ticked_or_typed_with_a_weight(app, web, ada, link, papers):
    form = profile_form(categories=["cs.CV", "astro-ph.GA ^2, q-bio.BM"])
    web.post(link, data=form)
    stored = by_address(app, ada.email).categories
    assert stored == [["cs.CV", 1.0], ["astro-ph.GA", 2.0], ["q-bio.BM", 1.0]]
    page = web.get(link).text
    assert re.search(r'value="cs.CV" checked', page)
    assert 'value="astro-ph.GA ^2, q-bio.BM"' in page


def test_weights_are_told_in_words(app, web, ada, link):
    page = read(web.post(link, data=profile_form(topics="maps ^2\ntides\nmoons ^0.5")))
    assert "Now “maps” counts 2-fold; “moons” counts 0.5-fold." in page


# What was learned


def test_what_was_learned_is_told_in_words(app, web, ada, link, papers):
    assert "No likes yet: it goes by your topics and categories alone." in read(web.get(link))
    training.refit(app)
    vote(app, ada, papers[5:8])
    vote(app, ada, papers[:2], "down")
    page = read(web.get(link))
    assert "3 likes in: still mostly your topics." in page
    assert "3 votes for more, 2 for less" in page
    (up,) = re.findall(r"Draws a paper up (.*?) (?:Draws|Liked)", page)
    assert "galax" in up or "surveys" in up


def test_votes_and_what_was_learned_from_them_agree(app, web, ada, link, papers):
    training.refit(app)
    vote(app, ada, papers[5:8])
    web.post(link, data={"action": "like", "liked": "arxiv:2405.00001"})
    page = read(web.get(link))
    assert "3 likes in: still mostly your topics." in page
    assert "4 votes for more, 0 for less; 1 of those for more counts once" in page


def test_looking_trains_and_keeps_nothing(app, web, ada, link, papers):
    training.refit(app)
    vote(app, ada, papers[:3])
    before = everything(app)
    web.get(link)
    assert everything(app) == before


# All votes


def test_all_votes_come_page_by_page_and_each_is_taken_back(app, web, ada, link, clock):
    many = announce(app, clock().date(), [f"Tides of moon number {n}" for n in range(60)])
    vote(app, ada, many)
    assert "All 60 of them" in read(web.get(link))
    seen = []
    for number in (1, 2, 3):
        page = web.get(f"{link}/votes?page={number}").text
        seen += re.findall(r">Tides of moon number (\d+)</a>", page)
    assert sorted(map(int, seen)) == list(range(60))
    assert "No further ones" in read(web.get(f"{link}/votes?page=9"))
    key = re.findall(r'name="paper" value="([^"]+)"', web.get(f"{link}/votes").text)[0]
    page = read(web.post(f"{link}/votes", data={"action": "undo", "paper": key}))
    assert "That vote is taken back" in page and "59 for more" in page
    assert len(standing(app, ada)) == 59
    for odd in ("0", "-3", "x", "9" * 40, "²"):
        assert web.get(f"{link}/votes", params={"page": odd}).status_code == 200


def test_papers_named_by_the_reader_are_listed_apart(app, web, ada, link, papers):
    vote(app, ada, papers[:2])
    vote(app, ada, papers[5:6], source="seed")
    named = web.get(f"{link}/votes?only=named").text
    assert "Galaxy surveys" in named and "hexagonal" not in named
    assert named.count(">Take it back<") == 1


def test_a_paper_that_is_none_is_said(web, ada, link):
    answer = web.post(f"{link}/votes", data={"paper": "arxiv:2611.99999"})
    assert (answer.status_code, "there is no paper" in read(answer)) == (400, True)


def test_the_votes_need_the_link(app, web, ada, link):
    assert web.get("/preferences/x/votes").status_code == 404
    with app.db.write() as session:
        person = subscribers.get(session, ada.id)
        person.link_epoch += 1
        session.add(person)
    assert web.get(f"{link}/votes").status_code == 410
