"""Two rankings in turns."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.interleave import team_draft

orders = st.lists(st.integers(0, 30), unique=True, max_size=12)


def test_each_team_picks_its_best_in_turns() -> None:
    drafted = team_draft("abcdef", "uvwxyz", 6, seed="s")
    for first in (0, 2, 4):
        assert {team for _, team in drafted[first : first + 2]} == {"ranking", "challenger"}
    assert [item for item, team in drafted if team == "ranking"] == ["a", "b", "c"]
    assert [item for item, team in drafted if team == "challenger"] == ["u", "v", "w"]


def test_the_seed_decides_and_nothing_else() -> None:
    drafts = [tuple(team_draft("abc", "xyz", 4, seed=str(seed))) for seed in range(50)]
    assert drafts == [tuple(team_draft("abc", "xyz", 4, seed=str(seed))) for seed in range(50)]
    assert len(set(drafts)) > 1


def test_what_both_want_goes_to_either_team_as_often() -> None:
    teams = Counter(team_draft("abc", "axy", 3, seed=str(seed))[0][1] for seed in range(400))
    assert 150 < teams["ranking"] < 250


@given(orders, orders, st.integers(0, 15), st.text(max_size=4))
def test_nothing_twice_and_nothing_missing(
    one: list[int], other: list[int], count: int, seed: str
) -> None:
    drafted = team_draft(one, other, count, seed=seed)
    items = [item for item, _ in drafted]
    assert len(items) == len(set(items)) == min(count, len({*one, *other}))
    picks = Counter(team for _, team in drafted)
    assert abs(picks["ranking"] - picks["challenger"]) <= 1
    for team, order in (("ranking", one), ("challenger", other)):
        theirs = [order.index(item) for item, its in drafted if its == team]
        assert theirs == sorted(theirs)
