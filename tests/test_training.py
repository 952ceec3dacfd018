"""When the feature space is fitted anew, and what training is told."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from conftest import IMAGES, announce
from sklearn.linear_model import LogisticRegression
from sqlalchemy import delete, update
from sqlmodel import select

from digest import feedback, fitting, seeds, training
from digest.app import open_app
from digest.citations import parse_citations
from digest.feeds.store import store
from digest.models import Paper, StoredRanker, StoredSpace, Subscriber
from digest.papers import Entry, Listing


def space(app):
    with app.db.read() as session:
        return session.exec(select(StoredSpace)).one()


def fitted_papers(app):
    return sorted(np.frombuffer(space(app).papers, "<i8").reshape(2, -1)[0].tolist())


def vote(app, reader, papers):
    with app.db.write() as session:
        for at, paper in enumerate(papers):
            word = "down" if at % 3 == 2 else "up"
            feedback.record(session, reader.id, paper, word, source="web", now=app.now())


def whole(rows):
    return np.hstack([rows.terms.toarray(), rows.categories.toarray(), rows.latent])


def ready(app, reader):
    with app.db.read() as session:
        reader = session.get(Subscriber, reader.id)
    return training.ready(app, training.feature_space(app), [reader])


def test_the_space_is_fitted_once_a_day_where_enough_papers_came(app, clock):
    announce(app, clock().date(), [f"Paper {at}" for at in range(100)])
    assert training.refit_if_due(app)
    clock.forward(days=1)
    assert not training.refit_if_due(app)
    announce(app, clock().date(), ["A new word: isotachophoresis"])
    assert training.refit_if_due(app)
    assert len(training.feature_space(app).neighbourhood) == 101
    clock.forward(hours=1)
    announce(app, clock().date().replace(day=1), ["Late, on the same day"])
    assert not training.refit_if_due(app)
    clock.forward(days=1)
    assert not training.refit_if_due(app)  # for there is less than a hundredth that is new
    announce(app, clock().date(), ["Another"])
    assert training.refit_if_due(app)


def test_few_papers_are_learned_after_a_week(app, clock):
    announce(app, clock().date(), [f"Paper {at}" for at in range(101)])
    assert training.refit_if_due(app)
    clock.forward(days=6)
    announce(app, clock().date(), ["A new word: isotachophoresis"])
    assert not training.refit_if_due(app)
    clock.forward(days=1)
    assert training.refit_if_due(app)
    clock.forward(days=8)
    assert not training.refit_if_due(app)


def test_a_paper_that_a_reader_named_is_new_on_the_day_on_which_it_is_listed(app, ada, clock):
    announce(app, clock().date(), [f"Paper {at}" for at in range(99)])
    with app.db.write() as session:
        seeds.plant(session, ada.id, parse_citations("arxiv:2611.00001"), clock())
    assert training.refit_if_due(app)
    clock.forward(days=1)
    assert not training.refit_if_due(app)
    listed = Entry(
        key="arxiv:2611.00001",
        day=clock().date(),
        title="Isotachophoresis in the fog",
        abstract="We separate ions of fog.",
        authors=("Ann Able",),
        categories=("cs.CV",),
        url="https://arxiv.org/abs/2611.00001",
    )
    with app.db.write() as session:
        store(session, Listing("", None, (listed,)), None, clock())
    assert training.refit_if_due(app)
    assert not training.refit_if_due(app)
    assert len(training.feature_space(app).neighbourhood) == 100


def test_an_archive_read_in_is_learned_at_once(app, clock):
    announce(app, clock().date())
    assert training.refit_if_due(app)
    clock.forward(minutes=5)
    announce(app, clock().date().replace(day=2), [f"Old paper {at}" for at in range(20)])
    assert training.refit_if_due(app)
    assert not training.refit_if_due(app)


def test_a_full_corpus_learns_new_papers_too(app, clock, monkeypatch):
    monkeypatch.setattr(fitting, "CORPUS", 5)
    announce(app, clock().date())
    assert training.refit_if_due(app)
    clock.forward(days=1)
    announce(app, clock().date(), ["A new word: isotachophoresis"])
    assert training.refit_if_due(app)
    assert not training.refit_if_due(app)
    assert "isotachophoresis" in training.feature_space(app).terms


def test_a_full_corpus_keeps_earlier_papers_that_readers_voted_on(
    app, ada, pia, clock, monkeypatch
):
    monkeypatch.setattr(fitting, "CORPUS", 8)
    early = announce(app, clock().date(), [f"Paper {at}" for at in range(10)])
    vote(app, ada, early[:3])
    vote(app, pia, early[1:3])
    clock.forward(days=1)
    late = announce(app, clock().date(), ["A new word: isotachophoresis"])
    assert training.refit_if_due(app)
    # Two of the eight may be earlier ones, here those with two votes.
    assert fitted_papers(app) == [*early[1:3], *early[5:], *late]
    assert ready(app, ada).rankers[0].likes == 2


def test_a_corpus_is_full_also_where_few_voted(app, ada, clock, monkeypatch):
    monkeypatch.setattr(fitting, "CORPUS", 8)
    papers = announce(app, clock().date(), [f"Paper {at}" for at in range(10)])
    vote(app, ada, [papers[0], papers[9]])
    assert training.refit_if_due(app)
    assert fitted_papers(app) == [papers[0], *papers[3:]]


@pytest.mark.parametrize(("solver", "fits"), [("newton", 0), ("sklearn", 1)])
def test_the_solver_of_the_settings_trains(app, ada, solver, fits, monkeypatch):
    asked = []

    class Counted(LogisticRegression):
        def fit(self, *given, **more):
            asked.append(self)
            return super().fit(*given, **more)

    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", Counted)
    vote(app, ada, announce(app, app.now().date()))
    ranking = app.settings.ranking.model_copy(update={"solver": solver})
    chosen = replace(app, settings=app.settings.model_copy(update={"ranking": ranking}))
    assert ready(chosen, ada).rankers[0].likes == 7
    assert len(asked) == fits
    with app.db.read() as session:
        assert session.exec(select(StoredRanker.method)).one() == solver


def test_rows_kept_from_an_earlier_block_are_those_of_the_papers_as_they_are(app, ada, clock):
    papers = announce(app, clock().date())
    vote(app, ada, papers[:4])
    first = ready(app, ada).known
    assert (whole(ready(app, ada).known.rows) == whole(first.rows)).all()
    clock.forward(minutes=1)
    with app.db.write() as session:
        changed = session.get(Paper, papers[0])
        changed.title, changed.abstract = IMAGES[-1], "Rings of dust"
        changed.updated_at = clock()
        session.add(changed)
    known, fitted = ready(app, ada).known, training.feature_space(app)
    with app.db.read() as session:
        rows = fitted.transform(
            session.exec(select(Paper).where(Paper.id.in_(papers[:4])).order_by(Paper.id)).all()
        )
    found = known.rows[[known.row_of[str(paper)] for paper in papers[:4]]]
    assert np.abs(whole(found) - whole(rows)).max() < 1e-6
    assert np.abs(whole(found) - whole(first.rows)).max() > 0


def test_processes_that_fit_at_once_leave_one_space(app, clock):
    announce(app, clock().date())
    with ThreadPoolExecutor(4) as pool:
        fitted = list(pool.map(lambda _: training.feature_space(app).version, range(4)))
    assert set(fitted) == {space(app).version}


def days_of_news(app, clock, days):
    """Two papers a day, and each day a fit."""
    for _ in range(days):
        clock.forward(days=1)
        announce(app, clock().date(), [f"Paper of {clock().date()} and {at}" for at in range(2)])
        assert training.refit_if_due(app)


def test_a_process_on_a_file_stores_what_it_fits_when_a_twentieth_is_new(app, clock):
    announce(app, clock().date(), [f"Paper {at}" for at in range(100)])
    training.refit(app)
    kept = space(app).version
    days_of_news(app, clock, 2)
    newest = training.feature_space(app)
    assert len(newest.neighbourhood) == 104
    alone = app.db.file is not None
    assert (space(app).version == kept) == alone
    days_of_news(app, clock, 1)
    assert space(app).version == training.feature_space(app).version != newest.version
    assert len(fitted_papers(app)) == 106


def test_a_space_that_is_not_stored_is_used_like_one_that_is(app, ada, clock):
    papers = announce(app, clock().date(), [f"Paper {at}" for at in range(100)])
    training.refit(app)
    days_of_news(app, clock, 1)
    vote(app, ada, [papers[0], papers[-1] + 2])
    unstored = training.feature_space(app)
    before = ready(app, ada)
    assert training.refit(app).version == unstored.version == space(app).version
    after = ready(app, ada)
    assert before.known.ids == after.known.ids
    assert np.array_equal(whole(before.known.rows), whole(after.known.rows))
    assert before.rankers == after.rankers


def test_another_process_fits_for_itself_what_one_has_not_stored(app, settings, clock):
    announce(app, clock().date(), [f"Paper {at}" for at in range(100)])
    training.refit(app)
    days_of_news(app, clock, 1)
    ours = training.feature_space(app).version
    with open_app(settings, clock) as other:
        training.refit_if_due(other)
        assert training.feature_space(other).version == ours == space(other).version
        clock.forward(days=1)
        announce(other, clock().date(), ["A new word: isotachophoresis", "Another"])
        theirs = training.refit(other).version
        assert theirs != ours
    assert training.feature_space(app).version == theirs  # not what this process has beyond another


def change(app, paper, **values):
    with app.db.write() as session:
        session.execute(update(Paper).where(Paper.id == paper).values(**values))


def test_a_later_fit_is_that_of_all_papers_as_they_are(app, clock):
    papers = announce(app, clock().date(), [f"Paper on topic{at}" for at in range(15)])
    training.refit(app)
    clock.forward(days=1)
    announce(app, clock().date(), ["Lanterns for moths", "More lanterns for moths", "Moths"])
    change(app, papers[3], title="Zeppelins", abstract="", updated_at=clock())
    change(app, papers[4], version=0)
    later = training.refit(app)
    assert {"lanterns", "zeppelin"} <= set(later.terms)
    assert {"topic3", "topic4"} & set(later.terms) == set()
    with app.db.write() as session:
        session.exec(delete(StoredSpace))
    assert training.refit(app).version == later.version


def test_a_later_fit_reads_only_what_came_or_was_changed(app, clock):
    papers = announce(app, clock().date())
    version = training.refit(app).version
    change(app, papers[0], title="Nobody says that this was changed")
    assert training.refit(app).version == version


@pytest.mark.parametrize(
    "former", [{"corpus": None, "papers": None}, {"version": "not read so far"}]
)
def test_a_space_of_another_release_is_fitted_anew(app, clock, former):
    announce(app, clock().date())
    version = training.refit(app).version
    with app.db.write() as session:
        session.execute(update(StoredSpace).values(data=b"another form", **former))
    assert training.stored_space(app) is None
    assert training.feature_space(app).version == version
    assert space(app).corpus


def test_words_of_another_release_are_read_anew(app, clock):
    announce(app, clock().date())
    version = training.refit(app).version
    with app.db.write() as session:
        session.execute(update(StoredSpace).values(corpus=b"another form"))
    assert training.refit(app).version == version
