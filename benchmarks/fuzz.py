"""A hunt for what a source could send to break a reader: real feeds, mutated without end.

`python benchmarks/fuzz.py FEED... [--seconds 300] [--seed 1]`: each feed and each recorded form of
the tests is changed at random and read in every way. What crashes, takes long or gives a paper that
could deceive ends the hunt; its bytes are kept in the folder for temporary files.
"""

import argparse
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
SLOW = 10.0  # seconds of CPU for one body
TODAY = date(2026, 11, 18)


def main() -> None:
    sys.path.insert(0, str(TESTS))
    import hostile  # noqa: PLC0415

    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("feeds", nargs="+", type=Path)
    arguments.add_argument("--seconds", type=float, default=300)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    paths = [*chosen.feeds, *sorted((TESTS / "feeds").iterdir())]
    bodies = [path.read_bytes() for path in paths]
    outcomes: Counter[str] = Counter()
    slowest, end, seed = 0.0, time.monotonic() + chosen.seconds, chosen.seed
    while time.monotonic() < end:
        chance = random.Random(seed)
        body = hostile.mutated(chance.choice(bodies), bodies, chance)
        started = time.process_time()
        try:
            listing = hostile.survives(body, TODAY)
            spent = time.process_time() - started
            if spent > SLOW:
                raise RuntimeError(f"it took {spent:.1f} s")
        except Exception:
            kept = Path(tempfile.gettempdir(), f"feed-{seed}.bin")
            kept.write_bytes(body)
            print(f"seed {seed}: {len(body):,} bytes kept as {kept}", file=sys.stderr)
            raise
        slowest = max(slowest, spent)
        outcomes["refused" if listing is None else "read"] += 1
        if listing is not None:
            outcomes["entries"] += len(listing.entries)
            outcomes["rejected entries"] += len(listing.rejected)
        seed += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = ", ".join(f"{number:,} {name}" for name, number in sorted(outcomes.items()))
    print(f"{seed - chosen.seed:,} bodies, each read in three ways: {told}")
    print(f"the slowest took {slowest:.2f} s of CPU; peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
