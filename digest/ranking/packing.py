"""Arrays as bytes, and back."""

import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import IO, Any

import numpy as np

_TRIED = 16_384  # bytes of a member, by which it is judged
_WORTH = 0.5  # what hardly gets smaller than this is kept as it is, for that costs no time


def packed(parts: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as a zip file of .npy files. Whole numbers are taken apart: the first bytes of all
    of them are one member, the second ones another, and so on. A member is compressed, fast rather
    than well, where that makes it much smaller.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compresslevel=1) as file:
        for name, part in parts.items():
            for number, member in enumerate(_members(part)):
                file.compression = _compression(member)
                with file.open(f"{name}.{part.dtype.str[1:]}.{number}", "w") as place:
                    _write(place, np.ascontiguousarray(member))
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    """Read what `packed` wrote. Raises ValueError where it is something else."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            parts = groupby(file.namelist(), lambda name: name.rpartition(".")[0])
            return dict(_read(file, part, names) for part, names in parts)
    except (zipfile.BadZipFile, zlib.error, TypeError) as error:
        raise ValueError(f"no packed arrays: {error}") from error


def _write(place: IO[bytes], member: np.ndarray) -> None:
    """As numpy writes it, which makes a copy of every part first."""
    header = np.lib.format.header_data_from_array_1_0(member)
    np.lib.format.write_array_header_1_0(place, header)
    place.write(member.reshape(-1).view(np.uint8).data)


def _read(file: zipfile.ZipFile, part: str, names: Iterable[str]) -> tuple[str, np.ndarray]:
    title, kind = part.split(".")
    members = []
    for name in names:
        with file.open(name) as place:
            members.append(np.lib.format.read_array(place, allow_pickle=False))
    return title, _joined(members, np.dtype(kind))


def _members(part: np.ndarray) -> Sequence[np.ndarray]:
    if part.dtype.kind not in "iu":
        return [part]
    columns = np.ascontiguousarray(part).view(np.uint8).reshape(-1, part.itemsize)
    return [np.ascontiguousarray(column) for column in columns.T]


def _joined(members: Sequence[np.ndarray], kind: Any) -> np.ndarray:
    if kind.kind not in "iu":
        return members[0]
    columns = np.empty((len(members[0]), kind.itemsize), np.uint8)
    for number, member in enumerate(members):
        columns[:, number] = member
    return columns.reshape(-1).view(kind)


def _compression(member: np.ndarray) -> int:
    content = np.ascontiguousarray(member).reshape(-1).view(np.uint8)
    tried = content[len(content) // 2 :][:_TRIED]
    smaller = len(zlib.compress(tried.tobytes(), 1)) < _WORTH * len(tried)
    return zipfile.ZIP_DEFLATED if smaller else zipfile.ZIP_STORED


def lines(texts: Iterable[str]) -> np.ndarray:
    """Texts without line breaks as an array of bytes."""
    return np.frombuffer("\n".join(texts).encode(), np.uint8)


def texts(lines: np.ndarray) -> tuple[str, ...]:
    """Read what `lines` wrote."""
    text = lines.tobytes().decode()
    return tuple(text.split("\n")) if text else ()
