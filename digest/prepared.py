"""A statement that is compiled once and then goes to the driver as it is.

What every message does to its row, and every vote that comes by mail, goes this way: the one
through SQLAlchemy's execution takes four times as long as the database does (`benchmarks/mail.py`,
`benchmarks/votes.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, SelectBase, UpdateBase
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

Convert = Callable[[Any], Any] | None
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class _Form:
    """The statement as one database takes it."""

    sql: str
    fixed: Mapping[str, Any]
    stored: Mapping[str, Callable[[Any], Any]]  # how a parameter's value is stored
    order: tuple[str, ...] | None  # of the parameters; None where they go by their names

    def parameters(self, values: Mapping[str, Any]) -> Any:
        given = {**self.fixed, **values}
        for name, stored in self.stored.items():
            given[name] = stored(given[name])
        return list(map(given.__getitem__, self.order)) if self.order else given


class Prepared:
    """A statement whose parameters have one value each: no IN over a list."""

    def __init__(self, statement: UpdateBase | SelectBase) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}
        self._types: Sequence[TypeEngine[Any]] = ()
        if isinstance(statement, SelectBase):
            self._types = [column.type for column in statement.selected_columns]
        self._shown: dict[str, list[Convert]] = {}  # how a stored value is given back

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """How many rows it changed; outside of a transaction it is one of its own. Raises what
        SQLAlchemy raises."""

        def changed(cursor: Any, form: _Form) -> int:
            cursor.execute(form.sql, form.parameters(values))
            return int(cursor.rowcount)

        return self._at(connection, changed)

    def many(self, connection: Connection, values: Sequence[Mapping[str, Any]]) -> None:
        """Runs it once for each of the values, in one go."""
        self._at(
            connection,
            lambda cursor, form: cursor.executemany(
                form.sql, [form.parameters(each) for each in values]
            ),
        )

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows that it selects, or the numbers that an insert returns."""

        def found(cursor: Any, form: _Form) -> tuple[list[tuple[Any, ...]], Any]:
            cursor.execute(form.sql, form.parameters(values))
            return cursor.fetchall(), cursor.description

        rows, description = self._at(connection, found)
        if not self._types or not rows:
            return rows
        shown = self._shown.get(connection.dialect.name) or self._shown.setdefault(
            connection.dialect.name, self._converts(connection.dialect, description)
        )
        return [
            tuple(
                value if convert is None else convert(value)
                for value, convert in zip(row, shown, strict=True)
            )
            for row in rows
        ]

    def _at(self, connection: Connection, work: Callable[[Any, _Form], Done]) -> Done:
        """What the work gives that is done at a cursor with the statement's form."""
        dialect, raw = connection.dialect, connection.connection.driver_connection
        assert raw is not None
        form = self._forms.get(dialect.name) or self._forms.setdefault(
            dialect.name, _compiled(self._statement, dialect)
        )
        alone = not (connection.in_transaction() or _commits_itself(connection))
        try:
            cursor = raw.cursor()
            done = work(cursor, form)
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
        return done

    def _converts(self, dialect: Dialect, description: Sequence[Sequence[Any]]) -> list[Convert]:
        return [
            kind.dialect_impl(dialect).result_processor(dialect, column[1])
            for kind, column in zip(self._types, description, strict=True)
        ]


def _commits_itself(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _compiled(statement: UpdateBase | SelectBase, dialect: Dialect) -> _Form:
    made = statement.compile(dialect=dialect)
    stored = {
        name: process
        for bind, name in made.bind_names.items()
        if (process := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
    }
    order = tuple(made.positiontup) if made.positiontup is not None else None
    return _Form(str(made), dict(made.params), stored, order)
