"""Tags of arxiv-sanity-lite, the honest ones and the others."""

import os
import pickle
import sqlite3
import zlib
from pathlib import Path

import pytest

from digest.errors import InputError
from digest.sanity import read_tags

TAGS = {"maps": {"2511.01234", "math/0309136"}, "ice": {"2511.01234", "no id"}, "empty": set()}


def database(folder: Path, **values: bytes) -> Path:
    file = folder / "dict.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE tags (key TEXT PRIMARY KEY, value BLOB)")
        connection.executemany("INSERT INTO tags VALUES (?, ?)", values.items())
    connection.close()
    return file


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("pack", [bytes, zlib.compress])
def test_tags_however_they_were_packed(tmp_path: Path, protocol: int, pack) -> None:
    read = read_tags(database(tmp_path, root=pack(pickle.dumps(TAGS, protocol))))
    assert [paper.keys for paper in read.papers] == [
        ("arxiv:2511.01234",),
        ("arxiv:math/0309136",),
    ]
    assert read.unread == ("no id",)


def test_one_of_several_readers_is_named(tmp_path: Path) -> None:
    file = database(tmp_path, ada=pickle.dumps({"x": {"2511.01234"}}), ben=pickle.dumps({}))
    with pytest.raises(InputError, match="ada, ben"):
        read_tags(file)
    assert len(read_tags(file, "ada").papers) == 1


class Hostile:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self):
        return os.mkdir, (str(self.made),)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    file = database(tmp_path, root=zlib.compress(pickle.dumps({"x": Hostile(made)})))
    with pytest.raises(InputError, match="refused"):
        read_tags(file)
    assert not made.exists()


@pytest.mark.parametrize("name", ["eval", "getattr", "__import__", "open"])
def test_nor_does_it_get_a_function_of_python(tmp_path: Path, name: str) -> None:
    blob = f"cbuiltins\n{name}\n(S'1'\ntR.".encode()
    with pytest.raises(InputError, match=f"builtins.{name}"):
        read_tags(database(tmp_path, root=blob))


@pytest.mark.parametrize("blob", [b"", b"x\x9c damaged", b"\x80\x04N.", pickle.dumps({"a": 1})])
def test_what_holds_no_tags_is_said(tmp_path: Path, blob: bytes) -> None:
    with pytest.raises(InputError):
        read_tags(database(tmp_path, root=blob))


def test_another_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "dict.db").write_text("no database, but long enough for one" * 40)
    with pytest.raises(InputError, match="arxiv-sanity-lite"):
        read_tags(tmp_path / "dict.db")
