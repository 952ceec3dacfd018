"""The tags of arxiv-sanity-lite: its data/dict.db, in which each reader's tags are a pickle."""

import pickle
import sqlite3
import zlib
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from digest.citations import Citations, Cited, gathered
from digest.errors import InputError
from digest.papers import arxiv_id
from digest.reading_lists import MOST

LARGEST = 50_000_000  # bytes of one reader's tags, unpacked
_ALLOWED = {kind.__name__: kind for kind in (dict, set, list, str, tuple)}


def read_tags(file: Path, reader: str = "") -> Citations:
    """The papers under any tag of a reader; the name may be left out where there is one reader.

    Raises InputError where the file is no such database, or holds more than plain values.
    """
    blobs = _blobs(file)
    if not reader and len(blobs) == 1:
        reader = next(iter(blobs))
    if reader not in blobs:
        names = ", ".join(sorted(blobs)[:10]) or "nobody"
        raise InputError(f"whose tags of {file.name}? name one as {file.name}#NAME: {names}")
    tags = _plain(blobs[reader], file)
    if not isinstance(tags, dict) or not all(
        isinstance(ids, set | list | tuple) for ids in tags.values()
    ):
        raise InputError(f"{file} holds no tags of {reader}")
    named = sorted({str(name) for ids in tags.values() for name in ids})
    found = (Cited((f"arxiv:{known[0]}",)) if (known := arxiv_id(name)) else name for name in named)
    return gathered(found, MOST)


def _blobs(file: Path) -> dict[str, bytes]:
    address = f"{file.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            rows = connection.execute("SELECT key, value FROM tags").fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{file} is no dict.db of arxiv-sanity-lite: {error}") from error
    return {str(key): bytes(value) for key, value in rows if isinstance(value, bytes)}


class _Plain(pickle.Unpickler):
    """Makes plain values alone: whatever else a pickle names could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("builtins", "__builtin__") and name in _ALLOWED:
            return _ALLOWED[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _plain(blob: bytes, file: Path) -> Any:
    """What a row holds: a pickle, compressed or not."""
    if blob[:1] == b"x":  # zlib's first byte, and no pickle's
        unpacking = zlib.decompressobj()
        try:
            blob = unpacking.decompress(blob, LARGEST)
        except zlib.error as error:
            raise InputError(f"{file} is damaged: {error}") from error
    try:
        return _Plain(BytesIO(blob)).load()
    # a damaged pickle raises any of these
    except (
        *(pickle.UnpicklingError, ValueError, TypeError, LookupError),
        *(AttributeError, EOFError, MemoryError, OverflowError, RecursionError),
    ) as error:
        raise InputError(f"{file} is refused: more than plain tags ({error})") from error
