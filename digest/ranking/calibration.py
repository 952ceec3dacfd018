"""Which few papers tell most of a reader's taste, if he says yes or no to each. Pure."""

from collections.abc import Collection
from itertools import islice

import numpy as np

from digest.ranking.features import PaperRows

COUNT = 15
POOL = 300  # the papers looked at: the best ones, for nobody learns much from what is far off
_NOISE = 0.3  # how far one answer is from settling what the reader thinks of papers like it


def telling(
    scores: np.ndarray, papers: PaperRows, count: int = COUNT, *, skip: Collection[int] = ()
) -> list[int]:
    """Up to `count` rows of `papers`, the most telling first; `scores` has the model's log-odds of
    each, `skip` names rows to leave out.

    A paper is worth the root of its chance to be wanted, since a yes tells far more than a no,
    times what the answers to those chosen before leave open of it: the variance that is left of a
    Gaussian process over the papers' likeness, observed at the chosen ones (greedy, as in Krause,
    Singh and Guestrin 2008). So no two are alike. How it was chosen: docs/ranking.md.
    """
    left_out = set(skip)
    order = (int(row) for row in np.argsort(-scores, kind="stable") if int(row) not in left_out)
    pool = list(islice(order, POOL))
    if not pool:
        return []
    chance = 1 / (1 + np.exp(-np.clip(scores[pool], -30, 30).astype(float)))
    hope = np.sqrt(chance)
    likeness = papers.likeness(np.array([pool]))[0].astype(float)
    left = likeness.diagonal().copy()
    known = np.zeros((min(count, len(pool)), len(pool)))
    chosen: list[int] = []
    for step in range(len(known)):
        worth = hope * left
        worth[chosen] = -1
        best = int(worth.argmax())
        told = likeness[best] - known[:step].T @ known[:step, best]
        known[step] = told / np.sqrt(max(left[best], 0) + _NOISE)
        left = np.maximum(left - known[step] ** 2, 0)
        chosen.append(best)
    return [pool[at] for at in chosen]
