"""A listing becomes rows: one paper per work, one announcement per paper, day and kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from digest import news, ties
from digest.db import alone
from digest.feeds.works import NEWS, Known, Work, distinct, enter, names_of
from digest.merging import absorb
from digest.models import metadata
from digest.papers import Entry, Listing
from digest.schedule import window

PAPER, ALIAS = metadata.tables["paper"], metadata.tables["paper_alias"]
ANNOUNCEMENT, UPVOTES = metadata.tables["announcement"], metadata.tables["upvotes"]

VOTES_FROM = "huggingface"
AT_ONCE = 500  # values in one IN list


@dataclass(frozen=True, slots=True)
class Tally:
    """`seen` entries, of which `rejected` could not be read; `new` papers were stored, and the
    record of `updated` others changed."""

    seen: int = 0
    new: int = 0
    updated: int = 0
    rejected: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Tally(*(ours + theirs for ours, theirs in pairs))


def store(
    session: Session,
    listing: Listing,
    feed_id: int | None,
    now: datetime,
    *,
    votes_day: date | None = None,
) -> Tally:
    """Stores what the listing holds; storing it again changes nothing.

    Votes are kept as the count of `votes_day`, else of `now`'s day in UTC.
    """
    alone(session, "papers")  # what makes two records one paper is no unique key
    known = _known(session, listing.entries)
    aliased = set(known.named)
    ahead = _made_ahead(session, now)
    for entry in listing.entries:
        enter(entry, known, now, _after_digests(entry.day, now, ahead))
    works = [work for work in distinct(known.named.values()) if work.entries]
    new = [work for work in works if work.id is None]
    updated = [work for work in works if work.id is not None and work.changed]
    news.record(session, [_change(work) for work in updated], now)
    for work in updated:
        for gone in work.absorbed:
            absorb(session, work.id or 0, gone, now)
    _insert_papers(session, new)
    _update_papers(session, updated, now)
    _insert_aliases(session, known.named, aliased)
    _insert_announcements(session, works, feed_id, now)
    _insert_votes(session, works, votes_day or now.date())
    rejected = len(listing.rejected)
    return Tally(len(listing.entries) + rejected, len(new), len(updated), rejected)


def _made_ahead(session: Session, now: datetime) -> dict[date, datetime]:
    """The last moment at which digests of a day were made, where that is now or later: by a clock
    that stepped back since."""
    made = metadata.tables["digest"].c
    query = select(made.day, func.max(made.created_at)).where(made.created_at >= now)
    return dict(session.execute(query.group_by(made.day)).all())


def _after_digests(day: date, now: datetime, ahead: Mapping[date, datetime]) -> datetime:
    """Later than every digest by which papers of the day could count as covered: what comes now was
    in none of them. Digests of other days leave it alone, however far the clock was ahead."""
    made = [at for of, at in ahead.items() if window(of)[0] <= day <= of]
    return max([now, *(at + timedelta(milliseconds=1) for at in made)])


def _known(session: Session, entries: Sequence[Entry]) -> Known:
    """The stored papers that the entries may be of."""
    names = {name for entry in entries for name in names_of(entry)}
    marks = {mark for entry in entries if (mark := ties.mark(entry.title, entry.authors))}
    stands_for: dict[str, int] = {}
    for some in _chunks(names):
        keys = select(PAPER.c.key, PAPER.c.id).where(PAPER.c.key.in_(some))
        aliases = select(ALIAS.c.alias, ALIAS.c.paper_id).where(ALIAS.c.alias.in_(some))
        for query in (aliases, keys):
            stands_for.update((name, paper_id) for name, paper_id in session.execute(query))
    ids = set(stands_for.values())
    for some in _chunks(marks):
        ids |= set(session.scalars(select(PAPER.c.id).where(PAPER.c.fingerprint.in_(some))))
    works: dict[int, Work] = {}
    for some_ids in _chunks(ids):
        for row in session.execute(select(PAPER).where(PAPER.c.id.in_(some_ids))).mappings():
            works[row["id"]] = Work(row["id"], dict(row), dict(row))
    known = Known({name: works[paper_id] for name, paper_id in stands_for.items()})
    for work in works.values():
        if work.values["fingerprint"]:
            known.marked.setdefault(work.values["fingerprint"], []).append(work)
    return known


def _change(work: Work) -> news.Change:
    """What may be news of the paper. The numbers of two sources' versions cannot be compared."""
    before = work.before or work.values
    if work.absorbed:
        before = before | {"version": work.values["version"]}
    return news.Change(work.id or 0, before, work.values, tuple(work.absorbed))


def _insert_papers(session: Session, works: Sequence[Work]) -> None:
    if not works:
        return
    session.execute(_insert(session, PAPER), [work.values for work in works])
    ids: dict[str, int] = {}
    for some in _chunks(work.values["key"] for work in works):
        query = select(PAPER.c.key, PAPER.c.id).where(PAPER.c.key.in_(some))
        ids.update((key, paper_id) for key, paper_id in session.execute(query))
    for work in works:
        work.id = ids[work.values["key"]]


def _update_papers(session: Session, works: Sequence[Work], now: datetime) -> None:
    if not works:
        return
    columns = [column.name for column in PAPER.c if column.name != "id"]
    statement = (
        update(PAPER)
        .where(PAPER.c.id == bindparam("of"))
        .values({name: bindparam(f"to_{name}") for name in columns})
    )
    rows = [work.values | {"id": work.id, "updated_at": now} for work in works]
    session.execute(
        statement,
        [{"of": row["id"]} | {f"to_{name}": row[name] for name in columns} for row in rows],
    )


def _insert_aliases(session: Session, known: dict[str, Work], aliased: set[str]) -> None:
    rows = [
        {"alias": name, "paper_id": work.id}
        for name, work in known.items()
        if name != work.values["key"] and (name not in aliased or work.changed)
    ]
    if rows:
        session.execute(_insert(session, ALIAS), rows)


def _insert_announcements(
    session: Session, works: Sequence[Work], feed_id: int | None, now: datetime
) -> None:
    stated, derived = _told_before(session, works, feed_id)
    rows = {
        (work.id, entry.day, entry.kind): {
            "paper_id": work.id,
            "day": entry.day,
            "kind": entry.kind,
            "feed_id": feed_id,
            "recorded_at": now,
            "derived": entry.derived,
        }
        for work in works
        for entry in work.entries
        if _is_news(entry, stated.get(work.id, set()), work.id in derived, feed_id)
    }
    outdone = {
        paper_id: day
        for (paper_id, day, kind), row in rows.items()
        if paper_id in derived and kind in NEWS and not row["derived"]
    }
    _withdraw_derived(session, outdone, feed_id)
    if rows:
        session.execute(_insert(session, ANNOUNCEMENT), list(rows.values()))


def _is_news(entry: Entry, stated: set[str], derived: bool, feed_id: int | None) -> bool:
    """Whether to record the entry: one without a date of its own bears today's, and must not be
    news in the same feed again tomorrow; a derived announcement gives way to any other."""
    if entry.derived and entry.kind in NEWS:
        return not stated and not derived
    return entry.kind != "new" or feed_id is None or "new" not in stated


def _told_before(
    session: Session, works: Sequence[Work], feed_id: int | None
) -> tuple[dict[int | None, set[str]], set[int | None]]:
    """As what this feed (without one: any) stated these papers to be, new or cross-listed; and
    for which of them it has a derived announcement."""
    table = ANNOUNCEMENT.c
    stated: dict[int | None, set[str]] = {}
    derived: set[int | None] = set()
    for some in _chunks(work.id for work in works):
        query = select(table.paper_id, table.kind, table.derived, table.feed_id)
        query = query.where(table.paper_id.in_(some), table.kind.in_(NEWS))
        for paper_id, kind, is_derived, told_by in session.execute(query):
            if is_derived and told_by == feed_id:
                derived.add(paper_id)
            elif feed_id in (told_by, None):
                stated.setdefault(paper_id, set()).add(kind)
    return stated, derived


def _withdraw_derived(
    session: Session, days: Mapping[int | None, date], feed_id: int | None
) -> None:
    """Makes room for what is stated now: `days` by paper."""
    table = ANNOUNCEMENT.c
    for some in _chunks(days):
        same_feed = table.feed_id == feed_id if feed_id is not None else table.feed_id.is_(None)
        session.execute(
            delete(ANNOUNCEMENT).where(table.paper_id.in_(some), table.derived, same_feed)
        )
    if days:
        statement = update(PAPER).where(PAPER.c.id == bindparam("of"))
        session.execute(
            statement.values(announced_day=bindparam("to")),
            [{"of": paper_id, "to": day} for paper_id, day in days.items()],
        )


def _insert_votes(session: Session, works: Iterable[Work], day: date) -> None:
    counts = {
        work.id: entry.upvotes
        for work in works
        for entry in work.entries
        if entry.upvotes is not None
    }
    if not counts:
        return
    statement = _dialect(session).insert(UPVOTES)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[UPVOTES.c.paper_id, UPVOTES.c.source, UPVOTES.c.day],
            set_={"count": statement.excluded["count"]},
        ),
        [
            {"paper_id": paper_id, "source": VOTES_FROM, "day": day, "count": count}
            for paper_id, count in counts.items()
        ],
    )


def _insert(session: Session, table: Table) -> Any:
    """An insert that leaves rows alone which are there already, on either database."""
    return _dialect(session).insert(table).on_conflict_do_nothing()


def _dialect(session: Session) -> Any:
    return sqlite if session.get_bind().dialect.name == "sqlite" else postgresql


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(values)
    while some := list(islice(rest, AT_ONCE)):
        yield some
