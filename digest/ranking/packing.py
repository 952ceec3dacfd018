"""Arrays as bytes, and back."""

import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def packed(parts: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as a zip file of .npy files. They are compressed, fast rather than well; whole
    numbers with the first bytes of all of them first, then the second ones, and so on; those of
    half precision hardly get smaller and stay as they are.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compresslevel=1) as file:
        for name, part in parts.items():
            file.compression = zipfile.ZIP_DEFLATED if part.itemsize != 2 else zipfile.ZIP_STORED
            with file.open(f"{name}.{part.dtype.str[1:]}", "w") as place:
                np.lib.format.write_array(place, _planes(part) if part.dtype.kind in "iu" else part)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    """Read what `packed` wrote. Raises ValueError where it is something else."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return dict(_read(file, name) for name in file.namelist())
    except (zipfile.BadZipFile, zlib.error, TypeError) as error:
        raise ValueError(f"no packed arrays: {error}") from error


def _read(file: zipfile.ZipFile, name: str) -> tuple[str, np.ndarray]:
    title, _, kind = name.partition(".")
    with file.open(name) as place:
        part = np.lib.format.read_array(place, allow_pickle=False)
    return title, _joined(part, np.dtype(kind)) if kind[:1] in "iu" else part


def _planes(part: np.ndarray) -> np.ndarray:
    size = part.dtype.itemsize
    return np.ascontiguousarray(np.ascontiguousarray(part).view(np.uint8).reshape(-1, size).T)


def _joined(planes: np.ndarray, kind: Any) -> np.ndarray:
    return np.ascontiguousarray(planes.T).reshape(-1).view(kind)


def lines(texts: Iterable[str]) -> np.ndarray:
    """Texts without line breaks as an array of bytes."""
    return np.frombuffer("\n".join(texts).encode(), np.uint8)


def texts(lines: np.ndarray) -> tuple[str, ...]:
    """Read what `lines` wrote."""
    text = lines.tobytes().decode()
    return tuple(text.split("\n")) if text else ()
