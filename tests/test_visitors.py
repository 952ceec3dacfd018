"""How often one visitor may ask, and who is one visitor."""

from datetime import timedelta

import pytest
from conftest import MORNING
from hypothesis import given
from hypothesis import strategies as st

from digest.web.visitors import MOST_VISITORS, Limits, Rate, visitor_of


def taken(rate, visitor, now):
    if rate.wait(visitor, now):
        return False
    rate.count(visitor, now)
    return True


def test_so_many_at_once_and_then_one_by_one():
    rate = Rate(10, 60)
    assert sum(taken(rate, "a", 0.0) for _ in range(30)) == 10
    assert rate.wait("a", 0.0) == pytest.approx(6)
    assert taken(rate, "b", 0.0)
    assert not taken(rate, "a", 5.9)
    assert taken(rate, "a", 6.1)
    assert sum(taken(rate, "a", 1000.0) for _ in range(30)) == 10


@given(st.integers(1, 20), st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_in_no_stretch_of_time_is_there_more_than_twice_the_events(events, gaps):
    rate, now, times = Rate(events, 60), 0.0, []
    for gap in gaps:
        now += gap
        if taken(rate, "a", now):
            times.append(now)
    for start in times:
        assert sum(start <= at < start + 59.9 for at in times) <= 2 * events


def test_a_clock_that_is_set_back_locks_nobody_out_for_long():
    rate = Rate(10, 60)
    for _ in range(10):
        taken(rate, "a", 1_000_000.0)
    assert rate.wait("a", 0.0) <= 60


def test_a_flood_of_visitors_does_not_fill_the_memory():
    rate = Rate(10, 60)
    for number in range(MOST_VISITORS * 2):
        rate.count(str(number), 0.0)
    assert len(rate._full_until) <= MOST_VISITORS


def scope(address):
    return {"type": "http", "client": (address, 1234)}


def test_a_household_is_one_visitor():
    one = visitor_of(scope("2001:db8:1:2::1"))
    assert one == visitor_of(scope("2001:db8:1:2:ffff:ffff:ffff:ffff"))
    assert one != visitor_of(scope("2001:db8:1:3::1"))
    assert visitor_of(scope("::ffff:192.0.2.1")) == visitor_of(scope("192.0.2.1"))
    assert visitor_of(scope("192.0.2.1")) != visitor_of(scope("192.0.2.2"))
    assert visitor_of(scope("fe80::1%eth0")) == "fe80::/64"


@pytest.mark.parametrize("client", [None, ("", 0), ("a name", 0)])
def test_without_an_address_there_is_one_visitor(client):
    assert visitor_of({"client": client}) == "-"


def test_a_mail_provider_speaks_for_many():
    limits = Limits()
    for _ in range(5000):
        assert limits.wait("gmail", "POST", "/one-click/x", token=False, now=MORNING) == 0
    assert limits.wait("gmail", "POST", "/link", token=False, now=MORNING) == 0


def test_a_preview_has_its_own_rate():
    limits = Limits()
    waits = [limits.wait("a", "POST", "/preview", token=False, now=MORNING) for _ in range(300)]
    assert waits.count(0) == 120
    assert limits.wait("a", "GET", "/", token=False, now=MORNING) == 0
    later = MORNING + timedelta(seconds=waits[-1])
    assert limits.wait("a", "POST", "/preview", token=False, now=later) == 0


def test_all_in_all_a_visitor_has_much_room():
    limits = Limits()
    waits = [limits.wait("a", "GET", "/papers", token=False, now=MORNING) for _ in range(1300)]
    assert waits.count(0) == 1200
    assert limits.wait("b", "GET", "/papers", token=False, now=MORNING) == 0
