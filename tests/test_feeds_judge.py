"""What a batch is taken for, given the calendar, its history and its sisters."""

from datetime import date, timedelta

import pytest

from digest.feeds.judge import Seen, is_in, judged, repeats, seen_in
from digest.papers import Entry, Listing

TODAY = date(2026, 11, 18)
YESTERDAY = TODAY - timedelta(days=1)


def seen(day: date | None, new: int = 10, mark: str = "", **values: str) -> Seen:
    return Seen(day, {"new": new} if new else {}, mark=mark or f"{day} {new}", **values)


# two weeks of ten papers a day, weekends left out, newest first
PAST = [seen(day) for n in range(1, 15) if (day := TODAY - timedelta(days=n)).weekday() < 5]


def verdicts(
    look: Seen,
    *,
    due: bool = True,
    past: list[Seen] = PAST,
    sisters: list[Seen] = [],  # noqa: B006
) -> list[tuple[date, str]]:
    return [(one.day, one.verdict) for one in judged(look, TODAY, due, past, sisters)]


def test_a_batch_of_today_is_new_and_then_unchanged() -> None:
    look = seen(TODAY)
    assert verdicts(look) == [(TODAY, "new")]
    assert verdicts(look, past=[look, *PAST]) == [(TODAY, "unchanged")]
    assert verdicts(seen(TODAY, 12), past=[look, *PAST]) == [(TODAY, "new")]


def test_yesterdays_batch_is_fine_until_todays_is_due() -> None:
    assert verdicts(PAST[0], due=False) == [(YESTERDAY, "unchanged")]
    assert verdicts(PAST[0]) == [(YESTERDAY, "unchanged"), (TODAY, "stale-suspect")]
    first_look = verdicts(PAST[0], past=[])
    assert first_look == [(YESTERDAY, "new"), (TODAY, "stale-suspect")]


def test_yesterdays_items_under_todays_date_are_stale() -> None:
    look = seen(TODAY, mark=PAST[0].mark)
    assert repeats(look, PAST)
    assert not repeats(PAST[0], PAST)
    assert verdicts(look) == [(YESTERDAY, "unchanged"), (TODAY, "stale-suspect")]


def test_an_empty_batch_is_judged_by_calendar_and_sisters() -> None:
    nothing = Seen(TODAY)
    assert verdicts(nothing, due=False) == [(TODAY, "empty-expected")]
    assert verdicts(nothing) == [(TODAY, "empty-suspect")]
    assert verdicts(nothing, due=False, sisters=[seen(TODAY)]) == [(TODAY, "empty-suspect")]
    assert verdicts(nothing, due=False, sisters=[nothing]) == [(TODAY, "empty-expected")]


def test_a_small_category_may_be_empty() -> None:
    small = [seen(day.day, n % 2, verdict="empty-expected") for n, day in enumerate(PAST)]
    assert verdicts(Seen(TODAY), past=small) == [(TODAY, "empty-expected")]


@pytest.mark.parametrize(("count", "verdict"), [(3, "partial"), (4, "new"), (2000, "partial")])
def test_far_too_few_or_as_many_as_a_feed_can_hold(count: int, verdict: str) -> None:
    assert verdicts(seen(TODAY, count)) == [(TODAY, verdict)]


def test_few_are_enough_where_little_is_known_or_all_have_few() -> None:
    few = seen(TODAY, 1)
    assert verdicts(few, past=PAST[:4]) == [(TODAY, "new")]
    assert verdicts(few, sisters=[Seen(TODAY)]) == [(TODAY, "new")]
    assert verdicts(few, sisters=[seen(TODAY), Seen(TODAY)]) == [(TODAY, "partial")]


def test_what_a_listing_shows_of_a_category() -> None:
    def entry(number: int, code: str, kind: str) -> Entry:
        return Entry(f"arxiv:2611.{number:05}", "T", "", (), (code,), "u", TODAY, kind)  # type: ignore[arg-type]

    listing = Listing(
        "x",
        TODAY,
        (entry(3, "math.AG", "new"), entry(9, "cs.LG", "new"), entry(5, "math.KT", "cross")),
    )
    maths = seen_in(listing, "math")
    assert (maths.counts, maths.highest, maths.news) == (
        {"cross": 1, "new": 1},
        "arxiv:2611.00003",
        2,
    )
    assert seen_in(listing, "").total == 3
    assert seen_in(listing, "math.CO") == Seen(TODAY)
    other = Listing("x", None, tuple(reversed(listing.entries)))
    assert seen_in(other, "math").mark == maths.mark != seen_in(listing, "").mark
    assert is_in(["cs.LG"], "CS.lg")
    assert not is_in(["math-ph"], "math")
