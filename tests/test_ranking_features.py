"""Rows of papers and of profiles, against the formulas of docs/ranking.md written out."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from digest.ranking.corpus import Corpus
from digest.ranking.counting import count
from digest.ranking.features import LATENT_LASTS, FeatureSpace
from digest.ranking.neighbourhood import NEIGHBOURS
from digest.ranking.profile import Profile, Topic
from digest.ranking.rows import Rows
from digest.ranking.text import tells, variants, words
from digest.ranking.weighing import PAIR_WEIGHT, RARITY


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


def whole(rows: Rows) -> np.ndarray:
    """The blocks beside each other."""
    return np.hstack([rows.terms.toarray(), rows.categories.toarray(), rows.latent])


def terms(paper: Paper) -> list[str]:
    """Every term of a paper, as often as it has it."""
    found = []
    for text in (paper.title, paper.abstract):
        told = [word for word in words(text) if tells(word)]
        found += told
        found += [" ".join(term) for word in told for term in variants(word)]
        found += [f"{first} {second}" for first, second in pairwise(told)]
    return found


def weighed(paper: Paper) -> tuple[dict[str, float], float]:
    """Each term's weight, and the length of the row by idf alone."""
    having = Counter(term for each in PAPERS for term in set(terms(each)))
    weight, square = {}, 0.0
    for term, times in Counter(terms(paper)).items():
        papers = having[term]
        if not 2 <= papers <= 0.3 * len(PAPERS):
            continue
        idf = math.log((1 + len(PAPERS)) / (1 + papers)) + 1
        part = (1 + math.log(times)) * (PAIR_WEIGHT if " " in term else 1)
        square += (part * idf) ** 2
        weight[term] = part * math.sqrt(idf**2 + RARITY * len(PAPERS) / papers)
    return weight, math.sqrt(square)


@pytest.mark.parametrize("at", [0, 17, 131])
def test_a_row_holds_the_terms_weighed_as_documented(at: int) -> None:
    weight, length = weighed(PAPERS[at])
    row = SPACE.transform([PAPERS[at]]).terms.toarray().ravel()
    found = {SPACE.terms[column]: row[column] for column in np.flatnonzero(row)}
    assert found == pytest.approx({t: w / length for t, w in weight.items()}, rel=1e-5)


def test_texts_and_their_counts_give_the_same_rows() -> None:
    counts = count(Corpus.of(PAPERS))
    assert np.abs(whole(SPACE.rows(counts)) - whole(SPACE.transform(PAPERS))).max() < 1e-6


def test_meaning_and_categories_have_length_one() -> None:
    rows = SPACE.transform(PAPERS)
    assert SPACE.latent.dimensions > 2
    for block in (rows.categories.toarray(), rows.latent):
        assert np.allclose(np.linalg.norm(block, axis=1), 1, atol=1e-5)


def test_a_topic_speaks_by_the_papers_nearest_to_it() -> None:
    profile = Profile(topics=(Topic(PAPERS[40].title),), categories=(("c.0", 1.0),))
    topic = SPACE.topic_rows([PAPERS[40].title]).terms
    rows = SPACE.neighbourhood.rows(slice(None))
    likeness = (rows.terms @ topic.T).toarray().ravel()
    shared = rows.categories.toarray()[:, SPACE.categories.index("c.0")]
    nearest = np.argsort(-np.where(likeness > 0, 11 * likeness + 1.8 * shared, -1), kind="stable")
    mean = rows.terms[nearest[:NEIGHBOURS]].toarray().mean(axis=0)
    told = SPACE.profile_rows([profile]).terms.toarray().ravel()
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
    alone = [whole(SPACE.profile_rows([profile]))[0] for profile in profiles]
    assert np.allclose(whole(together), np.array(alone), atol=1e-5)


def test_profiles_asked_for_again_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digest.ranking.features._PROFILES_KEPT", 5)
    space = FeatureSpace.loads(SPACE.dumps())
    profiles = [Profile(topics=(Topic(paper.title),)) for paper in PAPERS[:8]]
    alone = np.array([whole(SPACE.profile_rows([profile]))[0] for profile in profiles])
    for asked in ([0, 1, 1, 2], [2, 0, 3], [3, 4, 5], [5, 6, 7, 0], []):
        rows = whole(space.profile_rows([profiles[at] for at in asked]))
        assert np.allclose(rows, alone[asked], atol=1e-5)


def later(space: FeatureSpace, before: list[Paper], after: list[Paper]) -> FeatureSpace:
    """The space renewed for other papers, read once each."""
    former = Corpus.of(before)
    former = former.take(former.order)
    known = {mark: row for row, mark in enumerate(former.marks.tolist())}
    corpus = former.joined(Corpus.of([paper for paper in after if paper not in before]))
    wanted = marks(after)
    kept = [at for at, mark in enumerate(corpus.marks.tolist()) if mark in wanted]
    kept.sort(key=lambda at: corpus.marks[at])
    corpus = corpus.take(kept).compact()
    return space.renewed(corpus, np.array([known.get(mark, -1) for mark in corpus.marks.tolist()]))


def marks(papers: list[Paper]) -> set[int]:
    return set(Corpus.of(papers).marks.tolist())


def test_a_space_renewed_by_many_papers_is_that_of_all_papers_read_at_once() -> None:
    before, after = PAPERS[:200], PAPERS[50:]
    assert later(FeatureSpace.fit(before), before, after).version == FeatureSpace.fit(after).version


def test_a_renewed_space_tells_profiles_alike_whatever_the_former_one_was_asked_for() -> None:
    before, after = PAPERS[:295], PAPERS[2:]
    former = FeatureSpace.fit(before)
    profiles = [Profile(topics=(Topic(paper.title),), categories=()) for paper in PAPERS[:6:2]]
    plain = whole(later(former, before, after).profile_rows(profiles))
    former.profile_rows(profiles[1:])
    assert np.array_equal(whole(later(former, before, after).profile_rows(profiles)), plain)


def test_a_space_renewed_by_few_papers_weighs_anew_and_keeps_what_words_mean() -> None:
    before, after = PAPERS[:295], PAPERS[2:]
    former, anew = FeatureSpace.fit(before), FeatureSpace.fit(after)
    space = later(former, before, after)
    assert tuple(space.terms) == tuple(anew.terms)
    assert (space.weight == anew.weight).all()
    assert space.latent.moved == 5 < LATENT_LASTS * len(after)
    one = PAPERS[100:101]
    assert np.allclose(space.transform(one).latent, former.transform(one).latent, atol=1e-5)
    same = whole(space.neighbourhood.rows(slice(None)))
    theirs = whole(space.transform(sorted(after, key=mark)))
    assert np.allclose(same, theirs, atol=2e-3)


def mark(paper: Paper) -> int:
    return int(Corpus.of([paper]).marks[0])


def test_papers_in_many_slices_are_counted_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = count(Corpus.of(PAPERS))
    monkeypatch.setattr("digest.ranking.counting._AT_ONCE", 1000)
    sliced = count(Corpus.of(PAPERS))
    assert (sliced.vocabulary.keys == whole.vocabulary.keys).all()
    assert abs(sliced.terms.astype(int) - whole.terms.astype(int)).max() == 0
