"""What to think of a batch: compared with the calendar, with history and with its sisters. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from statistics import median
from typing import Literal

from digest.feeds.calendar import is_quiet
from digest.papers import Listing

Verdict = Literal[
    "new", "unchanged", "empty-expected", "empty-suspect", "stale-suspect", "partial", "missing",
    "filled",
]  # fmt: skip
SUSPECT = frozenset({"empty-suspect", "stale-suspect", "partial", "missing"})

MOST_ITEMS = 2_000  # arXiv's feed ends after so many, whatever else there is
HISTORY = 5  # batches that make a comparison with earlier days worth anything
LITTLE = 0.4  # of the usual number; the smallest day of an ordinary week has more
OFTEN = 0.2  # of its working days a small category is empty, and that is its way


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at a source showed of a category. `mark` is equal for equal contents."""

    day: date | None
    counts: Mapping[str, int] = field(default_factory=dict)
    highest: str = ""
    mark: str = ""
    verdict: str = "new"

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def news(self) -> int:
        return self.counts.get("new", 0) + self.counts.get("cross", 0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on the batch of `day`; `seen` is what to record of it."""

    day: date
    verdict: Verdict
    seen: Seen


def seen_in(listing: Listing, category: str) -> Seen:
    """What `listing` shows of `category`, an archive such as `math` or all of it where empty."""
    entries = [entry for entry in listing.entries if is_in(entry.categories, category)]
    items = sorted(f"{entry.key}v{entry.version} {entry.kind}" for entry in entries)
    return Seen(
        listing.day,
        dict(sorted(Counter(entry.kind for entry in entries).items())),
        max((entry.key for entry in entries if entry.kind == "new"), default=""),
        blake2b("\n".join(items).encode(), digest_size=8).hexdigest() if items else "",
    )


def is_in(codes: Collection[str], category: str) -> bool:
    """Whether one of `codes` is `category` or belongs to that archive."""
    wanted = category.casefold()
    return not wanted or any(
        code.casefold() == wanted or code.casefold().startswith(f"{wanted}.") for code in codes
    )


def judged(
    seen: Seen, today: date, due: bool, past: Sequence[Seen], sisters: Sequence[Seen]
) -> list[Judgement]:
    """The verdicts that a look at one category on `today` gives, that of today's batch last.

    `due` says whether the calendar wants a batch of today by now; `past` are the category's
    earlier batches, newest first; `sisters` what other categories of the source brought today.
    """
    due = due or any(sister.total for sister in sisters)
    if not seen.total:
        return [Judgement(today, _empty(due, past), Seen(today))]
    day = min(seen.day or today, today)
    known = next((batch for batch in past if batch.mark == seen.mark), None)
    if known and known.day and known.day < day:  # yesterday's items under today's date
        day = known.day
    found = [Judgement(day, "unchanged" if known else _whole(seen, day, past, sisters), seen)]
    if day < today and due:
        found.append(Judgement(today, "stale-suspect", Seen(today)))
    return found


def repeats(seen: Seen, past: Sequence[Seen]) -> bool:
    """Whether an earlier day's items come again under a later date."""
    return any(
        batch.mark == seen.mark and batch.day and seen.day and batch.day < seen.day
        for batch in past
        if seen.total
    )


def _empty(due: bool, past: Sequence[Seen]) -> Verdict:
    working = [batch for batch in past if batch.day and not is_quiet(batch.day)]
    empty = sum(not batch.total and batch.verdict not in SUSPECT for batch in working)
    often = len(working) >= HISTORY and empty / len(working) >= OFTEN
    return "empty-suspect" if due and not often else "empty-expected"


def _whole(seen: Seen, day: date, past: Sequence[Seen], sisters: Sequence[Seen]) -> Verdict:
    """New, or partial where it is far smaller than usual while its sisters are not."""
    if seen.total >= MOST_ITEMS:
        return "partial"
    usual = [batch.news for batch in past if batch.news and batch.day and batch.day < day]
    if len(usual) < HISTORY or seen.news >= LITTLE * median(usual) or is_quiet(day):
        return "new"
    small = [sister for sister in sisters if sister.verdict == "partial" or not sister.total]
    return "new" if sisters and len(small) == len(sisters) else "partial"
