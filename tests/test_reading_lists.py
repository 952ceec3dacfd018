"""A library as other programs write it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.citations import MOST, Cited
from digest.reading_lists import read_bibtex, read_ris, read_zotero, write_bibtex, write_ris

RIS = """TY  - JOUR
TI  - Folding of paper maps
AU  - Writer, Bo
AU  - The Map and Globe Group
AB  - Long and
short.
DO  - https://doi.org/10.1000/MAPS.1
ER  -

TY  - PREPRINT
T1  - Tides under ice
A1  - Lee, Ann
UR  - https://arxiv.org/abs/2511.01234v2
ER  -

TY  - BOOK
PY  - 1999
ER  -

TY  - JOUR
TI  - Cut off before its end
AU  - Quill, Zoe
"""


def item(**data):
    return {"key": "ABCD2345", "version": 7, "library": {"type": "user"}, "data": data}


ZOTERO = [
    item(
        itemType="preprint",
        title="Tides under <i>ice</i>",
        creators=[
            {"creatorType": "author", "firstName": "Ann", "lastName": "Lee"},
            {"creatorType": "author", "name": "Ice and Sea Survey"},
            {"creatorType": "editor", "firstName": "Not", "lastName": "Named"},
        ],
        abstractNote="Tides.",
        archiveID="arXiv:2511.01234",
        url="http://arxiv.org/abs/2511.01234",
    ),
    item(itemType="journalArticle", title="Maps", DOI="10.1000/maps.1", creators=[]),
    item(itemType="journalArticle", title="Old", extra="arXiv: math/0309136 [math]\nCited: 3"),
    item(itemType="attachment", title="Full text"),
    item(itemType="note", note="<p>read this</p>"),
    item(itemType="webpage", key="WXYZ2345", title=""),
    "no item",
]


def test_ris_by_several_programs() -> None:
    read = read_ris(RIS.replace("\n", "\r\n"))
    first, second, third = read.papers
    assert first.keys == ("doi:10.1000/maps.1",)
    assert first.authors == ("Bo Writer", "The Map and Globe Group")
    assert first.abstract == "Long and short."
    assert (second.keys[0], second.title) == ("arxiv:2511.01234", "Tides under ice")
    assert third.title == "Cut off before its end"
    assert [piece[:10] for piece in read.unread][-1] == "TY - BOOK "


def test_zotero_items() -> None:
    read = read_zotero(ZOTERO)
    assert [paper.keys[0] for paper in read.papers] == [
        "arxiv:2511.01234",
        "doi:10.1000/maps.1",
        "arxiv:math/0309136",
    ]
    assert read.papers[0].authors == ("Ann Lee", "Ice and Sea Survey")
    assert read.unread == ("WXYZ2345",)


@pytest.mark.parametrize(("read", "write"), [(read_bibtex, write_bibtex), (read_ris, write_ris)])
def test_a_large_library_comes_back(read, write) -> None:
    papers = [
        Cited(
            (f"arxiv:2511.{number:05}", f"doi:10.1000/x_{number}"),
            f"Costs & gains of {number} % more maps_and_globes",
            "In 3 {braces} #1.",
            ("Bo Writer", "Zoë Quill"),
        )
        for number in range(MOST + 20)
    ]
    papers.append(Cited(("url:https://papers.test/a?b=1",), "An address alone", "", ("Ann Lee",)))
    back = read(write(papers))
    assert not back.unread
    assert [paper.keys for paper in back.papers[:-1]] == [paper.keys for paper in papers[:-1]]
    assert back.papers[0].title == papers[0].title
    assert back.papers[0].authors == papers[0].authors
    assert back.papers[-1].title == "An address alone"


@settings(max_examples=60, deadline=None)
@given(st.text("TYERAUIKW  -\n\rab:1", max_size=80))
def test_no_text_breaks_the_reader_of_ris(text: str) -> None:
    read_ris(text)
