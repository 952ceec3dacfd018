"""What a paper is: the values a reader makes of a feed, ids and versions, merging. Pure."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from digest.errors import InputError

Kind = Literal["new", "cross", "replace", "replace-cross"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One paper as one feed shows it, its text already cleaned (no TeX, no markup).

    `key` is the paper's id as users meet it (`arxiv:2512.01234`, `doi:10.…`, `url:…`);
    `aliases` are further ids of the same work; `categories` has the primary one first.
    `derived`: the source states neither day nor kind, so they were worked out from its dates.
    """

    key: str
    title: str
    abstract: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    url: str
    day: date
    kind: Kind = "new"
    version: int = 1
    pdf_url: str | None = None
    doi: str | None = None
    journal: str | None = None
    licence: str | None = None
    upvotes: int | None = None
    aliases: tuple[str, ...] = ()
    derived: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that could not be read: where it stood in the feed (from 1) and why."""

    position: int
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a feed held: its title, its listing day where it names one, and its entries.

    `next_page` is what to ask for the rest, where the source gives it in pages; `skip_days` are
    the days of the week (Monday is 0) on which the feed asks to be left alone.
    """

    title: str
    day: date | None
    entries: tuple[Entry, ...]
    rejected: tuple[Rejected, ...] = field(default=())
    next_page: str = ""
    skip_days: frozenset[int] = frozenset()


# Text

_UNWANTED = re.compile(
    # C0 and C1 controls but white space, soft hyphen, zero-width signs and joiners, direction
    # marks and overrides, byte order mark, annotation signs, lone surrogates
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_TOWER = re.compile("([\u0300-\u036f]{4})[\u0300-\u036f]+")


def clean(text: str) -> str:
    """`text` without control, zero-width and direction characters, in NFC, on one line.

    At most four accents stay on one letter: more would climb over the lines above.
    """
    plain = " ".join(text.split())
    if plain.isascii() and plain.isprintable():  # as most texts are
        return plain
    text = _TOWER.sub(r"\1", unicodedata.normalize("NFC", _UNWANTED.sub("", text)))
    return " ".join(text.split())


def shortened(text: str, limit: int) -> str:
    """`text`, cut at a word's end so that it has at most `limit` characters."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    if text[limit - 1] != " " and " " in head[limit // 2 :]:
        head = head.rsplit(None, 1)[0]
    return head.rstrip() + "…"


# Identity

# What an id begins with, the best first; `title:` is for what a reader cites without any id.
KINDS = ("arxiv", "doi", "url", "title")

LONGEST_ID = 2_000  # characters; what is longer names nothing

_ARXIV = (
    r"(?P<id>\d{2}(?:0[1-9]|1[0-2])\.\d{4,5}"  # since April 2007
    r"|[a-z][a-z-]{1,15}(?:\.[A-Za-z]{2})?/\d{7})(?:v(?P<version>[1-9]\d{0,2}))?"
)
_ARXIV_ID = re.compile(rf"(?:arxiv:)?{_ARXIV}", re.IGNORECASE)
_ARXIV_OAI = re.compile(rf"oai:arxiv\.org:{_ARXIV}", re.IGNORECASE)
_ARXIV_DOI = re.compile(rf"10\.48550/arxiv\.{_ARXIV}", re.IGNORECASE)
_ARXIV_URL = re.compile(
    r"https?://(?:[a-z0-9-]+\.)*arxiv\.org/(?:abs|pdf|html|format|ps)/"
    rf"{_ARXIV}(?:\.pdf)?/?(?:[?#].*)?",
    re.IGNORECASE,
)
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_DOI_PREFIX = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|info:doi/|doi:)\s*", re.IGNORECASE)
_TITLE_KEY = re.compile(r"title:[0-9a-f]{16}")
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|mc_[ce]id|rss|af|ref|source|cmpid|campaign")


def arxiv_id(text: str) -> tuple[str, int | None] | None:
    """The arXiv id in `text` without its version, and the version where it is named.

    Knows ids of both styles, bare or as an address, an OAI identifier or arXiv's DOI. The subject
    class of an old id is left out, as arXiv does: `math.GT/0309136` is `math/0309136`.
    """
    if len(text) > LONGEST_ID:
        return None
    text = _DOI_PREFIX.sub("", text.strip(), count=1)
    for form in (_ARXIV_ID, _ARXIV_OAI, _ARXIV_URL, _ARXIV_DOI):
        if found := form.fullmatch(text):
            archive, slash, number = found["id"].lower().rpartition("/")
            version = found["version"]
            return archive.split(".")[0] + slash + number, int(version) if version else None
    return None


def normal_doi(text: str) -> str | None:
    """The DOI in `text`, in lower case and without prefix or trailing punctuation, or None."""
    if len(text) > LONGEST_ID:
        return None
    found = _DOI.search(unquote(_DOI_PREFIX.sub("", text.strip(), count=1)))
    if not found:
        return None
    doi = found[0].lower().split("?")[0].split("#")[0]
    while doi and (doi[-1] in ".,;:'\"" or (doi[-1] in ")]}>" and not _paired(doi))):
        doi = doi[:-1]
    return doi


def _paired(text: str) -> bool:
    """Whether the bracket at the end closes one that was opened in `text`."""
    opening = {")": "(", "]": "[", "}": "{", ">": "<"}[text[-1]]
    return text.count(opening) >= text.count(text[-1])


def normal_url(text: str) -> str | None:
    """A web address without fragment, tracking parameters and default port, or None."""
    if len(text) > LONGEST_ID:
        return None
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    if scheme not in ("http", "https") or not host:
        return None
    place = f"[{host}]" if ":" in host else host
    if port and port != {"http": 80, "https": 443}[scheme]:
        place += f":{port}"
    query = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not _TRACKING.fullmatch(name.lower())
    ]
    return urlunsplit((scheme, place, parts.path or "/", urlencode(query), ""))


def paper_keys(*, arxiv: str = "", doi: str = "", url: str = "") -> list[str]:
    """All ids that these give a paper, the one that users meet first.

    An arXiv id beats a DOI, which beats an address. Empty where none of them is an id.
    """
    resolver = bool(_DOI_PREFIX.match(url))
    keys = [f"arxiv:{found[0]}" for text in (arxiv, doi, url) if (found := arxiv_id(text))]
    for text in (doi, url if resolver else ""):
        if not arxiv_id(text) and (normal := normal_doi(text)):
            keys.append(f"doi:{normal}")  # noqa: PERF401 — reads better with the line above
    if not resolver and not arxiv_id(url) and (address := normal_url(url)):
        keys.append(f"url:{address}")
    return list(dict.fromkeys(keys))


def best_key(keys: Sequence[str]) -> str:
    """Of several ids of one work, the one to show; the earlier of two of the same kind."""
    return min(keys, key=lambda key: KINDS.index(key.partition(":")[0]))


def storable(text: str) -> bool:
    """Whether a database takes the text: PostgreSQL no NUL, and none half a character."""
    return not _UNSTORABLE.search(text)


def parse_paper_id(text: str) -> str:
    """What a person types for a paper (an arXiv id, a DOI, an address) as a key.

    Raises InputError where it is none of these.
    """
    text = text.strip()
    if _TITLE_KEY.fullmatch(text):
        return text
    bare = text.removeprefix("url:")
    keys = paper_keys(arxiv=bare, doi="" if normal_url(bare) else bare, url=bare)
    if not keys or not storable(text):
        raise InputError(
            f"{shortened(clean(text), 80)!r} is not a paper's id;"
            " expected one like 2512.01234, doi:10.1000/xyz or a web address"
        )
    return keys[0]


def fingerprint(title: str, authors: Sequence[str]) -> str:
    """A short mark of title and first author's surname: equal for the same work spelt twice."""
    surname = authors[0].split()[-1] if authors and authors[0].split() else ""
    spelt = unicodedata.normalize("NFKD", f"{title} {surname}").casefold()
    return blake2b("".join(filter(str.isalnum, spelt)).encode(), digest_size=8).hexdigest()


# Authors

_SUFFIX = re.compile(r"(?:jr|sr)\.?|i{2,3}|iv|ph\.?d\.?|m\.?d\.?", re.IGNORECASE)
_INITIALS = re.compile(r"(?:[^\W\d_]\.[\s-]?){1,4}")


def split_authors(text: str) -> list[str]:
    """The names in a string that is split by commas or semicolons; affiliations are left out.

    A comma in parentheses or braces does not split, a suffix stays with its surname, and
    `Last, F., Other, G.` gives two people.
    """
    if ";" in text:
        return [name for part in _outside_brackets(text, ";") if (name := forward(part))]
    parts = _outside_brackets(text, ",")
    if len(parts) % 2 == 0 and all(_INITIALS.fullmatch(part) for part in parts[1::2]):
        return [
            f"{first} {last}" for last, first in zip(parts[::2], parts[1::2], strict=True) if last
        ]
    names: list[str] = []
    for part in parts:
        if names and _SUFFIX.fullmatch(part):
            names[-1] += f" {part}"
        elif part:
            names.append(part)
    return names


def forward(name: str) -> str:
    """One person's name, `Last, First` turned round."""
    last, comma, first = (part.strip() for part in name.partition(","))
    if not comma or not first or "," in first:
        return name.strip()
    return f"{last} {first}" if _SUFFIX.fullmatch(first) else f"{first} {last}"


def _outside_brackets(text: str, separator: str) -> list[str]:
    parts, name, round_depth, depth = [], "", 0, 0
    for sign in text:
        round_depth = max(0, round_depth + (sign == "(") - (sign == ")"))
        depth = max(0, depth + (sign == "{") - (sign == "}"))
        if sign == separator and not round_depth and not depth:
            parts.append(name)
            name = ""
        elif not round_depth and sign != ")":
            name += sign
    return [" ".join(part.split()) for part in [*parts, name]]


# Merging


def merge(stored: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """The fields of a stored paper that `entry` changes, with their new values.

    A newer version replaces the text; the same version only where it is the richer one; an older
    version fills what is missing. Categories are united. Merging the same entry again changes
    nothing.
    """
    newer = entry.version > stored["version"]
    same = entry.version == stored["version"]
    merged: dict[str, Any] = {"version": max(entry.version, stored["version"])}
    merged["key"] = best_key([stored["key"], entry.key, *entry.aliases])
    for name in ("title", "abstract", "authors"):
        ours, theirs = stored[name], getattr(entry, name)
        theirs = list(theirs) if name == "authors" else theirs
        richer = same and name != "title" and len(theirs) > len(ours)
        merged[name] = theirs if theirs and (newer or richer or not ours) else ours
    for name in ("pdf_url", "doi", "journal", "licence"):
        ours, theirs = stored[name], getattr(entry, name)
        if name == "doi" and merged["key"] == f"doi:{theirs}":
            merged[name] = ours or theirs  # its own, which is less than a journal's
            continue
        bare = not ours or (name == "doi" and merged["key"] == f"doi:{ours}")
        merged[name] = theirs if theirs and (newer or bare) else ours
    first, second = stored["categories"], entry.categories
    if newer and second:
        first, second = second, first
    merged["categories"] = list(dict.fromkeys([*first, *second]))
    merged["url"] = entry.url if merged["key"] != stored["key"] else stored["url"]
    return {name: value for name, value in merged.items() if value != stored[name]}
