from datetime import UTC, datetime, timedelta

from digest.ranking.trending import Attention, ReaderVote, Upvotes, trending

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def names(*papers: Attention) -> list[str]:
    return [name for name, _ in trending(papers, NOW)]


def test_more_and_faster_upvotes_stand_first() -> None:
    slow = Attention("slow", NOW - 2 * DAY, [Upvotes(NOW - 2 * DAY, 28), Upvotes(NOW, 30)])
    fast = Attention("fast", NOW - 2 * DAY, [Upvotes(NOW - 2 * DAY, 2), Upvotes(NOW, 30)])
    assert names(slow, fast) == ["fast", "slow"]


def test_nobody_s_paper_is_not_trending() -> None:
    down = [ReaderVote(1, False, NOW - DAY)]
    assert names(Attention("a", NOW), Attention("b", NOW, votes=down)) == []


def test_one_reader_voting_on_all_makes_no_trend() -> None:
    flood = [Attention(f"p{at:02}", NOW, votes=[ReaderVote(1, True, NOW)]) for at in range(50)]
    two = [ReaderVote(reader, True, NOW) for reader in (2, 3)]
    liked = Attention("liked", NOW - DAY, votes=two)
    scored = dict(trending([*flood, liked], NOW, limit=60))
    assert scored["liked"] > 5 * scored["p00"]


def test_voting_twice_counts_once() -> None:
    once = Attention("a", NOW, votes=[ReaderVote(1, True, NOW)])
    twice = Attention("b", NOW, votes=[ReaderVote(1, True, NOW - DAY), ReaderVote(1, True, NOW)])
    scores = [trending([paper], NOW)[0][1] for paper in (once, twice)]
    assert scores[0] == scores[1]


def test_an_old_paper_leaves_whatever_it_gathers() -> None:
    old = Attention("old", NOW - 15 * DAY, [Upvotes(NOW, 100_000)])
    assert names(old, Attention("new", NOW, [Upvotes(NOW, 1)])) == ["new"]


def test_what_lies_ahead_is_not_known() -> None:
    ahead = Attention("a", NOW, [Upvotes(NOW + DAY, 9)], [ReaderVote(1, True, NOW + DAY)])
    assert names(ahead) == []
