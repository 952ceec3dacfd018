"""How like the papers voted on are to a day's by their terms, kept from one block of readers to
the next: many readers vote on the same papers."""

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import scipy.sparse as sp

_ROOM = 80_000_000  # bytes
_AT_ONCE = 1000  # papers, so that what is made on the way stays small


class Likeness:
    """Products of rows of terms with those of one day's papers; a row's content is its key."""

    def __init__(self, day_terms: Any) -> None:
        day_terms = sp.csr_array(day_terms)
        self._papers, terms = day_terms.shape
        used = np.unique(day_terms.indices)
        self._place = np.full(terms, -1, np.int32)
        self._place[used] = np.arange(len(used))
        self._columns = sp.csr_array(day_terms[:, used].T)
        self._room = _ROOM // (4 * max(1, self._papers))
        self._lock = Lock()
        self._clear()

    def of(self, voted: Any) -> "Near":
        """The likeness of these rows of terms to the day's papers."""
        if voted.shape[0] > self._room:
            return Near(self, voted, None, None)
        with self._lock:
            return Near(self, voted, self._placed(voted), self._kept)

    def made(self, rows: Any) -> np.ndarray:
        """The products of some rows of terms with the day's papers: float32, rows × papers."""
        return np.asarray((self._used(rows) @ self._columns).toarray(), np.float32)

    def _used(self, rows: Any) -> Any:
        """The rows with those columns alone that one of the day's papers has: half of a row is of
        no use here, and to look for it in columns of all terms takes as long as all else."""
        column = self._place[rows.indices]
        kept = np.flatnonzero(column >= 0)
        starts = np.searchsorted(kept, rows.indptr).astype(np.int32)
        shape = (rows.shape[0], self._columns.shape[0])
        return sp.csr_array((rows.data[kept], column[kept], starts), shape=shape)

    def _clear(self) -> None:
        """Who has what was kept goes on with it."""
        self._kept = np.empty((self._room, self._papers), np.float32)
        self._slots: dict[int, int] = {}

    def _placed(self, voted: Any) -> np.ndarray:
        """Where each row's likeness is kept; what is not there yet is made."""
        keys = _keys(voted)
        if len(self._slots.keys() | set(keys)) > self._room:
            self._clear()
        new = {key: row for row, key in enumerate(keys) if key not in self._slots}
        first = len(self._slots)
        rows = list(new.values())
        for at in range(0, len(rows), _AT_ONCE):
            some = rows[at : at + _AT_ONCE]
            self._kept[first + at : first + at + len(some)] = self.made(voted[some])
        self._slots |= {key: first + at for at, key in enumerate(new)}
        return np.array([self._slots[key] for key in keys], np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """The likeness of some rows of terms to the day's papers; without `slots` there was no room to
    keep it, and it is made when it is asked for."""

    likeness: Likeness
    voted: Any
    slots: np.ndarray | None
    kept: np.ndarray | None

    def sums(self, chosen: Any) -> np.ndarray:
        """`chosen` (readers × voted) times the likeness: float32, readers × the day's papers."""
        if self.slots is None or self.kept is None:
            parts = range(0, self.voted.shape[0], _AT_ONCE)
            made = (
                chosen[:, at : at + _AT_ONCE] @ self.likeness.made(self.voted[at : at + _AT_ONCE])
                for at in parts
            )
            return np.asarray(sum(made), np.float32)
        moved = sp.csr_array(
            (chosen.data, self.slots[chosen.indices], chosen.indptr),
            shape=(chosen.shape[0], int(self.slots.max(initial=-1)) + 1),
        )
        return np.asarray(moved @ self.kept[: moved.shape[1]], np.float32)

    def between(self, voted: np.ndarray, papers: np.ndarray) -> np.ndarray:
        """The likeness of some of the rows, each to its row of papers: voted × papers in a row."""
        if self.slots is None or self.kept is None:
            return np.take_along_axis(self.likeness.made(self.voted[voted]), papers, axis=1)
        return np.asarray(self.kept[self.slots[voted][:, None], papers])


def _keys(rows: Any) -> list[int]:
    spans = list(zip(rows.indptr.tolist(), rows.indptr[1:].tolist(), strict=False))
    return [hash((rows.indices[a:b].tobytes(), rows.data[a:b].tobytes())) for a, b in spans]
