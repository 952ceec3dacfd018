"""arXiv's announcement calendar: which listing days bring a batch, and from when on. Pure.

New papers are announced at 20:00 US Eastern from Sunday to Thursday; the feeds show them as the
next day's listing from midnight on: https://info.arxiv.org/help/availability.html
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cache

from digest.feeds.fields import EASTERN

DAY = timedelta(days=1)
# The feeds are written within seconds of midnight; a little later all caches have them.
ROLLED_BY = time(0, 30)
# A moderator may hold a paper back for some days. What changed about a paper later than this after
# its submission is no part of its first announcement.
HELD_BACK = timedelta(days=7)
DEADLINE = time(14, 0)  # what is submitted by then is announced the same evening

# The days without a mailing that arXiv listed for a year. For other years: the public holidays of
# its host, Cornell, which are the regular part of that list.
LISTED = {
    2026: "01-01 01-19 06-19 07-03 09-07 11-26 12-25 12-29 12-31",
}


@cache
def holidays(year: int) -> frozenset[date]:
    """The days of `year` on which arXiv sends no mailing, as far as they can be known."""
    if year in LISTED:
        return frozenset(date.fromisoformat(f"{year}-{day}") for day in LISTED[year].split())
    fixed = {date(year, 1, 1), date(year, 6, 19), date(year, 7, 4), date(year, 12, 25)}
    moving = {_nth(year, 1, 0, 3), _nth(year, 9, 0, 1), _nth(year, 11, 3, 4)}
    return frozenset({_observed(day) for day in fixed} | moving)


def _nth(year: int, month: int, weekday: int, nth: int) -> date:
    """The nth such weekday (Monday is 0) of a month."""
    first = date(year, month, 1)
    return first + DAY * ((weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _observed(day: date) -> date:
    """A holiday on a Saturday is kept on the Friday before, one on a Sunday on the Monday after."""
    return day + DAY * {5: -1, 6: 1}.get(day.weekday(), 0)


def listing_day(moment: datetime) -> date:
    """The listing day that arXiv's feeds show at `moment`: the day in US Eastern time."""
    return moment.astimezone(EASTERN).date()


def is_quiet(day: date) -> bool:
    """Whether an empty listing of `day` is no surprise: a weekend, or a day without mailing.

    A mailing goes out the evening before the listing day, and the lists do not say which of the
    two they mean; so both the listed day and the one after it may be empty.
    """
    free = holidays(day.year) | holidays((day - DAY).year)
    return day.weekday() >= 5 or day in free or day - DAY in free


def expected(day: date, moment: datetime) -> bool:
    """Whether a batch of the listing day `day` should be in the feeds at `moment`."""
    rolled = datetime.combine(day, ROLLED_BY, EASTERN)
    return not is_quiet(day) and moment >= rolled


def next_batch_day(day: date) -> date:
    """The first listing day after `day` that is no weekend."""
    return next(later for n in range(1, 4) if (later := day + n * DAY).weekday() < 5)


def previous_batch_day(day: date) -> date:
    return next(earlier for n in range(1, 4) if (earlier := day - n * DAY).weekday() < 5)


def weekdays(first: date, last: date) -> Iterator[date]:
    """The days from `first` to `last` on which a listing is possible."""
    for n in range((last - first).days + 1):
        if (day := first + n * DAY).weekday() < 5:
            yield day


def announced_on(submitted: datetime) -> date:
    """The listing day of what was submitted at `submitted`, if no moderator held it back.

    Monday 14:00 to Tuesday 14:00 Eastern is announced on Tuesday evening and listed on Wednesday.
    """
    local = submitted.astimezone(EASTERN)
    closed = local.date() if local.time() < DEADLINE else local.date() + DAY
    while closed.weekday() >= 5:
        closed += DAY
    return next_batch_day(closed)
