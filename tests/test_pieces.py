"""What is joined from pieces that were encoded before is what the templates make of the whole."""

import re
import textwrap

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from test_render import ABSTRACT, ENV, Page, item, mail

from digest.mail import pieces, render, shared


def plainly(digest, subject):
    """The HTML by the templates and the inliner alone, without a slot or a shared piece."""
    macros = ENV.get_template("email/pieces.html.j2").module
    papers = []
    for number, each in enumerate(digest.items, start=1):
        shown = shared.card_values(each.card, "full", None) | {"voting": True}
        own = {
            "number": number,
            "up": each.up_url,
            "down": each.down_url,
            "why": macros.why(lambda name, each=each: each.reason, ""),
            f"open{each.sentence}": Markup('<span class="mark">'),
            f"close{each.sentence}": Markup("</span>"),
        }
        papers.append(macros.paper(shown, "full", lambda name, own=own: own.get(name, "")))
    values = {
        "subject": subject,
        "preheader": "the preheader",
        "service": digest.service,
        "sender": f"{digest.service} · {digest.postal_address}",
        "day": "Wednesday, 18 November 2026",
        "count": "2 of 312 new papers",
        "why": digest.why,
        "picks": Markup("\n").join(papers),
        "below": "",
        "personal": True,
        "preferences_url": digest.preferences_url,
        "unsubscribe_url": digest.unsubscribe_url,
        "view_url": digest.view_url,
    }
    return pieces.page(ENV, "digest", values)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=200), min_size=2, max_size=2), st.integers(0, 4))
def test_a_joined_mail_is_what_the_templates_make_of_the_whole(reasons, sentence):
    reasons = [pieces.shorten(reason, 300) or "x" for reason in reasons]
    items = [
        item(n, abstract=ABSTRACT * 2)._replace(reason=reason, sentence=sentence)
        for n, reason in enumerate(reasons, start=1)
    ]
    digest = mail(*items)
    made = render.render_digest(ENV, digest)
    preheader = re.compile("(<div[^>]*preheader[^>]*>)[^<]*")
    shown, plain = (
        Page(preheader.sub(r"\1", html)) for html in (made.html, plainly(digest, made.subject))
    )
    assert shown.elements == plain.elements
    assert shown.text.split() == plain.text.split()


@given(st.lists(st.text(st.characters() | st.sampled_from(" .=\t\n\r"), max_size=200)))
@example(["x" * 76, "é" * 9 + "x" * 22, "x" * 73 + "é", "a\n" + "x" * 75 + "."])
@example(["." * 300, f"\n.{'x' * 66}{'é' * 9}"])
def test_encoded_texts_follow_each_other_and_come_back(texts):
    lines = b"".join(pieces.encode(text) for text in texts)
    assert lines == b"" or lines.endswith(b"\r\n")
    assert max(map(len, lines.split(b"\r\n"))) <= 76
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|[ \t]\r\n|[^\x20-\x7e\t\r\n]", lines)
    assert not re.search(rb"(?m)^\.", lines)
    whole = "".join(re.sub(r"[ \t]+(?=\n)", "", re.sub("\r\n?", "\n", text)) for text in texts)
    assert pieces.decode(lines) == whole.encode("utf-8", "replace").decode()


@given(st.lists(st.text("ab:/", max_size=90), max_size=30), st.sampled_from(["", "    "]))
def test_text_is_wrapped_as_the_library_does(words, indent):
    text = " ".join(word for word in words if word)
    expected = textwrap.fill(
        text,
        72,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    assert pieces.wrap(text, indent) == expected
