from datetime import UTC, datetime, timedelta

from digest.ranking.trending import Attention, Upvotes, trending

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def names(*papers: Attention) -> list[str]:
    return [name for name, _ in trending(papers, NOW)]


def test_more_and_faster_upvotes_stand_first() -> None:
    slow = Attention("slow", NOW - 2 * DAY, [Upvotes(NOW - 2 * DAY, 28), Upvotes(NOW, 30)])
    fast = Attention("fast", NOW - 2 * DAY, [Upvotes(NOW - 2 * DAY, 2), Upvotes(NOW, 30)])
    assert names(slow, fast) == ["fast", "slow"]


def test_nobody_s_paper_is_not_trending() -> None:
    assert names(Attention("a", NOW), Attention("b", NOW, votes=-1.0)) == []


def test_readers_votes_count_and_fade() -> None:
    new, old = Attention("new", NOW, votes=2.0), Attention("old", NOW - 2 * DAY, votes=3.0)
    assert trending([old, new], NOW) == [("new", 4.0), ("old", 3.0)]


def test_an_old_paper_leaves_whatever_it_gathers() -> None:
    old = Attention("old", NOW - 15 * DAY, [Upvotes(NOW, 100_000)])
    assert names(old, Attention("new", NOW, [Upvotes(NOW, 1)])) == ["new"]


def test_what_lies_ahead_is_not_known() -> None:
    assert names(Attention("a", NOW, [Upvotes(NOW + DAY, 9)])) == []
