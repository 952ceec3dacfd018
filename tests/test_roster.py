"""Subscribers to files and back without loss, and whom a file cannot bring back."""

import io
from datetime import timedelta

import pytest
from conftest import STRANGER, announce

from digest import admission, feedback, roster, signup, subscribers, suppressions
from digest.app import open_app
from digest.changes import Changes
from digest.errors import InputError
from digest.settings import Settings


@pytest.fixture
def people(app, ada, pia, clock):
    """Readers of all sorts, with votes and with names that are hard on files."""
    first, second, *_ = announce(app, clock().date())
    odd = Changes(
        name='Zoë "Z", Ångström;\n',
        topics=[("video, audio", 2.0), ("=cmd|'/c calc'!A0", 0.25), ("日本語", 1.0)],
        authors=["[Émile] Borel"],
        muted=["cold fusion"],
        min_score=0.25,
        per_digest=50,
        frequency="weekly",
        send_at="23:59",
        timezone="Asia/Kathmandu",
    )
    subscribers.add(app, "zoë@müller.example", odd)
    signup.subscribe(app, STRANGER, Changes())
    subscribers.pause(app, pia.id, (app.now() + timedelta(days=30)).date())
    left = subscribers.add(app, "left@reader.test", Changes())
    subscribers.remove(app, left.id)
    silent = subscribers.add(app, "silent@reader.test", Changes())
    suppressions.add(app, silent.email)
    with app.db.write() as session:
        for paper, vote in ((first, "up"), (second, "none")):
            feedback.record(session, ada.id, paper, vote, source="mail", now=app.now())


def export(app):
    with app.db.read() as session:
        return list(roster.export_rows(session))


@pytest.fixture
def other(tmp_path, clock):
    """Another installation that knows the same papers."""
    settings = Settings.model_validate(
        {"database": {"url": f"sqlite:///{tmp_path}/other.db"}, "web": {"secret": "o" * 40}}
    )
    with open_app(settings, clock) as opened:
        announce(opened, clock().date())
        yield opened


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_round_trip_loses_nothing(app, people, other, kind, clock):
    before = export(app)
    file = io.StringIO()
    assert roster.write_rows(before, file, kind) == 6
    clock.forward(days=3)
    file.seek(0)
    done = admission.import_rows(other, roster.read_rows(file, kind))
    assert done == admission.Import(added=6, suppressed=1)
    assert export(other) == before
    with other.db.read() as session:
        assert subscribers.find(session, "silent@reader.test").next_digest_at is None


def test_an_import_leaves_those_already_there_as_they_are(app, people):
    before = export(app)
    changed = [row | {"per_digest": 3, "status": "active"} for row in before]
    outcome = admission.import_rows(app, changed)
    assert (outcome.added, outcome.known) == (0, 4 + 1)
    assert [reason for _, reason in outcome.refused if "own new sign-up" in reason]
    assert export(app) == before


def test_a_list_typed_in_a_spreadsheet_will_do(app):
    file = io.StringIO(
        "email,name,topics,categories,authors\r\n"
        'sam@stranger.test,Sam,"maps ^2; tides","cs.CV, cs.LG",\r\n'
        "not an address,,,,\r\n"
    )
    outcome = admission.import_rows(app, roster.read_rows(file, "csv"))
    assert (outcome.added, [position for position, _ in outcome.refused]) == (1, [2])
    with app.db.read() as session:
        sam = subscribers.find(session, "sam@stranger.test")
    assert (sam.status, sam.topics) == ("active", [["maps", 2.0], ["tides", 1.0]])
    assert sam.next_digest_at is not None


@pytest.mark.parametrize("line", ["{", "[]", '"ada@reader.test"', "[" * 9999, "9" * 9999])
def test_a_line_that_is_no_object_is_named(line):
    with pytest.raises(InputError, match="line 2"):
        list(roster.read_rows(io.StringIO('{"email": "a@b.test"}\n' + line + "\n"), "jsonl"))


LISTMONK = """uuid,email,name,attributes,status,created_at,updated_at
1b,one@list.test,Ono Ito,"{""topics"": [""tidal flats""], ""age"": 4}",enabled,2024-05-02T10:00:00Z,
1c,two@list.test,,{},blocklisted,2024-05-02T10:00:00Z,2024-06-02T10:00:00Z
1d,three@list.test,,[],disabled,,
1e,four@list.test,,not json,odd,,
"""
MAILCHIMP = """Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,CONFIRM_TIME
five@list.test,Fay,Ivers,2,2023-01-01 10:00:00,2023-01-02 11:30:00
"""
MAILCHIMP_LEFT = """Email Address,First Name,Last Name,MEMBER_RATING,UNSUB_TIME,UNSUB_REASON
six@list.test,,,2,2023-03-01 10:00:00,NORMAL (I no longer want these emails)
"""
MAILCHIMP_CLEANED = """Email Address,First Name,MEMBER_RATING,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE
seven@list.test,,1,2023-03-01 10:00:00,Spring
"""


def people_in(app, *files):
    for text in files:
        done = admission.import_rows(app, roster.read_rows(io.StringIO(text), "csv"))
    with app.db.read() as session:
        found = {row["email"].partition("@")[0]: row for row in roster.export_rows(session)}
    return done, found


def test_listmonks_export_comes_with_its_blocklist(app):
    done, found = people_in(app, LISTMONK)
    assert done.added == 3
    assert done.suppressed == 1
    assert [position for position, _ in done.refused] == [4]
    assert found["one"]["topics"] == [["tidal flats", 1.0]]
    assert (found["one"]["name"], found["one"]["status"]) == ("Ono Ito", "active")
    assert found["one"]["created_at"].startswith("2024-05-02")
    assert (found["two"]["status"], found["two"]["suppressed"]) == ("removed", "operator")
    assert found["three"]["status"] == "removed"


def test_mailchimps_three_lists_keep_who_left_and_who_bounced_away(app):
    _, found = people_in(app, MAILCHIMP, MAILCHIMP_LEFT, MAILCHIMP_CLEANED)
    assert (found["five"]["name"], found["five"]["status"]) == ("Fay Ivers", "active")
    assert found["five"]["confirmed_at"] == "2023-01-02T11:30:00Z"
    assert found["six"]["status"] == "removed"
    assert found["seven"]["suppressed"] == "bounce"
    done, _ = people_in(app, MAILCHIMP.replace("five", "seven"), MAILCHIMP.replace("five", "six"))
    assert done.added == 0
    assert done.refused


def test_a_reader_whom_the_other_program_blocks_gets_no_mail(app, ada):
    done, found = people_in(app, LISTMONK.replace("two@list.test", ada.email))
    assert done.suppressed == 1
    assert (found["ada"]["status"], found["ada"]["suppressed"]) == ("active", "operator")
    with app.db.read() as session:
        assert subscribers.find(session, ada.email).next_digest_at is None


@pytest.mark.parametrize(
    "text",
    [
        "Email;Name;Topics\nann@table.test;Ann;weak lensing\n",
        "email\tname\ttopics\r\nann@table.test\tAnn\tweak lensing\r\n",
        'email;topics\nann@table.test;"weak lensing; "\n',
    ],
)
def test_a_table_of_a_spreadsheet_is_read(app, text):
    done = admission.import_rows(app, roster.read_rows(io.StringIO(text, newline=""), "csv"))
    assert (done.added, done.refused) == (1, ())
    with app.db.read() as session:
        assert subscribers.find(session, "ann@table.test").topics == [["weak lensing", 1.0]]


@pytest.mark.parametrize("text", ["", "ann@table.test\n", "name,address\nAnn,ann@table.test\n"])
def test_a_table_without_a_column_of_addresses_is_refused_at_once(app, text):
    with pytest.raises(InputError, match="must name the columns, `email` among them"):
        admission.import_rows(app, roster.read_rows(io.StringIO(text), "csv"))


def test_a_cell_beyond_all_measure_is_told_with_its_line():
    text = f"email,name\nann@table.test,Ann\nbo@table.test,{'b' * 200_000}\n"
    with pytest.raises(InputError, match="line 3 is not CSV"):
        list(roster.read_rows(io.StringIO(text), "csv"))


def test_what_is_wrong_with_a_row_is_said_in_words(app):
    text = "email,topcs\nann@table.test,galaxies\n,\nbo@table.test,,more,and more\n"
    done = admission.import_rows(app, roster.read_rows(io.StringIO(text), "csv"))
    assert done.refused == (
        (1, "topcs: there is no such column"),
        (2, "email: there is none"),
        (3, "it has more cells than there are columns"),
    )
