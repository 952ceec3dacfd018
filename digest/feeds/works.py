"""A listing's entries become works: which of them, and of the stored papers, are one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from digest import ties
from digest.papers import KINDS, Entry, best_key, merge

NEWS = ("new", "cross")


@dataclass(slots=True)
class Work:
    """A paper of the listing on its way to the database; `id` is None until it is there, `before`
    is its row as it was; `absorbed` are the ids of rows that turned out to be the same paper."""

    id: int | None
    values: dict[str, Any]
    before: dict[str, Any] | None = None
    changed: bool = False
    entries: list[Entry] = field(default_factory=list)
    absorbed: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Known:
    """The papers that the listing may speak of: by each of their names, and by what marks a work
    that has no id in common."""

    named: dict[str, Work]
    marked: dict[str, list[Work]] = field(default_factory=dict)

    def replace(self, gone: Work, by: Work) -> None:
        for name, work in self.named.items():
            if work is gone:
                self.named[name] = by
        for works in self.marked.values():
            works[:] = [work for work in works if work is not gone]


def names_of(entry: Entry) -> tuple[str, ...]:
    """All that the entry's paper may be known by."""
    return (entry.key, *entry.aliases)


def enter(entry: Entry, known: Known, now: datetime, recorded_at: datetime) -> None:
    """Merges the entry into the paper that it is of; a new one where none is known. Papers that
    the entry ties together become one."""
    same = _same(entry, known)
    if not same:
        work = Work(None, _fresh(entry, now))
    else:
        work = min(same, key=_rank)
        for other in same:
            if other is not work:
                _join(work, other, known)
        if changes := merge(work.values, entry):
            # the old key is an alias, where it gives way to a better one
            known.named.setdefault(work.values["key"], work)
            work.values |= changes
            work.changed = True
            _mark(work)
    if entry.kind in NEWS and work.values["announced_day"] is None:
        work.values |= {"announced_day": entry.day, "announced_at": recorded_at}
        work.changed = True
    work.entries.append(entry)
    for name in names_of(entry):
        known.named.setdefault(name, work)
    if mark := work.values["fingerprint"]:
        marked = known.marked.setdefault(mark, [])
        if not any(other is work for other in marked):
            marked.append(work)


def _same(entry: Entry, known: Known) -> list[Work]:
    """The papers that are the entry's: by a name of it, else by its title and authors."""
    named = [work for name in names_of(entry) if (work := known.named.get(name))]
    mark = ties.mark(entry.title, entry.authors)
    record = {
        "key": best_key(names_of(entry)),
        "doi": entry.doi,
        "authors": entry.authors,
        "abstract": entry.abstract,
    }
    tied = [
        work
        for work in known.marked.get(mark or "", ())
        if ties.same_work(work.values, record)
        and all(work is other or ties.same_work(work.values, other.values) for other in named)
    ]
    return distinct([*named, *tied])


def distinct(works: Iterable[Work]) -> list[Work]:
    """Each work once, though it has many names."""
    return list({id(work): work for work in works}.values())


def _rank(work: Work) -> tuple[int, float]:
    """Of rows of one paper, that with the best id stays; then the one stored first."""
    kind = KINDS.index(work.values["key"].partition(":")[0])
    return kind, work.id if work.id is not None else float("inf")


def _join(work: Work, gone: Work, known: Known) -> None:
    """Makes `gone` a part of `work`: its text where richer, its ids, its earlier listing day."""
    old = gone.values
    known.named.setdefault(old["key"], gone)
    known.replace(gone, work)
    work.values |= merge(work.values, _as_entry(old))
    first = min((row for row in (work.values, old) if row["announced_day"]), default=None, key=_day)
    if first is not None:
        work.values |= {name: first[name] for name in ("announced_day", "announced_at")}
    work.changed = True
    work.entries += gone.entries
    work.absorbed += gone.absorbed
    if gone.id is not None and work.id is None:
        work.id, work.before = gone.id, gone.before
    elif gone.id is not None:
        work.absorbed.append(gone.id)
    _mark(work)


def _day(row: Mapping[str, Any]) -> date:
    day: date = row["announced_day"]
    return day


def _as_entry(row: Mapping[str, Any]) -> Entry:
    same = ("key", "version", "title", "abstract", "url", "pdf_url", "doi", "journal", "licence")
    return Entry(
        **{name: row[name] for name in same},
        authors=tuple(row["authors"]),
        categories=tuple(row["categories"]),
        day=row["announced_day"] or date.min,
    )


def _mark(work: Work) -> None:
    work.values["fingerprint"] = ties.mark(work.values["title"], work.values["authors"])


def _fresh(entry: Entry, now: datetime) -> dict[str, Any]:
    same = ("key", "version", "title", "abstract", "url", "pdf_url", "doi", "journal", "licence")
    return {name: getattr(entry, name) for name in same} | {
        "authors": list(entry.authors),
        "categories": list(entry.categories),
        "announced_day": None,
        "announced_at": None,
        "updated_at": now,
        "fingerprint": ties.mark(entry.title, entry.authors),
        "merged_into": None,
    }
