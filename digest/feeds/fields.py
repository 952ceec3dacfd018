"""What all readers do to a feed's text: bounds, markup, dates. Pure."""

import html
import re
from calendar import timegm
from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from digest.errors import FeedError
from digest.latex import readable, subscript, superscript
from digest.papers import clean, shortened

TITLE, ABSTRACT, NAME, LABEL = 500, 10_000, 200, 80  # longest, in characters
AUTHORS, CATEGORIES = 5_000, 30  # most, per paper
RAW, RAW_NAMES = 20_000, 400_000  # what is longer than this is cut before it is looked at
# Signs of TeX in one text: the fullest abstract of a year of arXiv has 74, and each takes time.
MOST_TEX = 300

EASTERN = ZoneInfo("America/New_York")

_HIDING = re.compile(r"<(?:script|style)\b|<!--", re.I)
_HIDDEN_BY = {
    "<!--": re.compile("-->"),
    "<script": re.compile(r"</script[^<>]{0,20}>", re.I),
    "<style": re.compile(r"</style[^<>]{0,20}>", re.I),
}
_TEX = re.compile(r"[\\$^_{]")
_ATTRIBUTE = r"\s+[\w:.-]+(?:\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+))?"
_SHIFT = re.compile(r"<(su[bp])>([^<>]{1,30})</\1>", re.I)
_BREAK = re.compile(r"</?(?:p|br|div|li|ul|ol|tr|td|h[1-6]|jats:p|jats:title)\b[^<>]*>", re.I)
_TAG = re.compile(rf"</?[a-z][\w:.-]*(?:{_ATTRIBUTE}){{0,12}}\s*/?>", re.I)


class EntryError(Exception):
    """This entry cannot be a paper; the message says why."""


def text_in(item: Any, name: str) -> str:
    """A field of a feed's item; empty where it is absent or, in a damaged feed, no text."""
    value = item.get(name)
    return value if isinstance(value, str) else ""


def title_of(text: str) -> str:
    """The title as people read it. Raises EntryError where none is left."""
    title = shortened(_typeset(text[:RAW]), TITLE)
    if not title:
        raise EntryError("it has no title")
    return title


def abstract_of(text: str) -> str:
    return shortened(_typeset(text[:RAW]), ABSTRACT)


def _typeset(text: str) -> str:
    """The text with its TeX made readable, where there is no more of it than people write."""
    return readable(text) if len(_TEX.findall(text)) <= MOST_TEX else clean(text)


def names_of(names: Iterable[str]) -> tuple[str, ...]:
    """The authors in order, each once, their TeX and markup gone."""
    people = list(dict.fromkeys(name[:RAW] for name in islice(names, AUTHORS)))
    read = readable if sum(len(_TEX.findall(name)) for name in people) <= AUTHORS else clean
    shown = (shortened(read(without_markup(name).replace("--", "-")), NAME) for name in people)
    return tuple(name for name in dict.fromkeys(shown) if name)


def codes_of(terms: Iterable[str | None]) -> tuple[str, ...]:
    """The categories in order, each once."""
    shown = (shortened(clean(term or ""), LABEL) for term in terms)
    return tuple(term for term in dict.fromkeys(shown) if term)[:CATEGORIES]


def without_markup(text: str, limit: int = RAW) -> str:
    """HTML and MathML as text: tags gone, entities resolved, even those escaped twice.

    A lone `<` stays, as in `a < b`; sub- and superscripts become Unicode's own.
    """
    text = html.unescape(text[:limit])
    if "&" in text:
        text = html.unescape(text)
    if "<" not in text:
        return text
    text = _without_hidden(text)
    shifted = {"sub": subscript, "sup": superscript}
    text = _SHIFT.sub(lambda found: shifted[found[1].lower()](found[2]), text)
    return _TAG.sub("", _BREAK.sub(" ", text))


def _without_hidden(text: str) -> str:
    """The text without comments, scripts and styles; one that does not end stays."""
    parts, at = [], 0
    for hiding in _HIDING.finditer(text):
        if hiding.start() < at:
            continue
        end = _HIDDEN_BY[hiding[0].lower()].search(text, hiding.end())
        if end is None:
            break
        parts.append(text[at : hiding.start()])
        at = end.end()
    return " ".join([*parts, text[at:]])


def label_of(*texts: object) -> str:
    """What to call an entry that was rejected: the first of `texts` that says anything."""
    shown = (shortened(clean(text), LABEL) for text in texts if isinstance(text, str))
    return next((text for text in shown if text), "an entry without title and id")


def day_of(parsed: Any, zone: ZoneInfo | None = None) -> date | None:
    """The day in `zone` (else UTC) of a time that feedparser parsed; None where it did not."""
    if parsed is None:
        return None
    try:
        return datetime.fromtimestamp(timegm(parsed), UTC).astimezone(zone or UTC).date()
    except (ValueError, OverflowError, OSError):
        return None


def feed_title(text: str) -> str:
    return shortened(readable(without_markup(text)), TITLE)


def not_a_feed(where: str, what: str) -> FeedError:
    return FeedError(f"{where} is no feed: {what}")
