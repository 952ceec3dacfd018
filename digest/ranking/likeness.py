"""How like the papers voted on are to a day's by their terms, kept from one block of readers to
the next: many readers vote on the same papers."""

from threading import Lock
from typing import Any

import numpy as np
import scipy.sparse as sp

_ROOM = 100_000_000  # bytes
_AT_ONCE = 1000  # papers, so that what is made on the way stays small


class Likeness:
    """Products of rows of terms with those of one day's papers; a row's content is its key."""

    def __init__(self, day_terms: Any) -> None:
        self._columns = sp.csr_array(day_terms.T)
        papers = self._columns.shape[1]
        self._room = _ROOM // (4 * max(1, papers))
        self._kept = np.empty((self._room, papers), np.float32)
        self._slots: dict[int, int] = {}
        self._lock = Lock()

    def sums(self, chosen: Any, voted: Any) -> np.ndarray:
        """`chosen` (readers × voted) times the likeness of the voted papers, whose rows of terms
        are `voted`: float32, readers × the day's papers."""
        if voted.shape[0] > self._room:
            parts = range(0, voted.shape[0], _AT_ONCE)
            sums = np.zeros((chosen.shape[0], self._kept.shape[1]), np.float32)
            for at in parts:
                sums += chosen[:, at : at + _AT_ONCE] @ self._made(voted[at : at + _AT_ONCE])
            return sums
        with self._lock:
            slots = self._placed(voted)
            moved = sp.csr_array(
                (chosen.data, slots[chosen.indices], chosen.indptr),
                shape=(chosen.shape[0], len(self._slots)),
            )
            return np.asarray(moved @ self._kept[: len(self._slots)], np.float32)

    def _placed(self, voted: Any) -> np.ndarray:
        """Where each row's likeness is kept; what is not there yet is made."""
        keys = _keys(voted)
        if len(self._slots.keys() | set(keys)) > self._room:
            self._slots.clear()
        new = {key: row for row, key in enumerate(keys) if key not in self._slots}
        first = len(self._slots)
        rows = list(new.values())
        for at in range(0, len(rows), _AT_ONCE):
            some = rows[at : at + _AT_ONCE]
            self._kept[first + at : first + at + len(some)] = self._made(voted[some])
        self._slots |= {key: first + at for at, key in enumerate(new)}
        return np.array([self._slots[key] for key in keys], np.int32)

    def _made(self, voted: Any) -> np.ndarray:
        return np.asarray((voted @ self._columns).toarray(), np.float32)


def _keys(rows: Any) -> list[int]:
    spans = list(zip(rows.indptr.tolist(), rows.indptr[1:].tolist(), strict=False))
    return [hash((rows.indices[a:b].tobytes(), rows.data[a:b].tobytes())) for a, b in spans]
