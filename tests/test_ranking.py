"""The core of the ranker: features, the model, its reasons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from digest.ranking.closely import SentenceRows, read_closely
from digest.ranking.features import FeatureSpace, PaperRows
from digest.ranking.insight import insight
from digest.ranking.profile import Profile, Topic
from digest.ranking.ranker import Ranker, Votes, fit, score, weights
from digest.ranking.reasons import reasons, sentence, spoken
from digest.ranking.rows import Rows

FIELDS = {
    "math.NT": ["prime", "zeta", "lattice", "modular form", "sieve", "elliptic curve"],
    "cs.CV": ["video", "diffusion", "image", "pixel", "camera pose", "scene"],
    "q-bio.NC": ["neuron", "cortex", "spike train", "synapse", "memory trace", "sleep"],
}


@dataclass(frozen=True)
class Paper:
    title: str
    abstract: str
    categories: Sequence[str]


def library(count: int = 90) -> list[Paper]:
    draw = np.random.default_rng(7)
    papers = []
    for at in range(count):
        code = list(FIELDS)[at % 3]
        chosen = draw.choice(FIELDS[code], 4)
        filler = " ".join(f"word{n}" for n in draw.integers(0, 60, 12))
        papers.append(
            Paper(
                f"On {chosen[0]} and {chosen[1]}",
                f"First {filler}. Then {chosen[2]} meets {chosen[3]}.",
                (code,),
            )
        )
    return papers


PAPERS = library()
SPACE = FeatureSpace.fit(PAPERS)
ROWS = PaperRows(tuple(f"p{at}" for at in range(len(PAPERS))), SPACE.transform(PAPERS))
VIDEO = Profile(topics=(Topic("diffusion for video"),), categories=(("cs.CV", 1.0),))
BLANK = Profile()


def whole(rows: Rows) -> np.ndarray:
    """The blocks beside each other."""
    return np.hstack([rows.terms.toarray(), rows.categories.toarray(), rows.latent])


def votes(likes: Sequence[int], dislikes: Sequence[int] = ()) -> Votes:
    at = [*likes, *dislikes]
    liked = np.array([True] * len(likes) + [False] * len(dislikes), bool)
    return Votes(tuple(f"p{row}" for row in at), ROWS.rows[at], liked)


def ranked(profile: Profile, cast: Votes) -> np.ndarray:
    told = SPACE.profile_rows([profile])
    return np.asarray(score(SPACE, [fit(SPACE, cast, told)], told, ROWS, ROWS)[0])


def test_the_same_papers_in_any_order_give_the_same_space() -> None:
    assert FeatureSpace.fit(PAPERS[::-1]).version == SPACE.version
    assert FeatureSpace.fit(PAPERS[1:]).version != SPACE.version


def test_a_stored_space_gives_the_same_rows() -> None:
    papers = library(400)
    space = FeatureSpace.fit(papers)
    again = FeatureSpace.loads(space.dumps())
    assert space.latent.dimensions > 0
    assert again.version == space.version
    assert (whole(again.transform(papers)) == whole(space.transform(papers))).all()
    assert (whole(again.profile_rows([VIDEO])) == whole(space.profile_rows([VIDEO]))).all()


@pytest.mark.parametrize("papers", [[], [Paper("", "", ())], [Paper("one", "", ("a",))]])
def test_tiny_and_empty_corpora_are_ranked_too(papers: list[Paper]) -> None:
    space = FeatureSpace.fit(papers)
    rows = PaperRows(("x",), space.transform([Paper("two words", "", ("b",))]))
    told = space.profile_rows([VIDEO])
    ranker = fit(space, Votes(("x",), rows.rows, np.array([True])), told)
    assert np.isfinite(score(space, [ranker], told, rows, rows)).all()


def test_topics_alone_rank_their_field_first() -> None:
    first = np.argsort(-ranked(VIDEO, votes([])))[:10]
    assert {PAPERS[row].categories[0] for row in first} == {"cs.CV"}


def test_likes_rank_their_field_first() -> None:
    scores = ranked(BLANK, votes([0, 3, 6], [1, 2]))
    unseen = [row for row in np.argsort(-scores) if row not in {0, 3, 6}][:8]
    assert {PAPERS[row].categories[0] for row in unseen} == {"math.NT"}


def test_a_dislike_lowers_what_is_like_it_and_leaves_the_topic_on_top() -> None:
    before, after = ranked(VIDEO, votes([])), ranked(VIDEO, votes([], [1]))
    other = [row for row in range(len(PAPERS)) if row % 3 == 0]
    assert after[1] - after[other].mean() < before[1] - before[other].mean()
    best = np.argsort(-after)[:8]
    assert {PAPERS[row].categories[0] for row in best} == {"cs.CV"}


def test_both_solvers_find_the_same_model() -> None:
    told = SPACE.profile_rows([VIDEO])
    cast = votes([1, 4, 7, 13], [0, 2, 10, 22])
    newton = fit(SPACE, cast, told)
    plain = fit(SPACE, cast, told, solver="sklearn")
    assert np.allclose(newton.coefficients, plain.coefficients, atol=1e-4)
    assert newton.bar == pytest.approx(plain.bar, abs=1e-3)


def test_a_model_survives_storage_and_a_new_space() -> None:
    told = SPACE.profile_rows([BLANK])
    ranker = Ranker.loads(fit(SPACE, votes([1, 4, 7], [0]), told).dumps())
    assert ranker == Ranker.loads(ranker.dumps())
    papers = [*PAPERS, *library(30)]
    space = FeatureSpace.fit(papers)
    rows = PaperRows(ROWS.ids, space.transform(PAPERS))
    scores = score(space, [ranker], space.profile_rows([BLANK]), rows, rows)[0]
    assert {PAPERS[row].categories[0] for row in np.argsort(-scores)[:8]} == {"cs.CV"}


def test_a_block_scores_as_its_readers_one_by_one_and_as_their_weights_say() -> None:
    profiles = [VIDEO, BLANK, BLANK]
    told = SPACE.profile_rows(profiles)
    casts = [votes([]), votes([0, 3], [1]), votes([2, 5, 8])]
    rankers = [fit(SPACE, cast, told[[at]]) for at, cast in enumerate(casts)]
    block = score(SPACE, rankers, told, ROWS, ROWS)
    for at, profile in enumerate(profiles):
        assert np.allclose(block[at], ranked(profile, casts[at]), atol=1e-4)
    by_weight = whole(weights(rankers, told, ROWS)) @ whole(ROWS.rows).T
    own = block - by_weight  # what is left is the ordinary paper's part and the bar
    ordinary = ROWS.rows.terms @ SPACE.typical
    for row in own:
        slope, _ = np.polyfit(ordinary, row, 1)
        assert np.allclose(row - slope * ordinary, (row - slope * ordinary).mean(), atol=1e-3)


def test_reasons_name_what_carries_the_score() -> None:
    told = SPACE.profile_rows([VIDEO])
    ranker = fit(SPACE, votes([4, 10]), told)
    best = next(
        row
        for row in np.argsort(-score(SPACE, [ranker], told, ROWS, ROWS)[0])
        if row not in {4, 10}
    )
    (found,) = reasons(insight(SPACE, [ranker], [VIDEO], told, ROWS, ROWS), 0, [int(best)])
    assert {reason.kind for reason in found} >= {"topic", "term"}
    assert sum(reason.share for reason in found if reason.kind != "term") <= 1 + 1e-6
    assert "diffusion for video" in sentence(found, {})
    liked = [reason.label for reason in found if reason.kind == "liked"]
    assert set(liked) <= {"p4", "p10"}


def test_liked_papers_have_the_shares_that_their_rows_say() -> None:
    told, liked = SPACE.profile_rows([BLANK]), [0, 3, 7]
    ranker = fit(SPACE, votes(liked), told)
    ((found,),) = spoken(insight(SPACE, [ranker], [BLANK], told, ROWS, ROWS), [0], [[9]])
    voted, paper, strength = ROWS.rows[liked], ROWS.rows[[9]], ranker.strength
    near = strength.terms * (voted.terms @ paper.terms.T).toarray().ravel()
    near += strength.categories * (voted.categories @ paper.categories.T).toarray().ravel()
    said = np.maximum(0, np.array(ranker.coefficients) * near)
    assert len(found) >= 2
    for reason in found:
        assert reason.share == pytest.approx(said[ranker.papers.index(reason.label)] / said.sum())


def test_no_two_words_of_a_reason_are_forms_of_one() -> None:
    words = ["mode by steps and galaxies", "pixel", "scene"] * 4
    papers = [Paper(f"The {word}", "", ()) for word in words]
    space = FeatureSpace.fit(papers)
    rows = PaperRows(tuple(map(str, range(12))), space.transform(papers))
    told = space.profile_rows([BLANK])
    ranker = fit(space, Votes(("0", "3"), rows.rows[[0, 3]], np.array([True, True])), told)
    (found,) = reasons(insight(space, [ranker], [BLANK], told, rows, rows), 0, [6])
    terms = [reason.label for reason in found if reason.kind == "term"]
    assert len(terms) == 3
    assert len({term.removesuffix("s").replace("ie", "y") for term in terms}) == 3


def test_readers_looked_at_together_have_the_reasons_of_each_alone() -> None:
    profiles = [VIDEO, BLANK, Profile(topics=(Topic("prime sieve"), Topic("sleep", 2.0)))]
    told = SPACE.profile_rows(profiles)
    rankers = [
        fit(SPACE, votes(likes), told[[at]]) for at, likes in enumerate(([], [0, 3], [5, 8, 11]))
    ]
    block = insight(SPACE, rankers, profiles, told, ROWS, ROWS)
    rows: list[list[int]] = [[1, 9, 30], [], [2, 7]]
    together = spoken(block, [0, 1, 2], rows)
    assert [len(each) for each in together] == [3, 0, 2]
    for at, each in enumerate(together):
        alone = insight(SPACE, [rankers[at]], [profiles[at]], told[[at]], ROWS, ROWS)
        (found,) = spoken(alone, [0], [rows[at]])
        assert [[reason[:2] for reason in one] for one in found] == [
            [reason[:2] for reason in one] for one in each
        ]
        for reason in (reason for one in each for reason in one):
            assert 0.1 <= reason.share <= 1


def test_the_sentence_that_matters_is_the_one_with_the_reader_s_words() -> None:
    papers = [Paper("x", "We thank word1 word2. A video by diffusion. It is over.", ("cs.CV",))]
    told = SPACE.profile_rows([VIDEO])
    block = insight(SPACE, [fit(SPACE, votes([]), told)], [VIDEO], told, ROWS, ROWS)
    rows = SentenceRows(SPACE, [*papers, Paper("x", "", ())])
    assert list(read_closely(block, rows, [[0, 1]], [[]])) == [([1, None], [])]
