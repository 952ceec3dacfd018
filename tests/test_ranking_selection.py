from collections.abc import Sequence

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.credits import Credits
from digest.ranking.features import PaperRows
from digest.ranking.profile import Profile
from digest.ranking.rows import Rows
from digest.ranking.selection import Choice, Rules, Wish, select

PLAIN = Rules(count=5, fold=0, variety=0, explore=0, topics=False)


def day(matrix: np.ndarray) -> PaperRows:
    none = np.zeros((len(matrix), 0), np.float32)
    rows = Rows(sp.csr_array(matrix.astype(np.float32)), sp.csr_array(none), none)
    return PaperRows(tuple(map(str, range(len(matrix)))), rows)


APART = day(np.eye(30))
SCORES = np.linspace(3, -3, 30)
CREDIT = Credits(
    tuple((f"Author {chr(65 + at)}",) for at in range(30)),
    tuple(f"a paper on thing{at} and Graphs" for at in range(30)),
)


BLANK = Profile()


def picks(wish: Wish, papers: PaperRows = APART, skip: Sequence[int] = ()) -> list[Choice]:
    closed = np.isin(np.arange(30), skip)
    return select(SCORES[None], papers, CREDIT, [wish], closed[None])[0]


def rows(
    rules: Rules,
    profile: Profile = BLANK,
    topics: np.ndarray | None = None,
    skip: Sequence[int] = (),
) -> list[int]:
    return [choice.row for choice in picks(Wish(profile, rules, "s", topics), skip=skip)]


def test_with_all_rules_off_the_best_come_in_order() -> None:
    assert rows(PLAIN) == [0, 1, 2, 3, 4]
    assert rows(PLAIN, skip=[0, 2]) == [1, 3, 4, 5, 6]


def test_a_bar_shortens_the_digest() -> None:
    assert rows(Rules(5, min_score=2.5, explore=0)) == [0, 1, 2]
    assert rows(Rules(5, min_score=9)) == []


def test_muted_words_and_authors_are_out() -> None:
    profile = Profile(muted_words=("THING1",), muted_authors=("author c",))
    assert rows(PLAIN, profile) == [0, 3, 4, 5, 6]
    assert rows(PLAIN, Profile(muted_words=("graphs",))) == []


def test_a_followed_author_is_in_whatever_the_score() -> None:
    found = picks(Wish(Profile(authors=("Author Z",)), Rules(5, min_score=0, explore=0), "s"))
    assert [(choice.row, choice.followed) for choice in found][-1] == (25, "Author Z")
    assert len(found) == 5


def test_near_copies_stand_behind_the_best_of_them() -> None:
    matrix = np.eye(30)
    matrix[3] = matrix[1]
    found = picks(Wish(BLANK, Rules(3, explore=0), "s"), day(matrix))
    assert [(choice.row, choice.similar) for choice in found] == [(0, ()), (1, (3,)), (2, ())]


def test_variety_costs_little_relevance() -> None:
    matrix = np.eye(30)
    matrix[:4, 29] = 1.2  # the first four are alike, but no copies
    rules = Rules(4, variety=0.5, explore=0)
    found = picks(Wish(BLANK, rules, "s"), day(matrix))
    assert found[0].row == 0
    assert any(choice.row > 3 for choice in found)
    assert rows(Rules(4, variety=0, explore=0)) == [0, 1, 2, 3]


def test_each_topic_has_its_share() -> None:
    topics = np.eye(30, dtype=np.float32)[[0, 9]]
    rules = Rules(5, variety=0, explore=0)
    assert 9 in rows(rules, topics=topics)
    assert 9 not in rows(Rules(5, variety=0, explore=0, topics=False), topics=topics)


def test_exploring_slots_are_marked_last_and_stay_the_same() -> None:
    wish = Wish(BLANK, Rules(5, explore=2), "ada 2026-01-05")
    found, again = picks(wish), picks(wish)
    assert found == again
    assert [choice.exploring for choice in found] == [False, False, False, True, True]
    assert len({choice.row for choice in found}) == 5


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_digest_is_never_longer_than_asked(count: int) -> None:
    assert len(rows(Rules(count))) == min(count, 30)


@given(st.integers(0, 2**32), st.integers(1, 9))
def test_readers_picked_for_together_get_what_each_gets_alone(seed: int, readers: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.integers(-3, 4, (readers, 30)).astype(np.float32)
    closed = draw.random((readers, 30)) < draw.choice([0, 0.5, 0.95, 1])
    papers = day(draw.integers(0, 3, (30, 4)) + 0.1)
    wishes = [
        Wish(
            Profile(
                authors=("Author C", "Author D") if draw.random() < 0.3 else (),
                muted_words=("thing4",) if draw.random() < 0.3 else (),
            ),
            Rules(
                int(draw.choice([1, 5, 8])),
                min_score=1.0 if draw.random() < 0.5 else None,
                fold=float(draw.choice([0, 0.99])),
                explore=int(draw.choice([0, 1, 3])),
            ),
            f"{at}",
            draw.integers(-1, 3, (draw.integers(0, 4), 30)).astype(np.float32),
        )
        for at in range(readers)
    ]
    together = select(scores, papers, CREDIT, wishes, closed)
    for at, wish in enumerate(wishes):
        alone = select(scores[[at]], papers, CREDIT, [wish], closed[[at]])
        assert alone == [together[at]]
        for choice in together[at]:
            assert not closed[at, choice.row]
            assert choice.row != 4 or not wish.profile.muted_words
        shown = [row for choice in together[at] for row in (choice.row, *choice.similar)]
        assert len(shown) == len(set(shown))
        assert len(together[at]) <= wish.rules.count
