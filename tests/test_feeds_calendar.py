"""arXiv's calendar: which days bring a batch, from when on, and what is announced when."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.feeds import calendar


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-18T04:59:59", "2026-11-17"),
        ("2026-11-18T05:00:00", "2026-11-18"),
        ("2026-07-15T03:59:59", "2026-07-14"),
        ("2026-07-15T04:00:00", "2026-07-15"),
    ],
)
def test_a_listing_day_begins_at_midnight_in_the_east(moment: str, day: str) -> None:
    assert calendar.listing_day(at(moment)) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("day", "moment", "expected"),
    [
        ("2026-11-18", "2026-11-18T05:29:00", False),
        ("2026-11-18", "2026-11-18T05:30:00", True),
        ("2026-11-21", "2026-11-21T12:00:00", False),
        ("2026-11-22", "2026-11-22T12:00:00", False),
        ("2026-11-26", "2026-11-26T12:00:00", False),
        ("2026-11-27", "2026-11-27T12:00:00", False),
        ("2026-11-30", "2026-11-30T12:00:00", True),
        ("2027-01-01", "2027-01-01T12:00:00", False),
    ],
)
def test_a_batch_is_expected_on_working_days_once_the_feeds_have_rolled(
    day: str, moment: str, expected: bool
) -> None:
    assert calendar.expected(date.fromisoformat(day), at(moment)) is expected


def test_holidays_of_other_years_follow_their_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {f"{day:%m-%d}" for day in calendar.holidays(2027)} == {
        *("01-01", "01-18", "06-18", "07-05", "09-06", "11-25", "12-24"),
    }
    ruled = calendar.holidays.__wrapped__
    listed = ruled(2026)
    monkeypatch.delitem(calendar.LISTED, 2026)
    assert ruled(2026) <= listed


@pytest.mark.parametrize(
    ("submitted", "day"),
    [
        ("2026-11-17T18:59:59", "2026-11-18"),  # Tuesday before 14:00 Eastern
        ("2026-11-17T19:00:00", "2026-11-19"),
        ("2026-11-19T19:00:00", "2026-11-23"),  # Thursday after: announced on Sunday
        ("2026-11-20T18:00:00", "2026-11-23"),
        ("2026-11-20T19:00:00", "2026-11-24"),  # Friday after: announced on Monday
        ("2026-11-22T12:00:00", "2026-11-24"),
    ],
)
def test_the_deadline_decides_on_the_listing_day(submitted: str, day: str) -> None:
    assert calendar.announced_on(at(submitted)) == date.fromisoformat(day)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_batch_days_follow_each_other(day: date) -> None:
    later = calendar.next_batch_day(day)
    assert later > day
    assert later.weekday() < 5
    assert list(calendar.weekdays(day, later))[-1] == later
    if day.weekday() < 5:
        assert calendar.previous_batch_day(later) == day
