"""Papers to start from, whether they are here or not."""

from datetime import date

import pytest
from conftest import STRANGER, announce
from sqlmodel import select

from digest import admission, feedback, seeds, signup, subscribers, training
from digest.changes import Changes
from digest.citations import parse_citations
from digest.feeds.store import store
from digest.models import Feedback, Paper, PaperNews
from digest.papers import Entry, Listing
from digest.picking import rank

BIBTEX = """@article{x, title={Rotation curves of faint spiral galaxies}, eprint={2405.00001},
  abstract={The rotation of galaxies and their dark matter halos.}, author={Vera Star}}"""


def like(app, person, text):
    return subscribers.like(app, person.id, parse_citations(text))


def liked(app, person):
    with app.db.read() as session:
        return [(held.paper.key, held.paper.title) for held in feedback.votes(session, person.id)]


def entry(**values):
    told = {
        "key": "arxiv:2405.00001",
        "title": "Rotation curves, as the author calls it",
        "abstract": "Galaxies.",
        "authors": ("Vera Star",),
        "categories": ("astro-ph.GA",),
        "url": "https://arxiv.org/abs/2405.00001",
        "day": date(2026, 11, 18),
    }
    return Entry(**(told | values))


def test_a_paper_that_is_here_is_voted_up(app, ada, clock):
    first, *_ = announce(app, clock().date())
    assert like(app, ada, "https://arxiv.org/abs/2611.18001v3").papers == 1
    with app.db.read() as session:
        held = session.get(Feedback, (ada.id, first))
    assert (held.vote, held.source) == (1, "seed")


def test_a_thumb_down_stays_and_is_counted(app, ada, clock):
    first, second, *_ = announce(app, clock().date())
    with app.db.write() as session:
        feedback.record(session, ada.id, first, "down", source="mail", now=clock())
        feedback.record(session, ada.id, second, "none", source="web", now=clock())
    named = parse_citations("2611.18001 2611.18002 2405.00001")
    with app.db.read() as session:
        assert seeds.foresee(session, ada.id, named) == seeds.Planted(2, (), down=1)
    assert subscribers.like(app, ada.id, named) == seeds.Planted(2, (), down=1)
    assert subscribers.like(app, ada.id, named) == seeds.Planted(2, (), known=2, down=1)
    with app.db.read() as session:
        assert session.get(Feedback, (ada.id, first)).vote == -1


def test_a_paper_that_is_not_here_trains_and_is_never_announced(app, ada, clock):
    announce(app, clock().date())
    assert "alax" not in rank(app, ada.email)[0].title
    like(app, ada, BIBTEX)
    assert liked(app, ada) == [("arxiv:2405.00001", "Rotation curves of faint spiral galaxies")]
    assert any(
        reason.startswith("liked") for paper in rank(app, ada.email) for reason in paper.reasons
    )
    assert "arxiv:2405.00001" not in {paper.id for paper in rank(app, ada.email, limit=100)}


def test_an_id_alone_says_nothing_until_its_text_is_there(app, ada, clock):
    announce(app, clock().date())
    before = [(paper.id, paper.score) for paper in rank(app, ada.email)]
    like(app, ada, "2405.00001")
    assert [(paper.id, paper.score) for paper in rank(app, ada.email)] == before
    with app.db.write() as session:
        assert [paper.key for paper in seeds.wanting(session, "arxiv")] == ["arxiv:2405.00001"]
        store(session, Listing("", None, (entry(kind="replace"),)), None, clock())
        assert seeds.wanting(session, "arxiv") == []
    assert [(paper.id, paper.score) for paper in rank(app, ada.email)] != before


def test_the_record_takes_the_place_of_a_readers_word_and_is_no_news(app, ada, clock):
    like(app, ada, BIBTEX)
    with app.db.write() as session:
        store(session, Listing("", None, (entry(doi="10.1000/x"),)), None, clock())
    assert liked(app, ada) == [("arxiv:2405.00001", "Rotation curves, as the author calls it")]
    with app.db.read() as session:
        assert session.exec(select(PaperNews)).all() == []


def test_a_title_without_an_id_meets_its_paper_later(app, ada, clock):
    text = "@article{x, title={A survey of the rotation of faint galaxies}, author={Vera Star}}"
    like(app, ada, text)
    told = entry(title="A survey of the rotation of faint galaxies")
    with app.db.write() as session:
        store(session, Listing("", None, (told,)), None, clock())
    assert liked(app, ada) == [("arxiv:2405.00001", "A survey of the rotation of faint galaxies")]
    like(app, ada, text)
    assert len(liked(app, ada)) == 1


def test_a_readers_word_ties_no_two_papers_together(app, ada, clock):
    like(app, ada, "@misc{x, title={Mine and not yours at all}, eprint={2405.00001}, doi={10.1/y}}")
    other = entry(
        key="arxiv:2405.00002", title="Mine and not yours at all", aliases=("doi:10.1/y",)
    )
    with app.db.write() as session:
        assert store(session, Listing("", None, (other,)), None, clock()).new == 1


def test_what_one_reader_pasted_does_not_enter_the_features_of_all(app, ada, clock):
    announce(app, clock().date())
    training.refit(app)
    version = training.feature_space(app).version
    like(app, ada, BIBTEX)
    assert training.refit(app).version == version


def test_an_address_of_nothing_known_is_not_understood(app, ada):
    done = like(app, ada, "https://example.org/blog\nnonsense")
    assert done == seeds.Planted(0, ("nonsense", "https://example.org/blog"))


def test_a_sign_ups_papers_wait_for_the_confirmation(app, clock):
    signup.subscribe(app, STRANGER, Changes(), BIBTEX)
    with app.db.read() as session:
        assert session.exec(select(Paper)).all() == []
        person = subscribers.find(session, STRANGER)
    signup.confirm(app, person.id)
    assert [key for key, _ in liked(app, person)] == ["arxiv:2405.00001"]
    with app.db.read() as session:
        assert subscribers.find(session, STRANGER).seeds == ""


def test_an_import_brings_seeds_that_are_not_here_and_no_other_votes(app):
    up = {"vote": "up", "source": "seed"}
    row = {
        "email": STRANGER,
        "feedback": [
            {"paper": "arxiv:2405.00001"} | up,
            {"paper": "title:0123456789abcdef"} | up,
            {"paper": "arxiv:2405.00002", "vote": "up", "source": "mail"},
        ],
    }
    done = admission.import_rows(app, [row])
    assert (done.added, done.lost_votes) == (1, 2)
    with app.db.read() as session:
        assert [paper.key for paper in session.exec(select(Paper))] == ["arxiv:2405.00001"]


@pytest.mark.parametrize("word", ["none", "down"])
def test_a_seed_can_be_taken_back(app, ada, clock, word):
    like(app, ada, BIBTEX)
    with app.db.write() as session:
        paper = feedback.find_paper(session, "2405.00001")
        feedback.record(session, ada.id, paper.id, word, source="web", now=clock())
    with app.db.read() as session:
        assert feedback.training_set(session, [ada.id])[ada.id] == [
            (paper.id, feedback.VOTES[word])
        ]
