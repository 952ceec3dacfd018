"""Papers as the numbers of their words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.ranking.corpus import Corpus
from digest.ranking.packing import packed, unpacked


@dataclass(frozen=True)
class Paper:
    title: str
    abstract: str = ""
    categories: Sequence[str] = ()


PAPERS = [
    Paper("Lanterns and moths", "A moth-like lantern.", ("q-bio",)),
    Paper("", "", ()),
    Paper("The of a", "state-of-the-art moths", ("cs.LG", "q-bio")),
]


def read(corpus: Corpus) -> list[list[str]]:
    """Each paper's words as they stand, with a bar at the end of title and abstract."""
    names = ("|", *corpus.words)
    pieces = np.split(corpus.text, corpus.ends)[: len(corpus)]
    return [[names[number] for number in piece] for piece in pieces]


def equal(one: Corpus, other: Corpus) -> bool:
    return one.dumps() == other.dumps()


def test_papers_are_read_as_their_words() -> None:
    assert read(Corpus.of(PAPERS)) == [
        ["lanterns", "moths", "|", "moth-like", "lantern", "|"],
        ["|", "|"],
        ["|", "state-of-the-art", "moths", "|"],
    ]


def test_what_words_bring_has_numbers_too() -> None:
    corpus = Corpus.of(PAPERS[:1])
    names = ("", *corpus.words)
    brought = {tuple(names[number] for number in term) for term in corpus.brought.T}
    assert brought == {
        ("lanterns", "lantern", ""),
        ("moths", "moth", ""),
        ("moth-like", "moth", ""),
        ("moth-like", "like", ""),
        ("moth-like", "moth", "like"),
    }


papers = st.lists(
    st.builds(
        Paper,
        st.text("ab-s ", max_size=12),
        st.text("ab-s ", max_size=12),
        st.lists(st.sampled_from(["x", "y", "z"]), unique=True),
    ),
    max_size=6,
)


@given(papers, papers)
def test_two_corpora_joined_are_that_of_all_papers(some: list[Paper], more: list[Paper]) -> None:
    joined = Corpus.of(some).joined(Corpus.of(more)).compact()
    whole = Corpus.of([*some, *more])
    assert read(joined) == read(whole)
    assert joined.words == whole.words
    assert joined.categories == whole.categories
    assert (joined.marks == whole.marks).all()
    assert abs(joined.codes - whole.codes).max() == 0 if joined.codes.size else True
    assert set(map(tuple, joined.brought.T)) == set(map(tuple, whole.brought.T))


@given(papers, st.data())
def test_some_papers_taken_are_their_own_corpus(some: list[Paper], data: st.DataObject) -> None:
    rows = data.draw(st.permutations(range(len(some))))[: len(some) // 2]
    taken = Corpus.of(some).take(np.array(rows, int)).compact()
    assert read(taken) == read(Corpus.of([some[row] for row in rows]))
    assert taken.words == Corpus.of([some[row] for row in rows]).words


@given(papers)
def test_a_corpus_survives_storage(some: list[Paper]) -> None:
    corpus = Corpus.of(some)
    again = Corpus.loads(corpus.dumps())
    assert equal(again, corpus)
    assert read(again) == read(corpus)


def test_arrays_survive_packing() -> None:
    parts = {
        "whole": np.array([1, -2, 2**40]),
        "bytes": np.frombuffer(b"abc", np.uint8),
        "half": np.array([[1.5, 2.5]], np.float16),
        "none": np.zeros(0, np.float32),
    }
    again = unpacked(packed(parts))
    assert all(part.dtype == again[name].dtype for name, part in parts.items())
    assert all((part == again[name]).all() for name, part in parts.items())
    assert packed(parts) == packed(again)


def test_bytes_that_tell_nothing_take_no_room_and_the_others_no_more_than_theirs() -> None:
    numbers = np.random.default_rng(0).integers(0, 2**16, 100_000).astype(np.int64)
    assert 200_000 < len(packed({"numbers": numbers})) < 210_000
    assert (unpacked(packed({"numbers": numbers}))["numbers"] == numbers).all()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and then nothing", packed({})])
def test_what_is_no_corpus_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="corpus"):
        Corpus.loads(content)
