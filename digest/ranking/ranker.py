"""One reader's model: logistic regression over the features, kept as its dual coefficients."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from digest.ranking.features import FeatureSpace, PaperRows

C = 0.1
PROFILE_WEIGHT = 0.5
PROFILE_UNTIL = 10


@dataclass(frozen=True, slots=True)
class Votes:
    """What a reader voted on: ids, their rows in the feature space, and whether it was a like."""

    papers: tuple[str, ...]
    rows: Any
    liked: np.ndarray


@dataclass(frozen=True, slots=True)
class Ranker:
    """A fitted model: the weight vector is the sum of coefficient × row over voted papers, the
    profile's row and the background's mean row.

    It names papers and not terms, so it holds in any feature space that knows those papers.
    """

    papers: tuple[str, ...] = ()
    coefficients: tuple[float, ...] = ()
    profile: float = 0.0
    background: float = 0.0
    intercept: float = 0.0

    def dumps(self) -> bytes:
        """About 20 bytes per vote."""
        names = "\n".join(self.papers).encode()
        head = struct.pack("<3fI", self.profile, self.background, self.intercept, len(self.papers))
        return head + np.array(self.coefficients, "<f4").tobytes() + names

    @classmethod
    def loads(cls, content: bytes) -> "Ranker":
        """Read what `dumps` wrote."""
        profile, background, intercept, count = struct.unpack_from("<3fI", content)
        coefficients = np.frombuffer(content, "<f4", count, 16)
        papers = content[16 + 4 * count :].decode().split("\n") if count else []
        return cls(tuple(papers), tuple(coefficients.tolist()), profile, background, intercept)


def fit(space: FeatureSpace, votes: Votes, profile_row: Any) -> Ranker:
    """Fit one reader's model from the votes and from `profile_row` (1 × width, maybe empty).

    Likes and the profile are positives; dislikes and the space's background are negatives. With
    neither like nor profile nothing is learnt from dislikes but what to avoid.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (slow import)

    likes = int(votes.liked.sum())
    asked = bool(profile_row.nnz) and likes < PROFILE_UNTIL
    if not likes and not asked:
        return Ranker()
    negatives = space.background
    rows = sp.vstack([votes.rows, *([profile_row] if asked else []), negatives], format="csr")
    wanted = np.r_[votes.liked, [True] * asked, np.zeros(negatives.shape[0], bool)]
    weight = np.r_[np.ones(len(votes.liked)), [PROFILE_WEIGHT] * asked, np.ones(negatives.shape[0])]
    total = weight.sum()
    weight[wanted] *= total / 2 / weight[wanted].sum()
    weight[~wanted] *= total / 2 / weight[~wanted].sum()
    model = LogisticRegression(C=C, solver="lbfgs", tol=1e-6, max_iter=200)
    model.fit(rows, wanted, sample_weight=weight)
    chance = 1 / (1 + np.exp(-(rows @ model.coef_[0] + model.intercept_[0])))
    dual = C * weight * (wanted - chance)
    voted = len(votes.papers)
    return Ranker(
        votes.papers,
        tuple(dual[:voted].tolist()),
        float(dual[voted]) if asked else 0.0,
        float(dual[voted + asked :].sum()),
        float(model.intercept_[0]),
    )


def weights(rankers: Sequence[Ranker], profile_rows: Any, known: PaperRows) -> Any:
    """The rankers' weight vectors less the background's part: csr float32, rankers × width.

    `profile_rows` has one row per ranker. `known` holds the papers voted on; one that is not there
    any more is passed over.
    """
    picked = [
        (at, known.row_of[paper], value)
        for at, ranker in enumerate(rankers)
        for paper, value in zip(ranker.papers, ranker.coefficients, strict=True)
        if paper in known.row_of
    ]
    at, column, value = zip(*picked, strict=True) if picked else ((), (), ())
    chosen = sp.csr_array(
        (np.array(value, np.float32), (np.array(at, int), np.array(column, int))),
        shape=(len(rankers), known.matrix.shape[0]),
    )
    told = sp.diags_array(np.array([r.profile for r in rankers], np.float32)) @ profile_rows
    return sp.csr_array(chosen @ known.matrix + told)


def score(
    space: FeatureSpace,
    rankers: Sequence[Ranker],
    profile_rows: Any,
    known: PaperRows,
    day: PaperRows,
) -> np.ndarray:
    """The scores of a block of readers (a few thousand at a time) for a day's papers:
    float32, readers × papers, higher is better; 0 is as likely wanted as not.
    """
    own = weights(rankers, profile_rows, known) @ day.matrix.T
    shared = np.array([[ranker.background] for ranker in rankers], np.float32)
    intercept = np.array([[ranker.intercept] for ranker in rankers], np.float32)
    return np.asarray(own.toarray() + shared * typical(space, day) + intercept, np.float32)


def typical(space: FeatureSpace, day: PaperRows) -> np.ndarray:
    """How like the background's mean each of the day's papers is: float32, papers."""
    if not space.background.shape[0]:
        return np.zeros(len(day.ids), np.float32)
    return np.asarray(day.matrix @ space.background.mean(axis=0), np.float32)
