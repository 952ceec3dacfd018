"""One reader's model: logistic regression over the features, kept as its dual coefficients."""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from digest.ranking.features import FeatureSpace, PaperRows
from digest.ranking.likeness import Likeness, Near
from digest.ranking.rows import Rows, products

Solver = Literal["newton", "sklearn"]

C = 0.1
BACKGROUND_ODDS = 20.0
DISLIKE_WEIGHT = 0.5
DISLIKES_ALONE = 0.3
_ORDINARY = 200


@dataclass(frozen=True, slots=True)
class Votes:
    """What a reader voted on: ids, their rows in the feature space, and whether it was a like."""

    papers: tuple[str, ...]
    rows: Rows
    liked: np.ndarray


@dataclass(frozen=True, slots=True)
class Strength:
    """How much one like says, in log-odds per unit of likeness, by block of columns.

    The meaning of a paper and its categories are shared by many papers, so that further likes tell
    less and less that is new; names and phrases are not. `typical` is what it says for a paper to
    be more ordinary than others by one standard deviation, where little else is known; `contrast`
    is what is taken off for what the ordinary paper shares. Fitted over many readers by a
    conditional logistic regression on past days (docs/ranking.md).
    """

    terms: float
    categories: float
    latent: float
    profile: float
    typical: float
    contrast: float

    @classmethod
    def after(cls, likes: int) -> "Strength":
        """The strengths for a reader with so many likes."""
        terms = 8 / (1 + 0.025 * likes)
        return cls(
            terms=terms,
            categories=2 / (likes + 2),
            latent=2 / (1 + likes / 6),
            profile=math.exp(-likes / 5),
            typical=0.38 * math.exp(-likes / 7),
            contrast=0.5 * terms * likes * likes / (likes + 10),
        )


@dataclass(frozen=True, slots=True)
class Ranker:
    """A fitted model: a coefficient per voted paper (those of the likes sum to their number), the
    number of likes, and the score at which a paper is as likely wanted as not.

    It names papers and not terms, so it holds in any feature space that knows those papers.
    """

    papers: tuple[str, ...] = ()
    coefficients: tuple[float, ...] = ()
    likes: int = 0
    bar: float = 0.0

    @property
    def strength(self) -> Strength:
        """What a vote, the profile and being ordinary count."""
        return Strength.after(self.likes)

    def dumps(self) -> bytes:
        """Four bytes and the id per vote."""
        head = struct.pack("<fII", self.bar, self.likes, len(self.papers))
        return head + np.array(self.coefficients, "<f4").tobytes() + "\n".join(self.papers).encode()

    @classmethod
    def loads(cls, content: bytes) -> "Ranker":
        """Read what `dumps` wrote."""
        bar, likes, count = struct.unpack_from("<fII", content)
        coefficients = np.frombuffer(content, "<f4", count, 12)
        papers = content[12 + 4 * count :].decode().split("\n") if count else []
        return cls(tuple(papers), tuple(coefficients.tolist()), likes, bar)


def fit(
    space: FeatureSpace, votes: Votes, profile_row: Rows, *, solver: Solver = "newton"
) -> Ranker:
    """Fit one reader's model from the votes and from `profile_row` (one row, maybe empty).

    Likes are positives; dislikes and the background's mean paper, which weighs as much as the
    reader's likes twenty times over, are negatives. Both solvers find the same optimum.
    """
    likes = int(votes.liked.sum())
    strength = Strength.after(likes)
    if likes:
        dual = _SOLVERS[solver](
            _gram(votes.rows, strength),
            strength.terms * (votes.rows.terms @ space.typical),
            strength.terms * space.typical_square,
            votes.liked,
            np.r_[np.where(votes.liked, 1.0, DISLIKE_WEIGHT), BACKGROUND_ODDS * likes],
        )[:-1]
        dual *= likes / dual[votes.liked].sum()
    else:
        dual = np.full(len(votes.papers), -DISLIKES_ALONE)
    bar = _bar(space, votes.rows, dual, profile_row, strength)
    return Ranker(votes.papers, tuple(dual.astype(np.float32).tolist()), likes, bar)


def _newton(
    gram: np.ndarray, across: np.ndarray, inner: float, liked: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Logistic regression with a free intercept in its dual, by Newton's method.

    `gram` are the products of the voted papers, `across` those with the mean paper and `inner` its
    own; returns a coefficient per row, the mean paper's last.
    """
    size = len(liked) + 1
    kernel = np.block([[gram, across[:, None]], [across[None], np.array([[inner]])]])
    wanted = np.r_[liked, False].astype(float)
    shift = -math.log(weight[-1] / liked.sum())
    dual: np.ndarray = np.zeros(size)
    for _ in range(50):
        value = kernel @ dual + shift
        chance = 1 / (1 + np.exp(-value))
        slope = C * weight * chance * (1 - chance)
        # Newton's step solves for dual = C·weight·(wanted − chance) linearised at this point,
        # under the intercept's condition that the coefficients sum to zero.
        system = np.zeros((size + 1, size + 1))
        np.multiply(slope[:, None], kernel, out=system[:size, :size])
        system.flat[:: size + 2] += [1.0] * size + [0.0]
        system[:size, size] = slope
        system[size, :size] = 1
        target = np.r_[C * weight * (wanted - chance) + slope * value, 0]
        solved = np.linalg.solve(system, target)
        moved = np.abs(solved[:size] - dual).max()
        dual, shift = solved[:size], solved[size]
        if moved < 1e-5:  # and the step after it would be about its square
            break
    return dual


def _sklearn(
    gram: np.ndarray, across: np.ndarray, inner: float, liked: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """The same by scikit-learn's LogisticRegression, on coordinates that have these products."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (slow import)

    kernel = np.block([[gram, across[:, None]], [across[None], np.array([[inner]])]])
    values, axes = np.linalg.eigh(kernel)
    rows = axes * np.sqrt(np.maximum(values, 0))
    wanted = np.r_[liked, False]
    model = LogisticRegression(C=C, tol=1e-10, max_iter=1000)
    model.fit(rows, wanted, sample_weight=weight)
    chance = 1 / (1 + np.exp(-(rows @ model.coef_[0] + model.intercept_[0])))
    return np.asarray(C * weight * (wanted - chance))


_SOLVERS = {"newton": _newton, "sklearn": _sklearn}


def _gram(rows: Rows, strength: Strength) -> np.ndarray:
    """The rows' products with each other, by the strength of each block."""
    gram = strength.terms * products(rows.terms)
    gram += strength.categories * (rows.categories @ rows.categories.T).toarray()
    gram += strength.latent * (rows.latent @ rows.latent.T)
    return gram


@dataclass(frozen=True, slots=True, eq=False)
class _Ordinary:
    """Some papers of the background: their rows, their terms by those alone that one of them has
    (`place` is where among these each term is, from 1 on, or 0), and their likeness to the mean
    paper."""

    rows: Rows
    terms: Any
    place: np.ndarray
    typical: np.ndarray

    def times(self, terms: Any, dual: np.ndarray) -> np.ndarray:
        """Their products with some rows of terms, summed up by a coefficient for each row."""
        value = terms.data * np.repeat(dual, np.diff(terms.indptr))
        worth = np.bincount(self.place[terms.indices], value, self.terms.shape[1])
        return np.asarray(self.terms @ worth.astype(np.float32))


@lru_cache(maxsize=1)
def _ordinary_papers(space: FeatureSpace) -> _Ordinary:
    rows = space.background[:_ORDINARY]
    used, column = np.unique(rows.terms.indices, return_inverse=True)
    place = np.zeros(rows.terms.shape[1], np.int32)
    place[used] = np.arange(1, len(used) + 1)
    terms = (rows.terms.data, column.astype(np.int32) + 1, rows.terms.indptr)
    return _Ordinary(
        rows,
        sp.csr_array(terms, shape=(len(rows), len(used) + 1)),
        place,
        np.asarray(rows.terms @ space.typical),
    )


def _bar(
    space: FeatureSpace, rows: Rows, dual: np.ndarray, profile_row: Rows, strength: Strength
) -> float:
    """The score that about one ordinary paper in fifty reaches."""
    ordinary, one = _ordinary_papers(space), _each([1.0])
    papers = ordinary.rows
    if not len(papers):
        return 0.0
    dual, told = dual.astype(np.float32), profile_row.times(_each([strength.profile]))
    value = ordinary.times(rows.terms, strength.terms * dual) + ordinary.times(told.terms, one)
    value += _ordinary(space, [strength])[0] * ordinary.typical
    codes = strength.categories * np.asarray(rows.categories.T @ dual)
    codes[told.categories.indices] += told.categories.data
    value += papers.categories @ codes
    value += papers.latent @ (strength.latent * (dual @ rows.latent) + told.latent[0])
    return float(value.mean() + 2 * value.std())


def _ordinary(space: FeatureSpace, strengths: Sequence[Strength]) -> np.ndarray:
    """What likeness to the mean paper counts."""
    spread = space.typical_spread
    return np.array([s.typical / spread - s.contrast for s in strengths], np.float32)


def weights(rankers: Sequence[Ranker], profile_rows: Rows, known: PaperRows) -> Rows:
    """The rankers' weight vectors less the ordinary paper's part, a row each.

    `profile_rows` has one row per ranker. `known` holds the papers voted on; one that is not there
    any more is passed over.
    """
    chosen, strong = _chosen(rankers, known), [ranker.strength for ranker in rankers]
    told = profile_rows.times(_each(s.profile for s in strong))
    by_votes = sp.diags_array(_each(s.terms for s in strong)) @ chosen @ known.rows.terms
    codes = sp.diags_array(_each(s.categories for s in strong)) @ chosen @ known.rows.categories
    latent = _column(s.latent for s in strong) * (chosen @ known.rows.latent)
    return Rows(
        sp.csr_array(by_votes + told.terms),
        sp.csr_array(codes + told.categories),
        latent + told.latent,
    )


@dataclass(frozen=True, eq=False)
class Scored:
    """A block of readers before a day's papers: the scores (`total`) and what of them the topics of
    each profile say (`said`), readers × papers; and what they were summed up from.

    `chosen` are the rankers' coefficients (readers × voted), `voted` the papers voted on by
    `names`, `near` their likeness to the day's by terms; `told` the profiles at their strength;
    `latent` what each latent dimension is worth to each reader.
    """

    total: np.ndarray
    said: np.ndarray
    chosen: Any
    names: tuple[str, ...]
    voted: Rows
    near: Near
    told: Rows
    latent: np.ndarray


def score(
    space: FeatureSpace,
    rankers: Sequence[Ranker],
    profile_rows: Rows,
    known: PaperRows,
    day: PaperRows,
) -> np.ndarray:
    """The scores of a block of readers (a few thousand at a time) for a day's papers:
    float32, readers × papers, higher is better; 0 is as likely wanted as not."""
    return scored(space, rankers, profile_rows, known, day).total


def scored(
    space: FeatureSpace,
    rankers: Sequence[Ranker],
    profile_rows: Rows,
    known: PaperRows,
    day: PaperRows,
) -> Scored:
    """The scores with their parts.

    Through the dual: the likeness of the voted papers to the day's, once for all readers.
    """
    chosen = _chosen(rankers, known)
    used = np.flatnonzero(np.bincount(chosen.indices, minlength=chosen.shape[1]))
    chosen, strong = chosen[:, used], [ranker.strength for ranker in rankers]
    likeness, papers = day_likeness(day), day.rows
    voted = known.rows if len(used) == len(known.rows) else known.rows[used]
    told = profile_rows.times(_each(s.profile for s in strong))
    near = likeness.of(voted.terms)
    codes = (chosen @ voted.categories).toarray() * _column(s.categories for s in strong)
    codes += told.categories.toarray()
    latent = (chosen @ voted.latent) * _column(s.latent for s in strong)
    said = likeness.made(told.terms) + told.latent @ papers.latent.T
    total = _ordinary(space, strong)[:, None] * (papers.terms @ space.typical)
    total -= _column(ranker.bar for ranker in rankers)
    total += _column(s.terms for s in strong) * near.sums(chosen)
    total += (papers.categories @ codes.T).T
    total += latent @ papers.latent.T
    return Scored(
        np.asarray(total + said, np.float32),
        said,
        chosen,
        tuple(known.ids[row] for row in used.tolist()),
        voted,
        near,
        told,
        np.asarray(latent + told.latent, np.float32),
    )


@lru_cache(maxsize=2)
def day_likeness(day: PaperRows) -> Likeness:
    """Products with the day's terms."""
    return Likeness(day.rows.terms)


def _each(figures: Iterable[float]) -> np.ndarray:
    return np.array(list(figures), np.float32)


def _column(figures: Iterable[float]) -> np.ndarray:
    return _each(figures)[:, None]


def _chosen(rankers: Sequence[Ranker], known: PaperRows) -> Any:
    """The coefficients as a matrix, rankers × known papers."""
    names = [paper for ranker in rankers for paper in ranker.papers]
    column = np.array([known.row_of.get(paper, -1) for paper in names], np.int32)
    value = np.array([c for ranker in rankers for c in ranker.coefficients], np.float32)
    at = np.repeat(np.arange(len(rankers)), [len(ranker.papers) for ranker in rankers])
    found = column >= 0
    return sp.csr_array(
        (value[found], (at[found], column[found])), shape=(len(rankers), len(known.rows))
    )
