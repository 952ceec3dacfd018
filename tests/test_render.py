"""What a reader sees: all of it safe, within what mail programs take, in HTML and in text."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest
from conftest import MORNING
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.app import templates
from digest.mail.contents import Card, DigestMail, Item, Note, Trend
from digest.mail.message import build
from digest.mail.pieces import shorten
from digest.mail.render import public, render_digest
from digest.mail.shared import credit

ENV = templates()
STEM = "https://digest.test/vote/2a-0-3f1-1c88e43.e3AcvjBIwDEl_b09eZVyQZKd3Nc0Wg5tBo_WjOUp3pw"
ABSTRACT = "Fog hides the road. A lantern shows some of it. We measure how much, and it is enough."


def item(number=1, **card):
    values = {
        "key": f"arxiv:2611.{number:05}",
        "title": f"Lanterns in the fog, part {number}",
        "abstract": ABSTRACT,
        "authors": ("Mira Koval", "Tomás Ferreira"),
        "categories": ("cs.CV", "eess.IV"),
        "url": f"https://papers.test/abs/{number}",
        "pdf_url": f"https://papers.test/pdf/{number}",
    }
    return Item(
        card=Card(**values | card),
        up_url=f"{STEM}.{number}u",
        down_url=f"{STEM}.{number}d",
        reason="Because of your topic “seeing in the dark”.",
        sentence=1,
    )


def mail(*items, **values):
    return DigestMail(
        **{
            "service": "Paper Digest",
            "postal_address": "1 Library Lane, Bookham",
            "day": date(2026, 11, 18),
            "since": date(2026, 11, 18),
            "candidates": 312,
            "items": items or (item(),),
            "trending": (),
            "why": "You get this because ada@reader.test is subscribed.",
            "preferences_url": "https://digest.test/preferences/p",
            "unsubscribe_url": "https://digest.test/unsubscribe/u",
            "view_url": "https://digest.test/digests/v",
        }
        | values
    )


class Page(HTMLParser):
    """The elements of a page, its links, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    @property
    def links(self):
        return [attrs["href"] for tag, attrs in self.elements if tag == "a"]


def test_a_pick_shows_all_that_a_reader_needs():
    made = render_digest(ENV, mail())
    page = Page(made.html)
    for text in (page.text, made.text):
        for shown in ("Lanterns in the fog, part 1", "Mira Koval", "Computer Vision"):
            assert shown in text
        assert "Because of your topic “seeing in the dark”." in text
        assert "More like this" in text
        assert "Less like this" in text
        assert "1 of 312 new papers" in text
        assert "Wednesday, 18 November 2026" in text
        assert "1 Library Lane, Bookham" in text
        assert "You get this because ada@reader.test is subscribed." in text
    for link in (
        "https://papers.test/abs/1",
        "https://papers.test/pdf/1",
        f"{STEM}.1u",
        f"{STEM}.1d",
        "https://digest.test/preferences/p",
        "https://digest.test/unsubscribe/u",
        "https://digest.test/digests/v",
    ):
        assert link in page.links
        assert link in made.text


def test_the_marked_sentence_stands_out_and_nothing_else_does():
    html = render_digest(ENV, mail()).html
    [marked] = re.findall(r'<span class="mark"[^>]*>([^<]*)</span>', html)
    assert marked == "A lantern shows some of it."
    assert 'class="mark"' not in render_digest(ENV, mail(item()._replace(sentence=None))).html
    assert 'class="mark"' not in render_digest(ENV, mail(item()._replace(sentence=9))).html


def test_readers_share_the_paper_and_nothing_else():
    first = render_digest(ENV, mail(item(1), item(2)))
    other = item(2)._replace(reason="Close to “Dusk”, which you liked.", sentence=None)
    second = render_digest(ENV, mail(other._replace(up_url="https://digest.test/vote/other.1u")))
    assert "Dusk" in second.html
    assert "seeing in the dark" not in second.html
    assert f"{STEM}.2u" in first.html
    assert f"{STEM}.2u" not in second.html
    assert render_digest(ENV, mail(item(1), item(2))) == first


def test_an_exploring_pick_says_so():
    made = render_digest(ENV, mail(item()._replace(exploring=True, reason="")))
    assert "A step outside your topics" in made.html
    assert "A step outside your topics" in made.text
    assert "A step outside" not in render_digest(ENV, mail()).html


@pytest.mark.parametrize("count", [1, 25, 50])
def test_a_page_that_may_be_passed_on_gives_no_rights_and_no_address(count):
    many = mail(*(item(n, abstract=ABSTRACT * 20) for n in range(1, count + 1)))
    made = render_digest(ENV, public(many))
    for text in (made.html, made.text):
        assert "Lanterns in the fog, part 1" in text
        assert "ada@reader.test" not in text
        assert "digest.test" not in text
        assert "Unsubscribe" not in text
        assert "like this" not in text


def test_trending_is_left_out_when_there_is_none():
    assert "trending" not in render_digest(ENV, mail()).html.lower().split("</head>")[1]
    assert "TRENDING" not in render_digest(ENV, mail()).text
    trend = Trend("Tides of glass", "https://papers.test/abs/7", ("Ann Ode",), "128 upvotes")
    made = render_digest(ENV, mail(trending=(trend,)))
    for text in (Page(made.html).text, made.text):
        assert "Tides of glass" in text
        assert "128 upvotes" in text


def test_what_is_covered_is_said_when_it_is_more_than_a_day():
    made = render_digest(ENV, mail(since=date(2026, 11, 14)))
    assert "1 of 312 new papers since Saturday, 14 November" in made.text


def test_many_authors_are_cropped():
    names = [f"A{n}" for n in range(20)]
    assert credit(names, 8) == "A0, A1, A2, A3, A4, A5, A6, A7 and 12 more"
    assert credit(names[:9], 8).endswith("A7, A8")
    assert credit(names * 200, 8).endswith("and 3,992 more")


def test_the_subject_says_what_is_inside_by_topic():
    papers = [item(n)._replace(topic=f"lanterns {n % 2}") for n in (1, 2, 3)]
    made = render_digest(ENV, mail(*papers))
    assert made.subject == "2 on lanterns 1, 1 on lanterns 0: Lanterns in the fog, part 1"
    assert "Also: Lanterns in the fog, part 2" in Page(made.html).text
    assert made.subject in Page(made.html).text
    assert "digest" not in made.subject.lower()


def copies(count):
    return tuple(
        Card(
            f"arxiv:2611.9{n:04}", f"Lanterns & fog, copy {n}", url=f"https://papers.test/abs/9{n}"
        )
        for n in range(1, count + 1)
    )


def test_near_copies_are_named_behind_their_paper():
    made = render_digest(ENV, mail(item()._replace(similar=copies(2)), item(2)))
    page = Page(made.html)
    assert "And 2 similar: Lanterns & fog, copy 1; Lanterns & fog, copy 2" in page.text
    assert "And 2 similar:" in made.text
    for number in (1, 2):
        assert f"https://papers.test/abs/9{number}" in page.links
        assert f"https://papers.test/abs/9{number}" in made.text
    many = render_digest(ENV, mail(item()._replace(similar=copies(9))))
    assert "And 9 similar:" in many.text
    assert "copy 3" in many.html
    assert "copy 4" not in many.html
    assert "similar:" not in render_digest(ENV, mail()).html


def test_categories_are_named_in_words():
    made = render_digest(ENV, mail(item(categories=("cs.CV", "Neuroscience", "cs.LG", "cs.AI"))))
    shown = "Computer Vision and Pattern Recognition · Neuroscience · Machine Learning"
    assert shown in Page(made.html).text
    assert "Artificial" not in made.html


def test_shortened_text_ends_between_words():
    assert shorten("one two three", 9) == "one two…"
    assert shorten("one two", 9) == "one two"
    assert shorten("x" * 20, 9) == "x" * 8 + "…"


def test_the_text_part_is_written_for_reading():
    made = render_digest(ENV, mail(*(item(n, abstract=ABSTRACT * 9) for n in range(1, 13))))
    lines = made.text.split("\n")
    assert max(len(line) for line in lines if "://" not in line) <= 72
    assert not re.search(r"&\w+;|<\w+", made.text)
    assert "\n\n\n\n" not in made.text


def test_the_page_is_fit_for_mail_programs():
    html = render_digest(ENV, mail(item(1), item(2))).html
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"img", "script", "link", "form", "iframe", "object", "svg", "button"}
    tables = [attrs for tag, attrs in page.elements if tag == "table"]
    assert all(attrs["role"] == "presentation" for attrs in tables)
    assert next(attrs for tag, attrs in page.elements if tag == "html")["lang"] == "en"
    assert html.startswith("<!DOCTYPE html>")
    body = html.split("</head>")[1]
    assert not re.search(r"display:\s*flex|var\(|url\(|position:", body)
    assert all(attrs.get("style") for tag, attrs in page.elements if tag == "a")
    assert "prefers-color-scheme: dark" in html or "prefers-color-scheme:dark" in html
    assert "\ue000" not in html


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil.test", ""])
def test_only_web_addresses_become_links(url):
    page = Page(render_digest(ENV, mail(item(1, url=url, pdf_url=url))).html)
    assert all(link.startswith(("https://", "http://")) for link in page.links if link)


hostile = st.text(
    st.characters() | st.sampled_from("<>&\"'\r\n\t\x00\ue000\ue001{}%=\u202e"), max_size=80
) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "{{ 7 * 7 }}",
        "\ue000up\ue001",
        '"><a href="https://evil.test">',
        "]]><!-- -->",
        "&lt;b&gt;",
    ]
)


@settings(max_examples=60, deadline=None)
@given(hostile, hostile, hostile, hostile)
def test_text_from_outside_stays_text(title, abstract, name, reason):
    plain = mail()
    odd = item(
        1, title=title, abstract=abstract, authors=(name,), categories=(name,), journal=name
    )._replace(reason=reason, sentence=0)
    trend = Trend(title, "https://papers.test/abs/1", (name,), reason)
    made = render_digest(ENV, mail(odd, trending=(trend,), why=name or "w"))
    expected = Page(render_digest(ENV, plain).html)
    page = Page(made.html)
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in expected.elements} | {"em"}
    assert set(page.links) == set(expected.links)
    assert "\ue000" not in made.html
    assert "\ue000" not in made.text


def message_size(made):
    return len(
        build(
            made,
            kind="digest",
            sender=("Paper Digest", "digest@digest.test"),
            to=("Ada", "ada@reader.test"),
            date=MORNING,
            message_id="1.1@digest.test",
            one_click=STEM,
        )
    )


WORST = {
    "plain": {"title": "A title of words " * 12, "abstract": "Some words = a sentence. " * 90},
    "accents": {"title": "Été à Zürich " * 12, "abstract": "Ça brûle déjà, naïf. " * 100},
    "ideographs": {
        "title": "灯" * 200,
        "abstract": "雾中的灯。 " * 600,
        "authors": ("王小明",) * 90,
    },
    "one sentence": {"abstract": "word " * 2000, "authors": ("Maximilian Featherstone",) * 3303},
}


@pytest.mark.parametrize("kind", WORST)
@pytest.mark.parametrize("count", [1, 2, 5, 10, 11, 17, 25, 50])
def test_no_mail_grows_beyond_what_is_shown_whole(kind, count):
    similar = tuple(replace(card, title=WORST[kind].get("title", "t")) for card in copies(3))
    items = [
        item(n, **WORST[kind])._replace(exploring=True, similar=similar)
        for n in range(1, count + 1)
    ]
    trends = tuple(
        Trend(WORST[kind].get("title", "t"), f"https://papers.test/abs/{n}", ("Ann Ode",), "9")
        for n in range(5)
    )
    made = render_digest(ENV, mail(*items, trending=trends))
    assert len(made.html.encode()) <= 80_000
    assert message_size(made) <= 93_500  # and a signature
    assert made.html.count(f"{STEM}.") == 2 * count


def test_the_best_papers_keep_the_most_text():
    long = "Fog hides the road. " * 80
    made = render_digest(ENV, mail(*(item(n, abstract=long) for n in range(1, 51))))
    body = made.html.split("</head>")[1]
    levels = re.findall(r'<(?:td class="(item|item short)"|p class="(line)")', body)
    order = ["item", "item short", "line"]
    ranks = [order.index(left or right) for left, right in levels]
    assert len(ranks) == 50
    assert ranks == sorted(ranks)


def test_news_of_liked_papers_stands_in_both_parts_and_not_in_what_is_passed_on():
    note = Note("A <b>lantern</b> & its fog", "https://papers.test/abs/9", "v3, abstract changed")
    rendered = render_digest(ENV, mail(news=(note,)))
    assert "News of papers you liked" in rendered.html
    assert "A &lt;b&gt;lantern&lt;/b&gt; &amp; its fog" in rendered.html
    assert "NEWS OF PAPERS YOU LIKED" in rendered.text and "v3, abstract changed" in rendered.text
    assert "papers you liked" not in render_digest(ENV, mail()).html
    assert "papers you liked" not in render_digest(ENV, public(mail(news=(note,)))).html


def test_news_counts_in_what_a_mail_has_room_for():
    notes = tuple(
        Note("Ω" * 400, f"https://papers.test/abs/{at}", "now published in " + "Ж" * 300)
        for at in range(5)
    )
    items = [item(number, abstract=ABSTRACT * 20) for number in range(1, 51)]
    rendered = render_digest(ENV, mail(*items, news=notes))
    assert len(rendered.html.encode()) <= 78_000
    assert rendered.html.count("now published in") == 5
