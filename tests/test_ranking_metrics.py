import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.metrics import NAMES, measure, summarise


def test_known_answers() -> None:
    got = dict(zip(NAMES, measure(["a", "b", "c", "d"], {"b", "d"}), strict=True))
    ideal = 1 + 1 / math.log2(3)
    assert got["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert got["recall@10"] == 1
    assert got["mrr"] == 0.5
    assert got["auc"] == pytest.approx(0.25)


def test_a_relevant_paper_that_was_not_ranked_is_missed() -> None:
    got = dict(zip(NAMES, measure(["a", "b"], {"a", "z"}), strict=True))
    assert got["recall@50"] == 0.5
    assert got["auc"] == 0.5


def test_nothing_relevant_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        measure(["a"], set())


@given(st.permutations(range(12)), st.sets(st.integers(0, 11), min_size=1))
def test_figures_lie_between_0_and_1_and_a_perfect_order_has_1(
    order: list[int], wanted: set[int]
) -> None:
    assert all(0 <= figure <= 1 for figure in measure([str(at) for at in order], map(str, wanted)))
    best = sorted(order, key=lambda at: at not in wanted)
    got = dict(
        zip(NAMES, measure([str(at) for at in best], {str(at) for at in wanted}), strict=True)
    )
    assert got["ndcg@10"] == got["mrr"] == got["auc"] == 1


def test_intervals_hold_the_mean_and_are_over_users() -> None:
    users = ["u", "u", "v", "w"]
    rows = [[value] * 6 for value in (0.0, 0.2, 0.6, 1.0)]
    first = summarise(users, rows)
    assert first == summarise(users, rows)
    assert first["mrr"].mean == pytest.approx(0.45)
    assert first["mrr"].low <= 0.45 <= first["mrr"].high
    assert summarise(["u"] * 4, rows)["mrr"].low == pytest.approx(0.45)
    assert summarise([], []) == {}
