"""Ids in every spelling, author strings, and what merging keeps."""

from contextlib import suppress
from dataclasses import asdict, replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.errors import InputError
from digest.papers import (
    Entry,
    arxiv_id,
    best_key,
    fingerprint,
    merge,
    normal_doi,
    normal_url,
    paper_keys,
    parse_paper_id,
    shortened,
    split_authors,
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("2512.01234", "arxiv:2512.01234"),
        (" arXiv:2512.01234v2 ", "arxiv:2512.01234"),
        ("https://arxiv.org/abs/2512.01234v1", "arxiv:2512.01234"),
        ("http://export.arxiv.org/pdf/2512.01234v3.pdf", "arxiv:2512.01234"),
        ("oai:arXiv.org:hep-th/9901001v1", "arxiv:hep-th/9901001"),
        ("math.GT/0309136", "arxiv:math/0309136"),
        ("https://doi.org/10.48550/arXiv.2512.01234", "arxiv:2512.01234"),
        ("doi:10.1000/ABC.1.", "doi:10.1000/abc.1"),
        ("https://dx.doi.org/10.1000/(a)b", "doi:10.1000/(a)b"),
        ("https://E.org:443/a?utm_source=x&id=3#f", "url:https://e.org/a?id=3"),
        ("url:https://e.org/a", "url:https://e.org/a"),
    ],
)
def test_a_typed_id_becomes_the_key(text: str, key: str) -> None:
    assert parse_paper_id(text) == key
    assert parse_paper_id(key) == key


@pytest.mark.parametrize("text", ["", "hello", "2513.01234", "10.1/x", "ftp://e.org/a", "http://"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected one like"):
        parse_paper_id(text)


def test_the_version_is_read_where_it_is_named() -> None:
    assert arxiv_id("oai:arXiv.org:2611.01234v12") == ("2611.01234", 12)
    assert arxiv_id("2611.01234") == ("2611.01234", None)
    assert arxiv_id("see 2611.01234") is None


def test_keys_come_best_first() -> None:
    keys = paper_keys(arxiv="2611.01234v1", doi="10.1000/X", url="https://e.org/a")
    assert keys == ["arxiv:2611.01234", "doi:10.1000/x", "url:https://e.org/a"]
    assert paper_keys(doi="10.48550/arXiv.2611.01234") == ["arxiv:2611.01234"]
    assert best_key(["url:https://e.org/a", "doi:10.1000/x"]) == "doi:10.1000/x"


def test_dois_lose_prefix_case_and_punctuation() -> None:
    assert normal_doi("info:doi/10.1000/AbC).") == "10.1000/abc"
    assert normal_doi("no doi") is None


@given(st.text())
def test_any_text_is_an_id_or_is_refused(text: str) -> None:
    normal_doi(text)
    normal_url(text)
    with suppress(InputError):
        assert parse_paper_id(parse_paper_id(text)) == parse_paper_id(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("A B (Inst. C, D (E, F)), G Surname Jr., The X Team", "A B|G Surname Jr.|The X Team"),
        ("A B, Jr., C D", "A B Jr.|C D"),
        (r"Jos{\'e, X} Y, Z", r"Jos{\'e, X} Y|Z"),
        ("Last, F., Other, G. H.", "F. Last|G. H. Other"),
        ("Surname, Fay; Other, F. M.;", "Fay Surname|F. M. Other"),
        ("Solo", "Solo"),
        ("A B (never closed, C D", "A B"),
    ],
)
def test_names_are_split_outside_brackets(text: str, names: str) -> None:
    assert split_authors(text) == names.split("|")


def test_no_names() -> None:
    assert split_authors("  ") == []


def test_text_is_cut_at_a_word() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("several words here", 14) == "several words…"
    assert shortened("x" * 50, 10) == "x" * 9 + "…"


def test_fingerprints_ignore_spelling() -> None:
    assert fingerprint("A Möbius-Flow!", ["Ann Bée"]) == fingerprint("a mobius flow", ["A. Bee"])
    assert fingerprint("A", ["Ann Bee"]) != fingerprint("A", ["Ann Cee"])


ENTRY = Entry(
    key="arxiv:2611.01234",
    title="Title",
    abstract="An abstract.",
    authors=("A", "B"),
    categories=("cs.LG", "cs.CV"),
    url="https://arxiv.org/abs/2611.01234",
    day=date(2026, 11, 18),
    version=2,
)


def stored(entry: Entry = ENTRY, **values: Any) -> dict[str, Any]:
    row = asdict(entry) | {"authors": list(entry.authors), "categories": list(entry.categories)}
    return row | values


def test_the_same_entry_changes_nothing() -> None:
    assert merge(stored(), ENTRY) == {}


def test_a_newer_version_replaces_the_text() -> None:
    newer = replace(ENTRY, version=3, title="New", abstract="Short.", categories=("cs.AI",))
    assert merge(stored(), newer) == {
        "version": 3,
        "title": "New",
        "abstract": "Short.",
        "categories": ["cs.AI", "cs.LG", "cs.CV"],
    }


def test_a_newer_version_without_abstract_keeps_the_old_one() -> None:
    assert merge(stored(), replace(ENTRY, version=3, abstract="")) == {"version": 3}


def test_an_older_version_only_fills_what_is_missing() -> None:
    older = replace(
        ENTRY, version=1, title="Old", abstract="Much longer than it was.", doi="10.1/x"
    )
    assert merge(stored(), older) == {"doi": "10.1/x"}
    assert merge(stored(abstract=""), older)["abstract"] == "Much longer than it was."


def test_of_the_same_version_the_richer_record_wins() -> None:
    poor = stored(abstract="", authors=["A"], categories=[], journal=None)
    rich = replace(ENTRY, journal="Ann. Sci.")
    changes = {"abstract", "authors", "categories", "journal"}
    assert set(merge(poor, rich)) == changes
    assert merge(stored(journal="Ann. Sci."), replace(ENTRY, abstract="", authors=())) == {}


def test_a_better_id_becomes_the_key() -> None:
    row = stored(key="doi:10.1000/x", url="https://doi.org/10.1000/x")
    changes = merge(row, replace(ENTRY, aliases=("doi:10.1000/x",)))
    assert changes == {"key": "arxiv:2611.01234", "url": ENTRY.url}
    assert "key" not in merge(stored(), replace(ENTRY, key="doi:10.1000/x"))


ENTRIES = st.builds(
    Entry,
    key=st.sampled_from(["arxiv:2611.01234", "doi:10.1000/x", "url:https://e.org/a"]),
    title=st.sampled_from(["a", "b"]),
    abstract=st.sampled_from(["", "x", "yy"]),
    authors=st.sampled_from([(), ("A",), ("A", "B")]),
    categories=st.sampled_from([(), ("c",), ("d", "c")]),
    url=st.just("https://e.org/a"),
    day=st.just(date(2026, 11, 18)),
    version=st.integers(1, 3),
    doi=st.sampled_from([None, "10.1000/x", "10.1000/y"]),
)


@given(ENTRIES, ENTRIES)
def test_merging_again_changes_nothing_and_no_version_goes_back(first: Entry, then: Entry) -> None:
    row = stored(first)
    row |= merge(row, then)
    assert merge(row, then) == {}
    assert row["version"] == max(first.version, then.version)
    assert set(row["categories"]) == set(first.categories) | set(then.categories)
