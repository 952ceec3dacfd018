"""A statement that is compiled once and then goes to the driver as it is.

What every message does to its row, it does through these: the way through SQLAlchemy's execution
takes four times as long as the database does (`benchmarks/mail.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect, Update
from sqlalchemy.exc import DBAPIError


@dataclass(frozen=True, slots=True)
class _Form:
    """The statement as one database takes it."""

    sql: str
    fixed: Mapping[str, Any]
    stored: Mapping[str, Callable[[Any], Any]]  # how a parameter's value is stored
    order: tuple[str, ...] | None  # of the parameters; None where they go by their names


class Prepared:
    """An update whose parameters have one value each: no IN over a list."""

    def __init__(self, statement: Update) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """How many rows it changed; outside of a transaction it is one of its own. Raises what
        SQLAlchemy raises."""
        dialect, raw = connection.dialect, connection.connection
        form = self._forms.get(dialect.name) or self._forms.setdefault(
            dialect.name, _compiled(self._statement, dialect)
        )
        given = {**form.fixed, **values}
        for name, stored in form.stored.items():
            given[name] = stored(given[name])
        alone = not connection.in_transaction()
        try:
            cursor = raw.cursor()
            cursor.execute(form.sql, [given[name] for name in form.order] if form.order else given)
            changed = int(cursor.rowcount)
            cursor.close()
            if alone:
                raw.commit()
        except dialect.loaded_dbapi.Error as error:
            if alone:
                raw.rollback()
            raise DBAPIError.instance(
                form.sql,
                None,
                error,
                dialect.loaded_dbapi.Error,
                hide_parameters=True,
                dialect=dialect,
            ) from error
        return changed


def _compiled(statement: Update, dialect: Dialect) -> _Form:
    made = statement.compile(dialect=dialect)
    stored = {
        name: process
        for bind, name in made.bind_names.items()
        if (process := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
    }
    order = tuple(made.positiontup) if made.positiontup is not None else None
    return _Form(str(made), dict(made.params), stored, order)
