"""Subscribers to and from files."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TextIO

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, field_validator
from sqlmodel import Session, col, select

from digest import feedback, mailing_lists, seeds, subscribers, suppressions
from digest.changes import (
    Address,
    Changes,
    parse_address,
    parse_categories,
    parse_names,
    parse_topics,
)
from digest.citations import parse_citations
from digest.errors import InputError, NotFound
from digest.models import Feedback, Paper, Subscriber, Suppression
from digest.papers import shortened
from digest.schedule import next_due

if TYPE_CHECKING:
    from digest.app import App

Kind = Literal["csv", "jsonl"]
Progress = Callable[[int, int | None], None]

_BUNDLE = 500
_TOO_MANY = "more"  # under which cells stand that have no column
_SAID = {"missing": "there is none", "extra_forbidden": "there is no such column"}
_FREE_TEXT: dict[str, Callable[[str], Any]] = {
    "topics": parse_topics,
    "categories": parse_categories,
    "authors": parse_names,
    "muted": parse_names,
}


class Vote(BaseModel):
    """A vote in a file; `paper` is the id that users meet."""

    model_config = ConfigDict(extra="forbid")

    paper: str
    vote: Literal["up", "down", "none"]
    source: str = "import"
    at: AwareDatetime | None = None


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
    paused_until: date | None = None
    created_at: AwareDatetime | None = None
    confirmed_at: AwareDatetime | None = None
    feedback: list[Vote] = []
    suppressed: Literal["bounce", "complaint", "operator"] | None = None

    @field_validator("topics", "categories", "authors", "muted", "feedback", mode="before")
    @classmethod
    def _list(cls, value: Any, info: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.startswith("["):
            with suppress(json.JSONDecodeError):
                return json.loads(value)
        return _FREE_TEXT[info.field_name](value) if info.field_name in _FREE_TEXT else value

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


@dataclass(frozen=True, slots=True)
class Import:
    """What became of a file: `known` were there already and were left as they are, `refused`
    holds (position from 1, reason), `suppressed` counts addresses that get no mail from now on,
    `lost_votes` the votes on papers that are not here."""

    added: int = 0
    known: int = 0
    suppressed: int = 0
    refused: tuple[tuple[int, str], ...] = ()
    lost_votes: int = 0


def export_rows(session: Session) -> Iterator[dict[str, Any]]:
    """Every subscriber with all votes, as values that JSON holds; `import_rows` takes them."""
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


def import_rows(
    app: "App",
    rows: Iterable[Mapping[str, Any]],
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Import:
    """Adds who is not there yet. Without a status, a row is an active subscriber.

    Nobody who ended the subscription, was erased or is suppressed comes back by it. `dry_run` says
    what would become of the rows, and keeps nothing.
    """
    outcome, numbered = Import(), enumerate(rows, 1)
    while bundle := list(islice(numbered, _BUNDLE)):
        with suppress(_TakenBack), app.db.write() as session:
            for position, values in bundle:
                try:
                    outcome = _import(app, session, values, outcome)
                except InputError as error:
                    refused = (*outcome.refused, (position, str(error)))
                    outcome = replace(outcome, refused=refused)
            if dry_run:
                raise _TakenBack
        if progress is not None:
            progress(bundle[-1][0], None)
    return outcome


class _TakenBack(Exception):
    """Ends a transaction that was for trial alone."""


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
        except json.JSONDecodeError as error:
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
    for cells in csv.DictReader(file, columns, restkey=_TOO_MANY, delimiter=delimiter):
        row = mailing_lists.row(cells, of) if of else cells
        yield {name: cell for name, cell in row.items() if cell}


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


def _import(app: "App", session: Session, values: Mapping[str, Any], outcome: Import) -> Import:
    row = _checked(values)
    address, wishes, now = parse_address(row.email), row.wishes().checked(), app.now()
    known = session.exec(select(Subscriber).where(Subscriber.email_key == address.key)).first()
    silent = suppressions.suppressed(app, session, address.key) is not None
    if known is not None and row.suppressed and not silent:
        suppressions.suppress(app, session, address.key, known.email, row.suppressed, "import")
        return replace(outcome, suppressed=outcome.suppressed + 1)
    if known is not None and row.status in (known.status, "removed"):
        return replace(outcome, known=outcome.known + 1)
    subscribers.refuse_unwanted(app, session, address)
    if known is not None:
        return replace(outcome, known=outcome.known + 1)
    person = _person(row, address, wishes, now)
    session.add(person)
    session.flush()
    lost = sum(not _vote(session, person, vote, now) for vote in row.feedback)
    if row.suppressed:
        suppressions.suppress(app, session, address.key, person.email, row.suppressed, "import")
    return replace(
        outcome,
        added=outcome.added + 1,
        suppressed=outcome.suppressed + bool(row.suppressed),
        lost_votes=outcome.lost_votes + lost,
    )


def _checked(values: Mapping[str, Any]) -> Row:
    try:
        return Row.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if name == _TOO_MANY:
            raise InputError("it has more cells than there are columns") from error
        said = _SAID.get(first["type"], first["msg"])
        raise InputError(f"{name}: {said}") from error


def _person(row: Row, address: Address, wishes: dict[str, Any], now: datetime) -> Subscriber:
    person = Subscriber(
        email=address.email,
        email_key=address.key,
        status=row.status,
        paused_until=row.paused_until,
        created_at=row.created_at or now,
        confirmed_at=row.confirmed_at,
        **wishes,
    )
    if row.status in ("active", "paused"):
        person.confirmed_at = person.confirmed_at or now
    if row.status == "active":
        person.next_digest_at = next_due(now, person.frequency, person.send_at, person.timezone)
    return person


def _vote(session: Session, person: Subscriber, vote: Vote, now: datetime) -> bool:
    assert person.id is not None
    try:
        paper = feedback.find_paper(session, vote.paper)
    except NotFound:
        if (vote.source, vote.vote) != ("seed", "up"):
            return False
        named = parse_citations(vote.paper)
        return seeds.plant(session, person.id, named, vote.at or now).papers == 1
    assert paper.id is not None
    feedback.record(session, person.id, paper.id, vote.vote, source=vote.source, now=vote.at or now)
    return True
