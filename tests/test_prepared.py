"""Prepared statements do what SQLAlchemy's execution does, and raise what it raises."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from digest.models import MailVote, Paper, Suppression
from digest.prepared import Prepared

AT = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
PAPER = Paper.__table__
TITLED = Prepared(
    select(PAPER.c.title, PAPER.c.authors, PAPER.c.updated_at, PAPER.c.pdf_url).where(
        PAPER.c.id == bindparam("key")
    )
)
RENAMED = Prepared(
    update(PAPER).where(PAPER.c.id == bindparam("key")).values(title=bindparam("new_title"))
)
GONE = Prepared(delete(PAPER).where(PAPER.c.id == bindparam("key")))


@pytest.fixture
def paper(app):
    with app.db.write() as session:
        session.add(Paper(id=7, key="k", title="Fog", url="u", authors=["Ann Ode"], updated_at=AT))
    return {"key": 7}


def shown(app, paper):
    with app.db.connect() as connection:
        return TITLED.rows(connection, paper)


def test_values_come_back_as_they_went_in(app, paper):
    assert shown(app, paper) == [("Fog", ["Ann Ode"], AT, None)]
    assert shown(app, {"key": 8}) == []


def test_a_change_stands_without_a_transaction_and_tells_how_many(app, paper):
    with app.db.steps() as connection:
        assert RENAMED.run(connection, paper | {"new_title": "Mist"}) == 1
        assert RENAMED.run(connection, {"key": 8, "new_title": "Mist"}) == 0
        assert shown(app, paper)[0][0] == "Mist"


def test_a_change_goes_with_its_transaction(app, paper):
    with pytest.raises(RuntimeError), app.db.connect() as connection:
        assert GONE.run(connection, paper) == 1
        assert TITLED.rows(connection, paper) == []
        raise RuntimeError
    assert shown(app, paper)


def test_an_insert_gives_what_it_returns(app):
    table = Suppression.__table__
    values = {column.name: bindparam(f"new_{column.name}") for column in table.c}
    row = {"address_hash": "h", "reason": "bounce", "detail": "", "email": None, "created_at": AT}
    with app.db.connect() as connection:
        rows = Prepared(insert(table).values(values).returning(table.c.reason)).rows(
            connection, {f"new_{name}": value for name, value in row.items()}
        )
    assert rows == [("bounce",)]
    with app.db.read() as session:
        assert session.get(Suppression, "h").created_at == AT


def test_what_the_database_refuses_is_raised_as_sqlalchemy_does(app, paper):
    vote = insert(MailVote.__table__).values(id=bindparam("number"), paper_id=None)
    with app.db.steps() as connection, pytest.raises(IntegrityError):
        Prepared(vote).run(connection, {"number": 1})
    broken = select(PAPER.c.id).where(PAPER.c.key.op("no such thing")("x"))
    with (
        app.db.steps() as connection,
        pytest.raises((OperationalError, ProgrammingError)) as error,
    ):
        Prepared(broken).rows(connection, {})
    assert "parameters" not in str(error.value) or "hidden" in str(error.value)
