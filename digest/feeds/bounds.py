"""What of a document is refused before a parser sees it: other encodings, too much, too deep. Pure.

A parser's time and memory grow with the number of tags and attributes far more than with bytes, so
these are counted first; and they can only be counted where `<` is the byte 0x3C.
"""

import codecs
import re

from digest.errors import FeedError

MOST_MARKS = 200_000  # signs that begin a tag, an attribute, a JSON object or list
MOST_ENTITIES = 1_500_000  # 20 MB of escaped HTML have fewer
MOST_VALUES = 1_500_000  # of JSON, by its commas
MOST_ENTRIES = 10_000  # five times what arXiv's feeds hold at most
MOST_ATTRIBUTES = 200  # of one tag
DEEPEST = 200  # tags within one another, counted anew with each entry

_WIDE = (  # the longer marks first, since they begin with the shorter
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_DECLARED = re.compile(rb"\A\s*<\?xml\b[^<>]{0,200}?\sencoding\s*=\s*[\"']([^\"'<>]{0,60})[\"']")
# Those of the web's feeds in which the bytes of ASCII mean ASCII: no tag can hide.
_PLAIN = re.compile(
    r"utf-?8|(us-)?ascii|(iso-?)?(8859|latin)[-_]?\d*([-_]\d+)?|(windows|cp)-?(125\d|874|936|949|950)"
    r"|koi8-[ru]|macroman|macintosh|gb-?(2312|k|18030)|big5(-hkscs)?|euc-(jp|kr|cn|tw)"
    r"|shift[-_]jis|sjis|tis-620",
    re.IGNORECASE,
)
# What is written so is often no such thing: the declaration is that of the text's former life.
_CLAIMED_WIDE = re.compile(r"utf-?(16|32)([-_]?[bl]e)?|ucs-?[24]|unicode", re.IGNORECASE)
_ENTRY = re.compile(rb"<(?:\w+:)?(?:item|entry|record)[\s>/]", re.IGNORECASE)
_EBCDIC = b"\x4c\x6f\xa7\x94"
# Papers have no places, and feedparser makes forty bytes of each byte of one.
_PLACE = re.compile(rb"<(/?[\w.-]+:)(point|line|polygon|box|pos|poslist)\b", re.IGNORECASE)
_HIDING = re.compile(rb"<!\[CDATA\[|<!--")
_HEAD = re.compile(rb"\A\s*<\?xml\b[^<>]{0,200}\?>")
_TAG = re.compile(
    rb"<(?:(?P<entry>(?:\w+:)?(?:item|entry)\b)|(?P<end>/)|[a-zA-Z_])[^<>]*", re.IGNORECASE
)
_LOADED = re.compile(
    rb"<[^\s<>]++(?:\s++[^\s=<>]++\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+')){%d}" % (MOST_ATTRIBUTES + 1)
)


def sound_xml(body: bytes, where: str) -> bytes:
    """`body` in an encoding that contains ASCII. Raises FeedError where it is no document that a
    feed could need; `where` is what the message calls it."""
    body = _narrow(body, where)
    if body.count(b"<") + body.count(b"=") > MOST_MARKS:
        raise _refusal(where, f"it has more than {MOST_MARKS:,} tags and attributes")
    if body.count(b"&") > MOST_ENTITIES:
        raise _refusal(where, f"it has more than {MOST_ENTITIES:,} entities")
    _few_entries(sum(1 for _ in _ENTRY.finditer(body)), where)
    if _LOADED.search(body):
        raise _refusal(where, f"one of its tags has more than {MOST_ATTRIBUTES} attributes")
    if _depth(body) > DEEPEST:
        raise _refusal(where, f"its tags are nested more than {DEEPEST} deep")
    return _PLACE.sub(rb"<\1no-\2", body)


def sound_json(body: bytes, where: str) -> None:
    """Raises FeedError where the JSON would take too much memory."""
    if body.count(b"{") + body.count(b"[") > MOST_MARKS:
        raise _refusal(where, f"it has more than {MOST_MARKS:,} objects and lists")
    if body.count(b",") > MOST_VALUES:
        raise _refusal(where, f"it has more than {MOST_VALUES:,} values")


def few_items(items: list[object], where: str) -> None:
    """Raises FeedError where these are more than a feed has."""
    _few_entries(len(items), where)


def _few_entries(number: int, where: str) -> None:
    if number > MOST_ENTRIES:
        raise _refusal(where, f"it has {number:,} entries, more than {MOST_ENTRIES:,}")


def _narrow(body: bytes, where: str) -> bytes:
    """The bytes of wide encodings as UTF-8, without the declaration that is now wrong."""
    encoding = next((name for mark, name in _WIDE if body.startswith(mark)), None)
    if encoding is not None:
        try:
            body = body.decode(encoding).encode("utf-8", "replace")
        except UnicodeDecodeError as error:
            raise _refusal(where, f"it is not the {encoding.upper()} it seems to be") from error
        return _HEAD.sub(b"", body.removeprefix(codecs.BOM_UTF8))
    if body.startswith(_EBCDIC):
        raise _refusal(where, "it is EBCDIC, which no feed is")
    declared = _DECLARED.match(body.removeprefix(codecs.BOM_UTF8))
    name = declared[1].decode("ascii", "replace") if declared else "utf-8"
    if _CLAIMED_WIDE.fullmatch(name):
        return _HEAD.sub(b"", body.removeprefix(codecs.BOM_UTF8))
    if not _PLAIN.fullmatch(name):
        raise _refusal(where, f"it says to be encoded as {name!r}, which no feed is")
    return body


def _depth(body: bytes) -> int:
    """How deep tags are nested, where `<br>` and its like, never closed, count as if they were
    open until the entry ends."""
    depth = deepest = 0
    for tag in _TAG.finditer(_bare(body)):
        if tag["entry"]:
            depth = 0
        elif tag["end"]:
            depth = max(0, depth - 1)
        elif not tag[0].endswith(b"/"):
            depth += 1
            deepest = max(deepest, depth)
    return deepest


def _bare(body: bytes) -> bytes:
    """`body` without comments and CDATA, whose tags are none; one that does not end stays."""
    parts, at = [], 0
    for hiding in _HIDING.finditer(body):
        if hiding.start() < at:
            continue
        close = b"]]>" if hiding[0].endswith(b"[") else b"-->"
        end = body.find(close, hiding.end())
        if end < 0:
            break
        parts.append(body[at : hiding.start()])
        at = end + len(close)
    return b"".join([*parts, body[at:]])


def _refusal(where: str, what: str) -> FeedError:
    return FeedError(f"{where} is refused: {what}")
