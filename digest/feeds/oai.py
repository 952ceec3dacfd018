"""arXiv's OAI-PMH service with the metadata format `arXiv`: records by the day they changed. Pure.

https://info.arxiv.org/help/oa/index.html and https://www.openarchives.org/OAI/openarchivesprotocol.html
"""

import re
from datetime import date
from xml.etree import ElementTree as Xml

from digest.errors import FeedError
from digest.feeds import fields
from digest.feeds.calendar import HELD_BACK, next_batch_day
from digest.papers import Entry, Kind, Listing, Rejected, arxiv_id, clean, normal_doi, shortened

_ROOT = re.compile(rb"<(?:\w+:)?OAI-PMH[\s>]")
_DECLARED = re.compile(rb"<!(?:DOCTYPE|ENTITY)")


def is_oai(body: bytes) -> bool:
    return bool(_ROOT.search(body[:2_000]))


def read(body: bytes, where: str, today: date) -> Listing:
    """One page of ListRecords, with the resumption token as its `next_page`.

    A record has neither listing day nor kind nor version, so these are worked out from when it
    was submitted, replaced and last changed. Raises FeedError.
    """
    root = _root(body, where)
    error = root.find("{*}error")
    if error is not None and error.get("code") != "noRecordsMatch":
        message = clean(f"{error.get('code')} {error.text or ''}")
        raise FeedError(f"{where} answered with an error: {shortened(message, 300)}")
    entries, rejected = [], []
    for position, record in enumerate(root.findall("{*}ListRecords/{*}record"), 1):
        try:
            entry = _entry(record, today)
        except fields.EntryError as refusal:
            label = fields.label_of(record.findtext("{*}header/{*}identifier"))
            rejected.append(Rejected(position, label, str(refusal)))
        else:
            entries += [entry] if entry else []
    token = clean(root.findtext("{*}ListRecords/{*}resumptionToken") or "")
    day = max((entry.day for entry in entries), default=None)
    return Listing("arXiv", day, tuple(entries), tuple(rejected), token)


def _root(body: bytes, where: str) -> Xml.Element:
    if _DECLARED.search(body):
        raise fields.not_a_feed(where, "it declares entities")
    try:
        return Xml.fromstring(body)  # noqa: S314 — nothing is declared, so nothing expands
    except (Xml.ParseError, ValueError, LookupError) as error:
        raise fields.not_a_feed(where, "its XML is cut off or broken") from error


def _entry(record: Xml.Element, today: date) -> Entry | None:
    """The paper of a record; None for one that was deleted or holds no news of any day."""
    header, found = record.find("{*}header"), record.find("{*}metadata/*")
    if header is not None and header.get("status") == "deleted":
        return None
    if header is None or found is None:
        raise fields.EntryError("it has no metadata")
    named = arxiv_id(_text(found, "id")) or arxiv_id(header.findtext("{*}identifier") or "")
    if named is None:
        raise fields.EntryError("it has no arXiv id")
    created, updated = _day(_text(found, "created")), _day(_text(found, "updated"))
    stamped = _day(header.findtext("{*}datestamp") or "")
    if created is None or stamped is None:
        raise fields.EntryError("it has no date")
    number, doi = named[0], normal_doi(_text(found, "doi"))
    kind, day = derived(created, updated, stamped)
    return Entry(
        key=f"arxiv:{number}",
        title=fields.title_of(_text(found, "title")),
        abstract=fields.abstract_of(_text(found, "abstract")),
        authors=fields.names_of(map(_name, found.findall("{*}authors/{*}author"))),
        categories=fields.codes_of(_text(found, "categories").split()),
        url=f"https://arxiv.org/abs/{number}",
        day=min(day, today),
        kind=kind,
        version=2 if updated and updated > created else 1,
        pdf_url=f"https://arxiv.org/pdf/{number}",
        doi=doi,
        journal=fields.abstract_of(_text(found, "journal-ref"))[: fields.TITLE] or None,
        licence=clean(_text(found, "license"))[: fields.NAME] or None,
        aliases=(f"doi:{doi}",) if doi else (),
        derived=True,
    )


def derived(created: date, updated: date | None, stamped: date) -> tuple[Kind, date]:
    """Kind and listing day of a record that changed on `stamped` (in UTC, in which an evening's
    announcement already bears the listing day)."""
    changed = stamped if stamped.weekday() < 5 else next_batch_day(stamped)
    usual = next_batch_day(created)  # the next one where it was submitted after the deadline
    if updated is None or updated <= created:
        fresh = stamped - created <= HELD_BACK
        return "new", max(changed, usual) if fresh else usual
    if stamped - created <= HELD_BACK:
        return "new", usual
    return "replace", changed if stamped - updated <= HELD_BACK else next_batch_day(updated)


def _text(element: Xml.Element, name: str) -> str:
    return (element.findtext(f"{{*}}{name}") or "").strip()


def _name(author: Xml.Element) -> str:
    parts = (_text(author, name) for name in ("forenames", "keyname", "suffix"))
    return " ".join(filter(None, parts))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None
