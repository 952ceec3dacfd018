"""What people type: addresses in every spelling, topics with weights, wishes that cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.changes import (
    Changes,
    parse_address,
    parse_categories,
    parse_names,
    parse_topics,
    topics_text,
)
from digest.errors import InputError


@pytest.mark.parametrize(
    "spellings",
    [
        ["Ada@Reader.test", "ada@reader.TEST", "  ADA@READER.TEST "],
        ["ada@müller.example", "ada@xn--mller-kva.example", "ada@MÜLLER.example"],
        ["jose\u0301@reader.test", "jos\u00e9@reader.test"],
    ],
)
def test_one_address_has_one_key(spellings):
    assert len({parse_address(text).key for text in spellings}) == 1


def test_mail_goes_to_the_ascii_form_of_a_domain():
    assert parse_address("Ada@müller.example").email == "Ada@xn--mller-kva.example"


@pytest.mark.parametrize("text", ["ada@localhost", "ada@lab.internal", "a+b@reader.test"])
def test_the_mail_server_decides_what_a_domain_is(text):
    assert parse_address(text).email == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada@",
        "@reader.test",
        "ada@reader..test",
        "Ada <ada@reader.test>",
        "ada@reader.test, bob@reader.test",
        "ada@reader.test\r\nBcc: eve@evil.test",
        "x" * 65 + "@reader.test",
        "é" * 33 + "@reader.test",
        "ada@" + "reader." * 40 + "test",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InputError):
        parse_address(text)


def test_topics_come_by_line_comma_or_semicolon_with_weights():
    typed = "diffusion models ^2\nprotein folding,  causal   inference; graphs ^0.5\n\n , "
    assert parse_topics(typed) == [
        ("diffusion models", 2.0),
        ("protein folding", 1.0),
        ("causal inference", 1.0),
        ("graphs", 0.5),
    ]


def test_a_stored_topic_with_commas_stays_whole():
    assert parse_topics("video, audio ^2\nmaps, graphs", {"video, audio"}) == [
        ("video, audio", 2.0),
        ("maps", 1.0),
        ("graphs", 1.0),
    ]


@given(
    st.lists(
        st.tuples(st.text("abcé ,;^2.", max_size=12), st.floats(0.01, 100)),
        max_size=5,
    )
)
def test_topics_survive_the_form_that_shows_them(pairs):
    stored = [tuple(pair) for pair in Changes(topics=pairs).checked()["topics"]]
    assert parse_topics(topics_text(stored), {text for text, _ in stored}) == stored


def test_category_codes_may_be_parted_by_blanks_and_names_of_fields_may_hold_them():
    assert [code for code, _ in parse_categories("cs.CV cs.LG, cell biology\nhep-th")] == [
        "cs.CV",
        "cs.LG",
        "cell biology",
        "hep-th",
    ]


def test_names_are_cleaned_and_kept_once():
    typed = "Emmy\u202e Noether\nemmy noether; Zoë\x00 Ångström"
    assert Changes(authors=parse_names(typed)).checked() == {
        "authors": ["Emmy Noether", "Zoë Ångström"]
    }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (Changes(per_digest=0), "1 to 50"),
        (Changes(per_digest=51), "1 to 50"),
        (Changes(frequency="hourly"), "daily"),
        (Changes(send_at="25:00"), "HH:MM"),
        (Changes(timezone="Mars/Olympus"), "time zone"),
        (Changes(timezone="../../etc/passwd"), "time zone"),
        (Changes(min_score=1.5), "min_score"),
        (Changes(min_score=float("nan")), "min_score"),
        (Changes(topics=[("maps", 0.0)]), "weight"),
        (Changes(topics=[("maps", float("inf"))]), "weight"),
        (Changes(topics=[("x" * 501, 1.0)]), "500"),
        (Changes(authors=[f"Author {n}" for n in range(101)]), "100"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_in_a_sentence(changes, named):
    with pytest.raises(InputError, match=named):
        changes.checked()


def test_only_what_is_given_is_changed():
    assert Changes().checked() == {}
    assert Changes(min_score=0.0, topics=[]).checked() == {"min_score": None, "topics": []}
