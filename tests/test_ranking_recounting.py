"""Counts of a later corpus from the former one's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.ranking.corpus import Corpus
from digest.ranking.counting import Counts, count
from digest.ranking.recounting import numbered, recount

# Few words, so that a term's second paper is as often a new one as its last is one that goes.
WORDS = ("moth", "moths", "moth-like", "lantern-lit", "lantern", "dusk", "owls", "of", "mist")


@dataclass(frozen=True)
class Paper:
    title: str
    abstract: str = ""
    categories: Sequence[str] = ("q-bio",)


def ordinary(at: int) -> Paper:
    return Paper(f"Notes {at}", f"Field number {at % 60} of plot {at // 60}")


papers = st.lists(
    st.builds(Paper, *[st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)] * 2), max_size=8
)


def same(one: Counts, other: Counts) -> bool:
    return (
        list(one.vocabulary.keys) == list(other.vocabulary.keys)
        and one.terms.shape == other.terms.shape
        and one.terms.dtype == other.terms.dtype
        and all(
            np.array_equal(getattr(one.terms, name), getattr(other.terms, name))
            and getattr(one.terms, name).dtype == getattr(other.terms, name).dtype
            for name in ("indices", "indptr", "data")
        )
    )


def recounted(before: Sequence[Paper], rows: Sequence[int], new: Sequence[Paper]) -> bool:
    """Whether the papers of these rows and behind them the new ones count as if counted anew."""
    former = Corpus.of(before).compact()
    counts = count(former)
    later = former.take(np.array(rows, int)).joined(Corpus.of(new)).compact()
    number = numbered(former.words, later.words)
    where = np.array([*rows, *[-1] * len(new)])
    return same(recount(later, counts.vocabulary, counts.terms, where, number), count(later))


@settings(max_examples=60)
@given(papers, papers, st.sets(st.integers(0, 7)))
def test_what_came_and_went_counts_as_if_all_were_counted_anew(
    special: list[Paper], new: list[Paper], gone: set[int]
) -> None:
    before = [*special, *map(ordinary, range(120))]
    assert recounted(before, [row for row in range(len(before)) if row not in gone], new)


def test_a_term_gone_out_of_all_papers_but_one_is_none_and_one_that_comes_again_is() -> None:
    plain = [ordinary(at) for at in range(120)]
    told = [Paper("owls at dusk"), Paper("owls by day"), Paper("mist")]
    assert recounted([*told, *plain], list(range(1, 123)), [Paper("mist at night")])


def test_few_papers_and_many_new_ones_are_counted_anew() -> None:
    assert recounted([Paper("owls at dusk")], [0], [Paper("owls")])
    assert recounted([ordinary(at) for at in range(120)], list(range(120)), [Paper("owls")] * 60)
