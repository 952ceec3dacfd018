"""A reader's library in other programs' forms, read and written: BibTeX, RIS, Zotero. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import rispy

from digest.citations import Citations, Cited, cited, gathered, parse_citations
from digest.errors import InputError
from digest.papers import clean

MOST = 20_000  # papers of one library
LONGEST = 50_000_000  # characters of its file

_ARXIV = re.compile(r"arxiv\s*:\s*([\w.-]+(?:/\d+)?)", re.IGNORECASE)
# What rispy meets in a record that breaks off, or goes on where nothing had begun.
_DAMAGED = (KeyError, TypeError, AttributeError, IndexError)
_NUMBER = re.compile(r"^\d{1,6}\. *$", re.MULTILINE)  # what rispy writes before each record
_RECORD = re.compile(r"^(?=TY  -)", re.MULTILINE)
_NO_PAPERS = {"attachment", "note", "annotation"}
_TEX = {"\\": r"\textbackslash{}", "{": "", "}": "", "~": r"\textasciitilde{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_"
}


def read_bibtex(text: str) -> Citations:
    return parse_citations(text, MOST, LONGEST)


def read_ris(text: str) -> Citations:
    """The papers of a RIS file. Raises InputError for too much of it."""
    if len(text) > LONGEST:
        raise InputError(f"the library: expected at most {LONGEST:,} characters")
    return gathered(_records(text), MOST)


def _records(text: str) -> Iterator[Cited | str]:
    """Each record read by itself, so that a damaged one spoils no other."""
    lines = _NUMBER.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    before, *records = _RECORD.split(lines)
    if before.strip():
        yield before
    for record in records:
        end = "" if re.search(r"^ER  -", record, re.MULTILINE) else "\nER  - \n"
        try:
            (said,) = rispy.loads(record + end)
            yield _from_ris(said) or record
        except (*_DAMAGED, ValueError):
            yield record


def _from_ris(said: Mapping[str, Any]) -> Cited | None:
    title = said.get("title") or said.get("primary_title") or said.get("translated_title") or ""
    names = said.get("authors") or said.get("first_authors") or []
    links = said.get("urls") or []
    journal = " ".join(
        str(said[name])
        for name in ("journal_name", "secondary_title", "alternate_title3")
        if said.get(name)
    )
    told = " ".join(map(str, said.get("notes") or []))
    link = next((link for link in links if isinstance(link, str)), "")
    return cited(
        {
            "title": clean(str(title)),
            "abstract": clean(str(said.get("abstract") or said.get("notes_abstract") or "")),
            "doi": str(said.get("doi") or ""),
            "url": link,
            "journal": journal,
            "note": told,
        },
        [str(name) for name in names],
    )


def read_zotero(items: Iterable[Any]) -> Citations:
    """The papers among the items of Zotero's web API, version 3: https://api.zotero.org/schema."""
    found = [item.get("data") for item in items if isinstance(item, dict)]
    papers = [data for data in found if isinstance(data, dict)]
    told = (
        _from_zotero(data) or str(data.get("title") or data.get("key") or "")
        for data in papers
        if data.get("itemType") not in _NO_PAPERS
    )
    return gathered(told, MOST)


def _from_zotero(data: Mapping[str, Any]) -> Cited | None:
    def text(name: str) -> str:
        value = data.get(name)
        return clean(value) if isinstance(value, str) else ""

    told = " ".join(map(text, ("extra", "archiveID", "reportNumber", "number")))
    mentioned = _ARXIV.search(told)
    people = data.get("creators")
    return cited(
        {
            "title": text("title"),
            "abstract": text("abstractNote"),
            "doi": text("DOI"),
            "url": text("url"),
            "eprint": mentioned[1] if mentioned else "",
            "journal": text("publicationTitle"),
        },
        [name for who in people if (name := _zotero_name(who))] if isinstance(people, list) else [],
    )


def _zotero_name(who: Any) -> str:
    """A person, or an organisation that has a name alone; editors and translators are none."""
    if not isinstance(who, dict) or who.get("creatorType", "author") != "author":
        return ""
    parts = [who.get(part) for part in ("firstName", "lastName", "name")]
    return clean(" ".join(part for part in parts if isinstance(part, str)))


def write_ris(papers: Sequence[Cited]) -> str:
    """The papers as RIS, which `read_ris` reads back."""
    return _NUMBER.sub("", rispy.dumps([_ris(paper) for paper in papers])).lstrip()


def _ris(paper: Cited) -> dict[str, Any]:
    ids = dict(key.split(":", 1) for key in reversed(paper.keys))
    fields: dict[str, Any] = {
        "type_of_reference": "JOUR",
        "title": clean(paper.title),
        "authors": [clean(name) for name in paper.authors],
        "abstract": clean(paper.abstract),
        "doi": ids.get("doi"),
        "urls": [_page(ids)] if _page(ids) else None,
    }
    return {name: value for name, value in fields.items() if value}


def write_bibtex(papers: Sequence[Cited]) -> str:
    """The papers as BibTeX, which `read_bibtex` reads back."""
    return "\n".join(_bibtex(number, paper) for number, paper in enumerate(papers, 1))


def _bibtex(number: int, paper: Cited) -> str:
    ids = dict(key.split(":", 1) for key in reversed(paper.keys))
    fields = {
        "title": f"{{{_tex(paper.title)}}}" if paper.title else "",
        "author": " and ".join(map(_tex, paper.authors)),
        "eprint": ids.get("arxiv", ""),
        "archivePrefix": "arXiv" if "arxiv" in ids else "",
        "doi": _bare(ids.get("doi", "")),
        "url": _bare(_page(ids)),
        "abstract": _tex(paper.abstract),
    }
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{paper{number},\n{lines}}}\n"


def _page(ids: Mapping[str, str]) -> str:
    if "arxiv" in ids:
        return f"https://arxiv.org/abs/{ids['arxiv']}"
    return f"https://doi.org/{ids['doi']}" if "doi" in ids else ids.get("url", "")


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in clean(text))


def _bare(text: str) -> str:
    """An id or address without what would end its field."""
    return re.sub(r"[{}\\\s]", "", text)
