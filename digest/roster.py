"""Subscribers to and from files."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from typing import Annotated, Any, Literal, TextIO

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from sqlmodel import Session, col, select

from digest import feedback, mailing_lists
from digest.changes import (
    Changes,
    parse_categories,
    parse_names,
    parse_topics,
)
from digest.errors import InputError
from digest.models import Feedback, Paper, Subscriber, Suppression
from digest.papers import shortened

Kind = Literal["csv", "jsonl"]
Silence = Literal["bounce", "complaint", "operator"]

_BUNDLE = 500
_TOO_MANY = "more"  # under which cells stand that have no column
_SAID = {"missing": "there is none", "extra_forbidden": "there is no such column"}
_YEARS = 1900, 2999
_FREE_TEXT: dict[str, Callable[[str], Any]] = {
    "topics": parse_topics,
    "categories": parse_categories,
    "authors": parse_names,
    "muted": parse_names,
}


def _likely(value: Any) -> Any:
    """A year that a calendar of any zone can reckon with."""
    if not _YEARS[0] <= value.year <= _YEARS[1]:
        raise ValueError(f"expected a year from {_YEARS[0]} to {_YEARS[1]}, got {value.year}")
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_likely)]
Day = Annotated[date, AfterValidator(_likely)]


class Vote(BaseModel):
    """A vote in a file; `paper` is the id that users meet."""

    model_config = ConfigDict(extra="forbid")

    paper: str
    vote: Literal["up", "down", "none"]
    source: Annotated[str, Field(pattern=r"^[a-z-]{1,30}$")] = "import"
    at: Moment | None = None


class Row(BaseModel):
    """A subscriber in a file. In CSV a list is JSON, or free text as on the subscribe page."""

    model_config = ConfigDict(extra="forbid")

    email: str
    status: Literal["pending", "active", "paused", "removed"] = "active"
    name: str = ""
    topics: list[tuple[str, float]] = []
    categories: list[tuple[str, float]] = []
    authors: list[str] = []
    muted: list[str] = []
    min_score: float | None = None
    per_digest: int = 10
    frequency: str = "daily"
    send_at: str = "07:00"
    timezone: str = "UTC"
    paused_until: Day | None = None
    created_at: Moment | None = None
    confirmed_at: Moment | None = None
    feedback: list[Vote] = []
    suppressed: Silence | None = None

    @field_validator("topics", "categories", "authors", "muted", "feedback", mode="before")
    @classmethod
    def _list(cls, value: Any, info: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.startswith("["):
            with suppress(json.JSONDecodeError):
                return json.loads(value)
        return _FREE_TEXT[info.field_name](value) if info.field_name in _FREE_TEXT else value

    @property
    def ended(self) -> bool:
        """As `subscribers.has_ended` says of the stored one."""
        return self.status == "removed" or (
            self.status == "pending" and self.confirmed_at is not None
        )

    def wishes(self) -> Changes:
        return Changes(
            name=self.name,
            topics=self.topics,
            categories=self.categories,
            authors=self.authors,
            muted=self.muted,
            min_score=self.min_score,
            per_digest=self.per_digest,
            frequency=self.frequency,
            send_at=self.send_at,
            timezone=self.timezone,
        )


def export_rows(session: Session) -> Iterator[dict[str, Any]]:
    """Every subscriber with all votes, as values that JSON holds; `admission` takes them."""
    after = 0
    while True:
        people = session.exec(
            select(Subscriber)
            .where(col(Subscriber.id) > after)
            .order_by(col(Subscriber.id))
            .limit(_BUNDLE)
        ).all()
        if not people:
            return
        yield from records(session, people)
        after = people[-1].id or 0


def kind_of(file_name: str) -> Kind:
    """By the file's ending: .csv, or JSON lines."""
    return "csv" if file_name.lower().endswith(".csv") else "jsonl"


def write_rows(rows: Iterable[Mapping[str, Any]], file: TextIO, kind: Kind) -> int:
    """Writes a header and a line each (open the file with newline=""); returns how many rows."""
    table = csv.DictWriter(file, list(Row.model_fields), lineterminator="\n")
    if kind == "csv":
        table.writeheader()
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 (the last one is the result)
        if kind == "csv":
            table.writerow({name: _cell(value) for name, value in row.items()})
        else:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def read_rows(file: TextIO, kind: Kind) -> Iterator[dict[str, Any]]:
    """The rows of a file (opened with encoding="utf-8-sig"); an empty cell is as if not there. The
    CSV may be an export of listmonk or Mailchimp, or a spreadsheet's with semicolons or tabs.

    Raises InputError for a line that is no JSON object, and where a CSV names no addresses.
    """
    if kind == "csv":
        yield from _table(file)
        return
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # also a number or a depth beyond all measure
            raise InputError(f"line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"line {number}: expected a JSON object, such as {{'email': …}}")
        yield row


def _table(file: TextIO) -> Iterator[dict[str, Any]]:
    header = file.readline()
    delimiter = max(",;\t", key=header.count)
    columns = next(csv.reader([header], delimiter=delimiter), [])
    of = mailing_lists.program(columns)
    if of is None:
        columns = [column.strip().lower() for column in columns]
        if "email" not in columns:
            raise InputError(
                "the first line must name the columns, `email` among them; it is"
                f" {shortened(header.strip(), 80)!r}"
            )
    lines = csv.DictReader(file, columns, restkey=_TOO_MANY, delimiter=delimiter)
    try:
        for cells in lines:
            row = mailing_lists.row(cells, of) if of else cells
            yield {name: cell for name, cell in row.items() if cell}
    except csv.Error as error:  # such as a cell of 128 kB
        raise InputError(f"line {lines.line_num + 2} is not CSV: {error}") from error


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def records(session: Session, people: Iterable[Subscriber]) -> list[dict[str, Any]]:
    """The people's rows in a file, with all their votes."""
    rows = {person.id: Row.model_validate(_values(person)) for person in people}
    votes = session.exec(
        select(Feedback, Paper.key)
        .join(Paper, col(Paper.id) == col(Feedback.paper_id))
        .where(col(Feedback.subscriber_id).in_(rows))
        .order_by(col(Feedback.subscriber_id), col(Feedback.voted_at), col(Feedback.paper_id))
    )
    for held, key in votes:
        word = feedback.WORDS[held.vote]
        vote = {"paper": key, "vote": word, "source": held.source, "at": held.voted_at}
        rows[held.subscriber_id].feedback.append(Vote.model_validate(vote))
    by_address = {row.email: row for row in rows.values()}
    silent = select(Suppression).where(col(Suppression.email).in_(by_address))
    for kept in session.exec(silent):
        by_address[kept.email or ""].suppressed = kept.reason  # type: ignore[assignment]
    return [row.model_dump(mode="json") for row in rows.values()]


def _values(person: Subscriber) -> dict[str, Any]:
    return person.model_dump(include=set(Row.model_fields))


def checked(values: Mapping[str, Any]) -> Row:
    """Raises InputError with the first thing that is wrong in the row."""
    try:
        return Row.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if name == _TOO_MANY:
            raise InputError("it has more cells than there are columns") from error
        said = _SAID.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise InputError(f"{name}: {said}") from error
