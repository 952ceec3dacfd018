"""A library becomes likes and comes back, by files and by Zotero's API on loopback."""

import json
from pathlib import Path

import pytest
from conftest import announce
from feed_server import Answer, Source, serving
from test_reading_lists import ZOTERO

from digest import feedback, zotero
from digest.errors import DigestError, InputError
from digest.liked import add_library, read_library, write_library

KEY = "Sekrit0Key"


@pytest.fixture
def source():
    with serving() as plan:
        yield plan


def ups(app, person) -> set[str]:
    with app.db.read() as session:
        return {held.paper.key for held in feedback.votes(session, person.id) if held.vote == "up"}


@pytest.mark.slow
def test_a_library_of_more_than_a_hundred(app, ada, clock, tmp_path: Path) -> None:
    announce(app, clock().date())
    file = tmp_path / "all.ris"
    known = "TY  - JOUR\nUR  - https://arxiv.org/abs/2611.18001\nER  - \n"
    entry = "TY  - JOUR\nTI  - Map number {0}\nDO  - 10.1000/m{0}\nER  - \n"
    lost = "TY  - BOOK\nPY  - 1999\nER  - \n"
    file.write_text(known + "".join(entry.format(n) for n in range(120)) + lost)
    named = read_library(str(file))
    seen: list[tuple[int, int]] = []
    before = add_library(app, ada.email, named, dry_run=True)
    assert (before.papers, before.known, ups(app, ada)) == (121, 0, set())
    done = add_library(app, ada.email, named, progress=lambda *told: seen.append(told))
    assert (done.papers, done.known, len(done.unread)) == (121, 0, 1)
    assert seen == [(100, 121), (121, 121)]
    again = add_library(app, ada.email, named)
    assert (again.papers, again.known, len(ups(app, ada))) == (121, 121, 121)


@pytest.mark.parametrize("name", ["mine.bib", "mine.ris"])
def test_likes_come_back_as_a_file(app, ada, clock, tmp_path: Path, name: str) -> None:
    announce(app, clock().date())
    first = tmp_path / "a.bib"
    first.write_text("@misc{x, title={Of maps}, eprint={2405.00001}}\n2611.18001")
    add_library(app, ada.email, read_library(str(first)))
    assert write_library(app, ada.email, tmp_path / name) == 2
    back = read_library(str(tmp_path / name))
    assert {paper.keys[0] for paper in back.papers} == ups(app, ada)
    assert add_library(app, ada.email, back, dry_run=True).known == 2


def pages(path: str) -> Answer:
    start = int(path.partition("start=")[2].partition("&")[0])
    body = json.dumps(ZOTERO[start : start + 3]).encode()
    return Answer(body=body, headers={"Total-Results": str(len(ZOTERO)), "Backoff": "2"})


def test_zotero_is_read_page_by_page_with_the_key_in_a_header(source: Source) -> None:
    source.otherwise = pages
    waited: list[float] = []
    items = zotero.fetch_items("users/12345", KEY, api=source.url, sleep=waited.append)
    assert items == ZOTERO
    assert [headers["zotero-api-key"] for _, headers in source.asked] == [KEY] * 3
    assert not any(KEY in path for path, _ in source.asked)
    assert all(headers["zotero-api-version"] == "3" for _, headers in source.asked)
    assert waited == [2.0] * 3


def test_zotero_asks_for_patience(source: Source) -> None:
    answers = [Answer(429, headers={"Retry-After": "7"}), Answer(503), Answer(body=b"[]")]
    source.otherwise = lambda path: answers.pop(0)
    waited: list[float] = []
    assert zotero.fetch_items("groups/7", api=source.url, sleep=waited.append) == []
    assert waited[:2] == [7.0, 5.0]


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (403, b"Forbidden", "ZOTERO_API_KEY"),
        (302, b"", "answered 302"),
        (200, b"<html>", "no list"),
        (200, b"{}", "no list"),
    ],
)
def test_zotero_refuses(source: Source, status: int, body: bytes, told: str) -> None:
    source.otherwise = lambda path: Answer(status, body, {"Location": f"{source.url}/elsewhere"})
    with pytest.raises(DigestError, match=told) as error:
        zotero.fetch_items("users/1", KEY, api=source.url)
    assert KEY not in str(error.value)
    assert len(source.asked) == 1


@pytest.mark.parametrize("name", ["list.txt", "zotero:me", "zotero:users/1/../2"])
def test_what_is_no_library(name: str) -> None:
    with pytest.raises(InputError, match="expected"):
        read_library(name)


def test_a_key_that_is_none_is_not_repeated() -> None:
    with pytest.raises(InputError) as error:
        zotero.fetch_items("users/1", "bad\nkey")
    assert "bad" not in str(error.value)
