"""How good a ranking is: nDCG, recall, MRR and AUC, with intervals over readers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

NAMES = ("ndcg@10", "ndcg@50", "recall@10", "recall@50", "mrr", "auc")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def measure(ranking: Sequence[str], relevant: Collection[str]) -> tuple[float, ...]:
    """The figures of one ranking in the order of NAMES.

    A relevant paper that was not ranked counts as missed: it is part of recall and of the ideal
    gain, and stands behind all others in the AUC. Raises ValueError where nothing is relevant.
    """
    wanted = set(relevant)
    if not wanted:
        raise ValueError("a ranking is measured against at least one relevant paper")
    places = np.array([at for at, paper in enumerate(ranking) if paper in wanted], int)
    first = 1 / (1 + places[0]) if len(places) else 0.0
    return (
        _ndcg(places, len(wanted), 10),
        _ndcg(places, len(wanted), 50),
        float((places < 10).sum() / len(wanted)),
        float((places < 50).sum() / len(wanted)),
        float(first),
        _auc(places, len(wanted), len(ranking)),
    )


def _ndcg(places: np.ndarray, wanted: int, depth: int) -> float:
    gain = (1 / np.log2(2 + places[places < depth])).sum()
    return float(gain / (1 / np.log2(2 + np.arange(min(wanted, depth)))).sum())


def _auc(places: np.ndarray, wanted: int, ranked: int) -> float:
    """The chance that a relevant paper stands before one that is not; 1 where all are relevant."""
    others = ranked - len(places)
    if others <= 0:
        return 1.0
    before = places - np.arange(len(places))
    return float((others - before).sum() / (others * wanted))


def summarise(
    users: Sequence[str], rows: Sequence[Sequence[float]], *, samples: int = 1000, seed: int = 0
) -> Mapping[str, Estimate]:
    """Means over user-days, with 95 % intervals from drawing the users anew with replacement.

    `users` names the user of each row, a row has the figures of NAMES. Empty without rows.
    """
    if not rows:
        return {}
    figures = np.asarray(rows, float)
    _, user = np.unique(np.asarray(users), return_inverse=True)
    count = int(user.max()) + 1
    sums = np.zeros((count, figures.shape[1]))
    np.add.at(sums, user, figures)
    days = np.bincount(user, minlength=count).astype(float)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), samples)
    means = (drawn @ sums) / (drawn @ days)[:, None]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    mean = figures.mean(axis=0)
    return {
        name: Estimate(float(mean[at]), float(low[at]), float(high[at]))
        for at, name in enumerate(NAMES)
    }
