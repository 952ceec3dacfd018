"""Papers as JSON lines: `{"id", "day", "title", "abstract", "authors", "categories"}`. Pure."""

import json
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice
from typing import Any

from digest.feeds import fields
from digest.papers import Entry, Listing, Rejected, arxiv_id, normal_url, paper_keys

AT_ONCE = 1_000  # papers in one listing: what is in memory at a time
ENDINGS = (".jsonl", ".jsonl.xz", ".jsonl.gz", ".ndjson")


def listings(lines: Iterable[bytes], name: str, today: date) -> Iterator[Listing]:
    """The papers in listings of at most AT_ONCE; a position is a line's number, from 1."""
    numbered = enumerate(lines, 1)
    while some := list(islice(numbered, AT_ONCE)):
        entries, rejected = [], []
        for position, line in some:
            if not line.strip():
                continue
            try:
                entries.append(_entry(line, today))
            except fields.EntryError as error:
                label = fields.label_of(line[: fields.LABEL].decode("utf-8", "replace"))
                rejected.append(Rejected(position, label, str(error)))
        day = max((entry.day for entry in entries), default=None)
        yield Listing(name, day, tuple(entries), tuple(rejected))


def _entry(line: bytes, today: date) -> Entry:
    try:
        paper = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise fields.EntryError("it is no JSON") from error
    if not isinstance(paper, dict):
        raise fields.EntryError("it is no JSON object")
    name = fields.text_in(paper, "id").removeprefix("url:")
    keys = paper_keys(arxiv=name, doi="" if normal_url(name) else name, url=name)
    if not keys:
        raise fields.EntryError("its id is no arXiv id, DOI or address")
    number = keys[0].removeprefix("arxiv:") if arxiv_id(name) else ""
    return Entry(
        key=keys[0],
        title=fields.title_of(fields.text_in(paper, "title")),
        abstract=fields.abstract_of(fields.text_in(paper, "abstract")),
        authors=fields.names_of(_texts(paper, "authors")),
        categories=fields.codes_of(_texts(paper, "categories")),
        url=f"https://arxiv.org/abs/{number}" if number else _resolved(keys[0]),
        day=min(_day(paper), today),
        pdf_url=f"https://arxiv.org/pdf/{number}" if number else None,
        doi=keys[0].removeprefix("doi:") if keys[0].startswith("doi:") else None,
        aliases=tuple(keys[1:]),
    )


def _resolved(key: str) -> str:
    """Where to read a paper of which only the key is known."""
    kind, _, rest = key.partition(":")
    return f"https://doi.org/{rest}" if kind == "doi" else rest


def _texts(paper: dict[str, Any], name: str) -> list[str]:
    values = paper.get(name)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _day(paper: dict[str, Any]) -> date:
    try:
        return date.fromisoformat(fields.text_in(paper, "day"))
    except ValueError as error:
        raise fields.EntryError("it has no day of the form 2026-11-18") from error
