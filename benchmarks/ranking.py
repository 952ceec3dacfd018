"""What ranking costs: training and scoring per subscriber, memory, and the model's size.

    python benchmarks/ranking.py [--readers 100000] [--papers 1000] [--votes 50]

One thread, CPU seconds; papers are made up of random words with a long tail, as real ones have.
"""

import argparse
import os
import random
import resource
import time
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from digest.ranking.features import FeatureSpace, PaperRows
from digest.ranking.profile import Profile, Topic
from digest.ranking.ranker import Ranker, Votes, fit, score

CORPUS = 20_000
BLOCK = 5_000
FITTED = 300


@dataclass(frozen=True)
class Paper:
    title: str
    abstract: str
    categories: tuple[str, ...]


def make_papers(count: int, seed: int) -> list[Paper]:
    """Papers of about 130 distinct words each, drawn by rank with a long tail."""
    draw = np.random.default_rng(seed)
    ranks = np.minimum(draw.zipf(1.25, size=(count, 180)), 200_000)
    texts = [" ".join(f"w{rank}x" for rank in row) for row in ranks]
    codes = draw.integers(0, 40, size=(count, 2))
    return [
        Paper(text[:60], text, (f"c.{pair[0]}", f"c.{pair[1]}"))
        for text, pair in zip(texts, codes, strict=True)
    ]


def peak() -> float:
    """The process's peak memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=100_000)
    parser.add_argument("--papers", type=int, default=1_000)
    parser.add_argument("--votes", type=int, default=50)
    asked = parser.parse_args()
    papers = make_papers(CORPUS, 0)
    space = FeatureSpace.fit(papers)
    known = PaperRows(tuple(str(at) for at in range(CORPUS)), space.transform(papers))
    day = PaperRows(
        tuple(f"d{at}" for at in range(asked.papers)),
        space.transform(make_papers(asked.papers, 1)),
    )
    chance = random.Random(0)

    def ballot() -> Votes:
        at = sorted(chance.sample(range(CORPUS), asked.votes))
        liked = np.arange(asked.votes) % 2 == 0
        return Votes(tuple(str(row) for row in at), known.rows[at], liked)

    def asked_for() -> Profile:
        topics = (
            Topic(" ".join(f"w{chance.randint(3, 3000)}x" for _ in range(3))) for _ in range(2)
        )
        return Profile(tuple(topics), ((f"c.{chance.randrange(40)}", 1.0),))

    told = space.profile_rows([asked_for()])
    ballots = [ballot() for _ in range(FITTED)]
    fit(space, ballots[0], told)
    for solver in ("newton", "sklearn"):
        sample = ballots if solver == "newton" else ballots[:50]
        started = time.process_time()
        rankers: list[Ranker] = [fit(space, votes, told, solver=solver) for votes in sample]
        each = (time.process_time() - started) / len(sample)
        print(f"training, {solver}: {1000 * each:.2f} ms CPU per subscriber ({asked.votes} votes)")
        if solver == "newton":
            models = rankers
    print(f"model at rest: {np.mean([len(model.dumps()) for model in models]):.0f} bytes")
    before = peak()
    for readers in (1_000, asked.readers):
        asking = scoring = 0.0
        for start in range(0, readers, BLOCK):
            size = min(BLOCK, readers - start)
            profiles = [asked_for() for _ in range(size)]
            block = [voter(models[at % len(models)], chance, asked.votes) for at in range(size)]
            started = time.process_time()
            rows = space.profile_rows(profiles)
            asking += time.process_time() - started
            started = time.process_time()
            score(space, block, rows, known, day)
            scoring += time.process_time() - started
        each = 1000 * (asking + scoring) / readers
        print(
            f"{readers} readers x {asked.papers} papers: profiles as rows {asking:.1f} s CPU,"
            f" scoring {scoring:.1f} s CPU; {each:.2f} ms a reader"
        )
    print(f"memory: {peak():.0f} MB at its peak, {peak() - before:.0f} MB of them for scoring")


def voter(model: Ranker, chance: random.Random, votes: int) -> Ranker:
    """The model of one who voted on other papers: no two readers of a block are the same."""
    return replace(model, papers=tuple(map(str, sorted(chance.sample(range(CORPUS), votes)))))


if __name__ == "__main__":
    main()
