"""Readers from rows of a file: each is checked by itself, and many are stored at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, select

from digest import feedback, roster, seeds, subscribers, suppressions
from digest.changes import Address, parse_address
from digest.citations import parse_citations
from digest.db import insert_new
from digest.errors import InputError, NotFound
from digest.models import Subscriber, Suppression
from digest.papers import parse_paper_id
from digest.roster import Row, Silence, Vote
from digest.schedule import next_due

if TYPE_CHECKING:
    from digest.app import App

Numbered = Iterable[tuple[int, Mapping[str, Any]]]
Progress = Callable[[int, int | None], None]

BUNDLE = 500
_BLANK = Subscriber(email="", email_key="", created_at=datetime.min.replace(tzinfo=UTC)).model_dump(
    exclude={"id"}
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

    def __add__(self, other: "Import") -> "Import":
        return Import(
            self.added + other.added,
            self.known + other.known,
            self.suppressed + other.suppressed,
            self.refused + other.refused,
            self.lost_votes + other.lost_votes,
        )


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
    while bundle := list(islice(numbered, BUNDLE)):
        with suppress(_TakenBack), app.db.write() as session:
            outcome += _import(app, session, bundle)
            if dry_run:
                raise _TakenBack
        if progress is not None:
            progress(bundle[-1][0], None)
    return outcome


class _TakenBack(Exception):
    """Ends a transaction that was for trial alone."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A row that is right in itself."""

    row: Row
    address: Address
    wishes: dict[str, Any]


@dataclass(slots=True)
class _Bundle:
    """What rows that are stored together meet and do: by the addresses' keys, who `there` is
    (address, status, whether the subscription has ended) and why an address gets no mail."""

    there: dict[str, tuple[str, str, bool]]
    silent: dict[str, str]
    new: dict[str, _Read] = field(default_factory=dict)
    silenced: list[tuple[Address, Silence]] = field(default_factory=list)

    def silence(self, address: Address, reason: Silence) -> None:
        self.silent[address.key] = reason
        self.silenced.append((address, reason))


def _import(app: "App", session: Session, rows: Numbered) -> Import:
    """The rows are checked one by one, but the database is asked and told for all at once."""
    refused: list[tuple[int, str]] = []
    read: list[tuple[int, _Read]] = []
    for position, values in rows:
        try:
            read.append((position, _read(values)))
        except InputError as error:
            refused.append((position, str(error)))
    bundle, known = _met(app, session, [one.address.key for _, one in read]), 0
    for position, one in read:
        try:
            known += not _taken(bundle, one)
        except InputError as error:
            refused.append((position, str(error)))
    added, lost = _store(app, session, bundle.new)
    for address, reason in bundle.silenced:
        suppressions.suppress(app, session, address.key, address.email, reason, "import")
    late = len(bundle.new) - added
    return Import(added, known + late, len(bundle.silenced), tuple(sorted(refused)), lost)


def _read(values: Mapping[str, Any]) -> _Read:
    row = roster.checked(values)
    address, wishes = parse_address(row.email), row.wishes().checked()
    for vote in row.feedback:
        parse_paper_id(vote.paper)
    return _Read(row, address, wishes)


def _met(app: "App", session: Session, keys: Sequence[str]) -> _Bundle:
    people = session.exec(select(Subscriber).where(col(Subscriber.email_key).in_(keys)))
    hashes = {mark: key for key in keys for mark in app.tokens.address_hashes(key)}
    silent = session.exec(
        select(Suppression.address_hash, Suppression.reason).where(
            col(Suppression.address_hash).in_(hashes)
        )
    )
    return _Bundle(
        {p.email_key: (p.email, p.status, subscribers.has_ended(p)) for p in people},
        {hashes[mark]: reason for mark, reason in silent},
    )


def _taken(bundle: _Bundle, one: _Read) -> bool:
    """Notes what is to be done for the row; False where its reader is known and stays as is.
    Raises InputError where the address gets no mail, or ended its subscription."""
    row, key = one.row, one.address.key
    held, silent = bundle.there.get(key), bundle.silent.get(key)
    if held is not None and row.suppressed and silent is None:
        bundle.silence(Address(held[0], key), row.suppressed)
        return True
    if held is not None and row.status in (held[1], "removed"):
        return False
    subscribers.refuse(one.address, silent, ended=held is not None and held[2])
    if held is not None:
        return False
    bundle.new[key] = one
    bundle.there[key] = (one.address.email, row.status, row.ended)
    if row.suppressed:
        bundle.silence(one.address, row.suppressed)
    return True


def _store(app: "App", session: Session, new: Mapping[str, _Read]) -> tuple[int, int]:
    """Inserts the readers with their votes; gives how many readers, and how many votes were on
    papers that are not here. Who signed up this very moment stays as he is."""
    if not new:
        return 0, 0
    now = app.now()
    people = [_person(one, now) for one in new.values()]
    added = set(insert_new(session, Subscriber, people, Subscriber.email_key))
    voters = [key for key in added if new[key].row.feedback]
    ids = session.exec(
        select(Subscriber.email_key, Subscriber.id).where(col(Subscriber.email_key).in_(voters))
    )
    number = dict(ids.all())
    lost = sum(
        not _vote(session, number[key] or 0, vote, now)
        for key in voters
        for vote in new[key].row.feedback
    )
    return len(added), lost


def _person(one: _Read, now: datetime) -> dict[str, Any]:
    """The columns of a new reader."""
    row, wishes = one.row, one.wishes
    given = _BLANK | wishes | {"email": one.address.email, "email_key": one.address.key}
    given |= {"status": row.status, "paused_until": row.paused_until}
    given["created_at"] = row.created_at or now
    given["confirmed_at"] = row.confirmed_at
    if row.status in ("active", "paused"):
        given["confirmed_at"] = row.confirmed_at or now
    if row.status == "active":
        hour = (given["frequency"], given["send_at"], given["timezone"])
        given["next_digest_at"] = next_due(now, *hour)
    return given


def _vote(session: Session, person: int, vote: Vote, now: datetime) -> bool:
    try:
        paper = feedback.find_paper(session, vote.paper)
    except NotFound:
        if (vote.source, vote.vote) != ("seed", "up"):
            return False
        named = parse_citations(vote.paper)
        return seeds.plant(session, person, named, vote.at or now).papers == 1
    assert paper.id is not None
    feedback.record(session, person, paper.id, vote.vote, source=vote.source, now=vote.at or now)
    return True
