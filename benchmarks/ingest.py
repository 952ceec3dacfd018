"""From a source's bytes to committed rows.

`python benchmarks/ingest.py FEED... [--size 2500]`: the named feeds' entries are repeated under
fresh ids until there are `--size` of them, so that one small recorded day stands for a day of all
arXiv; then the same bytes go in a second time.

`python benchmarks/ingest.py PAPERS.jsonl.xz --size 100000`: the papers of years, likewise.
"""

import argparse
import json
import lzma
import re
import resource
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

from digest.app import App, open_app
from digest.feeds.ingest import ingest_sources
from digest.feeds.parse import parse
from digest.latex import readable
from digest.settings import Settings

ITEM = re.compile(r"<item>.*?</item>|<entry>.*?</entry>", re.DOTALL)
ID = re.compile(r"\b\d{4}\.\d{5}(?=v?\d*\b)")


def enlarged(text: str, size: int) -> bytes:
    """The feed with its items repeated under ids of their own, `size` in all."""
    items = ITEM.findall(text)
    if not items:
        raise SystemExit("expected an RSS or Atom feed with entries")
    ids = (f"{2401 + n // 99999 % 12}.{n % 99999:05d}" for n in count(1))
    made = []
    for n in range(size):
        fresh = next(ids)
        made.append(ID.sub(fresh, items[n % len(items)]))
    start, end = text.index(items[0]), text.rindex(items[-1]) + len(items[-1])
    return (text[:start] + "".join(made) + text[end:]).encode()


def history(source: Path, size: int, target: Path) -> None:
    """JSON lines of `size` papers: those of `source`, again under other ids while they last."""
    written = 0
    with target.open("w", encoding="utf-8") as out:
        for times in count():
            with lzma.open(source, "rb") as lines:
                for at, line in enumerate(lines):
                    out.write(json.dumps(_again(json.loads(line), at, times)) + "\n")
                    written += 1
                    if written == size:
                        return


def _again(paper: dict[str, Any], at: int, times: int) -> dict[str, Any]:
    """The paper under another id and title, the `times`th time that it is taken."""
    if not times:
        return paper
    words = paper["title"].split()
    title = " ".join([*words[times:], *words[:times]])
    number = f"{21 + times:02}{1 + at % 12:02}.{at // 12:05d}"
    return paper | {"id": number, "title": f"{title} ({times})"}


def timed(app: App, path: Path) -> tuple[str, str]:
    wall, cpu = time.perf_counter(), time.process_time()
    report = ingest_sources(app, [str(path)])[0]
    spent = f"{time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU)"
    return spent, report.outcome


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("feeds", nargs="+", type=Path)
    arguments.add_argument("--size", type=int, default=2500)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate(
            {"database": {"url": f"sqlite:///{folder}/digest.db"}, "web": {"secret": "b" * 40}}
        )
        with open_app(settings) as app:
            for feed in chosen.feeds:
                if ".jsonl" in feed.name:
                    big = Path(folder, "history.jsonl")
                    history(feed, chosen.size, big)
                    spent, outcome = timed(app, big)
                    print(f"{feed.name}: {spent}; {outcome}")
                    continue
                body = enlarged(feed.read_text(encoding="utf-8"), chosen.size)
                big = Path(folder, feed.name)
                big.write_bytes(body)
                start = time.perf_counter()
                parse(body, url=feed.name, today=app.now().date())
                parsed = time.perf_counter() - start
                print(f"{feed.name}: {len(body) / 1e6:.1f} MB; parsing alone {parsed:.2f} s")
                for label in ("first time", "again"):
                    spent, outcome = timed(app, big)
                    print(f"  bytes to committed rows, {label}: {spent}; {outcome}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    hard = r"For $\alpha_{i} \in \mathbb{R}^{d}$ it takes $\mathcal{O}(n \log n)$; $p = 10^{-%d}$. "
    start = time.perf_counter()
    for n in range(200):
        readable("".join(hard % (n * 9 + k) for k in range(8)))
    print(f"  an abstract full of formulas: {(time.perf_counter() - start) / 200 * 1000:.1f} ms")
    print(f"  peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
