"""Offline evaluation: profiles, papers and days from files, ranked as the service ranks them."""

import gzip
import json
import lzma
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digest.errors import InputError
from digest.ranking.profile import Profile, Topic

if TYPE_CHECKING:
    from digest.ranking.counting import Counts
    from digest.ranking.features import FeatureSpace
    from digest.ranking.latent import Latent
    from digest.ranking.metrics import Estimate
    from digest.ranking.ranker import Solver

LATENT_EVERY = 20
_BLOCK = 500

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the papers' file."""

    id: str
    day: str
    title: str
    abstract: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """One line of the profiles' file."""

    user: str
    profile: Profile
    likes: tuple[str, ...]
    dislikes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """Rank the day's papers, or those of `ids`, for the user."""

    user: str
    day: str
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A task's answer: paper ids, best first."""

    user: str
    day: str
    ranking: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """What was ranked, and how well; `metrics` is empty without relevance judgements."""

    users: int
    user_days: int
    metrics: "Mapping[str, Estimate]"


def evaluate(
    profiles: Path,
    papers: Path,
    candidates: Path | None = None,
    qrels: Path | None = None,
    predictions: Path | None = None,
    *,
    solver: "Solver" = "newton",
    progress: Progress | None = None,
) -> Evaluation:
    """Rank every (user, day) of `candidates` and measure the rankings against `qrels`.

    Without `candidates` the tasks are those of `qrels`; without either, every user on every day.
    `predictions` is where the rankings are written, one JSON line each. Features for a day know the
    papers up to and including that day and none later. `progress` is told the tasks done and all.
    Raises InputError, with file and line, where a file is not as it should be.
    """
    from digest.ranking.metrics import measure, summarise  # noqa: PLC0415 (slow import)

    listed = _papers(papers)
    readers = _readers(profiles)
    wanted = _qrels(qrels) if qrels else {}
    tasks = _tasks(candidates, wanted, readers, listed)
    users: list[str] = []
    rows: list[tuple[float, ...]] = []
    seen: set[str] = set()
    done = 0
    with _writing(predictions) as write:
        for ranking in rankings(listed, readers, tasks, solver=solver):
            write(ranking)
            seen.add(ranking.user)
            relevant = wanted.get((ranking.user, ranking.day))
            if relevant:
                users.append(ranking.user)
                rows.append(measure(ranking.ranking, relevant))
            done += 1
            if progress:
                progress(done, len(tasks))
    return Evaluation(len(seen), done, summarise(users, rows))


def rankings(
    papers: Sequence[Listed],
    readers: Mapping[str, Reader],
    tasks: Sequence[Task],
    *,
    solver: "Solver" = "newton",
) -> Iterator[Ranking]:
    """The full order of each task, day by day, users in order.

    The features are learned anew for each day; the latent space, which costs most, every 20th.
    """
    from digest.ranking.corpus import Corpus  # noqa: PLC0415 (slow import)
    from digest.ranking.counting import count  # noqa: PLC0415 (slow import)
    from digest.ranking.features import FeatureSpace  # noqa: PLC0415 (slow import)

    ordered = sorted(papers, key=lambda paper: (paper.day, paper.id))
    counts = count(Corpus.of(ordered))
    listing_days = [paper.day for paper in ordered]
    by_day: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        by_day[task.day].append(task)
    latent: Latent | None = None
    for at, day in enumerate(sorted(by_day)):
        until = bisect_right(listing_days, day)
        past = counts.take(slice(0, until))
        if latent is None or at % LATENT_EVERY == 0:
            latent = _latent(past)
        space = FeatureSpace.of_counts(past, latent)
        table = _Day(space, ordered[:until], past, solver)
        today = sorted(by_day[day], key=lambda task: task.user)
        for start in range(0, len(today), _BLOCK):
            yield from table.rank(today[start : start + _BLOCK], readers)


def _latent(counts: "Counts") -> "Latent":
    from digest.ranking.latent import Latent  # noqa: PLC0415 (slow import)

    return Latent.fit(counts.plain)


@dataclass(frozen=True)
class _Day:
    """All that is known on a day: papers up to it, in order, with their counts."""

    space: "FeatureSpace"
    papers: Sequence[Listed]
    counts: "Counts"
    solver: "Solver"

    def rank(self, tasks: Sequence[Task], readers: Mapping[str, Reader]) -> Iterator[Ranking]:
        from digest.ranking.features import PaperRows  # noqa: PLC0415 (slow import)
        from digest.ranking.ranker import score  # noqa: PLC0415 (slow import)

        own = [readers[task.user] for task in tasks]
        voted = {paper for reader in own for paper in (*reader.likes, *reader.dislikes)}
        known = self._rows(sorted(voted & self._row_of.keys()))
        named = {paper for task in tasks for paper in self._candidates(task)}
        offered: PaperRows = self._rows(sorted(named))
        told = self.space.profile_rows([reader.profile for reader in own])
        rankers = [self._fit(reader, known, told[[at]]) for at, reader in enumerate(own)]
        scores = score(self.space, rankers, told, known, offered)
        for at, (task, reader) in enumerate(zip(tasks, own, strict=True)):
            closed = {*reader.likes, *reader.dislikes}
            left = [p for p in self._candidates(task) if p not in closed]
            value = {paper: float(scores[at, offered.row_of[paper]]) for paper in left}
            order = sorted(left, key=lambda paper: (-value[paper], paper))
            yield Ranking(task.user, task.day, tuple(order))

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {paper.id: row for row, paper in enumerate(self.papers)}

    @cached_property
    def _listing(self) -> tuple[str, ...]:
        last = self.papers[-1].day if self.papers else ""
        return tuple(paper.id for paper in self.papers if paper.day == last)

    def _candidates(self, task: Task) -> Sequence[str]:
        if task.ids is not None:
            return [paper for paper in dict.fromkeys(task.ids) if paper in self._row_of]
        return self._listing if self.papers and self.papers[-1].day == task.day else ()

    def _rows(self, ids: Sequence[str]) -> Any:
        from digest.ranking.features import PaperRows  # noqa: PLC0415 (slow import)

        at = [self._row_of[paper] for paper in ids]
        return PaperRows(tuple(ids), self.space.rows(self.counts.take(at)))

    def _fit(self, reader: Reader, known: Any, profile_row: Any) -> Any:
        import numpy as np  # noqa: PLC0415 (slow import)

        from digest.ranking.ranker import Votes, fit  # noqa: PLC0415 (slow import)

        votes = dict.fromkeys(reader.likes, True) | dict.fromkeys(reader.dislikes, False)
        cast = [(paper, liked) for paper, liked in votes.items() if paper in known.row_of]
        rows = known.rows[[known.row_of[paper] for paper, _ in cast]]
        liked = np.array([liked for _, liked in cast], bool)
        cast_on = tuple(paper for paper, _ in cast)
        return fit(self.space, Votes(cast_on, rows, liked), profile_row, solver=self.solver)


# The files


class _writing:
    """A file that takes rankings as JSON lines; none where there is no path."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._file = path.open("w", encoding="utf-8") if path else None
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Callable[[Ranking], None]:
        return self._write

    def _write(self, ranking: Ranking) -> None:
        if self._file:
            line = {"user": ranking.user, "day": ranking.day, "ranking": list(ranking.ranking)}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON-lines file, plain or compressed, each with where it stands."""
    opener: Any = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                where = f"{path}, line {number}"
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{where}: no JSON ({error.msg})") from error
                if not isinstance(value, dict):
                    raise InputError(f"{where}: expected an object in braces")
                yield where, value
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _text(value: Mapping[str, Any], key: str, where: str, *, needed: bool = True) -> str:
    found = value.get(key)
    if found is None and not needed:
        return ""
    if not isinstance(found, str) or (needed and not found):
        raise InputError(f'{where}: "{key}" must be a text')
    return found


def _texts(value: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = value.get(key)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise InputError(f'{where}: "{key}" must be a list of texts')
    return tuple(found)


def _papers(path: Path) -> list[Listed]:
    found: dict[str, Listed] = {}
    for where, value in _lines(path):
        paper = Listed(
            _text(value, "id", where),
            _text(value, "day", where),
            _text(value, "title", where, needed=False),
            _text(value, "abstract", where, needed=False),
            _texts(value, "categories", where),
        )
        if paper.id in found:
            raise InputError(f"{where}: paper {paper.id} is there twice")
        found[paper.id] = paper
    return list(found.values())


def _readers(path: Path) -> dict[str, Reader]:
    readers: dict[str, Reader] = {}
    for where, value in _lines(path):
        profile = Profile(
            topics=tuple(Topic(text) for text in _texts(value, "topics", where)),
            categories=tuple((code, 1.0) for code in _texts(value, "categories", where)),
            authors=_texts(value, "authors", where),
        )
        likes, dislikes = _texts(value, "likes", where), _texts(value, "dislikes", where)
        user = _text(value, "user", where)
        if user in readers:
            raise InputError(f"{where}: user {user} is there twice")
        readers[user] = Reader(user, profile, likes, dislikes)
    return readers


def _qrels(path: Path) -> dict[tuple[str, str], frozenset[str]]:
    wanted: dict[tuple[str, str], frozenset[str]] = {}
    for where, value in _lines(path):
        key = (_text(value, "user", where), _text(value, "day", where))
        wanted[key] = frozenset(_texts(value, "relevant", where))
    return wanted


def _tasks(
    path: Path | None,
    wanted: Mapping[tuple[str, str], frozenset[str]],
    readers: Mapping[str, Reader],
    papers: Sequence[Listed],
) -> list[Task]:
    if path is None:
        days = sorted({paper.day for paper in papers})
        keys = list(wanted) or [(user, day) for user in readers for day in days]
        return [Task(user, day) for user, day in keys if user in readers]
    tasks = []
    for where, value in _lines(path):
        ids = _texts(value, "ids", where) if value.get("ids") is not None else None
        task = Task(_text(value, "user", where), _text(value, "day", where), ids)
        if task.user not in readers:
            raise InputError(f"{where}: user {task.user} is not among the profiles")
        tasks.append(task)
    return tasks
