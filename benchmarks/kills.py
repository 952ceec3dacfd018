"""The long hunt: days delivered by workers that are killed, hung and cut off from the database.

    python benchmarks/kills.py --seeds 20 [--first 100] [--readers 100] [--workers 3] [--blows 6]

Each seed is a day of its own on a fresh database, with two schedulers; the blows and their moments
come from the seed. Prints a line for each, then the sums, and ends with 1 where something was lost,
sent twice without a report, or sent twice more often than connections were open at a blow.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fleet import Outcome, deliver
from postgres import Server, serving

BLOWS = ("kill", "kill", "kill scheduler", "hang", "cut off")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--blows", type=int, default=6)
    given = parser.parse_args()
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        done = [
            one(server, Path(folder), given, seed)
            for seed in range(given.first, given.first + given.seeds)
        ]
    print(
        f"{len(done)} days, {sum(each.readers for each in done)} digests,"
        f" {given.blows * len(done)} blows: {sum(each.lost for each in done)} lost,"
        f" {sum(each.twice for each in done)} sent twice under one name and reported"
        f" ({sum(each.allowed for each in done)} may have been),"
        f" {sum(bool(each.wrong) for each in done)} days wrong"
    )
    return int(any(each.wrong for each in done))


def one(server: Server, folder: Path, given: argparse.Namespace, seed: int) -> Outcome:
    rng = random.Random(f"blows {seed}")
    blows = [rng.choice(BLOWS) for _ in range(given.blows)]
    outcome = deliver(server, folder, seed, blows, given.readers, given.workers)
    print(
        f"seed {seed}: {outcome.seconds:5.1f} s, {outcome.twice} of {outcome.allowed} twice;"
        f" {', '.join(blows)}; {'; '.join(outcome.wrong) or 'right'}",
        flush=True,
    )
    return outcome


if __name__ == "__main__":
    raise SystemExit(main())
