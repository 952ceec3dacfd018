"""Rows of a file become readers: each that is right, nobody who left, and none twice."""

import pytest
from conftest import STRANGER
from sqlalchemy import event

from digest import admission, subscribers, suppressions


def test_an_import_revives_nobody(app, ada, pia):
    subscribers.remove(app, ada.id)
    subscribers.erase(app, pia.id)
    outcome = admission.import_rows(app, [{"email": ada.email}, {"email": pia.email.upper()}])
    assert outcome.added == 0
    assert [position for position, _ in outcome.refused] == [1, 2]
    with app.db.read() as session:
        assert [p.status for p in subscribers.listing(session)] == ["removed"]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"email": "a@b.test", "topic": "maps"}, "topic"),
        ({"email": "a@b.test", "status": "maybe"}, "status"),
        ({"email": "a@b.test", "per_digest": "many"}, "per_digest"),
        ({"email": "a@b.test", "timezone": "Mars/Olympus"}, "time zone"),
        ({"email": "a@b.test", "created_at": "0001-01-01T00:00:00+14:00"}, "a year from 1900"),
        ({"email": "a@b.test", "paused_until": "9999-12-31"}, "paused_until: expected a year"),
        ({"email": "a@b.test", "topics": "[broken"}, None),
        ({"email": "a@b.test", "feedback": "up"}, "feedback"),
        ({"name": "nobody"}, "email"),
    ],
)
def test_a_wrong_row_is_refused_and_says_why(app, row, named):
    outcome = admission.import_rows(app, [row, {"email": STRANGER}])
    if named is None:  # free text after all
        assert outcome.added == 2
    else:
        ((position, reason),) = outcome.refused
        assert (position, outcome.added) == (1, 1)
        assert named in reason


def test_votes_on_papers_that_are_not_here_are_counted(app):
    votes = [{"paper": "arxiv:2611.99999", "vote": "up"}]
    outcome = admission.import_rows(app, [{"email": STRANGER, "feedback": votes}])
    assert (outcome.added, outcome.lost_votes) == (1, 1)


def people(app):
    with app.db.read() as session:
        return {person.email: person for person in subscribers.listing(session)}


@pytest.mark.parametrize("source", ["import", "seed"])
@pytest.mark.parametrize("paper", ["nonsense", "http://x.test/\0", "doi:10.1000/\ud800"])
def test_a_row_with_a_vote_on_no_paper_at_all_is_refused_as_a_whole(app, source, paper):
    votes = [{"paper": paper, "vote": "up", "source": source}]
    outcome = admission.import_rows(app, [{"email": STRANGER, "feedback": votes}])
    ((_, reason),) = outcome.refused
    assert "is not a paper's id" in reason
    assert (outcome.added, people(app)) == (0, {})


def test_one_address_in_many_rows_is_one_reader(app):
    rows = [{"email": STRANGER}, {"email": STRANGER.upper()}, {"email": STRANGER}]
    outcome = admission.import_rows(app, rows)
    assert (outcome.added, outcome.known) == (1, 2)


def test_a_later_row_of_the_same_file_can_silence_and_none_can_speak_again(app):
    silence = {"email": STRANGER, "suppressed": "bounce"}
    again = {"email": STRANGER, "status": "paused"}
    outcome = admission.import_rows(app, [{"email": STRANGER}, silence, again])
    assert (outcome.added, outcome.suppressed) == (1, 1)
    assert [position for position, _ in outcome.refused] == [3]
    assert people(app)[STRANGER].next_digest_at is None
    with app.db.read() as session:
        assert [kept.reason for kept in suppressions.listing(session)] == ["bounce"]


def test_who_is_refused_stands_in_the_order_of_the_file(app, ada):
    subscribers.remove(app, ada.id)
    wrong = {"email": "no address"}
    outcome = admission.import_rows(app, [wrong, {"email": ada.email}, wrong])
    assert [position for position, _ in outcome.refused] == [1, 2, 3]


def test_what_was_taken_stays_where_the_import_dies(app):
    def die(done, _all):
        if done > admission.BUNDLE:
            raise KeyboardInterrupt

    rows = [{"email": f"reader{n}@list.test"} for n in range(2 * admission.BUNDLE + 1)]
    with pytest.raises(KeyboardInterrupt):
        admission.import_rows(app, rows, progress=die)
    assert len(people(app)) == 2 * admission.BUNDLE
    outcome = admission.import_rows(app, rows)
    assert (outcome.added, outcome.known) == (1, 2 * admission.BUNDLE)


def test_many_rows_ask_the_database_no_more_often_than_a_few(app):
    asked = []
    event.listen(app.db.writing, "before_cursor_execute", lambda *given: asked.append(given[2]))
    counts = []
    for many in (3, 300):
        admission.import_rows(app, [{"email": f"r{n}@list{many}.test"} for n in range(many)])
        counts.append(len(asked))
        asked.clear()
    assert counts[1] < 2 * counts[0]
