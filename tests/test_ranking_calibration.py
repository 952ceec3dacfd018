"""Which papers are worth asking about."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.calibration import telling
from digest.ranking.features import PaperRows
from digest.ranking.rows import Rows


def papers_in(groups):
    """Papers of which those of one group are near-copies, and those of two have nothing in
    common."""
    rows = np.zeros((len(groups), max(groups, default=0) + 2), np.float32)
    for at, group in enumerate(groups):
        rows[at, group], rows[at, -1] = 1, 0.01 * at
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    none = np.zeros((len(groups), 0), np.float32)
    return PaperRows(
        tuple(map(str, range(len(groups)))), Rows(sp.csr_array(rows), sp.csr_array(none), none)
    )


def test_of_many_alike_one_is_asked_before_another_comes_twice():
    groups = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
    chosen = telling(np.zeros(10, np.float32), papers_in(groups), 4)
    assert {groups[row] for row in chosen} == {0, 1, 2, 3}


def test_what_may_be_wanted_comes_first_but_no_two_alike():
    scores = np.array([3, 2.9, -9, 0.5, -8, -0.5], np.float32)
    assert telling(scores, papers_in([0, 0, 1, 2, 3, 4]), 3) == [0, 3, 5]


def test_what_is_to_be_left_out_is():
    assert 2 not in telling(np.zeros(5, np.float32), papers_in(range(5)), 5, skip={2})


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(-50, 50)), max_size=30),
    st.integers(0, 20),
    st.sets(st.integers(0, 29)),
)
def test_each_row_once_and_never_more_than_there_are(papers, count, skip):
    scores = np.array([score for _, score in papers], np.float32)
    rows = papers_in([group for group, _ in papers])
    chosen = telling(scores, rows, count, skip=skip)
    assert len(chosen) == len(set(chosen)) == min(count, len(set(range(len(papers))) - skip))
    assert not skip.intersection(chosen)
    assert chosen == telling(scores, rows, count, skip=skip)


@pytest.mark.parametrize("count", [0, 3])
def test_no_papers_no_questions(count):
    assert telling(np.zeros(0, np.float32), papers_in([]), count) == []
