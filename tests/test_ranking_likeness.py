"""The likeness kept from block to block is that of the rows, however often it was asked for."""

import numpy as np
import pytest
import scipy.sparse as sp

from digest.ranking import likeness
from digest.ranking.likeness import Likeness


def rows(count: int, seed: int) -> sp.csr_array:
    chance = np.random.default_rng(seed)
    return sp.csr_array(chance.random((count, 40)) * (chance.random((count, 40)) < 0.2))


@pytest.mark.parametrize("papers_kept", [5, 12, 1000])
def test_blocks_that_share_papers_get_the_products_of_theirs(
    papers_kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, library = rows(30, 1), rows(50, 2)
    monkeypatch.setattr(likeness, "_AT_ONCE", 3)
    monkeypatch.setattr(likeness, "_ROOM", papers_kept * 4 * 30)
    kept = Likeness(day)
    for block in range(12):
        chance = np.random.default_rng(block)
        voted = library[np.sort(chance.choice(50, 8, replace=False))]
        chosen = sp.csr_array(chance.random((6, 8)) * (chance.random((6, 8)) < 0.5))
        expected = chosen.toarray() @ voted.toarray() @ day.toarray().T
        near = kept.of(voted)
        assert np.allclose(near.sums(chosen), expected, atol=1e-5)
        some, papers = np.array([1, 6]), np.array([[0, 4, 29], [7, 7, 2]])
        between = (voted.toarray() @ day.toarray().T)[some[:, None], papers]
        assert np.allclose(near.between(some, papers), between, atol=1e-5)
