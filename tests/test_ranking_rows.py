"""What rows of a feature space have in common."""

import numpy as np
import pytest
import scipy.sparse as sp

from digest.ranking.rows import products


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.9])
@pytest.mark.parametrize("size", [1, 2, 40])
def test_products_are_those_of_the_whole_rows(size: int, share: float) -> None:
    rows = sp.random_array(
        (size, 300), density=share, rng=np.random.default_rng(size), format="csr"
    )
    rows = rows.astype(np.float32)
    assert np.abs(products(rows) - (rows @ rows.T).toarray()).max() < 1e-4
