"""Rows of papers and of profiles, against the formulas of docs/ranking.md written out."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from digest.ranking.counting import count, document_terms
from digest.ranking.features import NEIGHBOURS, PAIR_WEIGHT, RARITY, FeatureSpace
from digest.ranking.profile import Profile, Topic
from digest.ranking.text import PLAIN


@dataclass(frozen=True)
class Paper:
    title: str
    abstract: str
    categories: Sequence[str]


def made(count: int) -> list[Paper]:
    draw = np.random.default_rng(3)
    words = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in "nrtvxz"]
    texts = [" ".join(words[int(n) % 210] for n in draw.zipf(1.2, 25) % 210) for _ in range(count)]
    return [Paper(text[:23], text, (f"c.{at % 4}", "c.x")) for at, text in enumerate(texts)]


PAPERS = made(300)
SPACE = FeatureSpace.fit(PAPERS)


def weighed(paper: Paper) -> tuple[dict[str, float], float]:
    """Each term's weight, and the length of the row by idf alone."""
    having = Counter(term for each in PAPERS for term in set(document_terms(each)))
    weight, square = {}, 0.0
    for term, times in Counter(document_terms(paper)).items():
        papers = having[term]
        if term.startswith(PLAIN) or not 2 <= papers <= 0.3 * len(PAPERS):
            continue
        idf = math.log((1 + len(PAPERS)) / (1 + papers)) + 1
        part = (1 + math.log(times)) * (PAIR_WEIGHT if " " in term else 1)
        square += (part * idf) ** 2
        weight[term] = part * math.sqrt(idf**2 + RARITY * len(PAPERS) / papers)
    return weight, math.sqrt(square)


@pytest.mark.parametrize("at", [0, 17, 131])
def test_a_row_holds_the_terms_weighed_as_documented(at: int) -> None:
    weight, length = weighed(PAPERS[at])
    row = SPACE.transform([PAPERS[at]])[:, : len(SPACE.weight)].toarray().ravel()
    found = {SPACE.terms[column]: row[column] for column in np.flatnonzero(row)}
    assert found == pytest.approx({t: w / length for t, w in weight.items()}, rel=1e-5)


def test_texts_and_their_counts_give_the_same_rows() -> None:
    counts = count(PAPERS)
    assert abs(SPACE.rows(counts) - SPACE.transform(PAPERS)).max() < 1e-6


def test_meaning_and_categories_have_length_one() -> None:
    rows = SPACE.transform(PAPERS).toarray()
    width = len(SPACE.weight)
    assert SPACE.latent.dimensions > 2
    for block in (rows[:, width : SPACE.latent_from], rows[:, SPACE.latent_from :]):
        assert np.allclose(np.linalg.norm(block, axis=1), 1, atol=1e-5)


def test_a_topic_speaks_by_the_papers_nearest_to_it() -> None:
    profile = Profile(topics=(Topic(PAPERS[40].title),), categories=(("c.0", 1.0),))
    topic = SPACE.topic_rows([PAPERS[40].title])[:, : len(SPACE.weight)]
    words = (SPACE.neighbourhood[:, : len(SPACE.weight)] @ topic.T).toarray().ravel()
    shared = SPACE.near_categories[:, SPACE.categories.index("c.0")].toarray().ravel()
    nearest = np.argsort(-np.where(words > 0, 11 * words + 1.8 * shared, -1), kind="stable")
    mean = SPACE.neighbourhood[nearest[:NEIGHBOURS]].toarray().mean(axis=0)
    told = SPACE.profile_rows([profile]).toarray().ravel()
    unsaid = np.flatnonzero(~topic.toarray().ravel().astype(bool))
    assert np.allclose(told[unsaid], 12 * mean[unsaid], atol=1e-4)


def test_profiles_at_once_say_what_each_says_alone() -> None:
    profiles = [
        Profile(topics=(Topic(paper.title), Topic(paper.abstract[-20:], 0.5)))
        for paper in PAPERS[:40]
    ]
    profiles[7] = Profile(categories=(("c.1", 1.0),))
    profiles[8] = Profile()
    together = SPACE.profile_rows(profiles)
    alone = [SPACE.profile_rows([profile]).toarray().ravel() for profile in profiles]
    assert np.allclose(together.toarray(), np.array(alone), atol=1e-5)
