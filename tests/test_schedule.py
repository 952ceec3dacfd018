"""When a digest falls due."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.errors import InputError
from digest.schedule import FREQUENCIES, next_due, parse_hour, parse_zone, window

MOMENTS = st.integers(0, 20 * 365 * 1440).map(
    lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_the_same_day_while_the_hour_is_still_to_come():
    assert next_due(utc(2026, 11, 18, 5), "daily", "07:00", "UTC") == utc(2026, 11, 18, 7)


def test_the_next_day_once_the_hour_has_come():
    assert next_due(utc(2026, 11, 18, 7), "daily", "07:00", "UTC") == utc(2026, 11, 19, 7)


def test_the_hour_is_the_readers_own():
    due = next_due(utc(2026, 11, 18, 0), "daily", "07:00", "Asia/Kathmandu")
    assert due == utc(2026, 11, 18, 1, 15)


@pytest.mark.parametrize(
    ("after", "due"),
    [
        # Berlin goes to summer time on 29 March 2026 and back on 25 October.
        (utc(2026, 3, 28, 12), utc(2026, 3, 29, 5)),
        (utc(2026, 3, 27, 12), utc(2026, 3, 28, 6)),
        (utc(2026, 10, 24, 12), utc(2026, 10, 25, 6)),
        (utc(2026, 10, 23, 12), utc(2026, 10, 24, 5)),
    ],
)
def test_seven_stays_seven_across_daylight_saving(after, due):
    assert next_due(after, "daily", "07:00", "Europe/Berlin") == due


def test_an_hour_that_spring_skips_still_comes_once():
    due = next_due(utc(2026, 3, 28, 12), "daily", "02:30", "Europe/Berlin")
    assert due == utc(2026, 3, 29, 1, 30)
    assert next_due(due, "daily", "02:30", "Europe/Berlin") == utc(2026, 3, 30, 0, 30)


def test_an_hour_that_autumn_repeats_comes_once():
    due = next_due(utc(2026, 10, 24, 12), "daily", "02:30", "Europe/Berlin")
    assert due == utc(2026, 10, 25, 0, 30)
    assert next_due(due, "daily", "02:30", "Europe/Berlin") == utc(2026, 10, 26, 1, 30)


def test_weekdays_pass_over_the_weekend_of_the_readers_own_zone():
    friday_evening_in_auckland = utc(2026, 11, 20, 6)
    due = next_due(friday_evening_in_auckland, "weekdays", "07:00", "Pacific/Auckland")
    assert due == utc(2026, 11, 22, 18)  # Monday 07:00 there


def test_weekly_is_monday():
    assert next_due(utc(2026, 11, 18, 9), "weekly", "07:00", "UTC") == utc(2026, 11, 23, 7)


@given(
    after=MOMENTS,
    hour=st.times(),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"]),
    frequency=st.sampled_from(FREQUENCIES),
)
def test_it_is_always_later_and_never_far(after: datetime, hour: time, zone: str, frequency: str):
    due = next_due(after, frequency, f"{hour:%H:%M}", zone)
    assert after < due <= after + timedelta(days=9)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "Europe"])
def test_a_wrong_zone_is_named(name):
    with pytest.raises(InputError, match="time zone"):
        parse_zone(name)


@pytest.mark.parametrize("text", ["7", "25:00", "07:60", "noon", ""])
def test_a_wrong_hour_is_named(text):
    with pytest.raises(InputError, match="HH:MM"):
        parse_hour(text)


def test_a_digest_draws_on_seven_days():
    assert window(date(2026, 11, 18)) == (date(2026, 11, 12), date(2026, 11, 18))
