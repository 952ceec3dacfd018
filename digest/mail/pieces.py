"""Rendering once what many mails share: pieces of HTML with their styles put in, cut at slots."""

import re
import textwrap
from binascii import b2a_qp
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import css_inline
import jinja2
from markupsafe import Markup

WIDTH = 72
RULE = "-" * WIDTH

# A slot is a place in a shared piece that each reader's mail fills in another way. Its marks are
# private characters, which `clean` takes out of all text from outside.
_SLOT = re.compile("\ue000([a-z0-9_]+)\ue001")
_UNWANTED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000\ue001]+"
)


def slot(name: str) -> Markup:
    return Markup(f"\ue000{name}\ue001")  # noqa: S704 (our own text)


def cut(text: str) -> tuple[str, ...]:
    """The text cut at its slots: every second part is a slot's name."""
    return tuple(_SLOT.split(text))


def fill(parts: tuple[str, ...], values: Mapping[str, str]) -> str:
    """Joins what was cut, with the values in the slots' places; a slot without a value is empty."""
    whole = list(parts)
    whole[1::2] = [values.get(name, "") for name in parts[1::2]]
    return "".join(whole)


def clean(text: str) -> str:
    """One line of text without control characters, direction marks, slot marks and halves of
    characters."""
    return " ".join(_UNWANTED.sub(" ", text).split())


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
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


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
