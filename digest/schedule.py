"""When a digest is due: cadence, hour and time zone, daylight saving included."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from digest.errors import InputError

Frequency = Literal["daily", "weekdays", "weekly"]
FREQUENCIES: tuple[str, ...] = get_args(Frequency)

WEEKLY_ON = 0  # Monday
DAYS_BACK = 7
DAY = timedelta(days=1)


def parse_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"{name!r} is not a time zone; expected one like Europe/Berlin") from error


def parse_hour(text: str) -> time:
    try:
        return datetime.strptime(text.strip(), "%H:%M").time()  # noqa: DTZ007
    except ValueError as error:
        raise InputError(f"{text!r} is not an hour; expected HH:MM, such as 07:00") from error


@lru_cache(maxsize=4096)  # a block of readers shares few hours and zones
def next_due(after: datetime, frequency: str, send_at: str, timezone: str) -> datetime:
    """The first moment later than `after` (aware) at which a digest falls due, in UTC.

    An hour that a spring change skips falls due at the moment of the change's far side; an hour
    that an autumn change repeats falls due the first time it comes.
    """
    zone, hour = parse_zone(timezone), parse_hour(send_at)
    day = after.astimezone(zone).date() - timedelta(days=1)
    while True:
        due = datetime.combine(day, hour, zone).astimezone(UTC)
        if due > after and _falls_on(day, frequency):
            return due
        day += timedelta(days=1)


def _falls_on(day: date, frequency: str) -> bool:
    if frequency == "weekly":
        return day.weekday() == WEEKLY_ON
    return frequency == "daily" or day.weekday() < 5


def window(day: date) -> tuple[date, date]:
    """The listing days, both included, that a digest of `day` may draw on."""
    return day - timedelta(days=DAYS_BACK - 1), day
