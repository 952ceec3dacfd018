"""Rendering once what many mails share: pieces with their styles put in, encoded, cut at slots."""

import re
from binascii import a2b_qp, b2a_qp
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from sys import intern
from typing import Any

import css_inline
import jinja2
from markupsafe import Markup

WIDTH = 72
RULE = "-" * WIDTH

# A slot is a place in a shared piece that each reader's mail fills in another way. Its marks are
# private characters, which `clean` takes out of all text from outside.
_SLOT = re.compile("\ue000([a-z0-9_]+)\ue001")
# What is encoded as it is, in one line: no equals sign, no dot at first, no blank at the ends.
_AS_IT_IS = re.compile(r"[!-\-/-<>-~](?:[ -<>-~]{0,73}[!-<>-~])?")
_ONE_LINE = 75  # characters of it; to find a longer text not to match takes as long as to encode it
_DOT_FIRST = re.compile(rb"^\.([^\r\n]*)", re.MULTILINE)
_BLANKS_AT_END = re.compile(r"[ \t]+(?=\n)")
_UNWANTED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000\ue001]+"
)


Marks = tuple[str, str]


def slot(name: str) -> Markup:
    return Markup(f"\ue000{name}\ue001")  # noqa: S704 (our own text)


def cut(text: str) -> tuple[str, ...]:
    """The text cut at its slots: every second part is a slot's name."""
    return tuple(_SLOT.split(text))


class Piece:
    """A text as it is sent, with places for each reader's own; `size` is its bytes without them.

    Made from what `cut` gave. What stands between the slots `open3` and `close3` is the fourth
    sentence, which `mark` puts marks around; sentences follow each other.
    """

    __slots__ = ("_bounds", "_marked", "_names", "_own", "_text", "size")

    def __init__(self, cut_text: tuple[str, ...]) -> None:
        texts = [cut_text[0]]
        places: dict[int, str] = {}
        sentences: list[int] = []  # where each stands
        for name, text in zip(cut_text[1::2], cut_text[2::2], strict=True):
            if name.startswith("close") and text.isspace():  # the blank before the next sentence
                texts[-1] += text
                continue
            if name.startswith("open"):
                sentences.append(len(texts))
            elif not name.startswith("close"):
                places[len(texts)] = intern(name)
                texts.append("")
            texts.append(text)
        encoded = [encode(text) for text in texts]
        self.size = sum(map(len, encoded))
        parts = [b"%b" if at in places else _literal(part) for at, part in enumerate(encoded)]
        self._text = b"".join(parts)  # for the % operator, which is the fastest way to fill it
        self._names = tuple(places.values())
        self._own = itemgetter(*self._names) if places else None
        starts = list(accumulate(map(len, parts), initial=0))
        self._bounds = [starts[at] for at in (*sentences, *(at + 1 for at in sentences[-1:]))]
        self._marked: dict[int, bytes] = {}

    def fill(
        self, values: Mapping[str, bytes], sentence: int | None = None, marks: Marks = ("", "")
    ) -> bytes:
        """The text with the encoded `values` in their places, each of which has one, and the
        `marks` around the `sentence`, where there is such a one."""
        text = self._text
        if sentence is not None and sentence + 1 < len(self._bounds):
            start, end = self._bounds[sentence : sentence + 2]
            text = b"".join((text[:start], self._mark(sentence, marks), text[end:]))
        return text % (self._own(values) if self._own is not None else ())

    def room(self, values: Mapping[str, bytes]) -> int:
        """The bytes of the text with the values in it."""
        return self.size + sum(len(values[name]) for name in self._names)

    def _mark(self, sentence: int, marks: Marks) -> bytes:
        """The encoded sentence with the marks, which are the same for all readers."""
        if sentence not in self._marked:
            start, end = self._bounds[sentence : sentence + 2]
            text = decode(self._text[start:end] % ())
            bare = text.rstrip()
            marked = f"{marks[0]}{bare}{marks[1]}{text[len(bare) :]}"
            self._marked[sentence] = _literal(encode(marked))
        return self._marked[sentence]


def _literal(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")


def encode(text: str) -> bytes:
    """The text as quoted-printable (RFC 2045): ASCII lines of at most 76 characters, ended by CRLF,
    none of which begins with a dot, that SMTP would want doubled.

    What does not end a line ends in a soft break, so that encoded texts can be put one after
    another. Blanks at a line's end go: the library would make the line too long in encoding them.
    """
    if len(text) <= _ONE_LINE and _AS_IT_IS.fullmatch(text):
        return text.encode("ascii") + b"=\r\n"
    lines = _encode(text)
    if lines.startswith(b".") or b"\n." in lines:
        lines = _DOT_FIRST.sub(_undotted, lines)
    return lines


def _encode(text: str) -> bytes:
    if "\n" not in text and "\r" not in text and not text.endswith((" ", "\t")):
        return _one_line(text) if text else b""
    if "\n" in text or "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if " \n" in text or "\t\n" in text:
            text = _BLANKS_AT_END.sub("", text)
        text = text.replace("\n", "\r\n")
    bare = text.rstrip(" \t")
    if bare and "\n" not in bare:
        lines = _one_line(bare)
    else:
        lines = b2a_qp(bare.encode("utf-8", "replace"), istext=True)
        if lines and not lines.endswith(b"\n"):
            lines = _going_on(lines)
    for start in range(len(bare), len(text), 24):
        lines += b"".join(b"=%02X" % ord(blank) for blank in text[start : start + 24]) + b"=\r\n"
    return lines


def _one_line(text: str) -> bytes:
    """The library breaks lines as it finds them broken: with a bare LF where it finds none."""
    lines = b2a_qp(text.encode("utf-8", "replace"), istext=True)
    return _going_on(lines.replace(b"\n", b"\r\n"))


def _going_on(lines: bytes) -> bytes:
    """Ended by a soft break, for which a last line of 76 characters has no room."""
    if len(lines) - lines.rfind(b"\n") - 1 > _ONE_LINE:
        last = 3 if lines[-3:-2] == b"=" else 1
        lines = lines[:-last] + b"=\r\n" + lines[-last:]
    return lines + b"=\r\n"


def _undotted(line: re.Match[bytes]) -> bytes:
    """The line with its first dot encoded; in two lines where it grows too long for one."""
    rest = line[1]
    if len(rest) <= 73:
        return b"=2E" + rest
    cut = next(at for at in (70, 69, 68) if b"=" not in rest[at - 2 : at])
    return b"=2E%b=\r\n%b" % (rest[:cut], _DOT_FIRST.sub(_undotted, rest[cut:]))


def decode(lines: bytes) -> str:
    """What was encoded, its lines ended by \\n."""
    return a2b_qp(lines).decode().replace("\r\n", "\n")


def clean(text: str) -> str:
    """One line of text without control characters, direction marks, slot marks and halves of
    characters."""
    if text.isprintable() and "  " not in text:  # which none of the unwanted is
        return text.strip()
    return " ".join(_UNWANTED.sub(" ", text).split())


def shorten(text: str, length: int) -> str:
    """At most `length` characters, cut between words, with an ellipsis where something is cut."""
    text = clean(text)
    if len(text) <= length:
        return text
    return f"{text[: length - 1].rsplit(' ', 1)[0].rstrip(' ,;:.–-')}…"


def inline(env: jinja2.Environment, html: str) -> str:
    """The fragment with the styles of email/style.css in its elements."""
    return _trim(_inliner().inline_fragment(html, _styles(env)))


def page(env: jinja2.Environment, name: str, values: Mapping[str, Any]) -> str:
    """The page `name` with its head's styles in its elements; the @-rules stay in the head."""
    return _trim(_inliner().inline(env.get_template(f"email/{name}.html.j2").render(values)))


def text(env: jinja2.Environment, name: str, values: Mapping[str, Any]) -> str:
    template = env.get_template(f"email/{name}.txt.j2")
    return template.render(values, wrap=wrap, rule=RULE) + "\n"


def sender(service: str, postal_address: str) -> str:
    """Whom the mail is from, as law and courtesy ask."""
    return f"{service} · {postal_address}" if postal_address else service


def wrap(text: str, indent: str = "") -> str:
    """Lines of at most 72 characters; an address is never broken."""
    if " " not in text and text.isprintable():
        return indent + text if text else ""
    rest = " ".join(text.split())
    if len(indent) + len(rest) <= WIDTH and len(rest) == len(text):
        return indent + rest if rest else ""
    lead = indent + text[: len(text) - len(text.lstrip())]
    lines: list[str] = []
    while len(lead) + len(rest) > WIDTH:
        cut = rest.rfind(" ", 0, max(WIDTH + 1 - len(lead), 0))
        if cut < 0 and (cut := rest.find(" ")) < 0:
            break
        lines.append(lead + rest[:cut])
        rest, lead = rest[cut + 1 :], indent
    lines.append(lead + rest if rest else "")
    return "\n".join(lines)


def wire_bytes(text: str) -> int:
    """How many bytes the text takes in a message, as quoted-printable."""
    return len(b2a_qp(text.replace("\n", "\r\n").encode(), istext=True))


@lru_cache(maxsize=1)
def _inliner() -> css_inline.CSSInliner:
    return css_inline.CSSInliner(keep_at_rules=True, minify_css=True, load_remote_stylesheets=False)


@lru_cache(maxsize=4)
def _styles(env: jinja2.Environment) -> str:
    return env.get_template("email/style.css").render()


def _trim(html: str) -> str:
    return "\n".join(line for line in map(str.strip, html.splitlines()) if line)
