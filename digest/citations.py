"""What people paste as papers they like: ids, addresses, DOIs, BibTeX; understood or not. Pure."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from digest.errors import InputError
from digest.latex import readable
from digest.papers import (
    arxiv_id,
    best_key,
    clean,
    fingerprint,
    forward,
    normal_url,
    paper_keys,
    parse_paper_id,
    shortened,
)

LONGEST = 500_000
MOST = 100
_ABSTRACT, _TITLE, _AUTHORS = 6000, 400, 60

_ENTRY = re.compile(r"@\s*[A-Za-z]+\s*[{(]")
_MENTIONED = re.compile(r"arxiv(?:\.org/(?:abs|pdf)/|: ?| )([\w.-]+/?\d+)", re.IGNORECASE)
_REMARK = re.compile(r"\[[\w.\s-]*\]$")  # arXiv:2512.01234 [cs.LG], as arXiv writes it

# It logs what it cannot read, which is a visitor's text.
logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Cited:
    """A paper as somebody cites it: its ids, the best one first, and what else is said of it."""

    keys: tuple[str, ...]
    title: str = ""
    abstract: str = ""
    authors: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What a person knows it by."""
        return self.title or self.keys[0].removeprefix("url:")


@dataclass(frozen=True, slots=True)
class Citations:
    """The papers that a text names, and the pieces of it that name none."""

    papers: tuple[Cited, ...] = ()
    unread: tuple[str, ...] = ()


def parse_citations(text: str, most: int = MOST, longest: int = LONGEST) -> Citations:
    """Reads ids, arXiv addresses and DOIs, one a line or parted by blanks or commas, and BibTeX
    entries among them. A paper named twice is there once.

    Raises InputError for more than `most` papers or `longest` characters.
    """
    if len(text) > longest:
        raise InputError(f"papers you like: expected at most {longest:,} characters")
    if len(_ENTRY.findall(text)) > 2 * most:
        raise InputError(f"papers you like: expected at most {most:,} papers")
    return gathered(_entries(text) if _ENTRY.search(text) else _lines(text), most)


def gathered(found: Iterable[Cited | str], most: int) -> Citations:
    """The papers, each once, and the rest. Raises InputError for more than `most`."""
    papers: dict[str, Cited] = {}
    unread: list[str] = []
    for one in found:
        if isinstance(one, str):
            unread.append(shortened(clean(one), 80))
        else:
            papers.setdefault(one.keys[0], one)
    if len(papers) > most:
        raise InputError(f"papers you like: expected at most {most:,} papers, got {len(papers):,}")
    return Citations(tuple(papers.values()), tuple(dict.fromkeys(filter(None, unread))))


def _lines(text: str) -> Iterator[Cited | str]:
    for written in text.splitlines():
        line = _REMARK.sub("", clean(written)).strip()
        if key := _key(line):
            yield Cited((key,))
            continue
        named = [(piece, _key(piece)) for piece in re.split(r"[\s,;]+", line) if piece]
        if any(key for _, key in named):
            yield from (Cited((key,)) if key else piece for piece, key in named)
        else:
            yield line


def _key(text: str) -> str | None:
    """The id that the text is, and not one that merely stands in it."""
    if " " in text and not normal_url(text):
        return None
    try:
        return parse_paper_id(text)
    except InputError:
        return None


def _entries(text: str) -> Iterator[Cited | str]:
    from bibtexparser.entrypoint import parse_string  # noqa: PLC0415 (slow import)

    library = parse_string(text)
    for entry in library.entries:
        yield _cited(entry) or entry.key
    for failed in library.failed_blocks:  # among them the second of two entries of one name
        second: Any = failed.ignore_error_block
        yield (_cited(second) if hasattr(second, "fields") else None) or failed.raw or ""
    outside = [block.comment for block in library.comments if not _ENTRY.search(block.raw or "")]
    yield from _lines("\n".join(outside))


def _cited(entry: Any) -> Cited | None:
    said = {field.key.lower(): clean(str(field.value)) for field in entry.fields}
    return cited(said, said.get("author", "").split(" and "))


def cited(said: Mapping[str, str], people: Sequence[str]) -> Cited | None:
    """The paper of which this is said, in fields named as BibTeX's; None where neither an id nor
    a title tells it."""
    title = shortened(_plain(said.get("title", "")), _TITLE)
    authors = [forward(_plain(name)) for name in people[:_AUTHORS]]
    authors = [name for name in authors if name and name.lower() != "others"]
    keys = _keys(said)
    if not keys and title:
        keys = [f"title:{fingerprint(title, authors)}"]
    if not keys:
        return None
    best = best_key(keys)
    return Cited(
        (best, *(key for key in keys if key != best)),
        title,
        shortened(_plain(said.get("abstract", "")), _ABSTRACT),
        tuple(shortened(name, 100) for name in authors),
    )


def _keys(said: Mapping[str, str]) -> list[str]:
    """The ids in the fields that may hold one; Google Scholar has arXiv's in the journal."""
    mentioned = [
        found[1]
        for name in ("journal", "note", "howpublished", "volume", "number")
        for found in _MENTIONED.finditer(said.get(name, ""))
    ]
    eprint = said.get("eprint", "") if "arxiv" in said.get("archiveprefix", "arxiv").lower() else ""
    arxiv = next((text for text in (eprint, *mentioned) if arxiv_id(text)), "")
    keys = paper_keys(arxiv=arxiv, doi=said.get("doi", ""), url=_address(said.get("url", "")))
    return [key for key in keys if not key.startswith("url:")]


def _plain(text: str) -> str:
    return clean(readable(text).replace("{", "").replace("}", ""))


def _address(text: str) -> str:
    r"""An address as BibTeX has it: in \url{…}, or with its signs escaped."""
    return re.sub(r"\\url\{(.*)\}", r"\1", text).replace("\\", "").strip()
