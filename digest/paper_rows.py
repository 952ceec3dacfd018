"""Stored papers as rows of a feature space: those that it was fitted to, and others, made once."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlmodel import Session

from digest import fitting
from digest.db import Db
from digest.editions import papers_by_id
from digest.models import Paper

if TYPE_CHECKING:
    import numpy as np

    from digest.ranking.features import FeatureSpace, PaperRows
    from digest.ranking.rows import Rows

    # Columns and values of its terms and of its categories, and its latent columns.
    _Row = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

KEPT = 20_000  # rows of papers that the space does not hold


def rows_of(db: Db, space: "FeatureSpace", papers: Sequence[Paper]) -> "Rows":
    """The papers' rows in their order. Those of papers that the space was fitted to, and that are
    as they were then, are in it."""
    import numpy as np  # noqa: PLC0415 (slow import)

    from digest.ranking.rows import Rows  # noqa: PLC0415 (slow import)

    fitted, by_id = _fitted(db, space.version), {paper.id or 0: paper for paper in papers}
    changed = {name: _milliseconds(paper.updated_at) for name, paper in by_id.items()}
    inside = {name: row for name, at in changed.items() if (row := fitted.row(name, at)) >= 0}
    outside = {name: at for name, at in changed.items() if name not in inside}
    names, made = _made(db, space, outside, lambda new: [by_id[name] for name in new])
    both = Rows.stacked([space.neighbourhood.rows(list(inside.values())), made])
    place = {name: at for at, name in enumerate((*inside, *names))}
    return both[np.array([place[paper.id or 0] for paper in papers], int)]


def known(db: Db, space: "FeatureSpace", session: Session, named: Collection[int]) -> "PaperRows":
    """The rows of the papers voted on: those that the space was fitted to are in it."""
    from digest.ranking.features import PaperRows  # noqa: PLC0415 (slow import)
    from digest.ranking.rows import Rows  # noqa: PLC0415 (slow import)

    def read(new: Collection[int]) -> list[Paper]:
        # A paper named by its id alone says nothing until its text is there.
        return [paper for paper in papers_by_id(session, new) if paper.title or paper.abstract]

    fitted = _fitted(db, space.version)
    changed = _changed(session, named)
    inside = sorted(paper for paper, at in changed.items() if fitted.row(paper, at) >= 0)
    outside = {paper: changed[paper] for paper in changed.keys() - set(inside)}
    made, rows = _made(db, space, outside, read)
    listed = space.neighbourhood.rows([fitted.row_of[paper] for paper in inside])
    return PaperRows(
        tuple(map(str, (*inside, *made))), Rows.stacked([listed, rows]) if made else listed
    )


def _made(
    db: Db,
    space: "FeatureSpace",
    changed: dict[int, int],
    read: Callable[[Collection[int]], Sequence[Paper]],
) -> tuple[list[int], "Rows"]:
    """The ids and rows of papers that the space does not hold, of those that can be read. Those
    made for an earlier block of readers, or another day, serve while their paper is unchanged."""
    kept = _kept_rows(db, space.version)
    if len(kept) + len(changed) > KEPT:
        kept.clear()
    rows = {paper: kept[paper, at] for paper, at in changed.items() if (paper, at) in kept}
    new = read(changed.keys() - rows.keys())
    made = space.transform(new)
    for at, paper in enumerate(new):
        rows[paper.id or 0] = kept[paper.id or 0, _milliseconds(paper.updated_at)] = (
            *_entries(made.terms, at),
            *_entries(made.categories, at),
            made.latent[at].copy(),
        )
    ids = sorted(rows)
    return ids, _together([rows[paper] for paper in ids], space)


def _entries(matrix: Any, row: int) -> "tuple[np.ndarray, np.ndarray]":
    """Columns and values of a row."""
    start, end = matrix.indptr[row : row + 2]
    return matrix.indices[start:end].copy(), matrix.data[start:end].copy()


def _together(rows: "Sequence[_Row]", space: "FeatureSpace") -> "Rows":
    import numpy as np  # noqa: PLC0415 (slow import)
    import scipy.sparse as sp  # noqa: PLC0415 (slow import)

    from digest.ranking.rows import Rows  # noqa: PLC0415 (slow import)

    def matrix(columns: "Sequence[np.ndarray]", values: "Sequence[np.ndarray]", width: int) -> Any:
        parts = (
            np.concatenate([np.zeros(0, np.float32), *values]),
            np.concatenate([np.zeros(0, np.int32), *columns]),
            np.cumsum([0, *map(len, values)]),
        )
        return sp.csr_array(parts, shape=(len(rows), width))

    terms, weights, codes, shares, latent = zip(*rows, strict=True) if rows else ((),) * 5
    return Rows(
        matrix(terms, weights, len(space.weight)),
        matrix(codes, shares, len(space.categories)),
        np.array(latent, np.float32).reshape(len(rows), space.latent.dimensions),
    )


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Which row of the space is which paper's, and when (in ms) that had been changed last."""

    row_of: dict[int, int]
    changed: "np.ndarray"

    def row(self, paper: int, changed_at: int) -> int:
        """The row of the paper as it is now, or -1."""
        row = self.row_of.get(paper, -1)
        return row if row >= 0 and int(self.changed[row]) == changed_at else -1


@lru_cache(maxsize=1)
def _fitted(db: Db, version: str) -> _Fitted:
    papers, changed = fitting.papers_of(db, version)
    return _Fitted({paper: row for row, paper in enumerate(papers.tolist())}, changed)


@lru_cache(maxsize=1)
def _kept_rows(db: Db, version: str) -> "dict[tuple[int, int], _Row]":  # noqa: ARG001
    """A paper's row, by its id and when it was changed: one for each
    database and feature space."""
    return {}


def _changed(session: Session, named: Collection[int]) -> dict[int, int]:
    """When each of the papers was changed last, in ms. Their numbers stand in the statement, since
    to bind each takes many times as long as to look for it."""
    wanted, found = sorted(named), dict[int, int]()
    query = "SELECT id, updated_at FROM paper WHERE id IN ({})"
    for start in range(0, len(wanted), 5000):
        some = query.format(",".join(map(str, map(int, wanted[start : start + 5000]))))
        found.update(session.connection().exec_driver_sql(some).all())
    return found


def _milliseconds(moment: datetime) -> int:
    """The moment as it is stored."""
    return round(moment.timestamp() * 1000)
