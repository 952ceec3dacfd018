import gzip
import json
import lzma
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from digest.errors import InputError
from digest.evaluation import evaluate

SUBJECTS = ["robot gripper", "protein folding", "prime sieve"]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    opener: Any = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


def papers(days: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "id": f"id {day}/{at}",
            "day": f"2026-01-0{day + 1}",
            "title": "" if at == 4 else f"A {SUBJECTS[at % 3]} method",
            "abstract": f"We look at the {SUBJECTS[at % 3]} of kind{at} again.",
            "authors": [],
            "categories": [f"c.{at % 3}"],
        }
        for day in range(days)
        for at in range(6)
    ]


READER = {"user": "r", "topics": ["robot gripper"], "categories": ["c.0"], "authors": []}


def run(folder: Path, listed: list[dict[str, Any]], name: str = "papers.jsonl") -> list[Any]:
    out = folder / "out.jsonl"
    evaluate(
        write(folder / "profiles.jsonl", [READER | {"likes": ["id 0/0"], "dislikes": ["id 2/1"]}]),
        write(folder / name, listed),
        write(
            folder / "tasks.jsonl",
            [
                {"user": "r", "day": "2026-01-03"},
                {"user": "r", "day": "2026-01-02", "ids": ["id 1/0", "id 1/2", "id 9/9"]},
            ],
        ),
        predictions=out,
    )
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_day_is_ranked_in_full_without_own_votes(tmp_path: Path) -> None:
    named, whole = run(tmp_path, papers())
    assert named["ranking"] == ["id 1/0", "id 1/2"]
    assert whole["ranking"][:2] == ["id 2/0", "id 2/3"]
    assert sorted(whole["ranking"]) == ["id 2/0", "id 2/2", "id 2/3", "id 2/4", "id 2/5"]


@pytest.mark.parametrize("name", ["papers.jsonl.xz", "papers.jsonl.gz"])
def test_compressed_papers_are_read(tmp_path: Path, name: str) -> None:
    assert run(tmp_path, papers(), name) == run(tmp_path, papers())


def test_later_days_change_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, papers(3)) == run(tmp_path, papers(4))


def test_metrics_and_progress(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = evaluate(
        write(tmp_path / "profiles.jsonl", [READER]),
        write(tmp_path / "papers.jsonl", papers()),
        qrels=write(
            tmp_path / "qrels.jsonl",
            [{"user": "r", "day": "2026-01-04", "relevant": ["id 3/0", "id 3/3"]}],
        ),
        progress=lambda done, total: told.append((done, total)),
    )
    assert (found.users, found.user_days, told) == (1, 1, [(1, 1)])
    assert found.metrics["ndcg@10"].mean == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: no JSON"),
        ("[]", "line 2: expected an object"),
        ('{"day": "2026-01-01"}', 'line 2: "id" must be a text'),
        ('{"id": "x", "day": "d", "categories": "c"}', 'line 2: "categories" must be a list'),
        ('{"id": "a", "day": "d"}', "line 2: paper a is there twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    listed = tmp_path / "papers.jsonl"
    listed.write_text('{"id": "a", "day": "d"}\n' + line + "\n")
    profiles = write(tmp_path / "profiles.jsonl", [READER])
    with pytest.raises(InputError, match=message):
        evaluate(profiles, listed)


def test_a_task_of_an_unknown_reader_is_an_error(tmp_path: Path) -> None:
    profiles = write(tmp_path / "profiles.jsonl", [READER])
    tasks = write(tmp_path / "tasks.jsonl", [{"user": "x", "day": "2026-01-02"}])
    with pytest.raises(InputError, match="user x is not among the profiles"):
        evaluate(profiles, write(tmp_path / "papers.jsonl", papers()), tasks)
